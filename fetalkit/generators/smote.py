"""Interpolated images as a synthetic set: points on the way from a real image to a similar one of its class.

SMOTE [1]_ on pixels: nothing is trained.

References
----------
.. [1] Chawla et al., SMOTE: Synthetic Minority Over-sampling Technique, Journal of Artificial Intelligence Research 16, 2002,
       321-357, doi 10.1613/jair.953.
"""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.neighbors import NearestNeighbors

from fetalkit.generators import read_card
from fetalkit.generators.checks import check_labels, check_training_set
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing
from fetalkit.utils.streams import rng

# File of the real images that a saved generator draws from.
IMAGES = "images.npz"


class InterpolationGenerator:
    """Convex combinations of real images behind the protocol :class:`fetalkit.generators.Generator`.

    Parameters
    ----------
    n_classes, planes
        Number of the planes, and their names, empty or one per class.
    size
        Height and width of the images in pixels.
    device, precision
        Not used: nothing is computed by a network.

    Raises
    ------
    FetalkitError
        When `planes` has another length than `n_classes`.
    """

    def __init__(
        self,
        *,
        n_classes: int,
        planes: tuple[str, ...] = (),
        size: int = 64,
        device: str = "auto",
        precision: str = "auto",
    ):
        if planes and len(planes) != n_classes:
            raise FetalkitError(f"interpolation: {len(planes)} planes are named, but n_classes is {n_classes}")
        self.n_classes, self.planes, self.size = n_classes, tuple(planes), size
        self.images, self.labels = np.zeros((0, size, size), np.uint8), np.zeros(0, np.int64)
        self.losses: list[float] = []
        self.seconds = 0.0

    def describe(self) -> dict[str, Any]:
        """Kind and settings, of JSON types."""
        settings = {"n_classes": self.n_classes, "planes": list(self.planes), "size": self.size}
        return {"generator": "interpolation", "settings": settings}

    def fit(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        seed: int,
        checkpoint: Checkpoint | None = None,
        label: str = "",
    ) -> None:
        """Remember the images, uint8 (n, size, size), and their labels (n,); every class must occur."""
        check_training_set(images, labels, self.n_classes, self.size)
        self.images, self.labels = images.copy(), labels.astype(np.int64)

    def sample(self, labels: np.ndarray, *, seed: int, neighbours: int = 5) -> np.ndarray:
        """Draw one image for every label: ``a + u (b - a)`` with `u` uniform in [0, 1).

        `a` is a random image of the class, `b` one of the images of the class that are nearest to it, pixel by pixel. A
        class with a single image yields that image.

        Parameters
        ----------
        labels
            Integers, shape ``(n,)``, in ``[0, n_classes)``.
        seed
            Image `i` depends on `seed`, `i` and its label alone.
        neighbours
            Number of nearest images that `b` is one of, at least 1; a class that has fewer others offers all of them.

        Returns
        -------
        numpy.ndarray
            uint8, shape ``(n, size, size)``.

        Raises
        ------
        FetalkitError
            When the generator holds no images, a label is not valid, or `neighbours` is below 1.
        """
        if not len(self.images):
            raise FetalkitError("the interpolation generator has no images yet; call fit() or load() first")
        check_labels(labels, self.n_classes)
        if neighbours < 1:
            raise FetalkitError(f"interpolation needs at least 1 neighbour, not {neighbours}")
        drawn = np.empty((len(labels), self.size, self.size), np.uint8)
        for plane in np.unique(labels):
            pixels = self.images[self.labels == plane].astype(np.float64)
            near = _nearest(pixels, neighbours)
            for place in np.flatnonzero(labels == plane):
                random = np.random.default_rng(rng(seed, "image", int(place)).initial_seed())
                first = random.integers(len(pixels))
                second = near[first, random.integers(near.shape[1])]
                between = pixels[first] + random.random() * (pixels[second] - pixels[first])
                drawn[place] = np.rint(between)
        return drawn

    def save(self, folder: Path) -> None:
        """Write ``fetalkit.json``, with a digest of the images, and the images themselves; all or nothing.

        Raises
        ------
        FetalkitError
            When `folder` cannot be written.
        """
        with replacing(folder) as temporary:
            temporary.mkdir()
            np.savez_compressed(temporary / IMAGES, images=self.images, labels=self.labels)
            # Equal cards mean equal generators: what is drawn follows from the images.
            card = self.describe() | {"images": _digest(self.images, self.labels)}
            (temporary / "fetalkit.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, device: str = "auto", precision: str = "auto") -> Self:
        """Read what `save` wrote.

        Raises
        ------
        FetalkitError
            When the folder holds no such generator, or its images are missing or damaged.
        """
        card, path = read_card(folder), Path(folder, IMAGES)
        generator = cls(device=device, precision=precision, **card["settings"])
        try:
            with np.load(path, allow_pickle=False) as content:
                images, labels = content["images"], content["labels"]
            if _digest(images, labels) != card["images"]:
                raise ValueError("not the images of its card")
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise FetalkitError(f"{path}: missing or damaged ({error}); make the generator again") from error
        generator.images, generator.labels = images, labels
        return generator


def _nearest(pixels: np.ndarray, neighbours: int) -> np.ndarray:
    """Places (n, m) of the m nearest other images of each, of (n, height, width); of a single image its own."""
    others = min(neighbours, len(pixels) - 1)
    if not others:
        return np.zeros((1, 1), np.int64)
    flat = pixels.reshape(len(pixels), -1)
    # Without a query, an image is not its own neighbour, even where another one equals it.
    return NearestNeighbors(n_neighbors=others, algorithm="brute").fit(flat).kneighbors(return_distance=False)


def _digest(images: np.ndarray, labels: np.ndarray) -> str:
    return hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
