"""How far apart the images of two hospitals are, before any classifier of planes is trained.

Three views of the same gap. The *proxy A-distance* asks how well a classifier tells the hospitals apart. The *Fréchet distance*
compares their feature vectors. *Average images and power spectra* show what differs to the eye. The first two have a reference:
what they give for two halves of one hospital's patients, between which there is no gap.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement

import numpy as np
import pandas as pd
import torch
from scipy import stats
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fetalkit.metrics import distances, speckle
from fetalkit.metrics.compare import ALL
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.streams import rng

FOLDS = 5
DRAWS = 10
FEWEST = 8  # images on either side: of fewer, a Fréchet distance says more of the draw than of the hospitals


@dataclass(frozen=True)
class Told:
    """How well a classifier tells images of several places apart, on patients that it has not seen.

    Attributes
    ----------
    balanced_accuracy
        Mean over places of the share of images that are told right, in [0, 1]; mean over the folds.
    low, high
        Its 95 % interval, after Nadeau and Bengio [1]_: folds share their training images, so the variance of the mean over k
        of them is ``(1 / k + 1 / (k - 1)) * spread**2``, with Student's quantile for k - 1. In simulated pairs and triples of
        places, with and without a gap, it held the mean in 94 to 98 %, an interval over test patients alone in 83 to 94 %.
    spread
        Standard deviation over the folds.
    chance
        Balanced accuracy of any guess that does not look at the image: one over the number of places.

    References
    ----------
    .. [1] Nadeau C, Bengio Y. Inference for the generalization error. Machine Learning 52, 239-281 (2003).
    """

    balanced_accuracy: float
    low: float
    high: float
    spread: float
    chance: float


@dataclass(frozen=True)
class ProxyDistance:
    """Proxy A-distance of two places with its 95 % interval, all in [0, 2], and how well they are told apart."""

    distance: float
    low: float
    high: float
    told: Told


def tell_apart(
    features: np.ndarray, places: Sequence[str], patients: Sequence[str], seed: int, classifier: ClassifierMixin
) -> Told:
    """Train `classifier` to name the place of an image, and test it on the patients of the other folds.

    Five folds, stratified by place, with all images of a patient in one of them. The same name is the same patient, in
    whatever place.

    Parameters
    ----------
    features
        (n, d), finite.
    places, patients
        (n,), the place and the patient of each row; at least five patients of each place.
    seed
        Of the folds.
    classifier
        From scikit-learn, not fitted yet; it must weight the places equally.

    Raises
    ------
    FetalkitError
        When the lengths do not fit, a feature is not finite, or there are too few places or patients.
    """
    features, places, patients = _checked(features, places=places, patients=patients)
    of = pd.DataFrame({"place": places, "patient": patients}).groupby("place").patient.nunique()
    if len(of) < 2 or of.min() < FOLDS:
        counts = ", ".join(f"{place} {number}" for place, number in of.items())
        raise FetalkitError(f"patients per place: {counts}; two places with at least {FOLDS} patients each are needed")
    numbers = np.unique(places, return_inverse=True)[1]  # scikit-learn's weights fail for names that are digits
    folds = list(StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed).split(features, numbers, patients))
    right = pd.Series(cross_val_predict(classifier, features, numbers, cv=folds) == numbers)
    each = [right.iloc[test].groupby(numbers[test]).mean().mean() for _, test in folds]
    mean, spread = float(np.mean(each)), float(np.std(each, ddof=1))
    half = float(stats.t.ppf(0.975, FOLDS - 1)) * spread * (1 / FOLDS + 1 / (FOLDS - 1)) ** 0.5
    return Told(mean, max(mean - half, 0.0), min(mean + half, 1.0), spread, 1 / len(of))


def proxy_a_distance(
    a: np.ndarray, b: np.ndarray, groups_a: Sequence[str], groups_b: Sequence[str], seed: int
) -> ProxyDistance:
    """Proxy A-distance: ``2 (1 - 2 err)``, where err is the error of a linear classifier that tells two places apart.

    0 where they cannot be told apart, 2 where they always can. The classifier is a logistic regression on standardised
    features; its error is the balanced one, on patients that it has not seen, so that places of unequal n are weighted
    equally. A classifier worse than chance counts as chance.

    Parameters
    ----------
    a, b
        Features, (n, d) and (m, d).
    groups_a, groups_b
        (n,) and (m,), the patients; a name that stands in both is one patient.
    seed
        Of the folds.

    Raises
    ------
    FetalkitError
        As `tell_apart` does, and when the features differ in d.

    References
    ----------
    Ben-David S, Blitzer J, Crammer K, Pereira F. Analysis of representations for domain adaptation. NIPS 2006 (published
    2007), 137-144.
    """
    (a, groups_a), (b, groups_b) = _checked(a, groups_a=groups_a), _checked(b, groups_b=groups_b)
    if a.shape[1] != b.shape[1]:
        raise FetalkitError(f"{a.shape[1]} and {b.shape[1]} features: both places must be of one feature space")
    linear = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    places = np.repeat(["a", "b"], [len(a), len(b)])
    told = tell_apart(np.concatenate([a, b]), places, np.concatenate([groups_a, groups_b]), seed, linear)
    distance, low, high = (
        float(np.clip(4 * value - 2, 0, 2)) for value in (told.balanced_accuracy, told.low, told.high)
    )
    return ProxyDistance(distance, low, high, told)


def proxy_between(features: np.ndarray, centres: Sequence[str], patients: Sequence[str], seed: int) -> pd.DataFrame:
    """Proxy A-distance of every pair of centres, and of two halves of the patients of each.

    Parameters
    ----------
    features
        (n, d).
    centres, patients
        (n,), of each row.
    seed
        Of the halves and of the folds.

    Returns
    -------
    pandas.DataFrame
        ``a``, ``b`` (the same name twice for the halves of a centre), ``n_a``, ``n_b`` (images), ``distance``, ``low``,
        ``high`` (0-2), ``balanced_accuracy``, ``spread`` (0-1). Pairs first, then halves. NaN for halves with fewer than five
        patients each.

    Raises
    ------
    FetalkitError
        As `proxy_a_distance` does.
    """
    features, centres, patients = _checked(features, centres=centres, patients=patients)
    names = sorted(set(centres))
    sides = [(a, b, np.flatnonzero(centres == a), np.flatnonzero(centres == b)) for a, b in combinations(names, 2)]
    sides += [(name, name, *_halves(np.flatnonzero(centres == name), patients, seed, name)) for name in names]
    rows = []
    for a, b, of_a, of_b in sides:
        row = {"a": a, "b": b, "n_a": len(of_a), "n_b": len(of_b)}
        if a != b or min(len(set(patients[of_a])), len(set(patients[of_b]))) >= FOLDS:
            found = proxy_a_distance(features[of_a], features[of_b], patients[of_a], patients[of_b], seed)
            row |= {"distance": found.distance, "low": found.low, "high": found.high}
            row |= {"balanced_accuracy": found.told.balanced_accuracy, "spread": found.told.spread}
        rows.append(row)
    columns = ["a", "b", "n_a", "n_b", "distance", "low", "high", "balanced_accuracy", "spread"]
    return pd.DataFrame(rows, columns=columns)


def frechet_between(
    features: np.ndarray,
    centres: Sequence[str],
    patients: Sequence[str],
    planes: Sequence[str],
    seed: int,
    draws: int = DRAWS,
    fewest: int = FEWEST,
) -> pd.DataFrame:
    """Fréchet distance between every pair of centres, beside that between two halves of one centre.

    The distance is not 0 for two draws from one centre, and it grows as n shrinks. So all pairs are drawn in one way: of each
    centre, half the patients at random, and of them as many images of a plane as the half with the fewest has. A distance
    between centres is then as large as that within a centre if there is no gap, whatever the numbers of images are.

    Parameters
    ----------
    features
        (n, d).
    centres, patients, planes
        (n,), of each row.
    seed
        Of the halves and of the images drawn.
    draws
        How often halves and images are drawn; at least 2.
    fewest
        Images on either side that a distance is taken of, at least 2. A centre with fewer of a plane in a half is left out of
        that plane's distances.

    Returns
    -------
    pandas.DataFrame
        ``a``, ``b`` (the same name twice: within that centre), ``plane`` (``"all"`` or a name), ``n`` (images on either
        side), ``fd`` (mean over draws), ``sd`` (over draws), ``within`` (mean of the two centres' references). NaN, with n = 0,
        where a centre has too few images. ``"all"`` is of the planes that every centre has.

    Raises
    ------
    FetalkitError
        When the lengths do not fit, a feature is not finite, or `draws` or `fewest` is below 2.
    """
    if min(draws, fewest) < 2:
        raise FetalkitError(f"{draws} draws of at least {fewest} images: a Fréchet distance needs two of both")
    features, centres, patients, planes = _checked(features, centres=centres, patients=patients, planes=planes)
    names, kinds = sorted(set(centres)), sorted(set(planes))
    rows = {name: np.flatnonzero(centres == name) for name in names}
    halves = [{name: _halves(rows[name], patients, seed, name, draw) for name in names} for draw in range(draws)]
    # Images of a plane that a centre has in each of its halves, in the worst draw.
    had = pd.DataFrame(
        {
            name: {kind: min((planes[half] == kind).sum() for draw in halves for half in draw[name]) for kind in kinds}
            for name in names
        }
    )
    found = []
    for plane in (ALL, *kinds):
        if plane == ALL:
            # Equal planes on both sides, or their shares would count as a gap; a plane that some centre lacks drops out.
            number = had.min(axis=1)
            able = names if number.sum() >= fewest else []
        else:
            able = [name for name in names if had.loc[plane, name] >= fewest]
            number = had.loc[[plane], able].min(axis=1)
        drawn = [
            {
                (name, side): features[_drawn(draw[name][side], planes, number, seed, name, side, turn)]
                for name in able
                for side in (0, 1)
            }
            for turn, draw in enumerate(halves)
        ]
        for a, b in combinations_with_replacement(names, 2):
            row = {"a": a, "b": b, "plane": plane, "n": 0, "fd": np.nan, "sd": np.nan}
            if a in able and b in able:
                values = [distances.frechet(sets[a, 0], sets[b, 1]) for sets in drawn]
                row |= {"n": int(number.sum()), "fd": np.mean(values), "sd": np.std(values, ddof=1)}
            found.append(row)
    table = pd.DataFrame(found)
    own = table[table.a == table.b].set_index(["a", "plane"]).fd
    references = [own.loc[list(zip(table[side], table.plane, strict=True))].to_numpy() for side in ("a", "b")]
    return table.assign(within=np.mean(references, axis=0))


def matrix(table: pd.DataFrame, plane: str = ALL, value: str = "fd") -> pd.DataFrame:
    """Square matrix, centre by centre, of a column of `frechet_between`; with ``fd`` the references are on the diagonal.

    Raises
    ------
    FetalkitError
        When the table has no such plane.
    """
    rows = table[table.plane == plane]
    if rows.empty:
        raise FetalkitError(f"no plane {plane!r} in the table; there are {', '.join(dict.fromkeys(table.plane))}")
    half = rows.pivot(index="a", columns="b", values=value)
    return half.combine_first(half.T).rename_axis(index=None, columns=None)


def mean_images(images: np.ndarray, centres: Sequence[str]) -> dict[str, np.ndarray]:
    """Average image of every centre.

    Parameters
    ----------
    images
        uint8 (n, size, size).
    centres
        (n,), of each image.

    Returns
    -------
    dict
        Centre → float (size, size) in [0, 255], centres sorted.

    Raises
    ------
    FetalkitError
        When the shapes or types do not fit.
    """
    centres = _of_images(images, centres)
    return {name: images[centres == name].mean(axis=0) for name in sorted(set(centres))}


def radial_spectrum(images: np.ndarray, centres: Sequence[str]) -> pd.DataFrame:
    """Power spectrum of every centre, as `fetalkit.metrics.speckle.measure` takes it: the mean over directions and images.

    Parameters
    ----------
    images
        uint8 (n, size, size).
    centres
        (n,), of each image.

    Returns
    -------
    pandas.DataFrame
        Index ``cycles`` (per image, 1 to size // 2), a column per centre, sorted; in squared grey levels.

    Raises
    ------
    FetalkitError
        When the shapes or types do not fit.
    """
    centres = _of_images(images, centres)
    power = {name: speckle.measure(images[centres == name]).power for name in sorted(set(centres))}
    return pd.DataFrame(power, index=pd.RangeIndex(1, images.shape[1] // 2 + 1, name="cycles"))


def _halves(rows: np.ndarray, patients: np.ndarray, seed: int, *key: int | str) -> tuple[np.ndarray, np.ndarray]:
    """Two parts of `rows`, with every other patient of a random order in each."""
    names = np.array(sorted(set(patients[rows])))
    order = torch.randperm(len(names), generator=rng(seed, "gap", "halves", *key)).numpy()
    first = np.isin(patients[rows], names[order[::2]])
    return rows[first], rows[~first]


def _drawn(rows: np.ndarray, planes: np.ndarray, number: pd.Series, seed: int, *key: int | str) -> np.ndarray:
    """`number[plane]` of the rows of every plane, at random."""
    chosen = []
    for plane, n in number.items():
        mine = rows[planes[rows] == plane]
        order = torch.randperm(len(mine), generator=rng(seed, "gap", plane, *key)).numpy()
        chosen.append(mine[order[:n]])
    return np.concatenate(chosen)


def _checked(features: np.ndarray, **names: Sequence[str]) -> tuple[np.ndarray, ...]:
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


def _of_images(images: np.ndarray, centres: Sequence[str]) -> np.ndarray:
    centres = np.asarray(centres, dtype=str)
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1] != images.shape[2] or not len(images):
        raise FetalkitError(f"images are {images.dtype} {images.shape}; uint8 (n, size, size) is needed, n at least 1")
    if centres.shape != images.shape[:1]:
        raise FetalkitError(
            f"{len(images)} images but centres of shape {centres.shape}: name the centre of every image"
        )
    return centres
