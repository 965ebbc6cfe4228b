"""Forest plots of gains with their intervals. Each function draws from tables; none trains, loads or saves."""

import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fetalkit.analysis.terms import SIGNIFICANT
from fetalkit.config.shots import rank
from fetalkit.plots.cohort import WIDTH
from fetalkit.plots.missing import mark_row
from fetalkit.plots.palette import INK, MUTED, PAPER, arm_styles, styles

_LEGEND_LINE = 0.2  # inches
GAIN = "gain in accuracy (points)"
_PALE = 0.4  # strength of gains that are not the ones to read
_TALLEST = 6.9  # inches that the rows of a figure may take: with its legend it fits a printed page


def primary(named: Sequence[Mapping[str, Any]], all_arms: Sequence[str] = ()) -> Figure:
    """Gains of the primary comparisons with their 95 % intervals; filled are those that are told from zero after correction.

    Parameters
    ----------
    named
        As `fetalkit.analysis.primary.compared` returns them. A gain that is NaN, because a run failed, is marked; a dotted
        stroke is the smallest true gain that the study finds 8 times in 10.
    all_arms
        Every arm of the study in the order of params.yaml: colours follow from it.
    """
    figure, (axis,) = forest_panels([len(named)], 0.46)
    looks = arm_styles(all_arms, [entry["arm"] for entry in named])
    # A study that could find enormous gains alone is no reason to shrink what it found; the table says so.
    furthest = 2 * max(
        [1.0, *(abs(entry[end]) for entry in named for end in ("low", "high") if entry[end] == entry[end])]
    )
    found = False
    for place, entry in enumerate(named):
        row, look = SimpleNamespace(**entry), looks[entry["arm"]]
        of = f"{row.arm}|{row.control}|{row.classifier}|{row.k}"
        draw_interval(axis, row, place, look.colour, row.p_holm < SIGNIFICANT, look.marker, of)
        if row.smallest_detectable_gain <= furthest:
            found, ends = True, [place - 0.3, place + 0.3]
            axis.plot([row.smallest_detectable_gain] * 2, ends, color=MUTED, linewidth=1.6, linestyle=":")
    name_rows(
        axis,
        [
            f"{entry['arm']} over {entry['control']}\n{entry['classifier']}, k = {entry['k']}, {entry['level']}"
            for entry in named
        ],
    )
    axis.set_xlabel(GAIN)
    handles = [
        Line2D([], [], color=INK, marker="o", label="told from zero after correction"),
        Line2D([], [], color=INK, marker="o", markerfacecolor=PAPER, label="not told from zero"),
    ]
    if found:
        handles.append(Line2D([], [], color=MUTED, linestyle=":", label="smallest gain found 8 times in 10"))
    legend_beside(figure, handles)
    return figure


def forest(gained: pd.DataFrame, all_arms: Sequence[str], by: str = "arm") -> Figure:
    """Gains with their 95 % intervals, one panel per k: strong over the control chosen on validation, pale over another one.

    Parameters
    ----------
    gained
        Rows of `fetalkit.analysis.gains.table`, one per k, control and value of `by`. A gain that is NaN, because a run failed,
        is marked. A panel has rows for what it has gains of, and no others.
    all_arms
        Every arm of the study in the order of params.yaml: colours of the arms and marks of the controls follow from it.
    by
        Column whose values stand below each other.
    """
    controls = [name for name in dict.fromkeys([*all_arms, *gained.control]) if name in set(gained.control)]
    looks, number = arm_styles(all_arms, [*controls, *gained.arm]), len(controls)
    apart = min(0.34, 0.8 / max(1, number))
    offsets = {control: apart * (place - (number - 1) / 2) for place, control in enumerate(controls)}
    parts = {k: gained[gained.k == k] for k in sorted(set(gained.k), key=rank)}
    rows = {k: list(dict.fromkeys(part[by])) for k, part in parts.items()}
    figure, axes = forest_panels([len(names) for names in rows.values()], 0.36 * max(1.0, number / 3))
    for axis, (k, part) in zip(axes, parts.items(), strict=True):
        for row in part.itertuples():
            name, strength = getattr(row, by), 1.0 if row.better_control else _PALE
            of = f"{name}|{row.control}|{k}"
            place = rows[k].index(name) + offsets[row.control]
            mark = dict(marker=looks[row.control].marker, of=of, alpha=strength)
            draw_interval(axis, row, place, looks[row.arm].colour, **mark)
        name_rows(axis, rows[k])
        axis.set_title(f"k = {k}")
    axes[-1].set_xlabel(GAIN)
    handles = [
        Line2D([], [], color=MUTED, marker=looks[name].marker, linestyle="", label=f"over {name}") for name in controls
    ]
    if not gained.better_control.all():
        handles += [
            Line2D([], [], color=INK, linewidth=1.6, label="strong: the better control"),
            Line2D([], [], color=INK, linewidth=1.6, alpha=_PALE, label="pale: another control"),
        ]
    legend_beside(figure, handles)
    return figure


