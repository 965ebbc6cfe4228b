"""Checks at the border of every generator: wrong input gets one clear line."""

import math
from dataclasses import fields
from typing import ClassVar, Self

import numpy as np

from fetalkit.utils.errors import FetalkitError


class Checked:
    """Base of dataclasses of settings; says what is wrong as one line of `FetalkitError`."""

    KIND: ClassVar[str]

    def __post_init__(self):
        for field in fields(self):
            if isinstance(getattr(self, field.name), list):  # as JSON and YAML have it
                object.__setattr__(self, field.name, tuple(getattr(self, field.name)))
        problem = self._problem()
        if problem:
            raise FetalkitError(f"{self.KIND} generator: {problem}")

    @classmethod
    def of(cls, **values) -> Self:
        """Settings from keyword arguments; `FetalkitError` names those that do not exist."""
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise FetalkitError(
                f"{cls.KIND} generator: no setting is called {', '.join(unknown)}; there are: {', '.join(known)}"
            )
        return cls(**values)

    def _problem(self) -> str | None:
        """What is wrong with the settings, or None."""
        raise NotImplementedError

    def _too_small(self, counts: tuple[str, ...], positive: tuple[str, ...]) -> str | None:
        """The first of the `counts` that is below 1, or of the numbers that are not `positive`; None if all are right."""
        for name in counts:
            if getattr(self, name) < 1:
                return f"{name} is {getattr(self, name)}; it must be at least 1"
        for name in positive:
            if not 0 < getattr(self, name) < math.inf:
                return f"{name} is {getattr(self, name)}; it must be a positive number"
        return None

    def _misfit(self) -> str | None:
        """What does not fit together of planes, channels and size, or None."""
        if self.planes and len(self.planes) != self.n_classes:
            return f"{len(self.planes)} planes are named, but n_classes is {self.n_classes}"
        if any(width < 8 or width % 8 for width in self.channels):
            return f"channels {self.channels} must be multiples of 8"
        multiple = self.unshuffle * 2 ** (len(self.channels) - 1)
        if self.size % multiple:
            return f"size {self.size} must be a multiple of {multiple} (unshuffle and the halvings of the network)"
        return None


def check_labels(labels: np.ndarray, n_classes: int) -> None:
    """Raise `FetalkitError` unless `labels` is an integer array (n,) with n > 0 and values in ``[0, n_classes)``."""
    if not isinstance(labels, np.ndarray) or labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        found = f"{labels.dtype} {labels.shape}" if isinstance(labels, np.ndarray) else type(labels).__name__
        raise FetalkitError(f"labels must be an integer array (n,), not {found}")
    if not labels.size:
        raise FetalkitError("no labels were given; give at least one")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise FetalkitError(f"labels must lie in 0..{n_classes - 1}, but reach from {labels.min()} to {labels.max()}")


def check_training_set(images: np.ndarray, labels: np.ndarray, n_classes: int, size: int) -> None:
    """Check what a generator is to learn from.

    Raises
    ------
    FetalkitError
        Unless `images` is uint8 (n, size, size) and `labels` an integer array (n,) in which every class occurs.
    """
    check_labels(labels, n_classes)
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != (size, size):
        found = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else type(images).__name__
        raise FetalkitError(f"training images must be a uint8 array (n, {size}, {size}), not {found}")
    if len(images) != len(labels):
        raise FetalkitError(f"{len(images)} training images do not match {len(labels)} labels")
    empty = np.flatnonzero(np.bincount(labels, minlength=n_classes) == 0)
    if empty.size:
        raise FetalkitError(f"no training image of class {', '.join(map(str, empty))}; every class needs at least one")
    if images.min() == images.max():
        raise FetalkitError(f"all training images are blank (every pixel is {images.flat[0]}); check the image store")
