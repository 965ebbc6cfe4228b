"""The look of a set of images, and phantoms that are given it: field of view and grey levels.

Phantoms show the right anatomy in the wrong light: brighter than clinical images, in a whole fan, where clinics store the
part that they look at. Each phantom is given the look of one real image of its plane: it is moved and scaled, in proportion,
until its fan is as large as the field of view of that image, cut to it, and its grey levels are matched [1]_. Nothing is
learnt of what the field of view shows, so that a phantom's anatomy, and with it its label, stays.

References
----------
.. [1] Gonzalez and Woods, Digital Image Processing, histogram matching (specification).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image, ImageDraw
from safetensors.numpy import load_file, save_file
from scipy import ndimage, stats
from scipy.spatial import ConvexHull, QhullError
from torch.nn import functional

from fetalkit.utils.streams import rng

FILE = "appearance.safetensors"
BLACK = 8  # grey level below which a pixel is taken for background
KEPT = 20  # looks per plane at most: enough for the variety of gains and depths, and little to store
_RANKS = np.linspace(0, 1, 33)
_ZOOM = 0.6, 1.6  # further a phantom is never scaled


@dataclass(frozen=True)
class Appearance:
    """Looks of some images of every plane.

    Attributes
    ----------
    planes
        Number of the plane of every look, int64 (n,).
    fields
        Its field of view: bool (n, side, side).
    levels
        Quantiles of the grey levels within it, at 33 equally spaced ranks: float32 (n, 33).
    """

    planes: np.ndarray
    fields: np.ndarray
    levels: np.ndarray

    @classmethod
    def of(cls, images: np.ndarray, labels: np.ndarray, n_classes: int, seed: int) -> Self:
        """Looks of training images.

        Parameters
        ----------
        images, labels
            uint8 (n, side, side), and integers (n,) in ``[0, n_classes)``.
        n_classes
            Number of planes.
        seed
            Of the choice where a plane has more than 20 images.
        """
        planes, fields, levels = [], [], []
        for plane in range(n_classes):
            mine = images[labels == plane]
            for row in torch.randperm(len(mine), generator=rng(seed, "appearance", plane)).numpy()[:KEPT]:
                field = field_of_view(mine[row])
                planes.append(plane)
                fields.append(field)
                levels.append(np.quantile(mine[row][field], _RANKS) if field.any() else np.zeros(len(_RANKS)))
        return cls(np.array(planes), np.stack(fields), np.array(levels, np.float32))

    def give(self, phantoms: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
        """Phantoms with the look of real images of their planes.

        Parameters
        ----------
        phantoms
            uint8 (n, side, side), black outside the fan.
        labels
            Their planes, integers (n,).
        seed
            Image `i` takes over the look of an image that follows from `seed`, `i` and its label.

        Returns
        -------
        numpy.ndarray
            uint8 (n, side, side).
        """
        given = np.empty_like(phantoms)
        for row, (phantom, plane) in enumerate(zip(phantoms, labels, strict=True)):
            mine = np.flatnonzero(self.planes == plane)
            look = mine[int(torch.randint(len(mine), (), generator=rng(seed, "look", row)))]
            given[row] = _matched(_placed(phantom, self.fields[look]), self.fields[look], self.levels[look])
        return given

    def save(self, folder: Path) -> None:
        """Write it to `folder`, which exists."""
        packed = np.packbits(self.fields.reshape(len(self.fields), -1), axis=1)
        save_file({"planes": self.planes, "fields": packed, "levels": self.levels}, folder / FILE)

    @classmethod
    def load(cls, folder: Path, side: int) -> Self:
        """Read what `save` wrote, of images of `side` px."""
        stored = load_file(folder / FILE)
        fields = np.unpackbits(stored["fields"], axis=1, count=side * side).reshape(-1, side, side).astype(bool)
        return cls(stored["planes"], fields, stored["levels"])


def field_of_view(image: np.ndarray) -> np.ndarray:
    """Convex hull of the largest part of an image that is not black, after gaps are closed: bool, of the same shape."""
    closed = ndimage.binary_closing(np.pad(image >= BLACK, 4), iterations=3)[4:-4, 4:-4]
    parts: np.ndarray
    parts, _ = ndimage.label(closed)  # pyright: ignore[reportGeneralTypeIssues]  # its types tell a number alone
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0  # the background
    rows, columns = np.nonzero(parts == sizes.argmax()) if sizes.any() else (np.array([], int),) * 2
    try:
        corners = ConvexHull(np.stack([columns, rows], axis=1)).vertices if len(rows) > 2 else []
    except QhullError:  # all in one line
        corners = []
    canvas = Image.new("1", image.shape[::-1])
    if len(corners):
        ImageDraw.Draw(canvas).polygon([(int(columns[i]), int(rows[i])) for i in corners], fill=1, outline=1)
    return np.asarray(canvas)


def _placed(phantom: np.ndarray, field: np.ndarray) -> np.ndarray:
    """A phantom moved and scaled in proportion, until the box around its fan has place and area of that around the field.

    Were it to cover the field, much of a narrow fan's anatomy would be cut off.
    """
    lit = phantom >= BLACK
    if not (lit.any() and field.any()):
        return phantom
    (top, left, high, wide), (to_top, to_left, to_high, to_wide) = _box(lit), _box(field)
    zoom = float(np.clip(((to_high * to_wide) / (high * wide)) ** 0.5, *_ZOOM))
    side = phantom.shape[0]
    # Of a pixel of the result, in units of half the side from its centre, the place in the phantom.
    across = (2 * (left + wide / 2) - side - (2 * (to_left + to_wide / 2) - side) / zoom) / side
    down = (2 * (top + high / 2) - side - (2 * (to_top + to_high / 2) - side) / zoom) / side
    theta = torch.tensor([[[1 / zoom, 0, across], [0, 1 / zoom, down]]], dtype=torch.float32)
    pixels = torch.from_numpy(phantom)[None, None].float()
    grid = functional.affine_grid(theta, list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels, grid, align_corners=False)[0, 0].round().to(torch.uint8).numpy()


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Top, left, height and width of what is true."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return rows[0], columns[0], rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1


def _matched(phantom: np.ndarray, field: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """A phantom with these grey levels within the field of view, and black outside."""
    matched = np.zeros_like(phantom)
    if n := int(field.sum()):
        ranks = (stats.rankdata(phantom[field]) - 0.5) / n
        matched[field] = np.rint(np.interp(ranks, _RANKS, levels))
    return matched
