"""Checks of the arrays that generators are given: wrong input gets one clear line."""

import numpy as np

from fetalkit.utils.errors import FetalkitError


def check_labels(labels: np.ndarray, n_classes: int) -> None:
    """Raise `FetalkitError` unless `labels` is an integer array (n,) with n > 0 and values in ``[0, n_classes)``."""
    if not isinstance(labels, np.ndarray) or labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise FetalkitError(f"labels must be an integer array (n,), not {_kind(labels)}")
    if not labels.size:
        raise FetalkitError("no labels were given; give at least one")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise FetalkitError(f"labels must lie in 0..{n_classes - 1}, but reach from {labels.min()} to {labels.max()}")


def check_training_set(images: np.ndarray, labels: np.ndarray, n_classes: int, image_size: int) -> None:
    """Check what a generator is to learn from.

    Raises
    ------
    FetalkitError
        Unless `images` is uint8 (n, image_size, image_size) and `labels` an integer array (n,) in which every class occurs.
    """
    check_labels(labels, n_classes)
    _check_images(images, labels, image_size)
    empty = np.flatnonzero(np.bincount(labels, minlength=n_classes) == 0)
    if empty.size:
        raise FetalkitError(f"no training image of class {', '.join(map(str, empty))}; every class needs at least one")


def check_start_set(
    images: np.ndarray, labels: np.ndarray, domains: np.ndarray, n_classes: int, image_size: int
) -> None:
    """Check what a generator is to learn from before it sees its own training set.

    Raises
    ------
    FetalkitError
        Unless `images` is uint8 (n, image_size, image_size), `labels` an integer array (n,) of -1 and classes, and `domains` an
        integer array (n,) of numbers from 0 on.
    """
    for name, values, lowest in (("labels", labels, -1), ("domains", domains, 0)):
        if not isinstance(values, np.ndarray) or not np.issubdtype(values.dtype, np.integer) or values.min() < lowest:
            raise FetalkitError(
                f"{name} of a start must be an integer array (n,) from {lowest} on, not {_kind(values)}"
            )
    if labels.max() >= n_classes or len(labels) != len(domains):
        raise FetalkitError(f"labels of a start must lie below {n_classes}, and one domain belong to each")
    _check_images(images, labels, image_size)


def _check_images(images: np.ndarray, labels: np.ndarray, image_size: int) -> None:
    shape = image_size, image_size
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != shape:
        raise FetalkitError(
            f"training images must be a uint8 array (n, {image_size}, {image_size}), not {_kind(images)}"
        )
    if len(images) != len(labels):
        raise FetalkitError(f"{len(images)} training images do not match {len(labels)} labels")
    if images.min() == images.max():
        raise FetalkitError(f"all training images are blank (every pixel is {images.flat[0]}); check the image store")


def _kind(value: object) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
