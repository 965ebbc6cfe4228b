"""Figures of what the classifiers reach. Each function draws from tables and arrays; none trains, loads or saves.

A run that failed is NaN in the tables. It is marked where its value is missing, and no mean is drawn over the other runs.
"""

from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from fetalkit.plots import missing
from fetalkit.plots.cohort import WIDTH, facets
from fetalkit.plots.palette import Style, arm_styles

# matplotlib's kinds of lines as seaborn wants them.
_DASHES = {"-": "", "--": (4, 1.5), ":": (1, 1), "-.": (3, 1.25, 1.5, 1.25)}


def learning_curves(curves: pd.DataFrame, all_arms: Sequence[str]) -> Figure:
    """Validation accuracy against training steps, one panel per classifier and k; mean over seeds.

    Parameters
    ----------
    curves
        ``classifier``, ``k``, ``arm``, ``total_step``, ``validation_accuracy`` (0-1), one row per run and point. A run that
        failed has at least one row with NaN; its arm is named in the panel instead of drawn.
    all_arms
        Every arm of the study in the order of params.yaml.
    """
    panel = ["classifier", "k", "arm"]
    failed = curves.validation_accuracy.isna().groupby([curves[key] for key in panel], sort=False).any()
    means = curves.groupby([*panel, "total_step"], sort=False).validation_accuracy.mean().reset_index()
    means.loc[failed.loc[pd.MultiIndex.from_frame(means[panel])].to_numpy(), "validation_accuracy"] = np.nan
    arms, classifiers = list(dict.fromkeys(means.arm)), list(dict.fromkeys(means.classifier))
    looks = arm_styles(all_arms, arms)
    grid = facets(
        sns.relplot,
        means, x="total_step", y="validation_accuracy", hue="arm", style="arm", hue_order=arms, style_order=arms,
        palette=_colours(looks, arms), dashes={arm: _DASHES[looks[arm].linestyle] for arm in arms}, kind="line",
        row="k", col="classifier", col_order=classifiers, row_order=list(dict.fromkeys(means.k)), height=2.3,
        aspect=WIDTH / 2.5 / len(classifiers), facet_kws={"margin_titles": True},
    )  # fmt: skip
    for (k, classifier), axis in grid.axes_dict.items():
        here = [(arm, missing.FAILED) for arm in arms if failed.get((classifier, k, arm), False)]
        missing.list_missing(axis, looks, here)
    grid.set_axis_labels("training step", "validation accuracy").set_titles(
        col_template="{col_name}", row_template="k = {row_name}"
    )
    sns.move_legend(grid, "upper center", ncol=4, title=None, bbox_to_anchor=(0.45, 0.0))
    return grid.figure


def accuracy_by_arm(
    table: pd.DataFrame, all_arms: Sequence[str], metric: str = "accuracy", part: str = "test"
) -> Figure:
    """`metric` on test of every run of one k (dots) and its mean over seeds (bars): one panel per classifier.

    Parameters
    ----------
    table
        The long table of one k. Runs that failed are counted in the arm's row, which then has no mean.
    all_arms
        Every arm of the study in the order of params.yaml.
    metric
        One of the metrics in the table.
    part
        Whom it is of.
    """
    rows = table[table.metric == metric]
    order, classifiers = list(dict.fromkeys(rows.arm)), list(dict.fromkeys(rows.classifier))
    height = 0.26 * len(order) + 0.8
    grid = facets(
        sns.catplot, rows.dropna(subset="value"), x="value", y="arm", hue="arm", col="classifier", kind="strip",
        order=order, hue_order=order, col_order=classifiers, palette=_colours(arm_styles(all_arms, order), order),
        size=5, alpha=0.7, jitter=False, height=height, aspect=WIDTH / height / len(classifiers), legend=False,
    )  # fmt: skip
    for classifier, axis in grid.axes_dict.items():
        for arm, values in rows[rows.classifier == classifier].groupby("arm").value:
            place, failed = order.index(str(arm)), int(values.isna().sum())
            if failed:
                missing.mark_row(axis, place, word=f"{failed} of {len(values)} {missing.FAILED}")
            else:
                axis.plot([values.mean()] * 2, [place - 0.3, place + 0.3], color="black", linewidth=1.5)
        axis.grid(axis="x", alpha=0.4)
    return grid.set_axis_labels(f"{metric.replace('_', ' ')} ({part})", "").set_titles("{col_name}").figure


