"""Interpolated images as a synthetic set: points on the way from a real image to a similar one of its class.

SMOTE [1]_ on pixels: nothing is trained.

References
----------
.. [1] Chawla et al., SMOTE: Synthetic Minority Over-sampling Technique, Journal of Artificial Intelligence Research 16, 2002,
       321-357, doi 10.1613/jair.953.
"""

import zipfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from sklearn.neighbors import NearestNeighbors

from fetalkit.data.images import Labelled
from fetalkit.generators.base import Generator
from fetalkit.generators.settings import SamplingSettings, TrainingSettings
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.streams import rng

# File of the real images that a saved generator draws from.
IMAGES = "images.npz"


class SmoteSampling(SamplingSettings):
    """How images are interpolated.

    Attributes
    ----------
    neighbours
        Number of nearest images that the second one is one of; a class that has fewer others offers all of them.
    """

    neighbours: Annotated[int, Field(ge=1)] = 5


class SmoteGenerator(Generator[TrainingSettings, SmoteSampling]):
    """Convex combinations of real images.

    An image is ``a + u (b - a)`` with `u` uniform in [0, 1): `a` is a random image of the class, `b` one of the images of the
    class that are nearest to it, pixel by pixel. A class with a single image yields that image.

    Parameters are those of :class:`fetalkit.generators.base.Generator`; there is nothing to choose of the training.

    Attributes
    ----------
    images, labels : numpy.ndarray
        uint8 (n, image_size, image_size) and int64 (n,), once `fit`.
    """

    Sampling = SmoteSampling

    images = np.zeros((0, 0, 0), np.uint8)
    labels = np.zeros(0, np.int64)

    @property
    def loaded(self) -> bool:
        """Whether it holds images."""
        return len(self.images) > 0

    def _fit(self, images: np.ndarray, labels: np.ndarray, **options: Any) -> None:
        self.images, self.labels = images.copy(), labels.astype(np.int64)

    def _sample(self, labels: np.ndarray, *, seed: int, sampling: SmoteSampling, batch_size: int) -> np.ndarray:
        drawn = np.empty((len(labels), self.image_size, self.image_size), np.uint8)
        for plane in np.unique(labels):
            pixels = self.images[self.labels == plane].astype(np.float64)
            near = _nearest(pixels, sampling.neighbours)
            for place in np.flatnonzero(labels == plane):
                random = np.random.default_rng(rng(seed, "image", int(place)).initial_seed())
                first = random.integers(len(pixels))
                second = near[first, random.integers(near.shape[1])]
                between = pixels[first] + random.random() * (pixels[second] - pixels[first])
                drawn[place] = np.rint(between)
        return drawn

    def _write(self, folder: Path) -> dict[str, Any]:
        """The images themselves, and their digest for the card: what is drawn follows from them."""
        np.savez_compressed(folder / IMAGES, images=self.images, labels=self.labels)
        return {"images": Labelled(self.images, self.labels).digest()}

    def _read(self, folder: Path, about: dict[str, Any]) -> None:
        path = folder / IMAGES
        try:
            with np.load(path, allow_pickle=False) as content:
                images, labels = content["images"], content["labels"]
            if Labelled(images, labels).digest() != about["images"]:
                raise ValueError("not the images of its card")
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise FetalkitError(f"{path}: missing or damaged ({error}); make the generator again") from error
        self.images, self.labels = images, labels


def _nearest(pixels: np.ndarray, neighbours: int) -> np.ndarray:
    """Places (n, m) of the m nearest other images of each, of (n, height, width); of a single image its own."""
    others = min(neighbours, len(pixels) - 1)
    if not others:
        return np.zeros((1, 1), np.int64)
    flat = pixels.reshape(len(pixels), -1)
    # Without a query, an image is not its own neighbour, even where another one equals it.
    return NearestNeighbors(n_neighbors=others, algorithm="brute").fit(flat).kneighbors(return_distance=False)
