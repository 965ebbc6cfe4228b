"""Figures of what the classifiers reach. Each function draws from tables and arrays; none trains, loads or saves."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from fetalkit.plots.cohort import WIDTH, facets

# Arms that stand together in a figure have different colours; ten colours are all that the colour-blind tell apart.
ARM_ORDER = (
    "real",
    "real-long",
    "diffusion",
    "gan",
    "interpolation",
    "simulation",
    "mixup",
    "synthetic-only",
    "diffusion-phantoms",
    "real+ultrasound",
)
_MARKERS = "osD^vPX<>*"


def arm_colours(arms: Sequence[str]) -> dict[str, tuple]:
    """One colour per arm, the same in every figure; from seaborn's colour-blind-safe palette."""
    palette = sns.color_palette("colorblind")
    known = [*ARM_ORDER, *sorted(set(arms) - set(ARM_ORDER))]
    return {arm: palette[known.index(arm) % len(palette)] for arm in arms}


def learning_curves(curves: pd.DataFrame) -> Figure:
    """Validation accuracy against training steps, one panel per classifier and k; mean over seeds."""
    mean = curves.groupby(["classifier", "k", "arm", "total_step"], sort=False).validation_accuracy.mean().reset_index()
    colours, panels = arm_colours(mean.arm.unique()), mean.classifier.nunique()
    grid = facets(
        sns.relplot,
        mean, x="total_step", y="validation_accuracy", hue="arm", style="arm", palette=colours, kind="line",
        row="k", col="classifier", height=2.3, aspect=WIDTH / 2.5 / panels, facet_kws={"margin_titles": True},
    )  # fmt: skip
    grid.set_axis_labels("training step", "validation accuracy").set_titles(
        col_template="{col_name}", row_template="k = {row_name}"
    )
    sns.move_legend(grid, "upper center", ncol=4, title=None, bbox_to_anchor=(0.45, 0.0))
    return grid.figure


def accuracies(table: pd.DataFrame, metric: str = "accuracy") -> Figure:
    """`metric` on test of every run of one k (dots) and its mean over seeds (bars): one panel per classifier."""
    rows = table[table.metric == metric]
    order, classifiers = list(dict.fromkeys(rows.arm)), list(dict.fromkeys(rows.classifier))
    height = 0.26 * len(order) + 0.8
    grid = facets(
        sns.catplot, rows.dropna(subset="value"), x="value", y="arm", hue="arm", col="classifier", kind="strip",
        order=order, hue_order=order, palette=arm_colours(order), size=5, alpha=0.7, jitter=False, height=height,
        aspect=WIDTH / height / len(classifiers), legend=False,
    )  # fmt: skip
    for classifier, axis in grid.axes_dict.items():
        mean = rows[rows.classifier == classifier].groupby("arm").value.mean()
        for place, arm in enumerate(order):
            if arm in mean:
                axis.plot([mean[arm]] * 2, [place - 0.3, place + 0.3], color="black", linewidth=1.5)
        axis.grid(axis="x", alpha=0.4)
    return grid.set_axis_labels(f"{metric.replace('_', ' ')} (test)", "").set_titles("{col_name}").figure


def forest(gained: pd.DataFrame, by: str = "arm") -> Figure:
    """Gains with their 95 % intervals, one panel per k; filled dots are gains over the control chosen on validation.

    Parameters
    ----------
    gained
        Rows of `fetalkit.analysis.gains.table`, one per k, control and value of `by`.
    by
        Column whose values stand below each other.
    """
    shots, names = list(dict.fromkeys(gained.k)), list(dict.fromkeys(gained[by]))
    controls = sorted(dict.fromkeys(gained.control))
    colours = dict(zip(controls, sns.color_palette("colorblind"), strict=False))
    offsets = dict(zip(controls, np.linspace(-0.17, 0.17, len(controls)) if len(controls) > 1 else [0.0], strict=True))
    figure, axes = plt.subplots(
        1, len(shots), figsize=(WIDTH, 0.36 * len(names) + 1.3), sharey=True, sharex=True, squeeze=False
    )
    for axis, k in zip(axes[0], shots, strict=True):
        axis.axvline(0, color="0.4", linewidth=1)
        for row in gained[gained.k == k].itertuples():
            interval(
                axis,
                row,
                names.index(getattr(row, by)) + offsets[row.control],
                colours[row.control],
                filled=row.better_control,
            )
        axis.set(title=f"k = {k}")
        axis.grid(axis="x", alpha=0.4)
    lines(axes[0, 0], names)
    handles = [plt.Line2D([], [], color=colours[c], marker="o", label=f"over {c}") for c in controls]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(controls))
    figure.supxlabel("gain in accuracy (points)", fontsize=10.5)
    return figure


def interval(axis: Axes, row, place: float, colour, filled: bool = True) -> None:
    """Draw ``row.gain`` as a dot and from ``row.low`` to ``row.high`` as a line, at `place` on the vertical axis."""
    axis.plot([row.low, row.high], [place, place], color=colour, linewidth=1.6)
    axis.plot(row.gain, place, "o", color=colour, markerfacecolor=colour if filled else "white", markersize=5)


def lines(axis: Axes, names: Sequence[str]) -> None:
    """Name the lines of a forest plot, the first one on top, with room above and below."""
    axis.set_yticks(range(len(names)), names, fontsize=9)
    axis.set_ylim(len(names) - 0.5, -0.5)


