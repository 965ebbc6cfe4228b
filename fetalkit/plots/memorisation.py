"""Figures of near-copies. Each function draws from tables and arrays; none trains, loads or saves."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fetalkit.analysis.names import plain
from fetalkit.config.shots import rank
from fetalkit.plots.cohort import WIDTH
from fetalkit.plots.fidelity import legend_below
from fetalkit.plots.missing import NOT_MEASURED, explain_crosses, mark_columns
from fetalkit.plots.palette import MUTED, set_styles, shades

_FAR = 20  # times the share to expect: then one set would push all others together on an even axis


def nearest_distances(
    distances: Mapping[str, np.ndarray], limit: float, all_sets: Sequence[str], unit: str = "RMS pixel difference"
) -> Figure:
    """Distances to the nearest training image: cumulative share of the images of each set.

    Parameters
    ----------
    distances
        Name of the set → distances (n,); real sets in grey. A set of which some are not finite is named in the legend alone.
    limit
        Threshold of near-copies, drawn as a line.
    all_sets
        Every set of the study: colours follow from it.
    unit
        What the distance is.
    """
    looks = set_styles(all_sets, distances)
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 2.9))
    measured = {name: values for name, values in distances.items() if np.isfinite(values).all()}
    largest = max((values.max() for values in measured.values()), default=limit)
    for name, values in distances.items():
        style = dict(color=looks[name].colour, label=plain(name), linewidth=1.6)
        if name not in measured:
            axes[1].plot([], [], "x", color=looks[name].colour, label=f"{style['label']}: {NOT_MEASURED}")
            continue
        each = np.full(len(values), 100 / len(values))
        axes[0].hist(values, np.linspace(0, largest, 41), weights=each, histtype="step", **style)
        axes[1].plot(
            np.sort(values), np.arange(1, len(values) + 1) / len(values) * 100, drawstyle="steps-post", **style
        )
    for axis in axes:
        axis.axvline(limit, color=MUTED, linestyle="--", linewidth=1.2, label="threshold of near-copies")
        axis.set(xlabel=unit, xlim=(0, None))
    axes[0].set_ylabel("share of images (%)")
    # From 0.1 % to all: it is the lower end that tells copies.
    axes[1].set(ylabel="share nearer (%)", yscale="log", ylim=(0.1, 120))
    axes[1].set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    legend_below(figure, axes[1])
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
    figure, axes = plt.subplots(lines, columns, figsize=(WIDTH, lines * (WIDTH / columns / 2 + 0.2)), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (synthetic, train), distance in zip(axes.flat[: len(pairs)], pairs, distances, strict=True):
        gap = np.full((len(synthetic), max(2, len(synthetic) // 16)), 255, np.uint8)
        axis.imshow(np.hstack([synthetic, gap, train]), cmap="gray", vmin=0, vmax=255)
        axis.set_title(f"{distance:.3f}", fontsize=9, fontweight="normal", loc="center", pad=3)
    return figure


def near_copy_shares(table: pd.DataFrame, over_time: pd.DataFrame, expected: float, all_sets: Sequence[str]) -> Figure:
    """Share of near-copies against images per plane and, where that is known, against training steps; 95 % intervals.

    Parameters
    ----------
    table
        ``generator``, ``k`` (images per plane, number or ``"all"``), ``share``, ``low``, ``high`` (0-1), one row each. A share
        that is NaN is marked by a cross below.
    over_time
        ``k``, ``step`` (training steps), ``share``, ``low``, ``high``: one line per k; may be empty.
    expected
        Share among unseen real images: a dashed line.
    all_sets
        Every set of the study: colours and markers follow from it.
    """
    shots = sorted(dict.fromkeys([*table.k, *over_time.k]), key=rank)
    generators = list(dict.fromkeys(table.generator))
    looks = set_styles(all_sets, generators)
    figure, axes = plt.subplots(1, 1 + bool(len(over_time)), figsize=(WIDTH, 3.5), sharey=True, squeeze=False)
    by_k, by_step = axes[0, 0], axes[0, -1]
    for number, name in enumerate(generators):
        rows, look = table[table.generator == name], looks[name]
        offset = (number - (len(generators) - 1) / 2) * min(0.16, 0.7 / len(generators))
        style = dict(color=look.colour, linestyle="", marker=look.marker, capsize=3, label=name)
        places = np.array([shots.index(k) + offset for k in rows.k])
        by_k.errorbar(places, rows.share * 100, _error(rows), **style)
        mark_columns(by_k, places[rows.share.isna()], look.colour)
    of_k = dict(zip(shots, shades(len(shots)), strict=True))
    for number, (k, rows) in enumerate(over_time.groupby("k", sort=False)):
        shade = of_k[k].colour
        style = dict(color=shade, marker=of_k[k].marker, linestyle="", capsize=3, label=f"k = {k}")
        beside = 0.015 * number * over_time.step.max()  # so that equal shares do not hide each other
        by_step.errorbar(rows.step + beside, rows.share * 100, _error(rows), **style)
        mark_columns(by_step, (rows.step + beside)[rows.share.isna()], shade, number)
    by_k.set_ylim(0, None)
    if table.share.max() > _FAR * expected:  # below twice what is expected the axis stays even, and begins at none
        by_k.set_yscale("symlog", linthresh=200 * expected)
        ticks = [0, 100 * expected, 10, 100]
        by_k.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    for axis, shares in zip(axes.flat, [table.share, over_time.share][: axes.size], strict=True):
        gaps = bool(shares.isna().any())
        if gaps:
            explain_crosses(axis, NOT_MEASURED)
        axis.axhline(expected * 100, color=MUTED, linestyle="--", linewidth=1.2)
        axis.legend(fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2 if gaps else 3)
    by_k.set_xticks(range(len(shots)), [str(k) for k in shots])
    by_k.set(xlabel="images per plane", ylabel="near-copies (%)", xlim=(-0.5, len(shots) - 0.5))
    if len(over_time):
        by_step.set(xlabel="training steps", xlim=(0, 1.05 * over_time.step.max()))
    return figure


def _error(rows: pd.DataFrame) -> np.ndarray:
    """Distances from a share down and up to the ends of its interval, (2, n), in percent."""
    return np.abs(np.stack([rows.share - rows.low, rows.high - rows.share])) * 100