def forest_of_groups(gained: pd.DataFrame, of: str, order: Sequence[str] = ()) -> Figure:
    """Gains in parts of the test set with their 95 % intervals, one panel per k; as `gains.by_group` returns them.

    Parameters
    ----------
    gained
        One row per k and part.
    of
        Column that names the parts.
    order
        Names of parts in the order in which they stand; others follow by name.
    """
    there = list(dict.fromkeys(gained[of]))
    names = [*(name for name in order if name in there), *sorted(set(there) - set(order))]
    shots = sorted(set(gained.k), key=rank)
    figure, axes = forest_panels([len(names)] * len(shots), 0.3)
    colour = styles([of])[of].colour
    number = gained.groupby(of, sort=False).n.first()
    for axis, k in zip(axes, shots, strict=True):
        for row in gained[gained.k == k].itertuples():
            name = getattr(row, of)
            draw_interval(axis, row, names.index(name), colour, of=f"{name}|{k}")
        axis.set_title(f"k = {k}")
        name_rows(axis, [f"{name} (n = {number[name]})" for name in names])
    axes[-1].set_xlabel(GAIN)
    return figure


def draw_interval(
    axis: Axes,
    row,
    place: float,
    colour,
    filled: bool = True,
    marker: str = "o",
    of: str | None = None,
    alpha: float = 1,
) -> None:
    """Draw ``row.gain`` as a dot and from ``row.low`` to ``row.high`` as a line, at the height `place`; mark a missing gain.

    `of` names the dot in the drawing, and with ``|interval`` the line.
    """
    if np.isnan(row.gain):
        mark_row(axis, place, colour)
        return
    name = of and f"{of}|interval"
    axis.plot([row.low, row.high], [place, place], color=colour, linewidth=1.6, gid=name, alpha=alpha)
    face = colour if filled else PAPER
    axis.plot(row.gain, place, marker, color=colour, markerfacecolor=face, markersize=5, gid=of, alpha=alpha)


def name_rows(axis: Axes, names: Sequence[str]) -> None:
    """Name the rows of a forest plot, the first one on top, with room above and below."""
    height = (
        axis.get_position().height * cast(Figure, axis.figure).get_size_inches()[1] / max(1, len(names))
    )  # inches of a row
    axis.set_yticks(range(len(names)), names, fontsize=9 if height > 0.17 else 8)
    axis.set_ylim(len(names) - 0.5, -0.5)


def forest_panels(rows: Sequence[int], height: float) -> tuple[Figure, Sequence[Axes]]:
    """Panels below each other with the same horizontal axis, each with a line at no gain.

    Parameters
    ----------
    rows
        Of every panel.
    height
        Inches of a row; less where the figure would be taller than a page.
    """
    above = 0.34  # inches that the title of a panel takes
    height = min(height, (_TALLEST - above * len(rows)) / max(1, sum(rows)))
    size = (WIDTH, max(1.2, height * sum(rows) + above * len(rows) + 0.8))
    ratios = [max(1, number) for number in rows]
    figure, axes = plt.subplots(
        len(rows), 1, figsize=size, sharex=True, squeeze=False, gridspec_kw={"height_ratios": ratios}
    )
    for axis in axes[:, 0]:
        axis.axvline(0, color=MUTED, linewidth=1)
        axis.grid(axis="y", visible=False)
        axis.tick_params(axis="y", length=2)
    return figure, list(axes[:, 0])


def legend_beside(figure: Figure, handles: Sequence[Artist], above: bool = False, **settings) -> None:
    """Legend below a figure, or `above` where a label of all panels stands below; in as many lines as it takes.

    The figure has room for one line; it grows by the others, so that they take none from its panels.
    """
    needed = sum(0.62 + 0.076 * len(str(handle.get_label())) for handle in handles)  # inches
    widest = max((0.62 + 0.076 * len(str(handle.get_label())) for handle in handles), default=1.0)
    lines = -(-needed // WIDTH)
    columns = int(min(max(1, len(handles) // max(1, lines)), max(1, WIDTH // widest)))
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + _LEGEND_LINE * (math.ceil(len(handles) / columns) - 1))
    where = "outside upper center" if above else "outside lower center"
    figure.legend(handles=list(handles), loc=where, ncols=columns, fontsize=9, **settings)