def accuracy_against_k(
    table: pd.DataFrame,
    images: Mapping[str, float],
    factors: Mapping[str, float | None],
    all_arms: Sequence[str],
    part: str = "test",
) -> Figure:
    """Test accuracy against the number of real images per plane, mean over classifiers, with the spread of seeds.

    Parameters
    ----------
    table
        The long table, of the arms that are to be shown. Where a run of an arm failed, its curve has a gap and a cross below.
    images
        k → images per plane.
    factors
        Arm → by which factor it multiplies the real images; arms without one are not among its keys.
    all_arms
        Every arm of the study in the order of params.yaml.
    part
        Whom the accuracy is of.
    """
    rows = table[table.metric == "accuracy"].assign(images=table.k.map(images), value=100 * table.value)
    per_seed = rows.groupby(["arm", "images", "seed"], sort=False).value.agg(missing.mean)
    arms = list(dict.fromkeys(rows.arm))
    looks, crosses = arm_styles(all_arms, arms), 0
    figure, axis = plt.subplots(figsize=(WIDTH, 4.2))
    for arm in arms:
        at = per_seed.loc[arm].groupby("images")  # which sorts
        low, high, mean = (
            at.agg(lambda values, of=of: getattr(values, of)(skipna=False)) for of in ("min", "max", "mean")
        )
        factor = factors.get(arm)
        colour, marker = looks[arm].colour, looks[arm].marker
        axis.fill_between(mean.index, low, high, color=colour, alpha=0.12, linewidth=0)
        label = f"{arm} (× {factor:.2g})" if factor else arm
        axis.plot(mean.index, mean, label=label, color=colour, marker=marker, markersize=5)
        if mean.isna().any():
            missing.mark_columns(axis, list(mean.index[mean.isna()]), colour, crosses)
            crosses += 1
    if crosses:
        missing.explain_crosses(axis, lines=crosses)
    axis.set(xscale="log", xlabel="real images per plane", ylabel=f"accuracy on {part} patients (%)")
    ticks = sorted(images.values())
    axis.set_xticks(ticks, [f"{value:.0f}" for value in ticks])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def reliability(bins: Mapping[str, pd.DataFrame | None], all_arms: Sequence[str]) -> Figure:
    """Accuracy against confidence; on the dashed line a classifier is as often right as it is sure.

    Parameters
    ----------
    bins
        Arm → ``confidence``, ``accuracy`` and ``share`` (all 0-1) of each bin, as
        `fetalkit.metrics.classification.reliability` returns them; None where a run of the arm failed.
    all_arms
        Every arm of the study in the order of params.yaml.
    """
    looks = arm_styles(all_arms, bins)
    figure, (axis, below) = plt.subplots(2, 1, figsize=(WIDTH, 4.8), sharex=True, gridspec_kw={"height_ratios": [3, 1]})
    axis.plot([0, 100], [0, 100], color="0.4", linestyle="--", linewidth=1)
    for arm, of_arm in bins.items():
        if of_arm is None:
            axis.plot([], [], "x", color=looks[arm].colour, label=f"{arm}: {missing.FAILED}")
            continue
        percent, look = 100 * of_arm, looks[arm]
        axis.plot(percent.confidence, percent.accuracy, color=look.colour, marker=look.marker, markersize=5, label=arm)
        below.plot(percent.confidence, percent.share, color=look.colour, marker=look.marker, markersize=4)
    axis.set(ylabel="accuracy (%)", ylim=(0, 102))
    below.set(xlabel="confidence (%)", ylabel="share of\nimages (%)", ylim=(0, None))
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def confusion_matrices(matrices: Mapping[str, np.ndarray | None], planes: Sequence[str]) -> Figure:
    """Confusion matrices, rows normalised: percentage of the images of a true plane, by predicted plane.

    Parameters
    ----------
    matrices
        Arm → numbers of images (planes, planes), true plane by predicted plane; None where a run of the arm failed.
    planes
        Names of the planes.
    """
    short = [plane.removeprefix("Fetal ").removeprefix("Maternal ").lower() for plane in planes]
    columns = min(2, len(matrices))
    lines = -(-len(matrices) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(WIDTH, 3.4 * lines), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(matrices) :]:
        axis.set_axis_off()
    for axis, (name, matrix) in zip(axes.flat[: len(matrices)], matrices.items(), strict=True):
        counts = np.full((len(planes), len(planes)), np.nan) if matrix is None else matrix
        share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        sns.heatmap(
            share, annot=True, fmt=".0f", cmap="Blues", vmin=0, vmax=100, cbar=False, square=True, ax=axis,
            xticklabels=short, yticklabels=short, annot_kws={"fontsize": 8},
        )  # fmt: skip
        if matrix is None:
            axis.text(0.5, 0.5, missing.FAILED, transform=axis.transAxes, ha="center", va="center")
            axis.set_facecolor("0.92")
        axis.set(title=name, xlabel="predicted plane", ylabel="true plane")
        axis.tick_params(axis="x", rotation=30)
        axis.tick_params(axis="y", rotation=0)
        axis.label_outer()
    return figure


def _colours(looks: Mapping[str, Style], arms: Iterable[str]) -> dict[str, tuple]:
    return {arm: looks[arm].colour for arm in arms}
