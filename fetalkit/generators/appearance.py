"""The look of a set of images, and phantoms that are given it: how bright, how much of the square the fan fills.

Phantoms show the right anatomy in the wrong grey levels. Each is given those of one real image of its plane: it is scaled
until its fan fills as much of the square as that image's does, then its grey levels are matched [1]_. Nothing is learnt
of where in an image anything lies, so that a phantom's anatomy, and with it its label, stays.

References
----------
.. [1] Gonzalez and Woods, Digital Image Processing, histogram matching (specification).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from scipy import stats
from torch.nn import functional

from fetalkit.utils.streams import rng

BLACK = 8  # grey level below which a pixel belongs to no fan
KEPT = 20  # curves per plane at most: enough for the variety of gains, and little to store
_POINTS = np.linspace(0, 1, 33)
_ZOOM = 0.6, 1.25  # further a phantom is never scaled


@dataclass(frozen=True)
class Appearance:
    """Grey levels of some images of every plane.

    Attributes
    ----------
    fill
        Share of the square that is not black, one array (m,) per plane.
    curves
        Quantile functions of the grey levels of these pixels, at 33 equally spaced ranks, one array (m, 33) per plane.
    """

    fill: tuple[np.ndarray, ...]
    curves: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, images: np.ndarray, labels: np.ndarray, n_classes: int, seed: int) -> Self:
        """Look of training images.

        Parameters
        ----------
        images, labels
            uint8 (n, side, side), and integers (n,) in ``[0, n_classes)``.
        n_classes
            Number of planes.
        seed
            Of the choice where a plane has more than 20 images.
        """
        fill, curves = [], []
        for plane in range(n_classes):
            mine = images[labels == plane]
            chosen = torch.randperm(len(mine), generator=rng(seed, "appearance", plane)).numpy()[:KEPT]
            lit = [pixels for image in mine[chosen] if len(pixels := image[image >= BLACK])]
            fill.append(np.array([len(pixels) / mine[0].size for pixels in lit]))
            curves.append(np.array([np.quantile(pixels, _POINTS) for pixels in lit]).reshape(len(lit), len(_POINTS)))
        return cls(tuple(fill), tuple(curves))

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
            uint8 (n, side, side). A phantom of a plane without any look stays as it is.
        """
        given = np.empty_like(phantoms)
        for row, (phantom, plane) in enumerate(zip(phantoms, labels, strict=True)):
            given[row] = phantom
            if len(self.fill[plane]):
                chosen = int(torch.randint(len(self.fill[plane]), (), generator=rng(seed, "look", row)))
                scaled = _zoomed(phantom, float(self.fill[plane][chosen]))
                given[row] = _matched(scaled, self.curves[plane][chosen])
        return given

    def card(self) -> dict[str, Any]:
        """JSON types, from which `read` makes it again."""
        return {
            "fill": [np.round(fill, 4).tolist() for fill in self.fill],
            "grey_levels": [np.round(curves, 1).tolist() for curves in self.curves],
        }

    @classmethod
    def read(cls, card: dict[str, Sequence]) -> Self:
        """What `card` says."""
        curves = tuple(np.array(of, float).reshape(-1, len(_POINTS)) for of in card["grey_levels"])
        return cls(tuple(np.array(of, float) for of in card["fill"]), curves)


def _zoomed(phantom: np.ndarray, fill: float) -> np.ndarray:
    """A phantom scaled about its centre, so that this share of it is not black."""
    lit = (phantom >= BLACK).mean()
    zoom = float(np.clip(np.sqrt(fill / lit) if lit else 1.0, *_ZOOM))
    # What lies outside comes in black.
    theta = torch.tensor([[[1 / zoom, 0, 0], [0, 1 / zoom, 0]]], dtype=torch.float32)
    pixels = torch.from_numpy(phantom)[None, None].float()
    grid = functional.affine_grid(theta, list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels, grid, align_corners=False)[0, 0].round().to(torch.uint8).numpy()


def _matched(phantom: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """A phantom whose lit pixels have the grey levels of `curve`; black stays black."""
    lit = phantom >= BLACK
    matched = np.zeros_like(phantom)
    if n := int(lit.sum()):
        ranks = (stats.rankdata(phantom[lit]) - 0.5) / n
        matched[lit] = np.rint(np.interp(ranks, _POINTS, curve))
    return matched
