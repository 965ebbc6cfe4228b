"""The replacement curve against closed forms."""

import numpy as np
import pandas as pd
import pytest

from fetalkit.analysis import conclusions
from fetalkit.analysis.data_efficiency import replaced, replacement_curve
from fetalkit.utils.errors import FetalkitError

SHOTS = {"5": 5, "10": 10, "20": 20, "40": 40, "all": 80}
LOG = np.log(list(SHOTS.values()))
RISE = 0.1  # accuracy per doubling
CURVE = 0.4 + RISE * np.arange(5)
N = 200


def correct(accuracies, n_seeds=3):
    """(seeds, images) per k: the first images are right, as many as the accuracy says; all patients and seeds alike."""
    return {
        name: np.tile(np.arange(N) < round(N * accuracy), (n_seeds, 1)).astype(float)
        for name, accuracy in zip(SHOTS, accuracies, strict=True)
    }


def of(control, arm, resamples=200, **more):
    return replacement_curve(
        correct(control), correct(arm), SHOTS, np.arange(N).astype(str), resamples=resamples, seed=0, **more
    )


def test_control_with_twice_the_images_is_a_factor_of_two():
    curve = of(CURVE, CURVE + RISE)
    assert curve.factor == pytest.approx(2)
    assert curve.table.equivalent.tolist() == pytest.approx([10, 20, 40, 80, 80])
    assert curve.table.bound.tolist() == ["", "", "", "", "at least"]
    assert curve.table.factor.iloc[-1] == pytest.approx(1)
    assert curve.bound == ""


def test_between_two_measured_numbers_it_is_linear_in_the_logarithm():
    (factors,), (bounds,) = replaced(np.stack([CURVE, CURVE + RISE / 2])[None], LOG)
    assert np.exp(factors[:-1]) == pytest.approx(np.sqrt(2))
    assert bounds[:-1].tolist() == [""] * 4


def test_loss_is_a_factor_below_one():
    curve = of(CURVE, CURVE - RISE)
    assert curve.table.factor.tolist() == pytest.approx([1, 0.5, 0.5, 0.5, 0.5])
    assert curve.table.bound.tolist() == ["at most", "", "", "", ""]
    assert curve.bound == "at most"
    assert curve.factor == pytest.approx(0.5**0.75)


@pytest.mark.parametrize("curve", [CURVE, np.full(5, 0.6), CURVE[[0, 2, 1, 4, 3]]], ids=["rising", "flat", "bent"])
def test_no_gain_is_worth_nothing(curve):
    curve = of(curve, curve)
    assert curve.table.factor.tolist() == pytest.approx([1] * 5)
    assert (curve.factor, curve.low, curve.high) == pytest.approx((1, 1, 1))
    assert set(curve.table.bound) == {""}


@pytest.mark.parametrize(("gain", "bound", "equivalent"), [(0.05, "at least", 80), (-0.05, "at most", 5)])
def test_flat_control_gives_bounds(gain, bound, equivalent):
    curve = of(np.full(5, 0.6), np.full(5, 0.6 + gain))
    assert curve.table.bound.tolist() == [bound] * 5 and curve.bound == bound
    assert curve.table.equivalent.tolist() == pytest.approx([equivalent] * 5)


def test_bounds_of_both_kinds_are_unclear():
    curve = of(CURVE, CURVE + np.array([-0.1, 0, 0, 0.3, 0]))
    assert curve.table.bound.tolist() == ["at most", "", "", "at least", ""] and curve.bound == "unclear"


def test_curve_is_made_monotone():
    # 0.5 and 0.4 are pooled to 0.45, level from 10 to 20; a gain of 0.075 climbs half the way to 0.6 at 40.
    control = np.array([0.3, 0.5, 0.4, 0.6, 0.7])
    (factors,), _ = replaced(np.stack([control, control + 0.075])[None], LOG)
    assert np.exp(factors[1:3]) == pytest.approx([20 * np.sqrt(2) / 10, np.sqrt(2)])


