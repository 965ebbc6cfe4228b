"""Figures of fidelity. Each function draws from tables and arrays; none trains, loads, embeds or saves."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import NullLocator

from fetalkit.metrics.compare import ALL
from fetalkit.metrics.speckle import Texture
from fetalkit.plots.cohort import WIDTH

# name in the tables → label and which way is better
_METRICS = {
    "fd": "Fréchet distance ↓",
    "kid": "kernel distance ↓",
    "precision": "precision ↑",
    "recall": "recall ↑",
    "density": "density ↑",
    "coverage": "coverage ↑",
}
_MARKERS = "osD^vPX*"


def set_colours(names: Sequence[str]) -> dict[str, tuple]:
    """One colour per set of images: greys for real sets, seaborn's colour-blind-safe palette for synthetic ones."""
    real = [name for name in names if name.startswith("real")]
    synthetic = [name for name in names if name not in real]
    greys = [(level,) * 3 for level in np.linspace(0.6, 0.2, max(1, len(real)))]
    palette = sns.color_palette("colorblind")
    return dict(zip(real, greys, strict=False)) | {
        name: palette[number % len(palette)] for number, name in enumerate(synthetic)
    }


def metrics(compared: pd.DataFrame, space: str, best: str = "real_train") -> Figure:
    """Metrics of every set over all planes (dots) and per plane (small ticks), one panel per metric.

    Parameters
    ----------
    compared
        As `fetalkit.metrics.compare.table` makes it.
    space
        Feature space to show.
    best
        Set that shows what a perfect generator would reach: a dashed line.
    """
    rows = compared[compared.space == space]
    names = [name for name in dict.fromkeys(rows.set) if name != best]
    colours = set_colours(names)
    figure, axes = plt.subplots(2, 3, figsize=(WIDTH, 2 * (0.34 * len(names) + 0.95)), sharey=True)
    for axis, (metric, label) in zip(axes.flat, _METRICS.items(), strict=True):
        for place, name in enumerate(names):
            mine = rows[rows.set == name]
            planes = mine[mine.plane != ALL][metric]
            axis.plot(planes, [place] * len(planes), "|", color=colours[name], markersize=9, alpha=0.7)
            axis.plot(mine[mine.plane == ALL][metric], [place], "o", color=colours[name], markersize=7)
        for value in rows[(rows.set == best) & (rows.plane == ALL)][metric]:
            axis.axvline(value, color="0.25", linestyle="--", linewidth=1.2)
        # Missing values are left out; 0 keeps the axis in being where all are missing.
        most = np.nanmax([1.0 if metric not in ("fd", "kid") else 0.0, *rows[metric]])
        axis.set(xlabel=label, xlim=(np.nanmin([0.0, *rows[metric]]) - 0.06 * most, 1.06 * most or 1.0))
        axis.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
        axis.grid(axis="y", visible=False)
    axes[0, 0].set_ylim(len(names) - 0.5, -0.5)
    keys = {
        "all planes": dict(marker="o", linestyle="", markersize=7),
        "one plane": dict(marker="|", linestyle="", markersize=9),
        best.replace("_", " "): dict(linestyle="--", linewidth=1.2),
    }
    if not (rows.set == best).any():
        del keys[best.replace("_", " ")]
    handles = [plt.Line2D([], [], color="0.25", **style) for style in keys.values()]
    figure.legend(handles, keys, loc="outside lower center", ncol=3, fontsize=9)
    return figure


def embedding(points: np.ndarray, sets: Sequence[str], planes: Sequence[str]) -> Figure:
    """Embedded vectors, one panel per plane: where synthetic images lie among real ones.

    Parameters
    ----------
    points
        (n, 2), e.g. from `fetalkit.metrics.compare.embed`. All panels have the same axes.
    sets, planes
        Set and plane of each point.
    """
    frame = pd.DataFrame({"x": points[:, 0], "y": points[:, 1], "set": sets, "plane": planes})
    names, shown = list(dict.fromkeys(frame.set)), sorted(set(frame.plane))
    colours = set_colours(names)
    columns = min(3, len(shown)) if len(shown) != 4 else 2
    lines = -(-len(shown) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(WIDTH, WIDTH / columns * lines * 0.85 + 0.4), sharex=True, sharey=True, squeeze=False
    )
    for axis in axes.flat[len(shown) :]:
        axis.set_axis_off()
    for axis, plane in zip(axes.flat, shown, strict=False):
        axis.plot(frame.x, frame.y, ".", color="0.9", markersize=3, zorder=0)
        for number, name in enumerate(names):
            mine = frame[(frame.plane == plane) & (frame.set == name)]
            style = dict(color=colours[name], marker=_MARKERS[number % len(_MARKERS)], label=name.replace("_", " "))
            axis.plot(mine.x, mine.y, linestyle="", markersize=4, alpha=0.65, markeredgewidth=0, **style)
        axis.set(title=plane, xticks=[], yticks=[])
        axis.set_box_aspect(0.8)
    _legend_below(figure, axes[0, 0], markerscale=1.5)
    return figure


