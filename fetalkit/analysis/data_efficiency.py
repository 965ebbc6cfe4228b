"""How many real images does a pre-training replace? The replacement curve.

An arm that is as accurate with k real images per plane as its control is with 2k doubles the images: its factor is 2. The
control's accuracy at each k is made monotone and drawn as straight lines over log k. On this curve, the arm's gain at k is
added to the control's accuracy at k, and the curve is read backwards at that height. So no gain gives 1, even where chance has
bent the curve. Nothing is read beyond the smallest and the largest k: there the factor is a bound.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from fetalkit.utils.errors import FetalkitError

QUANTILES = (0.025, 0.975)
ROUNDING = 1e-9  # of an accuracy; smaller gains are none


@dataclass(frozen=True)
class ReplacementCurve:
    """By which factor an arm multiplies the real images.

    Attributes
    ----------
    factor, low, high
        Geometric mean of the factors at all k but the largest, with its 95 % interval.
    bound
        ``""``, or what `factor` is if it contains bounds: ``"at least"``, ``"at most"``, or ``"unclear"`` if it has both kinds.
    table
        One row per k: ``k`` (images per plane), ``equivalent`` (images per plane with which the control alone would be as
        accurate), ``factor`` (the one by the other), ``low`` and ``high`` (its 95 % interval) and ``bound`` (``""``,
        ``"at least"``, ``"at most"``).
    """

    factor: float
    low: float
    high: float
    bound: str
    table: pd.DataFrame


def replacement_curve(
    control: Mapping[str, np.ndarray],
    arm: Mapping[str, np.ndarray],
    images_per_plane: Mapping[str, float],
    patients: Sequence[str],
    *,
    resamples: int,
    seed: int,
) -> ReplacementCurve:
    """Factor by which an arm multiplies the real images, with an interval over patients and seeds.

    The interval is a percentile bootstrap of both arms and all k together: patients are drawn with replacement, and the seeds'
    deviations from their mean get common random weights, normal ones divided so that every accuracy varies like Student's t
    with seeds - 1 degrees of freedom (three seeds drawn with replacement would vary too little). Where the factor is a bound,
    so is the end of the interval.

    Parameters
    ----------
    control, arm
        By name of k: (seeds, test images), in [0, 1], whether the classifier is right or the share of classifiers that are.
        Both have the same names; so does `images_per_plane`, which may have more.
    images_per_plane
        Real training images per plane behind each name.
    patients
        (test images,), the patient of each.
    resamples
        Number of resamples.
    seed
        Of the resampling.

    Returns
    -------
    ReplacementCurve
        All numbers are NaN if one of the values is.

    Raises
    ------
    FetalkitError
        With fewer than two k, or when names or shapes do not fit.

    References
    ----------
    Davison AC, Hinkley DV. Bootstrap Methods and their Application. Cambridge University Press (1997), sections 2.4, 3.8.
    """
    names = sorted(control, key=lambda name: images_per_plane[name])
    _check(control, arm, names, patients)
    k = np.array([images_per_plane[name] for name in names], dtype=float)
    values = np.array([[of[name] for name in names] for of in (control, arm)], dtype=float)
    (log_factors,), (bounds,) = replaced(values.mean(axis=(2, 3))[None], np.log(k))
    drawn, _ = replaced(_resampled(values, patients, resamples, seed), np.log(k))
    lows, highs = np.exp(np.quantile(drawn, QUANTILES, axis=0))
    factors = np.exp(log_factors)
    low, high = np.exp(np.quantile(drawn[:, :-1].mean(axis=1), QUANTILES))
    return ReplacementCurve(
        factor=float(np.exp(log_factors[:-1].mean())),
        low=float(low),
        high=float(high),
        bound=_overall(bounds[:-1]),
        table=pd.DataFrame(dict(k=k, equivalent=factors * k, factor=factors, low=lows, high=highs, bound=bounds)),
    )


def _overall(bounds: np.ndarray) -> str:
    """What the mean of factors is, of which some are bounds."""
    kinds = sorted(set(bounds) - {""})
    return "unclear" if len(kinds) > 1 else "".join(kinds)


def replaced(accuracies: np.ndarray, log_k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of the factors at all k, and which of them are bounds.

    Parameters
    ----------
    accuracies
        (resamples, 2, k): of the control and of the arm.
    log_k
        (k,), increasing.

    Returns
    -------
    ndarray, ndarray
        Both (resamples, k); the second of ``""``, ``"at least"`` and ``"at most"``. Where an accuracy is NaN, all factors are.
    """
    control, gains = accuracies[:, 0], accuracies[:, 1] - accuracies[:, 0]
    known = np.asarray(~np.isnan(accuracies).any(axis=(1, 2)))
    curves = np.array([isotonic_regression(row).x if of else row for row, of in zip(control, known, strict=True)])
    aims = curves + np.where(np.abs(gains) < ROUNDING, 0.0, gains)
    # Where the curve is level a whole stretch has the same height; the place in it that is next to k counts.
    first = _read(curves, log_k, aims, (curves[:, None] < aims[:, :, None]).sum(axis=2))
    last = _read(curves, log_k, aims, (curves[:, None] <= aims[:, :, None]).sum(axis=2))
    bounds = np.select([aims > curves[:, -1:], aims < curves[:, :1]], ["at least", "at most"], "")
    return np.where(known[:, None], np.clip(log_k, first, last) - log_k, np.nan), bounds


