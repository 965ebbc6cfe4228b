"""The figure of README.md: what each way of pre-training gains, in all cohorts whose report is published."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fetalkit.plots.missing import mark_row
from fetalkit.plots.palette import MUTED, PAPER, Style, styles

WIDTH = 7.8  # inches
# Entry of a headline → label, and height of its line in the row of an arm.
_COLUMNS = {"few_shot": ("up to 50 images per plane", -0.16), "full": ("all images", 0.16)}


def gains(headlines: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Gains in accuracy with their 95 % intervals: one panel per cohort, one row per arm.

    Parameters
    ----------
    headlines
        Cohort → what `fetalkit.analysis.gains.by_arm` returns, from its ``summary.json``: arm → ``few_shot`` and ``full``, each
        with ``gain``, ``low``, ``high`` (points over the better control), or None where the study has no such runs. A gain
        of None stands for runs that failed; it is marked.
    """
    arms = list(dict.fromkeys(arm for headline in headlines.values() for arm in headline))
    looks = styles(_COLUMNS)
    figure, axes = plt.subplots(
        1, max(1, len(headlines)), figsize=(WIDTH, 0.5 * len(arms) + 1.4), sharey=True, sharex=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for axis, (cohort, headline) in zip(axes[0], headlines.items(), strict=False):
        axis.axvline(0, color=MUTED, linewidth=1)
        for row, arm in enumerate(arms):
            for column, (_, offset) in _COLUMNS.items():
                if entry := headline.get(arm, {}).get(column):
                    _interval(axis, entry, row + offset, looks[column])
        axis.set_title(cohort)
        axis.grid(axis="x", alpha=0.4)
        axis.grid(visible=False, axis="y")
    axes[0, 0].set_yticks(range(len(arms)), arms)
    axes[0, 0].set_ylim(len(arms) - 0.5, -0.5)
    handles = [
        Line2D([], [], color=looks[column].colour, marker=looks[column].marker, markerfacecolor=PAPER, label=label)
        for column, (label, _) in _COLUMNS.items()
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles))
    figure.supxlabel("gain in accuracy on test patients, points (exploratory)", fontsize=10)
    return figure


def _interval(axis: Axes, entry: Mapping[str, Any], place: float, look: Style) -> None:
    if entry["gain"] is None:
        mark_row(axis, place, look.colour)
        return
    if entry["low"] is not None and entry["high"] is not None:
        axis.plot([entry["low"], entry["high"]], [place, place], color=look.colour, linewidth=1.8)
    axis.plot(entry["gain"], place, look.marker, color=look.colour, markerfacecolor=PAPER, markersize=5.5)
