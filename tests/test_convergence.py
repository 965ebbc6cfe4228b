"""Whether a classifier has converged, by the rule of docs/protocol.md, on curves that were made up."""

import numpy as np
import pandas as pd
import pytest

from fetalkit.analysis import convergence
from fetalkit.config import params


@pytest.fixture
def settings():
    settings = params.load("africa")
    assert settings.report.converged_within == 0.01 and settings.report.converged_near == 0.1
    return settings


def curves(settings, shape, arm="real-long", seeds=(0, 1)):
    """`shape`: (classifier, k) → validation accuracy at each of ten points; 0.8 throughout for the others."""
    rows = []
    for classifier in settings.classify.classifiers:
        for k in settings.splits.shots:
            for seed in seeds:
                values = shape.get((classifier, k), [0.8] * 10)
                for number, value in enumerate(values, 1):
                    # Seeds differ, and their mean counts.
                    rows.append((arm, classifier, k, seed, 50 * number, value + (0.05 if seed else -0.05)))
    return pd.DataFrame(rows, columns=["arm", "classifier", "k", "seed", "total_step", "validation_accuracy"])


RISING = [0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.78, 0.78, 0.8, 0.8]
FLAT = [0.1, 0.5, 0.7, 0.8, 0.8, 0.8, 0.79, 0.8, 0.8, 0.8]


@pytest.mark.parametrize(
    ("values", "converged", "rise"),
    [(RISING, False, 0.02), (FLAT, True, 0.005), ([0.71] * 10, True, 0.0), ([0.69] * 10, False, 0.0)],
)
def test_the_rule(settings, values, converged, rise):
    table = convergence.judged(curves(settings, {("efficientnet-lite0-imagenet", "10"): values}), settings)
    row = table.set_index(["classifier", "k"]).loc[("efficientnet-lite0-imagenet", "10")]
    assert bool(row.converged) == converged and row.rise == pytest.approx(rise)
    assert table.converged.sum() == len(table) - (not converged)
    expected = {("efficientnet-lite0-imagenet", "10")} if not converged else set()
    assert convergence.unconverged(table) == expected
    text = " ".join(convergence.sentences(table, settings))
    assert ("efficientnet-lite0-imagenet at k = 10" in text) != converged and (
        "All classifiers have converged" in text
    ) == converged


def test_the_curves_of_the_control_decide_and_no_others(settings):
    other = curves(settings, {("efficientnet-lite0-imagenet", "10"): RISING}, arm="diffusion")
    table = convergence.judged(pd.concat([curves(settings, {}), other]), settings)
    assert table.converged.all()


def test_a_failed_run_of_the_control_leaves_its_classifier_in_means_that_are_missing(settings):
    broken = curves(settings, {})
    gone = (broken.classifier == "efficientnet-lite0-imagenet") & (broken.k == "10") & (broken.seed == 1)
    gap = dict(
        arm="real-long",
        classifier="efficientnet-lite0-imagenet",
        k="10",
        seed=1,
        total_step=0,
        validation_accuracy=np.nan,
    )
    table = convergence.judged(pd.concat([broken[~gone], pd.DataFrame([gap])]), settings)
    row = table.set_index(["classifier", "k"]).loc[("efficientnet-lite0-imagenet", "10")]
    assert np.isnan(row.rise) and row.converged


def test_rows_of_what_has_not_converged_are_left_out():
    table = pd.DataFrame({"classifier": ["a", "a", "b"], "k": ["5", "10", "10"], "value": [1, 2, 3]})
    assert convergence.only(table, {("a", "10")}).value.tolist() == [1, 3]
    assert convergence.only(table, []).equals(table)
