"""Every figure of the reports. Each function draws from tables and arrays; none trains, loads or saves."""

from collections.abc import Callable, Iterator, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

WIDTH = 7.2  # inches: the text width of the report's pages
ARM_ORDER = ("real", "real-long", "diffusion", "synthetic-only", "diffusion-novel", "simulation")


def arm_colours(arms: Sequence[str]) -> dict[str, tuple]:
    """One colour per arm, the same in every figure; from seaborn's colour-blind-safe palette."""
    palette = sns.color_palette("colorblind")
    known = [*ARM_ORDER, *sorted(set(arms) - set(ARM_ORDER))]
    return {arm: palette[known.index(arm) % len(palette)] for arm in arms}


def contact_sheet(rows: dict[str, np.ndarray], columns: int, titles: Sequence[str] | None = None) -> Figure:
    """Rows of images, each under its name.

    Parameters
    ----------
    rows
        Name of the row → uint8 (n, height, width); at most `columns` of them are shown.
    columns
        Images per row.
    titles
        Text above the columns.
    """
    side = WIDTH / (columns + 1)
    figure, axes = plt.subplots(
        len(rows),
        columns,
        figsize=(WIDTH, side * len(rows) + 0.3),
        squeeze=False,
        gridspec_kw={"wspace": 0.04, "hspace": 0.04},
    )
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for place, axis in enumerate(line):
            axis.set_axis_off()
            if place < len(images):
                axis.imshow(images[place], cmap="gray", vmin=0, vmax=255)
        line[0].text(
            -0.1, 0.5, name.replace(" ", "\n"), transform=line[0].transAxes, ha="right", va="center", fontsize=8
        )
    for axis, title in zip(axes[0], titles or (), strict=False):
        axis.set_title(title, fontsize=8)
    return figure


