"""Intervals and tests of a mean over test patients and seeds, both of which are random samples.

A study has few seeds (each is another draw of the training subset, of the initial weights and of the generator) and many
test patients (each with one or more images), and every seed is tested on every patient. What is wanted is the mean over
all seeds and patients that might have been drawn.

**The interval.** The variance of the mean is taken apart as in a two-way analysis of variance [1]_: ``patients`` is the
variance over patients with the seeds held (images of a patient stay together), ``seeds`` that over seeds with the patients
held, and ``both`` the part that stands in both, from what differs from one pair of seed and patient to another. The whole
is (``patients`` - ``both``) + ``seeds``. Three seeds tell little of how much seeds differ, so each part gets a quantile of its
own, after Howe [2]_: half the width of the interval is the root of ::

    c * max(patients - both, 0) + t**2 * seeds,    but at least    u**2 * patients

with Student's quantiles t for d = seeds - 1 degrees of freedom and u for patients - 1. Howe has c = u**2, which covers too
often; c = t**2 * (d - 1) / (t**2 + d) takes away the first-order error of the coverage where ``seeds`` is the large part.
The second line is the interval with the seeds held fixed, which no wider question can answer more narrowly: few seeds agree by
chance now and then, and ``seeds`` is then far too small.

**Measured** in 48 kinds of studies without an effect, 2,000 of each: 60 patients with 197 images or 422 with 778, accuracy 60,
75 or 90 %, 3 seeds, runs that differ by 0, 1, 2 or 3 points, arms that do or do not differ on single patients and images.

==============================  ===============  ==================  =================
points that runs differ by      0                1                   2 and 3
==============================  ===============  ==================  =================
covers zero, % of studies       98.0 to 98.8     97.3 to 98.9        95.0 to 98.4
of the fifth whose seeds agree  93.4 to 96.1     87.8 to 96.5        76.6 to 92.3
p < 0.01, % of studies          0.00 to 0.20     0.00 to 0.35        0.20 to 1.15
==============================  ===============  ==================  =================

With 5 seeds, 500 of each kind: 96.5 % (93.8 to 99.0) of all, 89.8 % of that fifth, p < 0.01 in 0.55 % (0.00 to 1.60).
``benchmarks/coverage.py`` measures it again.

The fifth with the smallest ``seeds`` is covered less often where runs truly differ, as it must be: three runs cannot know
that they agree by chance. Without the second line the interval was narrower than with the seeds held in 14 % of all studies
(22 % where runs do not differ; in a published study in 20 of 52 rows), covered 73 to 89 % of that fifth, and was only 1.4 %
narrower on average. In the same studies: bootstrap percentiles over patients and seeds [3]_ 84 to 99.7 %, two-way
cluster-robust variance with Satterthwaite's degrees of freedom 91 to 99 %, with seeds - 1 of them 87 to 100 %. With two seeds
it is very wide, as it has to be.

References
----------
.. [1] Cameron AC, Gelbach JB, Miller DL. Robust inference with multiway clustering. J Bus Econ Stat 29, 238-249 (2011).
.. [2] Howe WG. Approximate confidence limits on the mean of X + Y where X and Y are two tabled independent random
   variables. J Am Stat Assoc 69, 789-794 (1974).
.. [3] Owen AB. The pigeonhole bootstrap. Ann Appl Stat 1, 386-411 (2007).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, special, stats
from statsmodels.stats.multitest import multipletests

from fetalkit.utils.errors import FetalkitError

MISSES = 0.05  # how often a 95 % interval may miss
SMALLEST_P = 1e-12


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval, all as fractions; NaN where there is none."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Gain(Interval):
    """A mean difference with its 95 % interval, as fractions, and the two-sided p-value of no difference."""

    p: float


def gain(differences: np.ndarray, patients: Sequence[str] | np.ndarray) -> Gain:
    """Mean difference of two arms that were tested with the same seeds on the same images.

    Parameters
    ----------
    differences
        (seeds, images), in [-1, 1]: whether the arm is right, minus whether the control is; or a mean of such over classifiers.
    patients
        (images,), the patient of each.

    Returns
    -------
    Gain
        The mean over seeds and images. p < 0.05 exactly where the interval leaves out zero; no p is below 1e-12. With one
        seed the interval is over patients alone. All NaN where a difference is; with fewer than two patients there is an
        estimate alone.

    Raises
    ------
    FetalkitError
        When the shapes do not fit each other.
    """
    values, clusters = _checked(differences, patients)
    estimate, parts = float(values.mean()), Parts.of(values, clusters)
    half = parts.half_width(MISSES)
    return Gain(estimate, max(estimate - half, -1.0), min(estimate + half, 1.0), parts.p_value(estimate))


def accuracy(correct: np.ndarray, patients: Sequence[str] | np.ndarray) -> Interval:
    """Accuracy of one arm, with the interval of `gain`.

    Parameters
    ----------
    correct
        (seeds, images), in [0, 1]: whether the arm is right, or the share of classifiers that are.
    patients
        (images,), the patient of each.

    Raises
    ------
    FetalkitError
        When the shapes do not fit each other.
    """
    values, clusters = _checked(correct, patients)
    estimate, half = float(values.mean()), Parts.of(values, clusters).half_width(MISSES)
    return Interval(estimate, max(estimate - half, 0.0), min(estimate + half, 1.0))


def sign_flip(differences: np.ndarray, patients: Sequence[str] | np.ndarray, permutations: int, seed: int) -> float:
    """Two-sided p-value of a permutation test: without an effect, arm and control may change places in any patient.

    Takes the seeds as they are (their mean), so it speaks of these runs and not of others. With one seed and one image
    per patient it is the exact McNemar test.

    Parameters
    ----------
    differences, patients
        As for `gain`.
    permutations
        Random ones to draw; all are gone through instead if there are no more than this many.
    seed
        Of the permutations.

    Returns
    -------
    float
        In (0, 1]; NaN where a difference is.

    Raises
    ------
    FetalkitError
        When the shapes do not fit each other.
    """
    values, clusters = _checked(differences, patients)
    if np.isnan(values).any():
        return float("nan")
    sums = np.bincount(clusters, values.mean(axis=0))
    sums = sums[~np.isclose(sums, 0)]  # their signs change nothing
    if len(sums) < 2:
        return 1.0
    test = stats.permutation_test(
        (sums,),
        np.sum,
        permutation_type="samples",
        n_resamples=permutations,
        batch=1000,
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """P-values adjusted for their number; one that is NaN stays so and does not count.

    References
    ----------
    Holm S. A simple sequentially rejective multiple test procedure. Scand J Stat 6, 65-70 (1979).
    """
    given = np.asarray(p_values, dtype=float)
    adjusted, known = np.full(given.shape, np.nan), ~np.isnan(given)
    if known.any():
        adjusted[known] = multipletests(given[known], method="holm")[1]
    return adjusted


def parts(differences: np.ndarray, patients: Sequence[str] | np.ndarray) -> "Parts":
    """Variance parts of a mean difference; arguments and errors as for `gain`."""
    return Parts.of(*_checked(differences, patients))


def half_width(
    patients: np.ndarray | float,
    seeds: np.ndarray | float,
    both: np.ndarray | float,
    n_patients: int,
    n_seeds: int,
    misses: float,
) -> np.ndarray:
    """Half the widths of intervals from the parts of their variances, as the module's docstring says.

    Parameters
    ----------
    patients, seeds, both
        Parts, of one shape.
    n_patients, n_seeds
        Numbers of patients and seeds.
    misses
        Probability with which the interval may miss, in (0, 1).
    """
    held = special.stdtrit(n_patients - 1, misses / 2) ** 2 * np.asarray(patients, dtype=float)
    if n_seeds == 1:
        return np.sqrt(held)
    freedom = n_seeds - 1
    over_seeds = special.stdtrit(freedom, misses / 2) ** 2
    weight = over_seeds * (freedom - 1) / (over_seeds + freedom)
    return np.sqrt(np.maximum(weight * np.maximum(patients - both, 0.0) + over_seeds * seeds, held))


@dataclass(frozen=True)
class Parts:
    """Variance of a mean over seeds and patients, in the parts that the module's docstring names; NaN where unknown."""

    patients: float
    seeds: float
    both: float
    n_patients: int
    n_seeds: int

    @classmethod
    def of(cls, values: np.ndarray, clusters: np.ndarray) -> "Parts":
        """Of values (seeds, images) and the number of each image's patient."""
        n_seeds, n_patients = len(values), clusters.max() + 1
        if n_patients < 2:
            return cls(np.nan, np.nan, np.nan, n_patients, n_seeds)
        means = values.mean(axis=1)
        # What a patient adds to the mean of a seed; the patients' sum is zero.
        residuals = (values - means[:, None]) / values.shape[1]
        scores = np.stack([np.bincount(clusters, row, n_patients) for row in residuals])
        small_sample = n_patients / (n_patients - 1)
        patients = small_sample * np.square(scores.mean(axis=0)).sum()
        if n_seeds == 1:
            return cls(patients, 0.0, 0.0, n_patients, n_seeds)
        both = small_sample * scores.var(axis=0, ddof=1).sum() / n_seeds
        return cls(patients, means.var(ddof=1) / n_seeds, both, n_patients, n_seeds)

    def half_width(self, misses: float) -> float:
        """Half the width of the interval that misses with the probability `misses`."""
        return float(half_width(self.patients, self.seeds, self.both, self.n_patients, self.n_seeds, misses))

    def p_value(self, estimate: float) -> float:
        """Of the interval that just reaches zero."""

        def excess(misses: float) -> float:
            return self.half_width(misses) - abs(estimate)

        if np.isnan(excess(MISSES)):
            return float("nan")
        if estimate == 0:
            return 1.0
        if excess(SMALLEST_P) <= 0:
            return SMALLEST_P
        root: Any = optimize.brentq(excess, SMALLEST_P, 1.0, xtol=1e-13)
        return float(root)


def _checked(values: np.ndarray, patients: Sequence[str] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values (seeds, images) and the number of each image's patient."""
    values, names = np.asarray(values, dtype=float), np.asarray(patients)
    if values.ndim != 2 or not values.size:
        raise FetalkitError(f"{values.shape} values: there must be one row per seed and one column per image")
    if names.shape != values.shape[1:]:
        raise FetalkitError(f"{values.shape[1]} images but {names.shape} patients: name the patient of every image")
    return values, np.unique(names, return_inverse=True)[1]
