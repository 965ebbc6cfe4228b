"""Metrics of a run against known answers."""

import numpy as np
import pytest

from fetalkit.metrics import classification

PLANES = ["a", "b", "c"]


def one_hot(predicted):
    return np.eye(3, dtype=np.float32)[predicted]


def test_perfect():
    labels = np.array([0, 1, 2, 2])
    found = classification.metrics(one_hot(labels), labels, PLANES)
    assert found["calibration_error"] == pytest.approx(0, abs=1e-6)
    assert {value for name, value in found.items() if name != "calibration_error"} == {1.0}


def test_against_hand_counts():
    labels, predicted = np.array([0, 0, 0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 1, 1, 0, 2, 2])
    found = classification.metrics(one_hot(predicted), labels, PLANES)
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
    found = classification.metrics(one_hot(labels), labels, PLANES)
    assert found["balanced_accuracy"] == 1
    assert "recall[c]" not in found
