"""Does a generator copy its training images?

A synthetic image is a *near-copy* when it lies closer to a training image than all but 1 % of unseen real images do. The
distance of two vectors is the root of their mean squared difference: for pixels, the RMS difference in units of the full grey
scale, for features, the same per feature. Pixels find exact copies and miss those that are shifted or rescaled; features find
these. A smooth or dim image lies near to everything by pixels, so a large share by pixels alone may also mean blur: look at the
closest pairs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors
from statsmodels.stats.proportion import proportion_confint

from fetalkit.utils.errors import FetalkitError

QUANTILE = 0.01


@dataclass(frozen=True)
class Nearest:
    """The nearest training image of every query.

    Attributes
    ----------
    row
        Its row, int64 (n,).
    distance
        How far it is, float64 (n,).
    mirrored
        Whether its mirror image is meant, bool (n,).
    """

    row: np.ndarray
    distance: np.ndarray
    mirrored: np.ndarray


def pixels(images: np.ndarray) -> np.ndarray:
    """Images as vectors: float32 (n, height × width) in [0, 1] of uint8 (n, height, width)."""
    return images.reshape(len(images), -1).astype(np.float32) / 255


def mirrored(images: np.ndarray) -> np.ndarray:
    """The images, left and right exchanged."""
    return images[:, :, ::-1]


def nearest(queries: np.ndarray, train: np.ndarray, mirrored_train: np.ndarray | None = None) -> Nearest:
    """Nearest training vector of each query.

    Parameters
    ----------
    queries
        (n, d), e.g. `pixels` of images or their features.
    train
        (m, d).
    mirrored_train
        (m, d), of the mirrored training images, in the same order. A generator that trains with mirrored images may copy
        either; the nearer one counts.
    """
    candidates = train if mirrored_train is None else np.concatenate([train, mirrored_train])
    queries, candidates = (np.asarray(x, dtype=np.float64) for x in (queries, candidates))
    row = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(candidates).kneighbors(queries)[1][:, 0]
    # Once more, directly: the search computes distances from products, which leaves rounding noise where they are zero.
    distance = np.sqrt(np.square(queries - candidates[row]).mean(axis=1))
    return Nearest(row % len(train), distance, row >= len(train))


def nearest_images(queries: np.ndarray, train: np.ndarray) -> Nearest:
    """Nearest training image of each query by pixels, mirrored or not; all images uint8, (n or m, height, width)."""
    return nearest(pixels(queries), pixels(train), pixels(mirrored(train)))


def threshold(unseen: np.ndarray, quantile: float = QUANTILE) -> float:
    """Distance below which an image is a near-copy.

    Parameters
    ----------
    unseen
        Distances of unseen real images (test or validation) to their nearest training image. Zeros are left out: such an
        image is a duplicate of a training image and says nothing about how alike two different pictures can be.
    quantile
        Share of the unseen images that lie below.

    Raises
    ------
    FetalkitError
        When no unseen image is left.
    """
    different = np.asarray(unseen)[np.asarray(unseen) > 0]
    if not len(different):
        raise FetalkitError("memorisation: every unseen real image repeats a training image; run 03_splits again")
    return float(np.quantile(different, quantile))


def share(distances: np.ndarray, limit: float) -> dict[str, float | int]:
    """Share of near-copies with its 95 % interval.

    Parameters
    ----------
    distances
        Of synthetic images to their nearest training image.
    limit
        As `threshold` returns it.

    Returns
    -------
    dict
        ``share``, ``low``, ``high`` (all 0-1; Wilson's interval), ``threshold``, ``n``. About 0.01 is expected where nothing is
        copied and the images are as varied as real ones.

    References
    ----------
    Wilson EB. Probable inference, the law of succession, and statistical inference. JASA 22, 209-212 (1927).
    """
    distances = np.asarray(distances)
    copied = distances < limit
    low, high = _wilson(int(copied.sum()), len(copied))
    return {
        "share": float(copied.mean()),
        "low": low,
        "high": high,
        "threshold": float(limit),
        "n": len(distances),
    }


def pooled(shares: Sequence[Mapping[str, float]]) -> dict[str, float | int]:
    """One share of several generators of a kind, trained with different seeds, with its 95 % interval.

    Images of one generator are alike in being copies or not. So the number of images that the interval counts is divided by the
    design effect: how much more the shares vary from seed to seed than images of one coin would. Few seeds tell little of that;
    the design effect is never taken below 1.

    Parameters
    ----------
    shares
        What `share` returns, one per seed.

    Returns
    -------
    dict
        As `share`; ``n`` is the sum, ``threshold`` the mean.

    References
    ----------
    Rao JNK, Scott AJ. A simple method for the analysis of clustered binary data. Biometrics 48, 577-585 (1992).
    """
    n = np.array([each["n"] for each in shares], dtype=float)
    copies = n * [each["share"] for each in shares]
    copied = float(copies.sum() / n.sum())
    effect = 1.0
    if len(n) > 1 and 0 < copied < 1:
        between = len(n) / (len(n) - 1) * np.square(copies - n * copied).sum() / n.sum() ** 2
        effect = max(1.0, between * n.sum() / (copied * (1 - copied)))
    effective = n.sum() / effect  # of images; it need not be a whole number
    low, high = _wilson(copies.sum() / effect, effective)
    limit = float(np.mean([each["threshold"] for each in shares]))
    return {"share": copied, "low": low, "high": high, "threshold": limit, "n": int(n.sum())}


def _wilson(count: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share; `n` need not be a whole number."""
    ends: Any = proportion_confint(count, n, method="wilson")
    return float(ends[0]), float(ends[1])


def closest(matches: Nearest, count: int) -> pd.DataFrame:
    """The `count` closest pairs, closest first: ``synthetic`` and ``train`` (rows), ``distance``, ``mirrored``."""
    order = np.argsort(matches.distance, kind="stable")[:count]
    return pd.DataFrame(
        {
            "synthetic": order,
            "train": matches.row[order],
            "distance": matches.distance[order],
            "mirrored": matches.mirrored[order],
        }
    )


def near_copies(
    synthetic: np.ndarray, train: np.ndarray, validation: np.ndarray, quantile: float = QUANTILE
) -> np.ndarray:
    """Which synthetic images are near-copies by pixels, e.g. to drop them before training a classifier.

    The threshold comes from validation images, so that what a classifier is trained on never depends on test images.

    Parameters
    ----------
    synthetic, train, validation
        uint8 (n, height, width) each; `train` is what the generator has seen.
    quantile
        Of the distances validation → train.

    Returns
    -------
    ndarray, bool (n,)

    Raises
    ------
    FetalkitError
        When every validation image repeats a training image.
    """
    limit = threshold(nearest_images(validation, train).distance, quantile)
    return nearest_images(synthetic, train).distance < limit
