"""Figures of what the transfer study reaches. Each function draws from tables; none trains, loads or saves."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fetalkit.experiments.transfer.methods import CONTROL, LEVELS, by_level
from fetalkit.plots.cohort import WIDTH
from fetalkit.plots.gains import draw_interval, forest_panels, name_rows
from fetalkit.plots.missing import FAILED
from fetalkit.plots.palette import styles

KNOWN = dict(zip(LEVELS, ("nothing of the target", "its images", "and k labels per plane"), strict=True))


def forest(gained: pd.DataFrame, views: Sequence[str]) -> Figure:
    """Gains over the control with their 95 % intervals, one panel per view; colours tell what is known of the target.

    Parameters
    ----------
    gained
        Rows of `fetalkit.analysis.transfer_results.gains`, one per view and method. A gain that is NaN, because a run failed,
        is marked.
    views
        Those that are shown.
    """
    rows = gained[gained["view"].isin(views) & (gained.method != CONTROL)]
    names = by_level(list(dict.fromkeys(rows.method)))
    heights = {name: place for place, name in enumerate(names)}
    colours = {level: style.colour for level, style in styles(LEVELS).items()}
    figure, axes = forest_panels(len(views), 0.27 * len(names) + 1.3)
    for axis, view in zip(axes, views, strict=True):
        shown = rows[rows["view"] == view][["method", "level", "gain", "gain_low", "gain_high"]]
        places, inks = shown.method.map(heights), shown.level.map(colours)
        shown = shown.rename(columns={"gain_low": "low", "gain_high": "high"})
        for row, place, colour in zip(shown.itertuples(), places, inks, strict=True):
            draw_interval(axis, row, place, colour)
        axis.set_title(view, fontsize=9.5)
    name_rows(axes[0], names)
    used = {level: label for level, label in KNOWN.items() if level in set(rows.level)}
    handles = [Line2D([], [], color=colours[level], marker="o", label=label) for level, label in used.items()]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(used), fontsize=9)
    figure.supxlabel(f"gain in accuracy over {CONTROL} (points)", fontsize=10.5)
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
    short = share.columns.str.removeprefix("Fetal ").str.removeprefix("Maternal ")
    names = [f"{name}\n(n = {n})" for name, n in zip(short, number.loc[share.columns], strict=True)]
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
