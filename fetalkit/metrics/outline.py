"""Whether the border of an image, or its size, gives the hospital away.

A network that can tell the hospital from the outline of the fan may learn that outline instead of anatomy wherever planes are
unevenly spread over hospitals, and fails where the outline is another one. Here the outline alone is given to a classifier;
and `standardise_mask` gives all images one outline, so that it can be seen what accuracy owes to it
(`fetalkit.analysis.outline_effect`).
"""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import pandas as pd
import torch
from PIL import Image
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier
from torch.nn import functional

from fetalkit.classifiers.ultrasound_transforms import scan_mask
from fetalkit.metrics.grouped import Names, checked
from fetalkit.metrics.separability import Separability, large_enough, tell_apart
from fetalkit.utils.errors import FetalkitError

TREES = 100
LEAF = 5  # images in a leaf, at least: in purer ones the weights of the centres would not count
SIDE = 16  # px of the small copy of a mask that a classifier gets
_TOGETHER = 256  # images per call: memory stays flat however many there are


def size_features(index: pd.DataFrame) -> np.ndarray:
    """Width and height (px) and width / height of the source files: float (n, 3).

    Parameters
    ----------
    index
        With ``width`` and ``height``, as `fetalkit.cohorts.audit.scan` returns it.

    Raises
    ------
    FetalkitError
        When a column is missing or a side is not above 0.
    """
    if missing := [name for name in ("width", "height") if name not in index.columns]:
        raise FetalkitError(f"index: no column {', '.join(missing)}; take data/<cohort>/cohort/index.csv of 01_cohort")
    width, height = (index[name].to_numpy(np.float64) for name in ("width", "height"))
    if not (np.minimum(width, height) > 0).all():
        raise FetalkitError("index: a width or height is not above 0; run 01_cohort again")
    return np.stack([width, height, width / height], axis=1)


def fan_masks(images: np.ndarray) -> np.ndarray:
    """Where the fan is, as `fetalkit.classifiers.ultrasound_transforms.scan_mask` finds it.

    Parameters
    ----------
    images
        uint8 (n, size, size).

    Returns
    -------
    ndarray, bool (n, size, size)

    Raises
    ------
    FetalkitError
        When `images` has another shape or type.
    """
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1] != images.shape[2] or not len(images):
        raise FetalkitError(f"images are {images.dtype} {images.shape}; uint8 (n, size, size) is needed, n at least 1")
    starts = range(0, len(images), _TOGETHER)
    batches = (torch.from_numpy(np.ascontiguousarray(images[start : start + _TOGETHER])) for start in starts)
    return np.concatenate([scan_mask(batch[:, None].float() / 255)[:, 0].numpy() for batch in batches])


def box_features(masks: np.ndarray) -> np.ndarray:
    """Left, top, right and bottom edge of the box around each mask, and the share of the image that it covers.

    Parameters
    ----------
    masks
        Bool (n, height, width).

    Returns
    -------
    ndarray, float (n, 5)
        All in [0, 1], in units of the image's sides and area; zeros for an empty mask.
    """
    edges = []
    for axis in (1, 2):
        seen = np.asarray(masks.any(axis=axis))
        some, length = np.asarray(seen.any(axis=1)), seen.shape[1]
        edges += [seen.argmax(axis=1) / length, some * (1 - seen[:, ::-1].argmax(axis=1) / length)]
    left, right, top, bottom = edges
    return np.stack([left, top, right, bottom, masks.mean(axis=(1, 2))], axis=1)


