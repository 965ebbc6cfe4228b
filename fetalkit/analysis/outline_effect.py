"""What the accuracy of classifiers owes to the outline of the fan, from their predictions with and without it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fetalkit.analysis import intervals
from fetalkit.analysis.transfer_results import TransferComparison
from fetalkit.experiments.transfer import domains
from fetalkit.experiments.transfer.methods import CONTROL, OUTLINE
from fetalkit.metrics import outline
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


def drops(compared: TransferComparison) -> dict[str, Drop]:
    """`drop_with_standard_mask` of every main view that has classifiers of standardised images."""
    found = {}
    for view in compared.plan.main_views:
        if OUTLINE in compared.methods(view):
            names = compared.classifiers(view, OUTLINE)
            before, after = (compared.correct(view, method, names) for method in (CONTROL, OUTLINE))
            found[view] = drop_with_standard_mask(before, after, compared.test(view).group.to_numpy())
    return found


def place_told(seen: domains.Gathered, seed: int) -> tuple[pd.DataFrame, dict[str, dict[str, np.ndarray]]]:
    """How well the place is told from the outline of the fan or the size of the file alone.

    Returns
    -------
    told : pandas.DataFrame
        `fetalkit.metrics.outline.centre_table` of the images ``as they are`` and with ``one outline`` (column ``images``).
    where : dict
        The same two names → place → share of its images whose fan covers a pixel, (h, w) in [0, 1].
    """
    pictures = {"as they are": seen.images, "one outline": domains.outlined(seen.images)}
    told, where = [], {}
    for name, of in pictures.items():
        fans = outline.fan_masks(of)
        where[name] = {place: fans[seen.places == place].mean(axis=0) for place in sorted(set(seen.places))}
        kinds = {"box of the fan": outline.box_features(fans), "mask of the fan": outline.mask_features(fans)}
        if name == "as they are":
            kinds["size of the file"] = outline.size_features(seen.index)
        told.append(outline.centre_table(kinds, seen.places, seen.patients, seed).assign(images=name))
    return pd.concat(told), where
