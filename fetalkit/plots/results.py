"""Figures of what the classifiers reach. Each function draws from tables and arrays; none trains, loads or saves.

A run that failed is NaN in the tables. It is marked where its value is missing, and no mean is drawn over the other runs.
Accuracies are in percent, and wherever a mean is drawn, so is its 95 % interval, which the tables bring along.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator

from fetalkit.plots import missing
from fetalkit.plots.cohort import WIDTH, facet_axes, short_plane
from fetalkit.plots.gains import legend_beside, name_rows
from fetalkit.plots.palette import GRID, MUTED, Style, arm_styles


def accuracy_by_arm(table: pd.DataFrame, spans: pd.DataFrame, all_arms: Sequence[str], part: str = "test") -> Figure:
    """Accuracy of every arm at one k: mean over seeds with its 95 % interval, and every run; one panel per classifier.

    Parameters
    ----------
    table
        The long table of one k. Runs that failed are counted in the arm's row, which then has no mean.
    spans
        As `fetalkit.analysis.accuracies.of_arms` returns them, of that k.
    all_arms
        Every arm of the study in the order of params.yaml.
    part
        Whom it is of.
    """
    rows = table[table.metric == "accuracy"]
    order, classifiers = list(dict.fromkeys(rows.arm)), list(dict.fromkeys(rows.classifier))
    looks = arm_styles(all_arms, order)
    size = (WIDTH, 0.24 * len(order) + 1.0)
    figure, axes = plt.subplots(1, len(classifiers), figsize=size, sharex=True, sharey=True, squeeze=False)
    for axis, classifier in zip(axes[0], classifiers, strict=True):
        for arm, values in rows[rows.classifier == classifier].groupby("arm", sort=False).value:
            place, look, failed = order.index(str(arm)), looks[str(arm)], int(values.isna().sum())
            beside = np.full(len(values), place + 0.22)
            axis.plot(100 * values, beside, "|", color=look.colour, markersize=5, gid=f"{arm}|{classifier}|runs")
            if failed:
                missing.mark_row(axis, place, word=f"{failed} of {len(values)} {missing.FAILED}")
                continue
            span = spans[(spans.arm == arm) & (spans.classifier == classifier)]
            _intervals(axis, span, [place], look, f"{arm}|{classifier}")
        axis.set_title(classifier, fontsize=8.5)
        axis.grid(axis="y", visible=False)
        axis.tick_params(axis="y", length=2)
    name_rows(axes[0, 0], order)
    figure.supxlabel(f"accuracy on {part} (%)", fontsize=10)
    return figure


def _intervals(axis: Axes, rows: pd.DataFrame, places: Sequence[float], look: Style, of: str) -> None:
    """Accuracies as dots with their intervals, at these heights."""
    percent = 100 * rows[["accuracy", "low", "high"]].to_numpy(float)
    for (accuracy, *ends), place in zip(percent, places, strict=True):
        axis.plot(ends, [place] * 2, color=look.colour, linewidth=1.6, gid=f"{of}|interval")
        axis.plot(accuracy, place, look.marker, color=look.colour, markersize=5, gid=of)


def accuracy_against_k(
    spans: pd.DataFrame,
    images: Mapping[str, float],
    factors: Mapping[str, str],
    all_arms: Sequence[str],
    part: str = "test",
) -> Figure:
    """Accuracy against the number of real images per plane, mean over classifiers and seeds, with 95 % intervals.

    Parameters
    ----------
    spans
        ``arm``, ``k``, ``accuracy``, ``low``, ``high`` (0-1), as `fetalkit.analysis.accuracies.against_k` returns them. Where a
        run of an arm failed, all three are NaN, its curve has a gap, and there is a cross below.
    images
        k → images per plane.
    factors
        Arm → by which factor it multiplies the real images, as it is written (``"≤ 1"``); arms without one are not among its
        keys.
    all_arms
        Every arm of the study in the order of params.yaml.
    part
        Whom the accuracy is of.
    """
    arms = list(dict.fromkeys(spans.arm))
    looks, crosses = arm_styles(all_arms, arms), 0
    figure, axis = plt.subplots(figsize=(WIDTH, 3.9))
    for number, arm in enumerate(arms):
        rows = spans[spans.arm == arm]
        beside = 1 + 0.025 * (number - (len(arms) - 1) / 2)  # so that no interval hides another one
        places = rows.k.map(images).to_numpy(float) * beside
        look, factor = looks[arm], factors.get(arm)
        label = f"{arm} ({factor} times)" if factor else arm
        axis.vlines(places, 100 * rows.low, 100 * rows.high, color=look.colour, linewidth=1.2, alpha=0.8)
        axis.plot(
            places, 100 * rows.accuracy, label=label, color=look.colour, marker=look.marker, markersize=5, gid=arm
        )
        if rows.accuracy.isna().any():
            missing.mark_columns(axis, places[rows.accuracy.isna()], look.colour, crosses)
            crosses += 1
    if crosses:
        missing.explain_crosses(axis, lines=crosses)
    ticks = sorted({images[k] for k in spans.k})
    # One k alone needs some room on both sides of it.
    axis.set(xscale="log", xlim=(ticks[0] / 1.25, ticks[-1] * 1.25))
    axis.set(xlabel="real images per plane", ylabel=f"accuracy on {part} patients (%)")
    axis.set_xticks(ticks, [f"{value:.0f}" for value in ticks])
    axis.xaxis.set_minor_locator(NullLocator())
    legend_beside(figure, axis.get_legend_handles_labels()[0])
    return figure


def accuracy_by_place(spans: pd.DataFrame, of: str, all_arms: Sequence[str], part: str = "test") -> Figure:
    """Accuracy in parts of the test images, one dot with its 95 % interval per arm, mean over classifiers and seeds.

    Parameters
    ----------
    spans
        `of` (name of the part), ``arm``, ``n`` (images), ``accuracy``, ``low``, ``high`` (0-1), as
        `fetalkit.analysis.accuracies.by_place` returns them. An accuracy that is NaN, because a run failed, is marked.
    of
        Column that names the parts.
    all_arms
        Every arm of the study in the order of params.yaml.
    part
        Whom the accuracy is of.
    """
    arms, groups = list(dict.fromkeys(spans.arm)), list(dict.fromkeys(spans[of]))
    looks, number = arm_styles(all_arms, arms), spans.groupby(of, sort=False).n.first()
    figure, axis = plt.subplots(figsize=(WIDTH, min(7.0, 0.2 * len(arms) * len(groups) + 0.12 * len(groups)) + 1.0))
    offsets = np.linspace(-0.3, 0.3, len(arms)) if len(arms) > 1 else [0.0]
    for arm, offset in zip(arms, offsets, strict=True):
        rows = spans[spans.arm == arm]
        places = np.array([groups.index(group) + offset for group in rows[of]])
        known = rows.accuracy.notna().to_numpy()
        for row, place in zip(rows[known].itertuples(), places[known], strict=True):
            one = rows[rows[of] == getattr(row, of)]
            _intervals(axis, one, [place], looks[arm], f"{arm}|{getattr(row, of)}")
        for place in places[~known]:
            missing.mark_row(axis, place, looks[arm].colour)
    name_rows(axis, [f"{group} (n = {number[group]})" for group in groups])
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=2)
    axis.set_xlabel(f"accuracy on {part} (%)")
    legend_beside(figure, [_dot(arm, looks[arm]) for arm in arms])
    return figure


def _dot(name: str, look: Style) -> Line2D:
    return Line2D([], [], color=look.colour, marker=look.marker, label=name)


def reliability(bins: Mapping[str, pd.DataFrame | None], all_arms: Sequence[str]) -> Figure:
    """Accuracy against confidence, a panel per arm; on the dashed line a classifier is as often right as it is sure.

    Parameters
    ----------
    bins
        Arm → ``confidence``, ``accuracy``, ``low``, ``high`` and ``share`` (all 0-1) of each bin, as
        `fetalkit.analysis.accuracies.reliability` returns them; None where a run of the arm failed.
    all_arms
        Every arm of the study in the order of params.yaml.
    """
    looks = arm_styles(all_arms, bins)
    figure, panels = facet_axes(len(bins), 2.3, sharex=True, sharey=True, most=2 if len(bins) <= 4 else 3)
    for axis, (arm, of_arm) in zip(panels, bins.items(), strict=True):
        axis.plot([0, 100], [0, 100], color=MUTED, linestyle="--", linewidth=1)
        axis.set_title(arm, fontsize=9.5)
        axis.set(xlim=(0, 102), ylim=(0, 102))
        if of_arm is None:
            axis.text(50, 50, missing.FAILED, ha="center", va="center", color=looks[arm].colour)
            continue
        percent, look = 100 * of_arm[["confidence", "accuracy", "low", "high", "share"]], looks[arm]
        axis.bar(percent.confidence, percent.share, 5, color=GRID, zorder=1, linewidth=0)
        axis.vlines(percent.confidence, percent.low, percent.high, color=look.colour, linewidth=1.4)
        axis.plot(percent.confidence, percent.accuracy, look.marker, color=look.colour, markersize=5, gid=arm)
    figure.supxlabel("confidence (%)", fontsize=10)
    figure.supylabel("accuracy (%)", fontsize=10)
    legend_beside(
        figure,
        [
            Line2D([], [], color=MUTED, linestyle="--", label="as often right as sure"),
            Patch(facecolor=GRID, linewidth=0, label="share of the calls (%)"),
        ],
        above=True,
    )
    return figure


def confusion_differences(
    control: str, matrices: Mapping[str, np.ndarray | None], planes: Sequence[str], images: Sequence[int]
) -> Figure:
    """How an arm's confusion matrix differs from that of the control: first the control's, then differences in points.

    Parameters
    ----------
    control
        One of the names of `matrices`.
    matrices
        Arm → numbers of calls (planes, planes), true plane by predicted plane; None where a run of the arm failed.
    planes
        Names of the planes.
    images
        Of each plane.
    """
    order = [control, *(name for name in matrices if name != control)]
    shares = {name: _shares(matrices[name], len(planes)) for name in order}
    differences = {name: shares[name] - shares[control] for name in order[1:]}
    known = [np.abs(values).max() for values in differences.values() if not np.isnan(values).any()]
    most = max([5.0, *known])
    side = 0.5 * len(planes) + 0.75
    figure, panels = facet_axes(len(order), side, sharex=True, sharey=True, most=2)
    words = [short_plane(plane).lower() for plane in planes]
    rows = [f"{word} (n = {number})" for word, number in zip(words, images, strict=True)]
    for axis, name in zip(panels, order, strict=True):
        own = name == control
        values = shares[name] if own else differences[name]
        lowest, highest = (0.0, 100.0) if own else (-most, most)
        texts = np.vectorize(lambda value, own=own: _cell(value, own))(values)
        sns.heatmap(
            values, annot=texts, fmt="", cbar=False, ax=axis, xticklabels=words, yticklabels=rows, linewidths=0.5,
            linecolor=GRID, annot_kws={"fontsize": 8.5}, cmap="Blues" if own else "RdBu", vmin=lowest, vmax=highest,
        )  # fmt: skip
        if np.isnan(values).any():
            axis.text(0.5, 0.5, missing.FAILED, transform=axis.transAxes, ha="center", va="center")
        axis.grid(visible=False)
        axis.set_title(f"{name} (%)" if own else f"{name} \u2212 {control} (points)", fontsize=9)
        axis.tick_params(axis="x", rotation=30, length=0, labelsize=9)
        axis.tick_params(axis="y", rotation=0, length=0, labelsize=9)
    figure.supxlabel("predicted plane", fontsize=10)
    figure.supylabel("true plane", fontsize=10)
    return figure


def _shares(matrix: np.ndarray | None, planes: int) -> np.ndarray:
    """Percent of each row; NaN for a matrix that is not there."""
    if matrix is None:
        return np.full((planes, planes), np.nan)
    return 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)


def _cell(value: float, share: bool) -> str:
    if np.isnan(value):
        return ""
    text = f"{abs(value):.0f}"
    if share or text == "0":
        return text
    return ("\u2212" if value < 0 else "+") + text