def nearest_distances(distances: Mapping[str, np.ndarray], limit: float, unit: str = "RMS pixel difference") -> Figure:
    """Distances to the nearest training image: cumulative share of the images of each set.

    Parameters
    ----------
    distances
        Name of the set → distances (n,); real sets in grey.
    limit
        Threshold of near-copies, drawn as a line.
    unit
        What the distance is.
    """
    colours = set_colours(list(distances))
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 2.9))
    largest = max(values.max() for values in distances.values())
    for name, values in distances.items():
        style = dict(color=colours[name], label=name.replace("_", " "), linewidth=1.6)
        each = np.full(len(values), 100 / len(values))
        axes[0].hist(values, np.linspace(0, largest, 41), weights=each, histtype="step", **style)
        axes[1].plot(
            np.sort(values), np.arange(1, len(values) + 1) / len(values) * 100, drawstyle="steps-post", **style
        )
    for axis in axes:
        axis.axvline(limit, color="0.25", linestyle="--", linewidth=1.2, label="threshold of near-copies")
        axis.set(xlabel=unit, xlim=(0, None))
    axes[0].set_ylabel("share of images (%)")
    # From 0.1 % to all: it is the lower end that tells copies.
    axes[1].set(ylabel="share nearer (%)", yscale="log", ylim=(0.1, 120))
    axes[1].set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    _legend_below(figure, axes[1])
    return figure


