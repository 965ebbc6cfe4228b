"""Galleries of attribution maps."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from fetalkit.plots.cohort import WIDTH

_MAP = "inferno"  # legible without colour vision, and in grey
_BLACK = 8  # grey levels up to this are black: enlarging and shrinking leave traces on padding
_OPACITY = 0.65  # of the heat map where the evidence is strongest; nothing hides the image where there is none


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Image under its heat map, float (height, width, 3) in [0, 1]; of uint8 and float in [0, 1], both (height, width)."""
    grey = np.repeat(image[..., None] / 255, 3, axis=2)
    opacity = _OPACITY * heat[..., None]
    return (1 - opacity) * grey + opacity * plt.get_cmap(_MAP)(heat)[..., :3]


def padding(images: np.ndarray) -> np.ndarray:
    """Where a square image has been filled up: its black rows and columns from the edges inwards, bool like `images`.

    Parameters
    ----------
    images
        uint8 (n, height, width).
    """
    lit = images > _BLACK
    outside = np.zeros(images.shape, bool)
    for axis in (1, 2):
        full = lit.any(axis=axis, keepdims=True)
        along = 3 - axis  # the axis on which rows or columns lie side by side
        before = np.maximum.accumulate(full, axis=along)
        after = np.flip(np.maximum.accumulate(np.flip(full, along), axis=along), along)
        outside |= ~(before & after)
    return outside


def evidence_outside(images: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Share of each map's sum that lies on the padding, (n,) in [0, 1]; 0 for a map of nothing."""
    sums = maps.sum(axis=(1, 2))
    return (maps * padding(images)).sum(axis=(1, 2)) / np.where(sums > 0, sums, 1)


def attribution_gallery(
    images: np.ndarray, maps: np.ndarray, titles: Sequence[str], right: Sequence[bool], columns: int = 3
) -> Figure:
    """Pairs of an image and the same image under its map: rows of right calls, then rows of wrong calls.

    On the padding, where there is nothing to see, no map is drawn; what lay there is said in percent beside the title.

    Parameters
    ----------
    images
        uint8 (n, height, width).
    maps
        Float (n, height, width) in [0, 1], as `fetalkit.classifiers.gradcam.gradcam` gives them.
    titles
        Text above each pair, e.g. ``"brain → femur"``: what it is and what it was called.
    right
        Whether each call was right.
    columns
        Pairs per row.
    """
    is_right, beside = np.asarray(right, bool), evidence_outside(images, maps)
    maps = np.where(padding(images), 0.0, maps)
    maps = maps / np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-9)
    rows = []
    for name, members in (("right calls", np.flatnonzero(is_right)), ("wrong calls", np.flatnonzero(~is_right))):
        rows += [(name, members[start : start + columns]) for start in range(0, len(members), columns)]
    figure, axes = plt.subplots(
        len(rows), columns, figsize=(WIDTH, 1.4 * len(rows) + 0.5), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for line, (name, members) in zip(axes, rows, strict=True):
        line[0].text(-0.04, 0.5, name, transform=line[0].transAxes, rotation=90, ha="right", va="center", fontsize=9)
        for axis, member in zip(line[: len(members)], members, strict=True):
            image = images[member]
            gap = np.ones((image.shape[0], max(1, image.shape[1] // 32), 3))
            plain = np.repeat(image[..., None] / 255, 3, axis=2)
            axis.imshow(np.hstack([plain, gap, overlay(image, maps[member])]))
            share = f"  ({100 * beside[member]:.0f}\u00a0% beside)" if beside[member] >= 0.005 else ""
            axis.set_title(f"{titles[member]}{share}", fontsize=7.5, fontweight="normal", loc="center")
    bar = figure.colorbar(ScalarMappable(cmap=_MAP), ax=axes, location="bottom", shrink=0.5, aspect=40, pad=0.02)
    bar.set_label("evidence for the plane it was called (share of the maximum inside the image)", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return figure
