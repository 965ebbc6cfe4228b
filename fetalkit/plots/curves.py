"""Accuracy on validation patients in the course of trainings. Each function draws from tables; none trains, loads or saves.

No interval is drawn: it would need every prediction of every point. Every seed has its own line instead.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fetalkit.config.shots import rank
from fetalkit.plots import missing
from fetalkit.plots.cohort import WIDTH, facet_axes
from fetalkit.plots.gains import legend_beside
from fetalkit.plots.palette import GRID, Style, arm_styles, shades


def learning_curves(curves: pd.DataFrame, all_arms: Sequence[str]) -> Figure:
    """Validation accuracy against training steps, one panel per classifier and k: every seed thin, their mean thick.

    Parameters
    ----------
    curves
        ``classifier``, ``k``, ``arm``, ``seed``, ``total_step``, ``validation_accuracy`` (0-1), one row per run and point. A
        run that failed has at least one row with NaN; its arm is named in the panel instead of drawn.
    all_arms
        Every arm of the study in the order of params.yaml.
    """
    arms, classifiers = list(dict.fromkeys(curves.arm)), list(dict.fromkeys(curves.classifier))
    shots, looks = sorted(set(curves.k), key=rank), arm_styles(all_arms, arms)
    height = min(1.9, 7.0 / len(shots))
    figure, axes = plt.subplots(
        len(shots),
        len(classifiers),
        figsize=(WIDTH, height * len(shots) + 0.9),
        sharex="col",
        sharey=True,
        squeeze=False,
    )
    for line, k in zip(axes, shots, strict=True):
        for axis, classifier in zip(line, classifiers, strict=True):
            here = curves[(curves.classifier == classifier) & (curves.k == k)]
            failed = [arm for arm in arms if _curve(axis, here[here.arm == arm], looks[arm], f"{arm}|{classifier}|{k}")]
            missing.list_missing(axis, looks, [(arm, missing.FAILED) for arm in failed])
            axis.text(0.03, 0.97, f"k = {k}", transform=axis.transAxes, va="top", fontsize=9)
            axis.set_title(classifier if k == shots[0] else "", fontsize=8.5)
    figure.supxlabel("training steps", fontsize=10)
    figure.supylabel("accuracy on validation (%)", fontsize=10)
    legend_beside(
        figure,
        [Line2D([], [], color=looks[arm].colour, linestyle=looks[arm].linestyle, label=arm) for arm in arms],
        above=True,
    )
    return figure


def accuracy_against_steps(curves: pd.DataFrame, control: str) -> Figure:
    """Validation accuracy of a control against its steps, one panel per classifier and a line per k: does it still rise?

    Parameters
    ----------
    curves
        As for `learning_curves`. Every seed is thin, their mean thick; shaded is the last fifth of the steps, over which the
        rule of convergence takes its mean.
    control
        Which arm.
    """
    rows = curves[curves.arm == control]
    classifiers, shots = list(dict.fromkeys(rows.classifier)), sorted(set(rows.k), key=rank)
    colours = dict(zip(shots, shades(len(shots)), strict=True))
    figure, panels = facet_axes(len(classifiers), 2.2, sharey=True)
    for axis, classifier in zip(panels, classifiers, strict=True):
        here = rows[rows.classifier == classifier]
        failed = [k for k in shots if _curve(axis, here[here.k == k], colours[k], f"{control}|{classifier}|{k}")]
        missing.list_missing(axis, colours, [(k, missing.FAILED) for k in failed])
        last = here.total_step.max()
        axis.axvspan(0.8 * last, last, color=GRID, alpha=0.6, zorder=0, linewidth=0)
        axis.set_title(classifier, fontsize=8.5)
    figure.supxlabel("training steps", fontsize=10)
    figure.supylabel("accuracy on validation (%)", fontsize=10)
    handles = [Line2D([], [], color=colours[k].colour, linestyle=colours[k].linestyle, label=f"k = {k}") for k in shots]
    legend_beside(figure, [*handles, Patch(color=GRID, label="last fifth of the steps")], above=True)
    return figure


def _curve(axis: Axes, rows: pd.DataFrame, look: Style, of: str) -> bool:
    """Draw the curves of some seeds and their mean; or nothing, if one has failed, which is returned."""
    if rows.empty or rows.validation_accuracy.isna().any():
        return not rows.empty
    for _, one in rows.groupby("seed", sort=False):
        axis.plot(one.total_step, 100 * one.validation_accuracy, color=look.colour, linewidth=0.6, alpha=0.5)
    mean = 100 * rows.groupby("total_step").validation_accuracy.mean()
    dot = "o" if len(mean) == 1 else ""
    axis.plot(mean.index, mean, color=look.colour, linestyle=look.linestyle, linewidth=1.7, marker=dot, gid=of)
    return False
