"""Metrics of a run against known answers."""

import importlib
import sys

import numpy as np
import pytest

from fetalkit.metrics import classification
from fetalkit.utils.errors import FetalkitError

PLANES = ["a", "b", "c"]


def one_hot(predicted):
    return np.eye(3, dtype=np.float32)[predicted]


def test_perfect():
    labels = np.array([0, 1, 2, 2])
    measured = classification.metrics(one_hot(labels), labels, PLANES)
    assert measured["calibration_error"] == pytest.approx(0, abs=1e-6)
    assert {value for name, value in measured.items() if name != "calibration_error"} == {1.0}


def test_against_hand_counts():
    labels, predicted = np.array([0, 0, 0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 1, 1, 0, 2, 2])
    measured = classification.metrics(one_hot(predicted), labels, PLANES)
    assert measured["accuracy"] == pytest.approx(6 / 8)
    assert measured["balanced_accuracy"] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert measured["macro_f1"] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert measured["recall[a]"] == pytest.approx(3 / 4)
    # AUROC of a hard call is the mean of sensitivity and specificity.
    assert measured["macro_auroc"] == pytest.approx(np.mean([(3 / 4 + 3 / 4) / 2, (1 / 2 + 5 / 6) / 2, 1]))
    # Everything is called with confidence 1, and a quarter is wrong.
    assert measured["calibration_error"] == pytest.approx(1 / 4)


def test_absent_planes_do_not_count():
    labels = np.array([0, 1, 1])
    measured = classification.metrics(one_hot(labels), labels, PLANES)
    assert measured["balanced_accuracy"] == 1
    assert "recall[c]" not in measured


def test_names_and_their_order_are_fixed():
    assert list(classification.metrics(one_hot([0, 1, 2]), np.arange(3), PLANES)) == [
        "accuracy", "balanced_accuracy", "macro_f1", "macro_auroc", "calibration_error", "recall[a]", "recall[b]", "recall[c]"
    ]  # fmt: skip
    assert classification.registered()["macro_f1"] == "macro F1"


# --- metrics of one's own


OWN = """
import numpy as np
from fetalkit.metrics.classification import metric

@metric("top_2", title="top-2 accuracy")
def top_2(probabilities, labels, planes):
    return np.mean([label in row for row, label in zip(probabilities.argsort(axis=1)[:, -2:], labels)])

@metric("images", title="images")
def images(probabilities, labels, planes):
    return {plane: (labels == number).sum() for number, plane in enumerate(planes)}
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A package outside of fetalkit; what it registers is forgotten afterwards."""
    monkeypatch.setattr(classification, "_REGISTRY", dict(classification._REGISTRY))
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "hospital_metrics"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    yield folder
    for name in [name for name in sys.modules if name.startswith("hospital_metrics")]:
        del sys.modules[name]


def test_a_metric_from_outside_the_package(own):
    (own / "further.py").write_text(OWN)
    labels = np.array([0, 1, 2, 2])
    probabilities = np.array([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.5, 0.4, 0.1], [0.1, 0.3, 0.6]], dtype=np.float32)
    before = classification.metrics(probabilities, labels, PLANES)
    classification.load(["hospital_metrics.further"])
    values = classification.metrics(probabilities, labels, PLANES)
    assert values == before | {"top_2": 0.75, "images[a]": 1.0, "images[b]": 1.0, "images[c]": 2.0}
    assert classification.registered()["top_2"] == "top-2 accuracy"
    importlib.reload(sys.modules["hospital_metrics.further"])  # the same function takes its own place
    assert classification.metrics(probabilities, labels, PLANES) == values


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            None,
            r"metrics: hospital_metrics.further cannot be imported \(ModuleNotFoundError: .*\); install it, or",
        ),
        ("1 / 0", r"metrics: hospital_metrics.further cannot be imported \(ZeroDivisionError: .*\)"),
        (
            OWN.replace("top_2", "accuracy"),
            r"metric 'accuracy': hospital_metrics.further.accuracy takes a name that .* has",
        ),
    ],
)
def test_a_module_that_cannot_be_loaded_is_one_clear_line(own, content, message):
    if content is not None:
        (own / "further.py").write_text(content)
    with pytest.raises(FetalkitError, match=message) as error:
        classification.load(["hospital_metrics.further"])
    assert "\n" not in str(error.value)


def test_a_metric_that_returns_no_number_is_named(own):
    (own / "further.py").write_text(OWN.replace("return np.mean", "return str"))
    classification.load(["hospital_metrics.further"])
    with pytest.raises(
        FetalkitError, match=r"metric 'top_2': hospital_metrics.further.top_2 returned .*; return a number"
    ):
        classification.metrics(one_hot([0, 1, 2]), np.arange(3), PLANES)
