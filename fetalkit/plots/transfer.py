"""Figures of what the transfer study reaches. Each function draws from tables; none trains, loads or saves."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from fetalkit.experiments.transfer.methods import CONTROL, LEVELS, by_level
from fetalkit.plots.cohort import WIDTH
from fetalkit.plots.results import interval, lines

KNOWN = dict(zip(LEVELS, ("nothing of the target", "its images", "and k labels per plane"), strict=True))


def forest(gained: pd.DataFrame, views: Sequence[str]) -> Figure:
    """Gains over the control with their 95 % intervals, one panel per view; colours tell what is known of the target.

    Parameters
    ----------
    gained
        Rows of `fetalkit.analysis.transfer_results.gains`, one per view and method.
    views
        Those that are shown.
    """
    rows = gained[gained["view"].isin(views) & (gained.method != CONTROL)]
    names = by_level(list(dict.fromkeys(rows.method)))
    colours = dict(zip(LEVELS, sns.color_palette("colorblind"), strict=False))
    figure, axes = plt.subplots(
        1, len(views), figsize=(WIDTH, 0.27 * len(names) + 1.3), sharey=True, sharex=True, squeeze=False
    )
    for axis, view in zip(axes[0], views, strict=True):
        axis.axvline(0, color="0.4", linewidth=1)
        shown = rows[rows["view"] == view][["method", "level", "gain", "gain_low", "gain_high"]]
        for row in shown.rename(columns={"gain_low": "low", "gain_high": "high"}).itertuples():
            interval(axis, row, names.index(row.method), colours[row.level])
        axis.set_title(view, fontsize=9.5)
        axis.grid(axis="x", alpha=0.4)
    lines(axes[0, 0], names)
    used = [level for level in LEVELS if level in set(rows.level)]
    handles = [plt.Line2D([], [], color=colours[level], marker="o", label=KNOWN[level]) for level in used]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(used), fontsize=9)
    figure.supxlabel(f"gain in accuracy over {CONTROL} (points)", fontsize=10.5)
    return figure


def accuracy_by_group(part: pd.DataFrame) -> Figure:
    """Accuracy of every method in every part of the test images, as a heat map.

    Parameters
    ----------
    part
        As `fetalkit.analysis.transfer_results.by_group` returns it.
    """
    share = 100 * part.pivot(index="method", columns="group", values="accuracy").loc[list(dict.fromkeys(part.method))]
    number = part.groupby("group").n.first()
    names = [f"{name.removeprefix('Fetal ').removeprefix('Maternal ')}\n(n = {number[name]})" for name in share]
    figure, axis = plt.subplots(figsize=(WIDTH, 0.27 * len(share) + 1.1))
    sns.heatmap(
        share.astype(float), annot=True, fmt=".0f", cmap="Blues", vmin=0, vmax=100, cbar=False, linewidths=0.5, ax=axis,
        annot_kws={"fontsize": 9}, xticklabels=names,
    )  # fmt: skip
    axis.set(xlabel="", ylabel="")
    axis.grid(visible=False)
    axis.tick_params(axis="both", rotation=0, length=0, labelsize=9)
    return figure
