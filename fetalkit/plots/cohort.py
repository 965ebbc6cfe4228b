"""Figures of images, cohorts and generators. Each function draws from tables and arrays; none trains, loads or saves."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from fetalkit.plots.missing import FAILED, mark_row
from fetalkit.plots.palette import COLOURS, MUTED, PAPER, styles

WIDTH = 6.4  # inches: the width of text on the report's pages; on a telephone, words are then still legible


def contact_sheet(rows: dict[str, np.ndarray], columns: int, titles: Sequence[str] | None = None) -> Figure:
    """Rows of images, each under its name.

    Parameters
    ----------
    rows
        Name of the row → uint8 (n, height, width); at most `columns` of them are shown.
    columns
        Images per row.
    titles
        Text above each column.

    Raises
    ------
    ValueError
        When there are more or fewer titles than columns.
    """
    if titles is not None and len(titles) != columns:
        raise ValueError(f"{len(titles)} titles for {columns} columns")
    figure, axis = plt.subplots(figsize=(WIDTH, WIDTH / (columns + 1) * len(rows) + 0.3))
    axis.set_axis_off()
    for line, (name, images) in enumerate(rows.items()):
        for place, image in enumerate(images[:columns]):
            axis.imshow(image, cmap="gray", vmin=0, vmax=255, extent=_cell(line, place, *image.shape))
        axis.text(-0.08, line + 0.5, _broken(name), ha="right", va="center", fontsize=8)
    for place, title in enumerate(titles or ()):
        axis.text(place + 0.5, -0.08, title, ha="center", va="bottom", fontsize=8, fontweight="bold")
    axis.set(xlim=(0, columns), ylim=(len(rows), 0), aspect="equal")
    return figure


def _cell(line: int, place: int, height: int, width: int) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of an image in the middle of a square of side 1, with a gap around it.

    All cells share one axis: a hundred axes would take seconds to lay out and draw.
    """
    half_width, half_height = (0.48 * side / max(height, width) for side in (width, height))
    return place + 0.5 - half_width, place + 0.5 + half_width, line + 0.5 + half_height, line + 0.5 - half_height


def _broken(name: str, most: int = 12) -> str:
    """A name in lines that are short enough for the edge of a sheet."""
    return "\n".join(textwrap.wrap(name, most, break_long_words=False, break_on_hyphens=True))


