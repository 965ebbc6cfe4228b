"""How small a true gain a study could have found: the power of a comparison, from the variances that it has measured.

A difference is taken as the sum of a true gain, normal effects of patients and of seeds, and what differs from one pair of both
to another, with the measured variances [1]_. Then the mean is normal and the three mean squares are multiples of chi-squared
variables, independent of it and of each other, so that studies are drawn by drawing four numbers each.

References
----------
.. [1] Searle SR, Casella G, McCulloch CE. Variance Components. Wiley (1992), section 4.3.
"""

import numpy as np

from fetalkit.analysis import intervals
from fetalkit.analysis.intervals import Parts

FOUND = 0.8  # share of studies that are to find the gain
STUDIES = 40_000


def smallest_gain(parts: Parts, misses: float, found: float = FOUND, studies: int = STUDIES, seed: int = 0) -> float:
    """The smallest true gain that `found` of all such studies would call a gain.

    Parameters
    ----------
    parts
        Variances of the mean that were measured; see `fetalkit.analysis.intervals`.
    misses
        Two-sided level of the test. Holm's correction of m comparisons tests the first at 0.05 / m, which is the most that a
        comparison may have to stand.
    found
        Share of studies, in (0, 1).
    studies, seed
        Number of studies to draw, and of the draw.

    Returns
    -------
    float
        A fraction, as the differences are; NaN where the variances are unknown.
    """
    if np.isnan([parts.patients, parts.seeds, parts.both]).any():
        return float("nan")
    random = np.random.default_rng(seed)
    # Expectations: patients is that of patients and the pairs, seeds that of seeds and the pairs, both that of the pairs.
    pairs = parts.both
    whole = max(parts.patients, pairs) + max(parts.seeds - pairs, 0.0)
    patients = max(parts.patients, pairs) * _mean_square(random, parts.n_patients - 1, studies)
    if parts.n_seeds == 1:
        seeds = both = np.zeros(studies)
    else:
        seeds = max(parts.seeds, pairs) * _mean_square(random, parts.n_seeds - 1, studies)
        both = pairs * _mean_square(random, (parts.n_patients - 1) * (parts.n_seeds - 1), studies)
    luck = np.sqrt(whole) * random.standard_normal(studies)
    half = intervals.half_width(patients, seeds, both, parts.n_patients, parts.n_seeds, misses)
    # A study finds the gain where gain + luck > half.
    return float(np.quantile(half - luck, found))


def _mean_square(random: np.random.Generator, freedom: int, studies: int) -> np.ndarray:
    """Mean squares over their expectation."""
    return random.chisquare(freedom, studies) / freedom
