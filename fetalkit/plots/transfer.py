"""Figures of what the transfer study reaches. Each function draws from tables; none trains, loads or saves."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fetalkit.experiments.transfer.methods import BASELINES, LEVELS, by_level
from fetalkit.plots.cohort import WIDTH, facet_axes, short_plane
from fetalkit.plots.gains import draw_interval, legend_beside, name_rows
from fetalkit.plots.missing import FAILED, mark_row
from fetalkit.plots.palette import MUTED, styles

KNOWN = dict(zip(LEVELS, ("nothing of the target", "its images", "its images and k labels per plane"), strict=True))
_PERCENT = Normalize(0, 100)


def forest(gained: pd.DataFrame, views: Sequence[str]) -> Figure:
    """Gains over the baseline of the level, with 95 % intervals, one panel per view; colours tell what is known of the target.

    Parameters
    ----------
    gained
        Rows of `fetalkit.analysis.transfer_results.gains`, one per view and method. A gain that is NaN, because a run failed,
        is marked.
    views
        Those that are shown.
    """
    rows = gained[gained["view"].isin(views) & ~gained.method.isin(BASELINES.values())]
    names = by_level(list(dict.fromkeys(rows.method)))
    heights = {name: place for place, name in enumerate(names)}
    colours = {level: style.colour for level, style in styles(LEVELS).items()}
    views = [view for view in views if view in set(rows["view"])]
    size = (WIDTH, min(7.6, 0.25 * len(names) + 1.4))
    figure, axes = plt.subplots(1, len(views), figsize=size, sharey=True, sharex=True, squeeze=False)
    for axis, view in zip(axes[0], views, strict=True):
        axis.axvline(0, color=MUTED, linewidth=1)
        axis.grid(axis="y", visible=False)
        axis.tick_params(axis="y", length=2)
        shown = rows[rows["view"] == view][["method", "level", "gain", "gain_low", "gain_high"]]
        places, inks = shown.method.map(heights), shown.level.map(colours)
        shown = shown.rename(columns={"gain_low": "low", "gain_high": "high"})
        for row, place, colour in zip(shown.itertuples(), places, inks, strict=True):
            draw_interval(axis, row, place, colour, of=f"{row.method}|{view}")
        axis.set_title(textwrap.fill(view, 26), fontsize=9)
    name_rows(axes[0, 0], names)
    used = {level: f"{BASELINES[level]} (knows {label})" for level, label in KNOWN.items() if level in set(rows.level)}
    handles = [Line2D([], [], color=colours[level], marker="o", label=label) for level, label in used.items()]
    legend_beside(figure, handles, above=True, title="gain over")
    figure.supxlabel("gain in accuracy over the baseline of the level (points)", fontsize=10)
    return figure


def accuracy_by_group(part: pd.DataFrame) -> Figure:
    """Accuracy of every method in every part of the test images, as a heat map.

    Parameters
    ----------
    part
        As `fetalkit.analysis.transfer_results.by_group` returns it. An accuracy that is NaN, because a run failed, is marked.
    """
    share = 100 * part.pivot(index="method", columns="group", values="accuracy").loc[list(dict.fromkeys(part.method))]
    number = part.groupby("group").n.first()
    names = [
        f"{short_plane(name)}\n(n = {n})" for name, n in zip(share.columns, number.loc[share.columns], strict=True)
    ]
    figure, axis = plt.subplots(figsize=(WIDTH, 0.27 * len(share) + 1.1))
    sns.heatmap(
        share.astype(float), annot=True, fmt=".0f", cmap="Blues", vmin=0, vmax=100, cbar=False, linewidths=0.5, ax=axis,
        annot_kws={"fontsize": 9}, xticklabels=names,
    )  # fmt: skip
    for row, column in np.argwhere(share.isna().to_numpy()):
        axis.text(column + 0.5, row + 0.5, FAILED, ha="center", va="center", fontsize=7)
    axis.set(xlabel="", ylabel="", facecolor="0.92")
    axis.grid(visible=False)
    axis.tick_params(axis="both", rotation=0, length=0, labelsize=9)
    return figure


def accuracy_in_places(parts: Mapping[str, pd.DataFrame]) -> Figure:
    """Accuracy of the levels' baselines in every centre or machine, with 95 % intervals; one panel per view.

    Parameters
    ----------
    parts
        Title → as `fetalkit.analysis.transfer_results.by_group` returns it. An accuracy that is NaN, because a run failed, is
        marked.
    """
    names = list(BASELINES.values())
    looks, numbers = styles(names), [part.group.nunique() for part in parts.values()]
    figure, axes = plt.subplots(
        len(parts), 1, figsize=(WIDTH, min(7.4, 0.4 * sum(numbers) + 0.3 * len(parts) + 0.9)), sharex=True, squeeze=False,
        gridspec_kw={"height_ratios": numbers},
    )  # fmt: skip
    shown = {}
    for axis, (title, part) in zip(axes[:, 0], parts.items(), strict=True):
        groups = sorted(set(part.group))
        there = [name for name in names if name in set(part.method)]
        for name, offset in zip(there, 0.22 * (np.arange(len(there)) - (len(there) - 1) / 2), strict=True):
            rows, look = part[part.method == name], looks[name]
            places = np.array([groups.index(group) + offset for group in rows.group])
            error = np.abs(np.stack([rows.accuracy - rows.low, rows.high - rows.accuracy]))
            shown[name] = axis.errorbar(
                100 * rows.accuracy, places, xerr=100 * error, linestyle="", capsize=2.5, color=look.colour,
                marker=look.marker, markersize=5,
            )  # fmt: skip
            for place in places[rows.accuracy.isna()]:
                mark_row(axis, place, look.colour)
        number = part.groupby("group").n.first()
        name_rows(axis, [f"{group} (n = {number[group]})" for group in groups])
        axis.set_title(title, fontsize=9.5)
        axis.set_xlim(-4, 104)  # marks at both ends are whole
    figure.legend(list(shown.values()), list(shown), loc="outside upper center", ncols=len(shown), fontsize=9)
    figure.supxlabel("accuracy (%)", fontsize=10)
    return figure


def confusions(panels: Mapping[str, pd.DataFrame]) -> Figure:
    """What images of every plane are called (or lie near), in percent of a row; one panel each, side by side.

    Parameters
    ----------
    panels
        Title → as `fetalkit.analysis.transfer_planes.confusions` returns it. Shares that are NaN are marked.
    """
    figure, axes = facet_axes(
        len(panels), 0.36 * max(len(set(table.called)) for table in panels.values()) + 1.0, most=2
    )
    for axis, (title, table) in zip(axes, panels.items(), strict=True):
        planes = list(dict.fromkeys(table.called))
        share = 100 * table.pivot(index="plane", columns="called", values="share")
        share = share.reindex(index=[plane for plane in planes if plane in share.index], columns=planes)
        number = table.groupby("plane").n.first()
        sns.heatmap(
            share.astype(float), annot=True, fmt=".0f", cmap="Blues", norm=_PERCENT, cbar=False, linewidths=0.5, ax=axis,
            annot_kws={"fontsize": 8.5}, xticklabels=[short_plane(plane) for plane in planes],
            yticklabels=[f"{short_plane(plane)}\n(n = {number[plane]})" for plane in share.index],
        )  # fmt: skip
        for row, column in np.argwhere(share.isna().to_numpy()):
            axis.text(column + 0.5, row + 0.5, FAILED, ha="center", va="center", fontsize=6)
        axis.set(xlabel="", ylabel="", facecolor="0.92")
        axis.set_title(textwrap.fill(title, 34), fontsize=9)
        axis.grid(visible=False)
        axis.tick_params(axis="x", rotation=45, length=0, labelsize=8.5)
        axis.tick_params(axis="y", rotation=0, length=0, labelsize=8.5)
    return figure


def plane_recalls(recalled: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """Recall of every plane: of the control in the source and in the target, and with what may help there.

    Parameters
    ----------
    recalled
        As `fetalkit.analysis.transfer_planes.recalls` returns it.
    names
        Method → what it changes; those named are shown as changes from the control with the same classifiers.
    """
    planes = list(dict.fromkeys(recalled.plane))
    keys = list(dict.fromkeys(zip(recalled.of, recalled.method, strict=True)))
    labels = [textwrap.fill(names.get(method, f"{method}, in the {of}"), 27) for of, method in keys]
    figure, axes = plt.subplots(1, len(planes), figsize=(WIDTH, 0.38 * len(keys) + 1.2), sharey=True, squeeze=False)
    colours = styles(["source", "target", "change"])
    for axis, plane in zip(axes[0], planes, strict=True):
        for place, (of, method) in enumerate(keys):
            row = recalled[(recalled.plane == plane) & (recalled.of == of) & (recalled.method == method)]
            if row.empty:
                continue
            value, before = 100 * row.recall.iloc[0], 100 * row.unaligned.iloc[0]
            look = colours["change" if method in names else of]
            if np.isnan(value):
                mark_row(axis, place, look.colour)
                continue
            axis.plot([before, value], [place, place], color=look.colour, linewidth=1.6)
            axis.plot(value, place, look.marker, color=look.colour, markersize=5)
        axis.set_title(short_plane(plane), fontsize=9.5)
        axis.set_xlim(-4, 104)  # marks at both ends are whole
    name_rows(axes[0][0], labels)
    figure.supxlabel(f"recall (%); lines: from that of {BASELINES[LEVELS[0]]} with the same classifiers", fontsize=9)
    return figure


def nearest_images(images: np.ndarray, titles: Sequence[str], columns: int) -> Figure:
    """Target images above, below each of them the source image that lies nearest.

    Parameters
    ----------
    images
        uint8 (2 × `columns`, size, size): those of the target, then the nearest ones.
    titles
        One line per image.
    columns
        Pairs.
    """
    side = WIDTH / columns
    figure, axes = plt.subplots(2, columns, figsize=(WIDTH, 2 * side + 1.3), squeeze=False)
    for axis, image, title in zip(axes.flat, images, titles, strict=True):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255)
        axis.set_axis_off()
        words = "\n".join(textwrap.wrap(short_plane(title), max(8, round(13.5 * side))))
        axis.set_title(words, fontsize=7.5, fontweight="normal", loc="center")
    return figure