def _read(curves: np.ndarray, log_k: np.ndarray, aims: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Where the curves have the heights `aims`, which lie above `below` points of them; or the end that is next to it."""
    right = np.clip(below, 1, len(log_k) - 1)
    low, high = (np.take_along_axis(curves, at, axis=1) for at in (right - 1, right))
    share = np.divide(aims - low, high - low, out=np.zeros_like(aims), where=high > low)
    places = log_k[right - 1] + share * (log_k[right] - log_k[right - 1])
    return np.select([below == 0, below == len(log_k)], [log_k[0], log_k[-1]], places)


def _resampled(values: np.ndarray, patients: Sequence[str], resamples: int, seed: int) -> np.ndarray:
    """Accuracies (resamples, 2, k) from `values` (2, k, seeds, images)."""
    random = np.random.default_rng(seed)
    names, cluster = np.unique(np.asarray(patients), return_inverse=True)
    membership = np.eye(len(names))[cluster]
    drawn = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    of_patients = np.einsum("rp,akp->rak", drawn, values.mean(axis=2) @ membership, optimize=True)
    of_patients /= (drawn @ membership.sum(axis=0))[:, None, None]
    n_seeds = values.shape[2]
    if n_seeds == 1:
        return of_patients
    of_seeds = values.mean(axis=3)
    freedom = n_seeds - 1
    weights = random.standard_normal((resamples, n_seeds)) / np.sqrt(
        random.chisquare(freedom, (resamples, 1)) * n_seeds
    )
    return of_patients + np.einsum("rs,aks->rak", weights, of_seeds - of_seeds.mean(axis=2, keepdims=True))


def _check(
    control: Mapping[str, np.ndarray], arm: Mapping[str, np.ndarray], names: Sequence[str], patients: Sequence[str]
) -> None:
    if len(names) < 2:
        raise FetalkitError(f"a replacement curve needs at least two numbers of images, not {names}")
    if set(arm) != set(control):
        raise FetalkitError(f"the arm has k = {sorted(arm)}, the control {sorted(control)}: they must be the same")
    shapes = {np.shape(of[name]) for of in (control, arm) for name in names}
    if len(shapes) > 1 or len(next(iter(shapes))) != 2 or next(iter(shapes))[1:] != np.shape(patients):
        raise FetalkitError(f"shapes {sorted(shapes)} for {len(patients)} images: all must be (seeds, images)")
