"""What figures leave out since it shows nothing, and what is said instead."""

import doctest

import numpy as np
import pandas as pd
import pytest

from fetalkit.analysis import accuracies, showing, wording


def test_reliability_leaves_out_bins_that_hold_next_to_nothing():
    probabilities = np.full((2, 30, 2), 0.5)
    probabilities[:, :15] = [0.97, 0.03]
    probabilities[0, 20] = [0.75, 0.25]  # one call
    labels = np.r_[np.zeros(12, int), np.ones(3, int), np.zeros(15, int)]
    bins = accuracies.reliability(probabilities, labels, [f"patient {number // 3}" for number in range(30)])
    assert list(bins.n) == [29, 30] and bins.share.sum() == pytest.approx(59 / 60)
    last = bins.iloc[-1]
    assert (last.confidence, last.accuracy) == pytest.approx((0.97, 0.8)) and last.low < 0.8 < last.high <= 1


def test_groups_of_few_images_are_named_and_left_out():
    part = pd.DataFrame({"machine": ["big", "small", "small"], "n": [20, 11, 11]})
    kept, said = accuracies.large_enough(part, "machine")
    assert list(kept.machine) == ["big"] and said == "Left out, with fewer than 20 images: small (n = 11)."
    assert accuracies.large_enough(kept, "machine")[1] == ""


def test_a_figure_is_replaced_by_a_sentence_where_there_is_nothing_to_see():
    assert doctest.testmod(showing).failed == 0
    falling = np.linspace(1.0, 0.2, 400)
    assert "by 5 %" in showing.alike_losses({"a": falling, "b": 1.05 * falling}).replace(wording.SPACE, " ")
    assert not showing.alike_losses({"a": falling, "b": 1.5 * falling}) and not showing.alike_losses({"a": falling})
    assert not showing.alike_losses({"a": falling, "b": falling * np.nan}) and not showing.alike_losses(
        {"a": [], "b": []}
    )
    guided = pd.DataFrame({"recall": [0.0, 0.03], "accuracy": [0.4, 0.71]})
    assert "between 40.0 % and 71.0 %" in showing.no_recall(guided).replace(wording.SPACE, " ")
    assert not showing.no_recall(guided.assign(recall=[0.0, 0.4])) and not showing.no_recall(
        guided.assign(recall=np.nan)
    )
    spans = pd.DataFrame({"low": [0.0, 1.5], "high": [2.0, 1.9]})
    told, said = showing.wide_intervals(spans, "distances", 0, 2)
    assert list(told.low) == [1.5] and said.startswith("1 of 2 distances")
    assert showing.wide_intervals(told, "distances", 0, 2)[1] == ""
    assert "13 images" in showing.too_few(13, "Distances") and not showing.too_few(20, "Distances")
