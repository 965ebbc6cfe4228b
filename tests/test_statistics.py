"""Metrics and intervals against known answers."""

import numpy as np
import pytest
from scipy import stats

from fetalkit import statistics

PLANES = ["a", "b", "c"]


def one_hot(predicted):
    return np.eye(3, dtype=np.float32)[predicted]


def test_perfect():
    labels = np.array([0, 1, 2, 2])
    found = statistics.metrics(one_hot(labels), labels, PLANES)
    assert found["calibration_error"] == pytest.approx(0, abs=1e-6)
    assert {value for name, value in found.items() if name != "calibration_error"} == {1.0}


def test_against_hand_counts():
    labels, predicted = np.array([0, 0, 0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 1, 1, 0, 2, 2])
    found = statistics.metrics(one_hot(predicted), labels, PLANES)
    assert found["accuracy"] == pytest.approx(6 / 8)
    assert found["balanced_accuracy"] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert found["macro_f1"] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert found["recall[a]"] == pytest.approx(3 / 4)
    # AUROC of a hard call is the mean of sensitivity and specificity.
    assert found["macro_auroc"] == pytest.approx(np.mean([(3 / 4 + 3 / 4) / 2, (1 / 2 + 5 / 6) / 2, 1]))
    # Everything is called with confidence 1, and a quarter is wrong.
    assert found["calibration_error"] == pytest.approx(1 / 4)


def test_absent_planes_do_not_count():
    labels = np.array([0, 1, 1])
    found = statistics.metrics(one_hot(labels), labels, PLANES)
    assert found["balanced_accuracy"] == 1
    assert "recall[c]" not in found


def test_bootstrap_of_independent_images_is_the_textbook_interval():
    random = np.random.default_rng(0)
    values = random.random((1, 400)) < 0.8
    spread = statistics.bootstrap_mean(values, [str(number) for number in range(400)], 20_000, seed=1)
    mean = values.mean()
    assert spread.mean() == pytest.approx(mean, abs=0.002)
    assert spread.std() == pytest.approx(np.sqrt(mean * (1 - mean) / 400), rel=0.05)
    low, high = statistics.interval(spread)
    normal = stats.norm.interval(0.95, mean, np.sqrt(mean * (1 - mean) / 400))
    assert (low, high) == pytest.approx(normal, abs=0.006)


def test_bootstrap_resamples_whole_patients():
    # All five images of a patient agree, so 40 patients carry no more than 40 images would.
    random = np.random.default_rng(0)
    by_patient = random.random(40) < 0.5
    values = np.repeat(by_patient, 5)[None]
    spread = statistics.bootstrap_mean(values, np.repeat(np.arange(40), 5).astype(str), 20_000, seed=1)
    assert spread.std() == pytest.approx(np.sqrt(by_patient.mean() * (1 - by_patient.mean()) / 40), rel=0.05)


def test_bootstrap_resamples_seeds():
    values = np.array([[0.0] * 30, [1.0] * 30])
    spread = statistics.bootstrap_mean(values, np.arange(30).astype(str), 20_000, seed=1)
    # Two seeds that disagree on everything: mean of two fair draws.
    assert [np.mean(spread == value) for value in (0, 0.5, 1)] == pytest.approx([0.25, 0.5, 0.25], abs=0.02)


def test_no_effect_is_covered():
    """Studies of this shape without an effect: the 95 % interval of the paired gain covers zero in about 95 % of them."""
    random = np.random.default_rng(0)
    patients = np.repeat(np.arange(60), 4).astype(str)
    covered = 0
    for study in range(300):
        difficulty = np.repeat(random.normal(1.5, 1, 60), 4)
        right = [random.normal(difficulty, 1, (3, 240)) > 0 for _ in range(2)]
        spread = statistics.bootstrap_mean(right[0].astype(float) - right[1], patients, 1000, seed=study)
        low, high = statistics.interval(spread)
        covered += low <= 0 <= high
    assert 0.92 <= covered / 300 <= 1


def test_bootstrap_is_seeded():
    arguments = (np.eye(3, 50), np.arange(50).astype(str), 500)
    assert np.array_equal(statistics.bootstrap_mean(*arguments, seed=3), statistics.bootstrap_mean(*arguments, seed=3))
    assert not np.array_equal(
        statistics.bootstrap_mean(*arguments, seed=3), statistics.bootstrap_mean(*arguments, seed=4)
    )
