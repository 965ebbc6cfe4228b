"""Features of images with the place and the patient of each: the checks, and the random halves of a place's patients."""

from collections.abc import Sequence

import numpy as np
import torch

from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.streams import rng

Names = Sequence[str] | np.ndarray  # of places, patients or planes, one per row


def checked(features: np.ndarray, **names: Names) -> tuple[np.ndarray, ...]:
    """Features as float64, and what is known of each row as arrays of text.

    Parameters
    ----------
    features
        (n, d), finite.
    **names
        (n,) each, e.g. ``places=...``; the keywords are named in messages.

    Raises
    ------
    FetalkitError
        When the lengths do not fit or a feature is not finite.
    """
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or not features.size:
        raise FetalkitError(
            f"features of shape {features.shape}: (images, features) is needed, with at least one of both"
        )
    if not np.isfinite(features).all():
        raise FetalkitError("features: some are not finite; leave out the images they come from")
    given = [np.asarray(of, dtype=str) for of in names.values()]
    for name, of in zip(names, given, strict=True):
        if of.shape != features.shape[:1]:
            raise FetalkitError(f"{len(features)} rows of features but {name} of shape {of.shape}: give one per row")
    return features, *given


def halves(rows: np.ndarray, patients: np.ndarray, seed: int, *key: int | str) -> tuple[np.ndarray, np.ndarray]:
    """Two parts of `rows`, with every other patient of a random order, which `seed` and `key` decide, in each."""
    names = np.array(sorted(set(patients[rows])))
    order = torch.randperm(len(names), generator=rng(seed, "gap", "halves", *key)).numpy()
    first = np.isin(patients[rows], names[order[::2]])
    return rows[first], rows[~first]
