"""Figures of the search for a training protocol. Each function draws from tables; none trains, loads or saves."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from fetalkit.plots.cohort import WIDTH, facets
from fetalkit.plots.palette import styles


def accuracy_against_steps(curves: pd.DataFrame) -> Figure:
    """Accuracy of the control on patients not seen against the number of training steps, one panel per classifier.

    Parameters
    ----------
    curves
        ``classifier``, ``k``, ``seed``, ``steps``, ``accuracy`` (0-1), one row per training. Lines are means over seeds, bands
        span the seeds.
    """
    table = curves.assign(percent=100 * curves.accuracy, k="k = " + curves.k.astype(str))
    grid = facets(
        sns.relplot,
        table, x="steps", y="percent", hue="k", style="k", markers=True, dashes=False, kind="line", col="classifier",
        errorbar=("pi", 100), height=2.8, aspect=WIDTH / 2.8 / table.classifier.nunique(), palette="colorblind",
    )  # fmt: skip
    budgets = sorted(set(table.steps))
    for axis in grid.axes.flat:
        axis.set_xscale("log")
        axis.set_xticks(budgets, [str(steps) for steps in budgets])
        axis.xaxis.set_minor_locator(NullLocator())
    grid.set_axis_labels("training steps", "accuracy (%)").set_titles(col_template="{col_name}")
    sns.move_legend(grid, "upper center", ncol=5, title=None, bbox_to_anchor=(0.45, 0.0))
    return grid.figure


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
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=min(3, len(candidates)))
    return figure
