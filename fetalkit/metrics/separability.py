"""How well a classifier tells places apart, on patients that it has not seen: separability, and the proxy A-distance.

The reference of a proxy A-distance is what it is for two halves of one place's patients, between which there is no gap.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fetalkit.metrics.grouped import Names, checked, halves
from fetalkit.utils.errors import FetalkitError

FOLDS = 5


@dataclass(frozen=True)
class Separability:
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
    separability: Separability


def tell_apart(
    features: np.ndarray, places: Names, patients: Names, seed: int, classifier: BaseEstimator
) -> Separability:
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
    features, places, patients = checked(features, places=places, patients=patients)
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
    return Separability(mean, max(mean - half, 0.0), min(mean + half, 1.0), spread, 1 / len(of))


def large_enough(places: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Which rows, (n,) of bool, are of places with the five patients that `tell_apart` needs."""
    numbers = pd.DataFrame({"place": places, "patient": patients}).groupby("place").patient.nunique()
    return numbers.loc[places].to_numpy() >= FOLDS


def proxy_a_distance(a: np.ndarray, b: np.ndarray, groups_a: Names, groups_b: Names, seed: int) -> ProxyDistance:
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
    (a, groups_a), (b, groups_b) = checked(a, groups_a=groups_a), checked(b, groups_b=groups_b)
    if a.shape[1] != b.shape[1]:
        raise FetalkitError(f"{a.shape[1]} and {b.shape[1]} features: both places must be of one feature space")
    linear = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    places = np.repeat(["a", "b"], [len(a), len(b)])
    separability = tell_apart(np.concatenate([a, b]), places, np.concatenate([groups_a, groups_b]), seed, linear)
    distance, low, high = (
        float(np.clip(4 * value - 2, 0, 2))
        for value in (separability.balanced_accuracy, separability.low, separability.high)
    )
    return ProxyDistance(distance, low, high, separability)


def proxy_between(features: np.ndarray, centres: Names, patients: Names, seed: int) -> pd.DataFrame:
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
        ``high`` (0-2), ``balanced_accuracy``, ``spread`` (0-1). Pairs first, then halves. NaN where either
        side has fewer than five patients, as small hospitals have.

    Raises
    ------
    FetalkitError
        As `proxy_a_distance` does.
    """
    features, centres, patients = checked(features, centres=centres, patients=patients)
    names = sorted(set(centres))
    sides = [(a, b, np.flatnonzero(centres == a), np.flatnonzero(centres == b)) for a, b in combinations(names, 2)]
    sides += [(name, name, *halves(np.flatnonzero(centres == name), patients, seed, name)) for name in names]
    rows = []
    for a, b, of_a, of_b in sides:
        row = {"a": a, "b": b, "n_a": len(of_a), "n_b": len(of_b)}
        if min(len(set(patients[of_a])), len(set(patients[of_b]))) >= FOLDS:
            proxy = proxy_a_distance(features[of_a], features[of_b], patients[of_a], patients[of_b], seed)
            row |= {"distance": proxy.distance, "low": proxy.low, "high": proxy.high}
            row |= {"balanced_accuracy": proxy.separability.balanced_accuracy, "spread": proxy.separability.spread}
        rows.append(row)
    columns = ["a", "b", "n_a", "n_b", "distance", "low", "high", "balanced_accuracy", "spread"]
    return pd.DataFrame(rows, columns=columns)