def group_gains(gained: pd.DataFrame, of: str) -> Figure:
    """Gains in parts of the test set with their 95 % intervals, one panel per k; as `gains.by_group` returns them."""
    shots, names = list(dict.fromkeys(gained.k)), list(dict.fromkeys(gained[of]))
    figure, axes = plt.subplots(
        1, len(shots), figsize=(WIDTH, 0.34 * len(names) + 1.1), sharey=True, sharex=True, squeeze=False
    )
    for axis, k in zip(axes[0], shots, strict=True):
        axis.axvline(0, color="0.4", linewidth=1)
        for row in gained[gained.k == k].itertuples():
            interval(axis, row, names.index(getattr(row, of)), sns.color_palette("colorblind")[0], filled=True)
        axis.set(title=f"k = {k}")
        axis.grid(axis="x", alpha=0.4)
    number = gained.groupby(of, sort=False).n.first()
    lines(axes[0, 0], [f"{name} (n = {number[name]})" for name in names])
    figure.supxlabel("gain in accuracy (points)", fontsize=10.5)
    return figure


def accuracy_against_k(table: pd.DataFrame, images: dict[str, float], factors: dict[str, float | None]) -> Figure:
    """Test accuracy against the number of real images per plane, mean over classifiers, with the spread of seeds.

    Parameters
    ----------
    table
        The long table, of the arms that are to be shown.
    images
        k → images per plane.
    factors
        Arm → by which factor it multiplies the real images; arms without one are not among its keys.
    """
    rows = table[table.metric == "accuracy"].assign(images=table.k.map(images))
    per_seed = rows.groupby(["arm", "images", "seed"], sort=False).value.mean().unstack("seed")
    colours = arm_colours(list(dict.fromkeys(rows.arm)))
    figure, axis = plt.subplots(figsize=(WIDTH, 4.2))
    for marker, arm in zip(_MARKERS, dict.fromkeys(rows.arm), strict=False):
        found = 100 * per_seed.loc[arm].sort_index()
        label = f"{arm} (× {factors[arm]:.2g})" if factors.get(arm) else arm
        axis.fill_between(
            found.index, found.min(axis=1), found.max(axis=1), color=colours[arm], alpha=0.12, linewidth=0
        )
        axis.plot(found.index, found.mean(axis=1), color=colours[arm], marker=marker, markersize=5, label=label)
    axis.set(xscale="log", xlabel="real images per plane", ylabel="accuracy on test patients (%)")
    ticks = sorted(images.values())
    axis.set_xticks(ticks, [f"{value:.0f}" for value in ticks])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def reliability(bins: dict[str, pd.DataFrame]) -> Figure:
    """Accuracy against confidence; on the dashed line a classifier is as often right as it is sure.

    Parameters
    ----------
    bins
        Arm → ``confidence``, ``accuracy`` and ``share`` (all 0-1) of each bin, as `fetalkit.metrics.classification.reliability`
        returns them.
    """
    colours = arm_colours(list(bins))
    figure, (axis, below) = plt.subplots(2, 1, figsize=(WIDTH, 4.8), sharex=True, gridspec_kw={"height_ratios": [3, 1]})
    axis.plot([0, 100], [0, 100], color="0.4", linestyle="--", linewidth=1)
    for marker, (arm, found) in zip(_MARKERS, bins.items(), strict=False):
        percent = 100 * found
        axis.plot(percent.confidence, percent.accuracy, color=colours[arm], marker=marker, markersize=5, label=arm)
        below.plot(percent.confidence, percent.share, color=colours[arm], marker=marker, markersize=4)
    axis.set(ylabel="accuracy (%)", ylim=(0, 102))
    below.set(xlabel="confidence (%)", ylabel="share of\nimages (%)", ylim=(0, None))
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def confusion(matrices: dict[str, np.ndarray], planes: Sequence[str]) -> Figure:
    """Confusion matrices, rows normalised: percentage of the images of a true plane, by predicted plane."""
    short = [plane.removeprefix("Fetal ").removeprefix("Maternal ").lower() for plane in planes]
    columns = min(2, len(matrices))
    lines = -(-len(matrices) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(WIDTH, 3.4 * lines), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(matrices) :]:
        axis.set_axis_off()
    for axis, (name, matrix) in zip(axes.flat, matrices.items(), strict=False):
        share = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        sns.heatmap(
            share, annot=True, fmt=".0f", cmap="Blues", vmin=0, vmax=100, cbar=False, square=True, ax=axis,
            xticklabels=short, yticklabels=short, annot_kws={"fontsize": 8},
        )  # fmt: skip
        axis.set(title=name, xlabel="predicted plane", ylabel="true plane")
        axis.tick_params(axis="x", rotation=30)
        axis.tick_params(axis="y", rotation=0)
        axis.label_outer()
    return figure


def candidates(found: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Validation accuracy of some arms under the candidates of a search, one panel per k.

    Parameters
    ----------
    found
        ``candidate``, ``k``, and one column per arm with accuracies (0-1).
    arms
        Columns to show.
    """
    long = found.melt(["candidate", "k"], list(arms), "arm", "accuracy").assign(accuracy=lambda of: 100 * of.accuracy)
    names, panels = long.candidate.nunique(), long.k.nunique()
    height = 0.36 * names + 1.0
    grid = facets(
        sns.catplot, long, x="accuracy", y="candidate", hue="arm", col="k", kind="point", linestyle="none", dodge=0.3,
        errorbar=None, palette=arm_colours(arms), markers=list(_MARKERS[: len(arms)]), markersize=5, height=height,
        aspect=WIDTH / height / panels, sharex=False,
    )  # fmt: skip
    grid.set_axis_labels("accuracy on patients not seen (%)", "").set_titles("k = {col_name}")
    sns.move_legend(grid, "upper center", ncol=len(arms), title=None, bbox_to_anchor=(0.5, 0.0))
    return grid.figure