def pairs_sheet(pairs: Sequence[tuple[np.ndarray, np.ndarray]], titles: Sequence[str], columns: int = 3) -> Figure:
    """Pairs of images side by side, each pair under its title."""
    lines = -(-len(pairs) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(WIDTH, 1.55 * lines), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (a, b), title in zip(axes.flat[: len(pairs)], pairs, titles, strict=True):
        gap = np.full((a.shape[0], max(1, a.shape[1] // 32)), 255, np.uint8)
        axis.imshow(np.hstack([a, gap, b]), cmap="gray", vmin=0, vmax=255)
        axis.set_title(title, fontsize=7)
    return figure


def image_counts(table: pd.DataFrame, by: str, split: str = "official_split") -> Figure:
    """Number of images per plane, split and `by` (a column such as centre or machine), as a heat map."""
    number = table.groupby([by, split, "plane"]).size().unstack("plane", fill_value=0)
    number.index = [f"{place}, {side}" if place else str(side) for place, side in number.index]
    figure, axis = plt.subplots(figsize=(WIDTH, 0.34 * len(number) + 1.3))
    sns.heatmap(number, annot=True, fmt="d", cmap="Blues", linewidths=0.5, cbar=False, ax=axis, vmin=0)
    axis.set(xlabel="", ylabel="")
    axis.tick_params(axis="y", rotation=0)
    axis.tick_params(axis="x", rotation=0 if len(number.columns) < 5 else 20)
    return figure


def file_sizes(index: pd.DataFrame, by: str) -> Figure:
    """Width against height of the source files; the area of a dot grows with the number of files."""
    number = index.groupby([by, "width", "height"]).size().rename("images").reset_index()
    figure, axis = plt.subplots(figsize=(WIDTH, 3.4))
    many = number[by].nunique() > 1
    hue = by if many else None
    sns.scatterplot(
        number, x="width", y="height", size="images", hue=hue, alpha=0.8, ax=axis,
        sizes=(0, 260), size_norm=(0, number.images.max()),  # from zero up: twice the files is twice the area
    )  # fmt: skip
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
    of_image = np.asarray(places)
    for place, style in styles(sorted(set(places))).items():
        number = np.zeros(256)
        for row in np.flatnonzero(of_image == place):  # one at a time: memory stays flat however many there are
            number += np.bincount(store[row].ravel(), minlength=256)
        share = number[1:] / number[1:].sum() * 100
        axis.plot(
            np.arange(1, 256), share, label=place or "all", color=style.colour, linestyle=style.linestyle, linewidth=1.4
        )
    axis.set(xlabel="grey level", ylabel="share of non-black pixels (%)", xlim=(0, 255), yscale="log")
    plain_log(axis.yaxis)
    axis.legend(frameon=False, fontsize=9)
    return figure


def patients_per_part(splits: pd.DataFrame) -> Figure:
    """Patients and images per plane and part."""
    used = splits[splits.dropped == ""]
    table = (
        used.groupby(["part", "plane"]).agg(images=("image_id", "size"), patients=("patient", "nunique")).reset_index()
    )
    long = table.melt(["part", "plane"], var_name="of", value_name="number")
    grid = facets(
        sns.catplot,
        long, x="number", y="plane", hue="part", col="of", kind="bar", height=3, aspect=WIDTH / 6.9,
        hue_order=["train", "validation", "test"], sharex=False, palette=list(COLOURS[:3]),
    )  # fmt: skip
    grid.set_titles("{col_name}").set_axis_labels("number", "")
    return grid.figure


def training_losses(losses: Mapping[str, Sequence[float]], window: int, name: str, scale: str = "log") -> Figure:
    """Loss of every training, averaged over `window` steps.

    Parameters
    ----------
    losses
        Name of the training → loss per step; none where the training failed.
    window
        Steps that one point stands for; a shorter training is one point.
    name
        Label of the axis.
    scale
        Of both axes: ``"log"`` or ``"linear"``.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 3.2))
    for (label, values), style in zip(losses.items(), styles(losses).values(), strict=True):
        width = max(1, min(window, len(values)))
        means = np.reshape(values[: len(values) // width * width], (-1, width)).mean(axis=1)
        axis.plot(
            np.arange(1, len(means) + 1) * width, means, label=label if len(values) else f"{label}: {FAILED}",
            color=style.colour, linestyle=style.linestyle, linewidth=1.4, marker="o" if len(means) == 1 else "",
        )  # fmt: skip
    axis.set(xlabel="training step", ylabel=name, xscale=scale, yscale=scale)
    if scale == "log":
        plain_log(axis.xaxis)
        plain_log(axis.yaxis)
    _legend_of(figure, axis)
    return figure


def states(judged: pd.DataFrame) -> Figure:
    """What stopping has chosen from: a panel for the distance from validation images and one for near-copies.

    Parameters
    ----------
    judged
        ``generator``, ``k``, ``seed``, ``step``, ``kid``, ``near_copies`` (0-1) and ``kept``; a row per state.
    """
    named = judged.assign(name=judged.generator + ", k = " + judged.k.astype(str), percent=100 * judged.near_copies)
    colours = styles(named.name.unique())
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.2), sharex=True, layout="constrained")
    for axis, column, label in zip(axes, ("kid", "percent"), ("KID", "near-copies (%)"), strict=True):
        for (name, _), of in cast(Any, named.groupby(["name", "seed"], sort=False)):
            style = colours[name]
            axis.plot(of.step, of[column], color=style.colour, linestyle=style.linestyle, linewidth=1.2, label=name)
            for kept, face in ((of[of.kept], style.colour), (of[~of.kept], PAPER)):
                axis.plot(kept.step, kept[column], "o", color=style.colour, markerfacecolor=face, markersize=5)
        axis.set(xlabel="training step", ylabel=label, xlim=(0, None), ylim=(0, None))
    _legend_of(figure, axes[1])
    return figure


def candidate_scores(candidates: pd.DataFrame, real: float) -> Figure:
    """Classification accuracy score of the candidates of a search, best first; a line for real images.

    Parameters
    ----------
    candidates
        ``candidate`` and ``cas`` (0-1); a score that is NaN is marked as failed.
    real
        The score of real images (0-1).
    """
    shown = candidates.sort_values("cas", ascending=False)  # NaN comes last
    figure, axis = plt.subplots(figsize=(WIDTH, 0.32 * len(shown) + 1.0))
    sns.pointplot(shown.assign(percent=100 * shown.cas), x="percent", y="candidate", linestyle="none", ax=axis)
    for place in np.flatnonzero(shown.cas.isna()).tolist():
        mark_row(axis, place)
    axis.axvline(100 * real, color=MUTED, linestyle="--", linewidth=1.2)
    axis.set(xlabel="accuracy on validation images (%); dashed: learnt from real images", ylabel="")
    axis.grid(axis="x")
    return figure


def plain_log(axis: Axis) -> None:
    """Numbers as they are along an axis of powers: 0.02 and 500, not powers of ten."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_locator(NullLocator())


def _legend_of(figure: Figure, axis: Axes) -> None:
    """What is drawn in a panel, each name once, below the figure."""
    handles, labels = axis.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    columns = max(1, min(len(unique), int(WIDTH / (0.7 + 0.08 * max(map(len, unique), default=1)))))
    figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=columns, fontsize=9)


def facets(plot: Callable, *arguments, **settings) -> sns.FacetGrid:
    """Figure-level seaborn plot; these lay themselves out and dislike matplotlib's constrained layout."""
    with plt.rc_context({"figure.constrained_layout.use": False}):
        return plot(*arguments, **settings)


def facet_axes(number: int, height: float, most: int = 3, **shared) -> tuple[Figure, list[Axes]]:
    """Panels in lines of at most `most`, as many in each as fill them evenly; each `height` inches tall."""
    lines = -(-number // most)
    columns = -(-number // lines)
    height = min(height, 7.0 / lines)
    figure, axes = plt.subplots(lines, columns, figsize=(WIDTH, height * lines + 0.6), squeeze=False, **shared)
    for axis in axes.flat[number:]:
        axis.set_axis_off()
    return figure, list(axes.flat[:number])


def short_plane(plane: str) -> str:
    """The name of a plane without whose it is."""
    return plane.removeprefix("Fetal ").removeprefix("Maternal ")
