"""Intervals and tests: textbook answers where there are some, simulated studies where there are none."""

import numpy as np
import pytest
from scipy import special, stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar

from fetalkit.analysis import intervals
from fetalkit.utils.errors import FetalkitError


def names(count):
    return np.arange(count).astype(str)


def bounds(interval):
    return interval.low, interval.high


def test_one_seed_of_independent_images_is_the_t_interval_and_test():
    values = np.random.default_rng(0).normal(0.05, 0.3, 80)
    textbook = stats.ttest_1samp(values, 0)
    interval = intervals.gain(values[None], names(80))
    assert interval.estimate == pytest.approx(values.mean())
    assert bounds(interval) == pytest.approx(tuple(textbook.confidence_interval(0.95)))
    assert interval.p == pytest.approx(textbook.pvalue)


def test_one_seed_of_clustered_images_is_the_cluster_robust_interval():
    random = np.random.default_rng(1)
    patients = np.repeat(np.arange(30), random.integers(1, 9, 30))
    values = random.normal(0.1, 0.2, 30)[patients] + random.normal(0, 0.2, len(patients))
    fit = OLS(values, np.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": patients, "use_correction": False}, use_t=True
    )
    half = stats.t.ppf(0.975, 29) * fit.bse[0] * np.sqrt(30 / 29)
    assert bounds(intervals.gain(values[None], patients.astype(str))) == pytest.approx(
        (values.mean() - half, values.mean() + half)
    )


def test_seeds_that_differ_alone_are_the_t_interval_over_seeds():
    means = np.array([0.02, 0.05, 0.12])
    interval = intervals.gain(np.tile(means[:, None], 50), names(50))
    textbook = stats.ttest_1samp(means, 0)
    assert bounds(interval) == pytest.approx(tuple(textbook.confidence_interval(0.95)))
    assert interval.p == pytest.approx(textbook.pvalue)


def test_seeds_that_agree_add_nothing():
    values = np.random.default_rng(2).normal(0.05, 0.3, (1, 200))
    alone = intervals.gain(values, names(200))
    assert bounds(intervals.gain(np.tile(values, (3, 1)), names(200))) == pytest.approx(bounds(alone))


def test_seeds_that_agree_by_chance_in_few_patients_leave_an_interval():
    """Every seed gains one image, each of another patient: the part in common outweighs that over patients."""
    interval = intervals.gain(np.eye(3, 12), names(12))
    assert interval.high - interval.low > 0.05 and interval.p > 0.001


def test_parts_are_those_of_the_analysis_of_variance():
    values = np.random.default_rng(3).normal(size=(4, 25))
    by_seed, by_patient, mean = values.mean(axis=1), values.mean(axis=0), values.mean()
    residual = values - by_seed[:, None] - by_patient + mean
    squares = np.array([4 * np.sum((by_patient - mean) ** 2) / 24, 25 * np.sum((by_seed - mean) ** 2) / 3])
    parts = intervals.Parts.of(values, np.arange(25))
    assert (parts.patients, parts.seeds) == pytest.approx(tuple(squares / 100))
    assert parts.both == pytest.approx(np.sum(residual**2) / (3 * 24) / 100)


@pytest.mark.parametrize("n_seeds", [1, 2, 3, 6])
def test_p_and_interval_agree(n_seeds):
    random = np.random.default_rng(4)
    both = set()
    for _ in range(200):
        values = random.normal(0.1, 0.15, (n_seeds, 1)) + random.normal(0, 0.3, (n_seeds, 20))
        interval = intervals.gain(values, np.repeat(names(10), 2))
        assert (interval.p < 0.05) == (interval.low > 0 or interval.high < 0)
        both.add(interval.p < 0.05)
    assert both == {True, False}


def test_p_at_the_edges():
    assert intervals.gain(np.zeros((3, 10)), names(10)) == intervals.Gain(0, 0, 0, 1)
    assert intervals.gain(np.ones((3, 10)), names(10)) == intervals.Gain(1, 1, 1, intervals.SMALLEST_P)


def test_accuracy_stays_within_its_range():
    interval = intervals.accuracy(np.array([[1.0] * 19 + [0.0]]), names(20))
    assert interval.estimate == 0.95 and interval.low < 0.9 and interval.high == 1


def test_a_failed_run_leaves_nothing():
    values = np.zeros((3, 10))
    values[1] = np.nan
    interval = intervals.gain(values, names(10))
    assert np.isnan([interval.estimate, interval.low, interval.high, interval.p]).all()
    one = intervals.accuracy(values, names(10))
    assert np.isnan([one.estimate, one.low, one.high]).all()
    assert np.isnan(intervals.sign_flip(values, names(10), 100, 0))


def test_one_patient_gives_an_estimate_alone():
    interval = intervals.gain(np.full((3, 4), 0.5), ["a"] * 4)
    assert interval.estimate == 0.5 and np.isnan([interval.low, interval.high, interval.p]).all()


@pytest.mark.parametrize("values", [np.zeros(5), np.zeros((2, 4)), np.zeros((0, 5))])
def test_shapes_that_do_not_fit_are_refused(values):
    for routine in (intervals.gain, intervals.accuracy):
        with pytest.raises(FetalkitError):
            routine(values, names(5))


