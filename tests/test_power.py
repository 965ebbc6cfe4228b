"""The smallest gain that a study finds 8 times in 10: closed forms, and studies that are drawn."""

import numpy as np
import pytest
from scipy import optimize, special, stats

from fetalkit.analysis import intervals, power
from fetalkit.analysis.intervals import Parts


def by_noncentral_t(freedom, variance, misses, found):
    """Smallest gain of a two-sided t-test whose mean has this variance."""
    critical = stats.t.isf(misses / 2, freedom)
    shift = optimize.brentq(lambda shift: stats.nct.sf(critical, freedom, shift) - found, 0, 100)
    return shift * np.sqrt(variance)


@pytest.mark.parametrize("misses", [0.05, 0.0125])
def test_one_seed_is_the_t_test_over_patients(misses):
    parts = Parts(patients=0.02**2, seeds=0.0, both=0.0, n_patients=60, n_seeds=1)
    expected = by_noncentral_t(59, 0.02**2, misses, 0.8)
    assert power.smallest_gain(parts, misses) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("n_seeds", "found"), [(3, 0.8), (6, 0.8), (6, 0.5)])
def test_seeds_that_differ_alone_are_the_t_test_over_seeds(n_seeds, found):
    parts = Parts(patients=0.0, seeds=0.01**2, both=0.0, n_patients=400, n_seeds=n_seeds)
    expected = by_noncentral_t(n_seeds - 1, 0.01**2, 0.05, found)
    assert power.smallest_gain(parts, 0.05, found) == pytest.approx(expected, rel=0.015)


def test_more_seeds_and_fewer_comparisons_find_smaller_gains():
    def smallest(n_seeds, comparisons):
        parts = Parts(0.02**2 + 0.03**2 / n_seeds, 0.02**2 / n_seeds, 0.03**2 / n_seeds, 100, n_seeds)
        return power.smallest_gain(parts, 0.05 / comparisons)

    assert smallest(10, 1) < smallest(5, 1) < smallest(3, 1) < smallest(3, 4)
    assert np.isnan(power.smallest_gain(Parts(np.nan, np.nan, np.nan, 1, 3), 0.05))


@pytest.mark.slow
def test_drawn_studies_find_the_gain_as_often_as_said():
    """Whole studies of normal effects, not their mean squares."""
    random = np.random.default_rng(0)
    n_seeds, n_patients, studies = 5, 40, 1500
    patients = np.arange(n_patients).astype(str)

    def drawn(gain):
        return (
            gain
            + random.normal(0, 0.2, (1, n_patients))
            + random.normal(0, 0.02, (n_seeds, 1))
            + random.normal(0, 0.3, (n_seeds, n_patients))
        )

    parts = Parts(
        patients=(0.2**2 + 0.3**2 / n_seeds) / n_patients,
        seeds=(0.02**2 + 0.3**2 / n_patients) / n_seeds,
        both=0.3**2 / n_seeds / n_patients,
        n_patients=n_patients,
        n_seeds=n_seeds,
    )
    smallest = power.smallest_gain(parts, 0.05 / 3)
    found = [intervals.gain(drawn(smallest), patients) for _ in range(studies)]
    share = np.mean([one.p < 0.05 / 3 and one.estimate > 0 for one in found])
    assert abs(share - 0.8) < 3 * np.sqrt(0.8 * 0.2 / studies)


def test_half_widths_of_many_studies_are_those_of_each():
    random = np.random.default_rng(1)
    values = random.random((3, 20))
    widths = intervals.half_width(*values, n_patients=30, n_seeds=4, misses=0.01)
    each = [Parts(*one, 30, 4).half_width(0.01) for one in values.T]
    assert widths == pytest.approx(each)
    held = special.stdtrit(29, 0.005) ** 2 * values[0]
    assert (widths**2 >= held - 1e-12).all(), "never narrower than with the seeds held"