def pairs_sheet(pairs: Sequence[tuple[np.ndarray, np.ndarray]], titles: Sequence[str], columns: int = 3) -> Figure:
    """Pairs of images side by side, each pair under its title."""
    lines = -(-len(pairs) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(WIDTH, 1.55 * lines), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (a, b), title in zip(axes.flat, pairs, titles, strict=False):
        gap = np.full((a.shape[0], max(1, a.shape[1] // 32)), 255, np.uint8)
        axis.imshow(np.hstack([a, gap, b]), cmap="gray", vmin=0, vmax=255)
        axis.set_title(title, fontsize=7)
    return figure


def counts(table: pd.DataFrame, by: str, split: str = "official_split") -> Figure:
    """Number of images per plane, split and `by` (a column such as centre or machine), as a heat map."""
    number = table.groupby([by, split, "plane"]).size().unstack("plane", fill_value=0)
    number.index = [f"{place}, {side}" if place else str(side) for place, side in number.index]
    figure, axis = plt.subplots(figsize=(WIDTH, 0.34 * len(number) + 1.3))
    sns.heatmap(number, annot=True, fmt="d", cmap="Blues", linewidths=0.5, cbar=False, ax=axis, vmin=0)
    axis.set(xlabel="", ylabel="")
    axis.tick_params(axis="y", rotation=0)
    axis.tick_params(axis="x", rotation=0 if len(number.columns) < 5 else 20)
    return figure


def sizes(index: pd.DataFrame, by: str) -> Figure:
    """Width against height of the source files; the area of a dot grows with the number of files."""
    number = index.groupby([by, "width", "height"]).size().rename("images").reset_index()
    figure, axis = plt.subplots(figsize=(WIDTH, 3.4))
    many = number[by].nunique() > 1
    hue = by if many else None
    # Areas from zero up, so that twice the files is twice the area.
    span = dict(sizes=(0, 260), size_norm=(0, number.images.max()))
    sns.scatterplot(number, x="width", y="height", size="images", hue=hue, alpha=0.8, ax=axis, **span)
    axis.set(xlabel="width (px)", ylabel="height (px)")
    axis.margins(0.12)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    return figure


def grey_levels(store: np.ndarray, places: Sequence[str]) -> Figure:
    """Share of the non-black pixels at each grey level, one line per place.

    Parameters
    ----------
    store
        uint8 (n, height, width).
    places
        Centre or machine of each image.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 3))
    places = np.asarray(places)
    for place, style in zip(sorted(set(places)), _styles(), strict=False):
        # One image at a time: memory stays flat however many there are.
        number = sum(np.bincount(store[row].ravel(), minlength=256) for row in np.flatnonzero(places == place))[1:]
        axis.plot(np.arange(1, 256), number / number.sum() * 100, label=place or "all", **style)
    axis.set(xlabel="grey level", ylabel="share of non-black pixels (%)", xlim=(0, 255), yscale="log")
    axis.legend(frameon=False, fontsize=8)
    return figure


def patients_per_part(splits: pd.DataFrame) -> Figure:
    """Patients and images per plane and part."""
    used = splits[splits.dropped == ""]
    table = (
        used.groupby(["part", "plane"]).agg(images=("image_id", "size"), patients=("patient", "nunique")).reset_index()
    )
    long = table.melt(["part", "plane"], var_name="of", value_name="number")
    grid = _facets(
        sns.catplot,
        long, x="number", y="plane", hue="part", col="of", kind="bar", height=3, aspect=WIDTH / 6.4,
        hue_order=["train", "validation", "test"], sharex=False, palette="colorblind",
    )  # fmt: skip
    grid.set_titles("{col_name}").set_axis_labels("number", "")
    return grid.figure


def denoiser_losses(losses: dict[str, Sequence[float]], window: int) -> Figure:
    """Denoising loss of every generator, averaged over `window` steps, on log axes."""
    figure, axis = plt.subplots(figsize=(WIDTH, 3.2))
    for (name, values), style in zip(losses.items(), _styles(), strict=False):
        usable = len(values) // window * window
        if usable:
            means = np.reshape(values[:usable], (-1, window)).mean(axis=1)
            axis.plot(np.arange(1, len(means) + 1) * window, means, label=name, **style)
    axis.set(xlabel="training step", ylabel="denoising loss", xscale="log", yscale="log")
    axis.legend(frameon=False, fontsize=8)
    return figure


def learning_curves(curves: pd.DataFrame) -> Figure:
    """Validation accuracy against training steps, one panel per classifier and k; mean over seeds."""
    mean = curves.groupby(["classifier", "k", "arm", "total_step"], sort=False).validation_accuracy.mean().reset_index()
    colours = arm_colours(mean.arm.unique())
    grid = _facets(
        sns.relplot,
        mean, x="total_step", y="validation_accuracy", hue="arm", style="arm", palette=colours, kind="line",
        row="classifier", col="k", height=2.5, aspect=WIDTH / 2.9 / max(1, mean.k.nunique()), facet_kws={"margin_titles": True},
    )  # fmt: skip
    grid.set_axis_labels("training step", "validation accuracy").set_titles(
        col_template="k = {col_name}", row_template="{row_name}"
    )
    sns.move_legend(grid, "lower center", ncol=4, title=None, bbox_to_anchor=(0.45, -0.08))
    return grid.figure


def accuracies(table: pd.DataFrame, metric: str = "accuracy") -> Figure:
    """`metric` on test of every run (dots) and its mean over seeds (bars of a point plot)."""
    rows = table[table.metric == metric]
    order = list(dict.fromkeys(rows.arm))
    shots = list(dict.fromkeys(rows.k))
    height = 0.42 * len(order) + 0.7
    grid = _facets(
        sns.catplot,
        rows,
        x="value",
        y="arm",
        hue="arm",
        row="classifier",
        col="k",
        kind="strip",
        order=order,
        hue_order=order,
        palette=arm_colours(order),
        size=6,
        alpha=0.7,
        jitter=False,
        height=height,
        aspect=WIDTH / height / len(shots),
        margin_titles=True,
        legend=False,
    )
    for (classifier, k), axis in grid.axes_dict.items():
        mean = rows[(rows.classifier == classifier) & (rows.k == k)].groupby("arm").value.mean()
        for place, arm in enumerate(order):
            axis.plot([mean[arm]] * 2, [place - 0.3, place + 0.3], color="black", linewidth=1.5)
        axis.grid(axis="x", alpha=0.4)
    grid.set_axis_labels(f"{metric.replace('_', ' ')} (test)", "")
    grid.set_titles(col_template="k = {col_name}", row_template="{row_name}")
    return grid.figure


def forest(gained: pd.DataFrame) -> Figure:
    """Gains with their 95 % intervals, one panel per k; filled dots are gains over the control chosen on validation."""
    shots = list(dict.fromkeys(gained.k))
    arms = list(dict.fromkeys(gained.arm))
    lines = list(dict.fromkeys(zip(gained.arm, gained.classifier, gained.control, strict=True)))
    colours = arm_colours(arms)
    figure, axes = plt.subplots(
        1, len(shots), figsize=(WIDTH, 0.3 * len(lines) + 1.1), sharey=True, sharex=True, squeeze=False
    )
    for axis, k in zip(axes[0], shots, strict=True):
        axis.axvline(0, color="0.4", linewidth=1)
        for row in gained[gained.k == k].itertuples():
            place = lines.index((row.arm, row.classifier, row.control))
            fill = colours[row.arm] if row.better_control else "white"
            axis.plot([row.low, row.high], [place, place], color=colours[row.arm], linewidth=1.6)
            axis.plot(row.gain, place, "o", color=colours[row.arm], markerfacecolor=fill, markersize=6)
        axis.set(title=f"k = {k}", xlabel="gain in accuracy (points)")
        axis.grid(axis="x", alpha=0.4)
    axes[0, 0].set_yticks(range(len(lines)), [f"{arm} − {control}, {name}" for arm, name, control in lines], fontsize=8)
    axes[0, 0].invert_yaxis()
    return figure


def confusion(matrices: dict[str, np.ndarray], planes: Sequence[str]) -> Figure:
    """Confusion matrices, rows normalised: percentage of the images of a plane that were called each plane."""
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
        axis.set(title=name, xlabel="called", ylabel="is")
        axis.tick_params(axis="x", rotation=30)
        axis.tick_params(axis="y", rotation=0)
        axis.label_outer()
    return figure


def candidates(found: pd.DataFrame, real: float) -> Figure:
    """Classification accuracy score of the candidates of a search, best first; a line for real images.

    Parameters
    ----------
    found
        ``candidate`` and ``cas`` (0-1).
    real
        The score of real images (0-1).
    """
    shown = found.sort_values("cas", ascending=False)
    figure, axis = plt.subplots(figsize=(WIDTH, 0.32 * len(shown) + 1.0))
    sns.pointplot(shown.assign(percent=100 * shown.cas), x="percent", y="candidate", linestyle="none", ax=axis)
    axis.axvline(100 * real, color="0.3", linestyle="--", linewidth=1.2)
    axis.set(xlabel="accuracy on validation images (%); dashed: learnt from real images", ylabel="")
    axis.grid(axis="x")
    return figure


def _facets(plot: Callable, *arguments, **settings) -> sns.FacetGrid:
    """Figure-level seaborn plot; these lay themselves out and dislike matplotlib's constrained layout."""
    with plt.rc_context({"figure.constrained_layout.use": False}):
        return plot(*arguments, **settings)


def _styles() -> Iterator[dict]:
    """Line styles that stay apart without colour."""
    palette = sns.color_palette("colorblind")
    for dashes in ("-", "--", ":", "-."):
        for colour in palette:
            yield {"color": colour, "linestyle": dashes, "linewidth": 1.4}
