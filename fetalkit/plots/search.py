"""Figures of the search for a training protocol. Each function draws from tables; none trains, loads or saves."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from fetalkit.plots import missing
from fetalkit.plots.cohort import WIDTH, facet_axes
from fetalkit.plots.gains import legend_beside
from fetalkit.plots.palette import shades, styles


def accuracy_against_steps(curves: pd.DataFrame) -> Figure:
    """Accuracy of the control on patients not seen against the number of training steps, one panel per classifier.

    Parameters
    ----------
    curves
        ``classifier``, ``k``, ``seed``, ``steps``, ``accuracy`` (0-1), one row per training. Every seed is
        thin, their mean thick.
    """
    classifiers, shots = list(dict.fromkeys(curves.classifier)), list(dict.fromkeys(curves.k))
    looks, budgets = dict(zip(shots, shades(len(shots)), strict=True)), sorted(set(curves.steps))
    figure, panels = facet_axes(len(classifiers), 2.6, sharey=True)
    for axis, classifier in zip(panels, classifiers, strict=True):
        for k in shots:
            rows, look = curves[(curves.classifier == classifier) & (curves.k == k)], looks[k]
            for _, one in rows.groupby("seed", sort=False):
                axis.plot(one.steps, 100 * one.accuracy, color=look.colour, linewidth=0.6, alpha=0.5)
            mean = 100 * rows.groupby("steps").accuracy.agg(missing.mean)
            axis.plot(
                mean.index,
                mean,
                look.marker,
                color=look.colour,
                linestyle=look.linestyle,
                label=f"k = {k}",
                gid=f"{classifier}|{k}",
            )
        axis.set_xscale("log")
        axis.set_xticks(budgets, [str(steps) for steps in budgets], rotation=45)
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_title(classifier, fontsize=9.5)
    figure.supxlabel("training steps", fontsize=10)
    figure.supylabel("accuracy (%)", fontsize=10)
    legend_beside(figure, panels[0].get_legend_handles_labels()[0], above=True)
    return figure


def arms_by_candidate(gained: pd.DataFrame, candidates: Sequence[str]) -> Figure:
    """Accuracy of every arm under every candidate, mean over seeds: a row per arm, grouped by level, a panel per run.

    Parameters
    ----------
    gained
        As `fetalkit.experiments.training_search.gains` returns it: ``candidate``, ``classifier``, ``k``, ``arm``, ``level``,
        ``accuracy`` (0-1).
    candidates
        Those to show, in the order of the legend.
    """
    table = gained[gained.candidate.isin(candidates)]
    arms = table.drop_duplicates("arm").sort_values("level", kind="stable")
    panels = list(dict.fromkeys(zip(table.classifier, table.k, strict=True)))
    looks = styles(candidates)
    size = (WIDTH, 0.26 * len(arms) + 1.2)
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, squeeze=False)
    rows = {arm: number for number, arm in enumerate(arms.arm)}
    for axis, (classifier, k) in zip(axes[0], panels, strict=True):
        for name in candidates:
            of = table[(table.classifier == classifier) & (table.k == k) & (table.candidate == name)]
            look = looks[name]
            places = of.arm.map(rows)
            axis.plot(
                100 * of.accuracy, places, color=look.colour, marker=look.marker, linestyle="", markersize=5, label=name
            )
        axis.set_title(f"{classifier}, k = {k}", fontsize="small")
        axis.set_xlabel("accuracy (%)")
        axis.grid(axis="y", alpha=0.3)
    axes[0, 0].set_yticks(range(len(arms)), [f"{row.level}  {row.arm}" for row in arms.itertuples()])
    axes[0, 0].set_ylim(len(arms) - 0.5, -0.5)
    legend_beside(figure, axes[0, 0].get_legend_handles_labels()[0])
    return figure
