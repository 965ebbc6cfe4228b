"""Forest plots of gains with their intervals. Each function draws from tables; none trains, loads or saves."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, get_args

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fetalkit.analysis.terms import SIGNIFICANT
from fetalkit.config.arms import Level
from fetalkit.plots.cohort import WIDTH
from fetalkit.plots.missing import mark_row
from fetalkit.plots.palette import arm_styles, styles


def primary(named: Sequence[Mapping[str, Any]]) -> Figure:
    """Gains of the primary comparisons with their 95 % intervals; filled are those that are told from zero after correction.

    Parameters
    ----------
    named
        As `fetalkit.analysis.primary.compared` returns them. A gain that is NaN, because a run failed, is marked; a grey stroke
        is the smallest true gain that the study finds 8 times in 10.
    """
    figure, (axis,) = forest_panels(1, 0.42 * len(named) + 1.3)
    looks = styles(get_args(Level))
    for place, entry in enumerate(named):
        row, colour = SimpleNamespace(**entry), looks[entry["level"]].colour
        draw_interval(axis, row, place, colour, filled=entry["p_holm"] < SIGNIFICANT)
        detectable = entry["smallest_detectable_gain"]
        if not np.isnan(detectable):
            axis.plot([detectable] * 2, [place - 0.3, place + 0.3], color="0.55", linewidth=1.6, linestyle=":")
    name_rows(
        axis, [f"{entry['arm']} over {entry['control']}\n{entry['classifier']}, k = {entry['k']}" for entry in named]
    )
    levels = list(dict.fromkeys(entry["level"] for entry in named))
    handles = [Line2D([], [], color=looks[level].colour, marker="o", label=level) for level in levels]
    handles.append(Line2D([], [], color="0.55", linestyle=":", label="found 8 times in 10"))
    figure.legend(handles=handles, loc="outside upper right", ncols=4)
    figure.supxlabel("gain in accuracy (points)", fontsize=10.5)
    return figure


def forest(gained: pd.DataFrame, all_arms: Sequence[str], by: str = "arm") -> Figure:
    """Gains with their 95 % intervals, one panel per k; filled dots are gains over the control chosen on validation.

    Parameters
    ----------
    gained
        Rows of `fetalkit.analysis.gains.table`, one per k, control and value of `by`. A gain that is NaN, because a run failed,
        is marked.
    all_arms
        Every arm of the study in the order of params.yaml: colours of the controls follow from it.
    by
        Column whose values stand below each other.
    """
    names, controls = list(dict.fromkeys(gained[by])), sorted(set(gained.control))
    looks = arm_styles(all_arms, controls)
    middle, apart = (len(controls) - 1) / 2, min(0.34, 0.8 / max(1, len(controls)))
    offsets = {control: apart * (number - middle) for number, control in enumerate(controls)}
    figure, axes = forest_panels(gained.k.nunique(), 0.36 * max(1.0, len(controls) / 3) * len(names) + 1.3)
    for axis, k in zip(axes, dict.fromkeys(gained.k), strict=True):
        for row in gained[gained.k == k].itertuples():
            place, colour = names.index(getattr(row, by)) + offsets[row.control], looks[row.control].colour
            draw_interval(axis, row, place, colour, filled=row.better_control)
        axis.set_title(f"k = {k}")
    name_rows(axes[0], names)
    handles = [Line2D([], [], color=looks[name].colour, marker="o", label=f"over {name}") for name in controls]
    figure.legend(handles=handles, loc="outside upper right", ncols=min(4, len(controls)))
    figure.supxlabel("gain in accuracy (points)", fontsize=10.5)
    return figure


def forest_of_groups(gained: pd.DataFrame, of: str) -> Figure:
    """Gains in parts of the test set with their 95 % intervals, one panel per k; as `gains.by_group` returns them."""
    names = list(dict.fromkeys(gained[of]))
    figure, axes = forest_panels(gained.k.nunique(), 0.34 * len(names) + 1.1)
    colour = styles([of])[of].colour
    for axis, k in zip(axes, dict.fromkeys(gained.k), strict=True):
        for row in gained[gained.k == k].itertuples():
            draw_interval(axis, row, names.index(getattr(row, of)), colour)
        axis.set_title(f"k = {k}")
    number = gained.groupby(of, sort=False).n.first()
    name_rows(axes[0], [f"{name} (n = {number[name]})" for name in names])
    figure.supxlabel("gain in accuracy (points)", fontsize=10.5)
    return figure


def draw_interval(axis: Axes, row, place: float, colour, filled: bool = True) -> None:
    """Draw ``row.gain`` as a dot and from ``row.low`` to ``row.high`` as a line, at the height `place`; mark a missing gain."""
    if np.isnan(row.gain):
        mark_row(axis, place, colour)
        return
    axis.plot([row.low, row.high], [place, place], color=colour, linewidth=1.6)
    axis.plot(row.gain, place, "o", color=colour, markerfacecolor=colour if filled else "white", markersize=5)


def name_rows(axis: Axes, names: Sequence[str]) -> None:
    """Name the rows of a forest plot, the first one on top, with room above and below."""
    axis.set_yticks(range(len(names)), names, fontsize=9)
    axis.set_ylim(len(names) - 0.5, -0.5)


def forest_panels(number: int, height: float) -> tuple[Figure, Sequence[Axes]]:
    """Panels side by side with the same axes, each with a line at no gain."""
    figure, axes = plt.subplots(1, number, figsize=(WIDTH, height), sharey=True, sharex=True, squeeze=False)
    for axis in axes[0]:
        axis.axvline(0, color="0.4", linewidth=1)
        axis.grid(axis="x", alpha=0.4)
    return figure, axes[0]