@pytest.mark.slow
def test_interval_covers_a_true_factor():
    """Studies in which patients, images and runs differ: the interval holds the true factor of 2 in most of them."""
    random = np.random.default_rng(0)
    patients = np.repeat(np.arange(60), 3)
    covered, widths = [], []
    for study in range(150):
        difficulty = random.normal(0, 0.1, 60)[patients]
        drawn = []
        for level in (CURVE, CURVE + RISE):
            shift = random.normal(0, 0.02, (5, 3, 1))
            drawn.append((random.random((5, 3, 180)) < level[:, None, None] + difficulty + shift).astype(float))
        control, arm = (dict(zip(SHOTS, of, strict=True)) for of in drawn)
        curve = replacement_curve(control, arm, SHOTS, patients.astype(str), resamples=200, seed=study)
        covered.append(curve.low <= 2 <= curve.high)
        widths.append(np.log(curve.high / curve.low))
    assert np.mean(covered) > 0.9
    assert np.median(widths) < np.log(4)


def test_resampling_is_seeded_and_orders_by_images():
    random = np.random.default_rng(0)
    control, arm = ({name: random.random((3, N)) < 0.5 for name in reversed(SHOTS)} for _ in range(2))
    patients = np.repeat(np.arange(50), 4).astype(str)
    one, again, other = (
        replacement_curve(control, arm, SHOTS, patients, resamples=100, seed=seed) for seed in (1, 1, 2)
    )
    assert one.table.k.tolist() == sorted(SHOTS.values())
    pd.testing.assert_frame_equal(one.table, again.table)
    assert (one.low, one.high) == (again.low, again.high) != (other.low, other.high)


def test_a_failed_run_leaves_nothing():
    arm = correct(CURVE)
    arm["20"][1] = np.nan
    curve = replacement_curve(correct(CURVE), arm, SHOTS, np.arange(N).astype(str), resamples=10, seed=0)
    assert np.isnan([curve.factor, curve.low, curve.high]).all() and curve.bound == ""
    assert curve.table.factor.isna().all()


def test_what_does_not_fit_is_refused():
    right, patients = correct(CURVE), np.arange(N).astype(str)
    with pytest.raises(FetalkitError, match="at least two"):
        replacement_curve({"5": right["5"]}, {"5": right["5"]}, SHOTS, patients, resamples=10, seed=0)
    with pytest.raises(FetalkitError, match="must be the same"):
        replacement_curve(right, {"5": right["5"]}, SHOTS, patients, resamples=10, seed=0)
    with pytest.raises(FetalkitError, match="seeds, images"):
        replacement_curve(right, right, SHOTS, patients[1:], resamples=10, seed=0)


def test_what_could_not_be_measured_is_said():
    measured = {"worth_factor": 2.0, "worth_low": 1.5, "worth_high": 2.5, "worth_bound": "at least"}
    failed = dict.fromkeys(["worth_factor", "worth_low", "worth_high"], float("nan")) | {"worth_bound": ""}
    sentences = conclusions.replacement(
        {"gan": measured, "diffusion": failed, "mixup": failed | {"worth_factor": None}}
    )
    assert [sentence.replace("\u00a0", " ") for sentence in sentences] == [
        "gan: as good as at least 2.00 times the real images (95 % interval 1.50 to 2.50), "
        "geometric mean over all k but the largest.",
        "diffusion: by which factor it multiplies the real images could not be measured: a run failed.",
    ]


@pytest.mark.parametrize(
    ("factor", "bound", "said"),
    [
        (1.0, "at most", "x: as good as 1.00 times the real images or fewer, since the better control was trained with no "
         "fewer images; the 95 % interval reaches up to 7.20 times. Geometric mean over all k but the largest."),
        (7.2, "at least", "x: as good as 7.20 times the real images or more, since the better control was trained with no "
         "more images; the 95 % interval reaches down to 1.00 times. Geometric mean over all k but the largest."),
    ],
)  # fmt: skip
def test_a_factor_at_the_end_of_what_can_be_told_is_no_estimate(factor, bound, said):
    arms = {"x": {"worth_factor": factor, "worth_low": 1.0, "worth_high": 7.2, "worth_bound": bound}}
    assert conclusions.replacement(arms)[0].replace("\u00a0", " ") == said
    sign = {"at most": "≤ ", "at least": "≥ "}[bound]
    assert conclusions.factors(arms | {"y": {"worth_factor": None}}) == {"x": f"{sign}{factor:.2f}"}