def mask_features(masks: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Small copies of masks: share of the fan in each of `side` × `side` squares.

    Parameters
    ----------
    masks
        Bool (n, height, width), at least `side` px on each side.
    side
        Squares along each side.

    Returns
    -------
    ndarray, float32 (n, side²) in [0, 1]

    Raises
    ------
    FetalkitError
        When the masks are smaller than that.
    """
    if min(masks.shape[1:]) < side:
        raise FetalkitError(f"masks of {masks.shape[1]} × {masks.shape[2]} px are smaller than {side} × {side} squares")
    return functional.adaptive_avg_pool2d(torch.from_numpy(masks).float(), side).flatten(1).numpy()


def centre_from(features: np.ndarray, centres: Names, patients: Names, seed: int) -> Separability:
    """How well a random forest names the centre of an image from `features`, on patients that it has not seen.

    A forest [1]_, since a centre's sizes lie between those of others, where no line parts them. Its balanced accuracy is set
    against chance, 1 / centres, by the interval that `fetalkit.metrics.separability.Separability` describes. scikit-learn's
    ``permutation_test_score`` is no help here: given the patients as groups, it changes labels only within a patient, where all
    are equal.

    Parameters
    ----------
    features
        (n, d), e.g. from `size_features`, `box_features` or `mask_features`.
    centres, patients
        (n,), of each row; at least five patients per centre.
    seed
        Of the folds and of the forest.

    Returns
    -------
    Separability
        The centre is told from these features where ``low`` is above ``chance``.

    Raises
    ------
    FetalkitError
        As `fetalkit.metrics.separability.tell_apart` does.

    References
    ----------
    .. [1] Breiman L. Random forests. Machine Learning 45, 5-32 (2001).
    """
    forest = RandomForestClassifier(TREES, min_samples_leaf=LEAF, class_weight="balanced", random_state=seed)
    return tell_apart(features, centres, patients, seed, forest)


def centre_table(features: Mapping[str, np.ndarray], centres: Names, patients: Names, seed: int) -> pd.DataFrame:
    """`centre_from` for several kinds of features.

    Parameters
    ----------
    features
        Name of the kind → (n, d).
    centres, patients, seed
        As for `centre_from`.

    Returns
    -------
    pandas.DataFrame
        ``features``, ``balanced_accuracy``, ``low``, ``high``, ``spread``, ``chance`` (all 0-1), one row per kind. Centres with
        fewer than five patients are left out; NaN where that leaves fewer than two.
    """
    places, people = np.asarray(centres), np.asarray(patients)
    for of in features.values():
        checked(of, places=places, patients=people)
    used = large_enough(places, people)
    several = len(set(places[used])) > 1
    missing = Separability(*[np.nan] * 4, chance=1 / max(len(set(places)), 1))
    return pd.DataFrame(
        [
            {
                "features": name,
                **asdict(centre_from(of[used], places[used], people[used], seed) if several else missing),
            }
            for name, of in features.items()
        ]
    )


def standardise_mask(images: np.ndarray) -> tuple[np.ndarray, int]:
    """Give all images one outline: the largest disc that fits into the fan, enlarged to fill the image, black around it.

    No part of the fan's border is inside that disc, whatever its shape, so anatomy, shadows and grey levels alone are left to
    tell the centre by. The enlargement is the same along both sides: nothing is distorted. It does blur small fans more than
    large ones, which fine texture still shows.

    On spain and africa the disc keeps 54 to 72 % of a fan's area (median of each centre). The mask of the result, which dark
    anatomy and shadows still shape, tells the six centres with a balanced accuracy of 31 %, that of the images as they are
    with 98 %; chance is 17 %. Two ways that keep the box around the fan were tried: the ellipse in it told 82 %; the pixels
    that 80 % of every centre's fans cover told 49 % and kept less, 49 % of the box.

    Parameters
    ----------
    images
        uint8 (n, size, size).

    Returns
    -------
    images : ndarray, uint8 (n, size, size)
        Changed copies; an image without a fan is left as it is.
    left : int
        How many were left as they are.

    Raises
    ------
    FetalkitError
        When `images` has another shape or type.
    """
    masks = fan_masks(images)
    size, changed, left = images.shape[1], images.copy(), 0
    middle = np.arange(size) + 0.5 - size / 2
    disc = np.hypot(middle[:, None], middle) <= size / 2
    for number, mask in enumerate(masks):
        if not mask.any():
            left += 1
            continue
        whole = Image.fromarray(images[number])
        enlarged = whole.resize((size, size), Image.Resampling.LANCZOS, box=_box_of_disc(mask))
        changed[number] = np.asarray(enlarged) * disc
    return changed, left


def _box_of_disc(mask: np.ndarray) -> tuple[float, float, float, float]:
    """Left, top, right and bottom, in px, of the box around the largest disc in a mask that is not empty."""
    # What lies outside the image is outside the fan.
    distance = np.asarray(ndimage.distance_transform_edt(np.pad(mask, 1)))[1:-1, 1:-1]
    # Many discs are about as large in a fan with straight sides: the one in their middle is taken.
    places = np.argwhere(distance > distance.max() - 0.5)
    y, x = places[np.square(places - places.mean(axis=0)).sum(axis=1).argmin()]
    radius = distance[y, x] - 0.5  # the distance is to the middle of the nearest pixel outside
    return x + 0.5 - radius, y + 0.5 - radius, x + 0.5 + radius, y + 0.5 + radius