def closest_pairs(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], distances: Sequence[float], columns: int = 4
) -> Figure:
    """Synthetic images (left) beside their nearest training image (right), the distance above.

    Parameters
    ----------
    pairs
        uint8 (height, width) each; mirror the training image where its mirror image is the nearest.
    distances
        One per pair.
    columns
        Pairs per line.
    """
    columns = min(columns, len(pairs))
    lines = -(-len(pairs) // columns)
    cell = WIDTH / columns
    figure, axes = plt.subplots(lines, columns, figsize=(WIDTH, lines * (cell / 2 + 0.2)), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (synthetic, train), distance in zip(axes.flat, pairs, distances, strict=False):
        gap = np.full((len(synthetic), max(2, len(synthetic) // 16)), 255, np.uint8)
        axis.imshow(np.hstack([synthetic, gap, train]), cmap="gray", vmin=0, vmax=255)
        axis.set_title(f"{distance:.3f}", fontsize=9, fontweight="normal", loc="center", pad=3)
    return figure


def textures(measured: Mapping[str, Texture]) -> Figure:
    """Grey levels, speckle SNR, autocorrelation and power spectrum of every set."""
    colours = set_colours(list(measured))
    figure, ((grey, contrast), (size, power)) = plt.subplots(2, 2, figsize=(WIDTH, 5.6))
    for place, (name, found) in enumerate(measured.items()):
        style = dict(color=colours[name], linewidth=1.6)
        grey.plot(np.arange(256), found.histogram * 100, label=name.replace("_", " "), **style)
        contrast.boxplot(
            found.snr[np.isfinite(found.snr)], positions=[place], orientation="horizontal", widths=0.6, showfliers=False,
            patch_artist=True, boxprops=dict(facecolor=colours[name], alpha=0.7), medianprops=dict(color="black"),
        )  # fmt: skip
        lags = np.arange(9)[: len(found.lateral)]
        size.plot(lags, found.lateral[: len(lags)], "o-", markersize=3.5, **style)
        size.plot(lags, found.axial[: len(lags)], "s:", markersize=3.5, **style)
        power.plot(np.arange(1, len(found.power) + 1), found.power, **style)
    grey.set(xlabel="grey level", ylabel="share of fan (%)", xlim=(0, 255), yscale="log")
    contrast.set(xlabel="speckle SNR")
    contrast.set_yticks(range(len(measured)), [name.replace("_", " ") for name in measured])
    contrast.invert_yaxis()
    contrast.grid(axis="y", visible=False)
    size.axhline(0.5, color="0.6", linewidth=0.8)
    size.set(xlabel="lag (px)", ylabel="autocorrelation")
    styles = (dict(linestyle="-", marker="o"), dict(linestyle=":", marker="s"))
    lines = [plt.Line2D([], [], color="0.3", markersize=3.5, **style) for style in styles]
    size.legend(lines, ["lateral", "axial"], fontsize=9)
    power.set(xlabel="cycles per image", ylabel="power (grey levels²)", xscale="log", yscale="log")
    octaves = [2**number for number in range(int(np.log2(len(found.power))) + 1)]
    power.set_xticks(octaves, [str(cycles) for cycles in octaves])
    for axis in (power.xaxis, power.yaxis, grey.yaxis):
        axis.set_minor_locator(NullLocator())
    _legend_below(figure, grey)
    return figure


def guidance(table: pd.DataFrame, diversity: str = "recall") -> Figure:
    """Accuracy of a classifier on the samples against their diversity, one line per kind of guidance.

    Parameters
    ----------
    table
        ``guidance`` (kind), ``scale``, `diversity` and ``accuracy`` (0-1), one row per set of samples.
    diversity
        Column on the horizontal axis: ``"recall"`` or ``"coverage"``.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 3.8))
    palette = sns.color_palette("colorblind")
    for number, (kind, rows) in enumerate(table.groupby("guidance", sort=False)):
        rows = rows.dropna(subset=[diversity]).sort_values("scale")
        style = dict(color=palette[number], marker=_MARKERS[number % len(_MARKERS)], label=kind)
        axis.plot(rows[diversity], rows.accuracy * 100, markersize=6, **style)
        # These lines fall to the right: above and right of a point, and below and left of it, there is room.
        side = 1 if number == 0 else -1
        for row in rows.to_dict("records"):
            axis.annotate(
                f"{row['scale']:g}", (row[diversity], row["accuracy"] * 100), xytext=(5 * side, 3 * side),
                textcoords="offset points", fontsize=9, color=palette[number], ha="left" if side > 0 else "right",
                va="bottom" if side > 0 else "top", path_effects=[withStroke(linewidth=2, foreground="white")],
            )  # fmt: skip
    axis.margins(0.1, 0.14)
    # From zero, also where no scale reaches any real image.
    furthest = max(0.05, 1.1 * table[diversity].max())
    axis.set(xlabel=diversity, ylabel="accuracy on the samples (%)", xlim=(-0.05 * furthest, furthest))
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), title="guidance (labels: scale)")
    return figure


def near_copy_shares(table: pd.DataFrame, over_time: pd.DataFrame, expected: float) -> Figure:
    """Share of near-copies against images per plane and, where that is known, against training steps; 95 % intervals.

    Parameters
    ----------
    table
        ``generator``, ``k`` (images per plane, number or ``"all"``), ``share``, ``low``, ``high`` (0-1), one row each.
    over_time
        ``k``, ``step`` (training steps), ``share``, ``low``, ``high``: one line per k; may be empty.
    expected
        Share among unseen real images: a dashed line.
    """
    shots = sorted(dict.fromkeys(table.k), key=lambda k: (k == "all", int(k) if k != "all" else 0))
    generators = list(dict.fromkeys(table.generator))
    colours = set_colours(generators)
    figure, axes = plt.subplots(1, 1 + bool(len(over_time)), figsize=(WIDTH, 3.5), sharey=True, squeeze=False)
    by_k, by_step = axes[0, 0], axes[0, -1]
    for number, name in enumerate(generators):
        mine = table[table.generator == name]
        offset = (number - (len(generators) - 1) / 2) * min(0.16, 0.7 / len(generators))
        style = dict(color=colours[name], linestyle="", marker=_MARKERS[number % len(_MARKERS)], capsize=3, label=name)
        by_k.errorbar([shots.index(k) + offset for k in mine.k], mine.share * 100, _error(mine), **style)
    for number, (k, rows) in enumerate(over_time.groupby("k", sort=False)):
        shade = sns.color_palette("viridis", len(shots))[shots.index(k)]
        style = dict(color=shade, marker="o", capsize=3, label=f"k = {k}")
        beside = 0.015 * number * over_time.step.max()  # so that equal shares do not hide each other
        by_step.errorbar(rows.step + beside, rows.share * 100, _error(rows), **style)
    for axis in axes.flat:
        axis.axhline(expected * 100, color="0.25", linestyle="--", linewidth=1.2)
        axis.legend(fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=3)
    by_k.set_xticks(range(len(shots)), [str(k) for k in shots])
    by_k.set(xlabel="images per plane", ylabel="near-copies (%)", xlim=(-0.5, len(shots) - 0.5), ylim=(0, None))
    if len(over_time):
        by_step.set(xlabel="training steps", xlim=(0, 1.05 * over_time.step.max()))
    return figure


def _legend_below(figure: Figure, axis: Axes, **settings) -> None:
    """Legend of `axis` below the figure: in one line if that fits its width, in two if not."""
    handles, labels = axis.get_legend_handles_labels()
    needed = sum(0.6 + 0.08 * len(label) for label in labels)  # inches
    columns = len(labels) if needed < WIDTH else -(-len(labels) // 2)
    figure.legend(handles, labels, loc="outside lower center", ncol=columns, fontsize=9, **settings)


def _error(rows: pd.DataFrame) -> np.ndarray:
    """Distances from a share down and up to the ends of its interval, (2, n), in percent."""
    return np.abs(np.stack([rows.share - rows.low, rows.high - rows.share])) * 100