@pytest.mark.parametrize(("gained", "lost"), [(7, 3), (9, 1), (2, 8), (5, 5), (1, 0)])
def test_sign_flip_is_mcnemar(gained, lost):
    values = np.r_[np.ones(gained), -np.ones(lost), np.zeros(40)]
    exact = mcnemar([[30, gained], [lost, 10]], exact=True).pvalue
    interval = intervals.sign_flip(values[None], names(len(values)), permutations=2**12, seed=0)
    assert interval == pytest.approx(exact)


def test_sign_flip_of_many_patients_nears_mcnemar():
    values = np.r_[np.ones(60), -np.ones(40), np.zeros(300)]
    exact = mcnemar([[200, 60], [40, 100]], exact=True).pvalue
    assert intervals.sign_flip(values[None], names(400), permutations=20_000, seed=0) == pytest.approx(exact, abs=0.01)


def test_sign_flip_keeps_patients_whole():
    # Ten patients, nine of which gain in all their four images: as ten images, not as forty.
    by_patient = np.r_[np.ones(9), -1]
    one = intervals.sign_flip(by_patient[None], names(10), 2**10, 0)
    assert intervals.sign_flip(np.repeat(by_patient, 4)[None], np.repeat(names(10), 4), 2**10, 0) == one == 22 / 2**10


def test_holm_published_example():
    # R's manual and Wright (Biometrics 48, 1992, table 1): p of 0.01, 0.02, 0.03 and 0.04.
    assert intervals.holm([0.01, 0.04, 0.03, 0.02]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert intervals.holm([0.01, np.nan, 0.04]) == pytest.approx([0.02, np.nan, 0.04], nan_ok=True)
    assert np.isnan(intervals.holm([np.nan])).all() and len(intervals.holm([])) == 0


SHAPES = {"africa": (60, 197), "spain": (422, 778)}


def studies(shape, count, points, *, effect=0.0, seed=0, n_seeds=3):
    """Differences (count, seeds, images) of two arms with accuracy near 75 %, and the patients.

    Patients and images differ in difficulty, alike for both arms; every run has a shift of its own, with a standard deviation
    of `points` per cent in accuracy, and every image is right or wrong by chance in every run.
    """
    random = np.random.default_rng(seed)
    n_patients, n_images = shape
    patients = np.r_[np.arange(n_patients), random.integers(0, n_patients, n_images - n_patients)]
    slope = 0.12  # accuracy per unit of logit at these difficulties
    base = 1.8 + random.normal(size=(count, n_patients))[:, patients] + random.normal(0, 1.5, (count, n_images))
    correct = []
    for mean in (effect, 0.0):
        logit = base[:, None] + random.normal(mean, points / 100, (count, n_seeds, 1)) / slope
        correct.append(random.random(logit.shape) < special.expit(logit))
    return correct[0].astype(float) - correct[1], patients.astype(str)


@pytest.mark.slow
@pytest.mark.parametrize("points", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_no_effect_is_covered_in_95_of_100_studies(shape, points):
    differences, patients = studies(shape, 1000, points)
    covered = []
    for values in differences:
        interval = intervals.gain(values, patients)
        covered.append(interval.low <= 0 <= interval.high)
    # 95.0 to 98.9 % in 96,000 studies of 48 kinds; see the module.
    assert 0.95 - within(0.05, 1000) <= np.mean(covered) <= 0.99


def within(share, number):
    """Three standard errors of a share among so many."""
    return 3 * np.sqrt(share * (1 - share) / number)


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [3, 5])
def test_the_tail_that_the_correction_uses_is_rare_enough(n_seeds):
    """With m comparisons Holm asks whether p < 0.05 / m: such p must not be more frequent than that without an effect."""
    number, p = 0, []
    for points in (1, 3):
        differences, patients = studies(SHAPES["africa"], 1500, points, seed=points, n_seeds=n_seeds)
        p += [intervals.gain(values, patients).p for values in differences]
        number += len(differences)
    for misses in (0.05, 0.0125, 0.01, 0.005):
        share = np.mean(np.array(p) < misses)
        assert share <= misses + within(misses, number), misses
    assert np.mean(np.array(p) < 0.05) > 0.01, "so cautious that nothing would ever be found"


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_seeds_that_agree_by_chance_make_no_gain(shape):
    """Of runs that differ on single images alone, the fifth of the studies whose seeds agree best is covered as well as all."""
    differences, patients = studies(shape, 1500, 0)
    agreement = differences.mean(axis=2).var(axis=1)
    agreeing = differences[agreement <= np.quantile(agreement, 0.2)]
    found = [intervals.gain(values, patients) for values in agreeing]
    covered = np.mean([one.low <= 0 <= one.high for one in found])
    assert covered >= 0.95 - within(0.05, len(agreeing))
    # The question about these runs alone has a narrower answer.
    held = [intervals.gain(values.mean(axis=0, keepdims=True), patients) for values in agreeing]
    assert all(one.p >= alone.p - 1e-9 for one, alone in zip(found, held, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("n_seeds", "power"), [(3, 0.4), (6, 0.9)])
def test_an_effect_is_found_and_covered(n_seeds, power):
    differences, patients = studies(SHAPES["spain"], 200, 1, effect=0.05, seed=1, n_seeds=n_seeds)
    truth = differences.mean()
    interval = [intervals.gain(values, patients) for values in differences]
    assert truth == pytest.approx(0.05, abs=0.01)
    assert np.mean([one.low <= truth <= one.high for one in interval]) > 0.92
    assert np.mean([one.p < 0.05 for one in interval]) > power
    assert np.mean([intervals.sign_flip(values, patients, 999, 0) < 0.05 for values in differences[:20]]) > 0.9
