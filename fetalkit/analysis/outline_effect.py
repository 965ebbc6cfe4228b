"""What the accuracy of classifiers owes to the outline of the fan, from their predictions with and without it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fetalkit.analysis import intervals
from fetalkit.utils.errors import FetalkitError


@dataclass(frozen=True)
class Drop:
    """Accuracy with the images as they are and with the standard mask, and the paired difference, standard minus usual."""

    before: intervals.Interval
    after: intervals.Interval
    change: intervals.Gain


def drop_with_standard_mask(before: np.ndarray, after: np.ndarray, patients: Sequence[str] | np.ndarray) -> Drop:
    """What accuracy owes to the outline: classifiers of images as they are against classifiers of standardised ones.

    Parameters
    ----------
    before, after
        (seeds, images), in [0, 1]: whether each seed's classifier is right of each test image, the same images and seeds in
        both. Each classifier is trained and tested on images of its own kind.
    patients
        (images,), the patient of each.

    Returns
    -------
    Drop
        Fractions; ``change`` is below 0 where accuracy falls with the standard mask. Intervals and p-value as
        `fetalkit.analysis.intervals.gain` takes them.

    Raises
    ------
    FetalkitError
        When the shapes do not fit each other.
    """
    before, after = (np.asarray(of, dtype=float) for of in (before, after))
    if before.shape != after.shape:
        raise FetalkitError(
            f"{before.shape} calls before but {after.shape} after: test the same images and seeds in both"
        )
    return Drop(
        intervals.accuracy(before, patients),
        intervals.accuracy(after, patients),
        intervals.gain(after - before, patients),
    )
