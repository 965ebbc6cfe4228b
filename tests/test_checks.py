"""Pass or fail: each check passes on a run that is in order, and fails on one that is not."""

import json

import pandas as pd
import pytest

from fetalkit.analysis import checks
from fetalkit.config import params, runs
from fetalkit.config.shots import Shots


@pytest.fixture(scope="module")
def settings():
    given = params.load("phantom")
    classify = given.classify.model_copy(
        update=dict(arms=["real", "real-long", "diffusion", "real-compute"], further=[])
    )
    splits = given.splits.model_copy(update=dict(shots=Shots.of([1, "all"]), seeds=[0, 1]))
    return given.model_copy(update=dict(classify=classify, splits=splits))


@pytest.fixture
def splits():
    rows = [
        (f"{part}{patient}", f"{part}{patient}", part)
        for part in ("train", "validation", "test")
        for patient in range(3)
    ]
    return pd.DataFrame(rows, columns=["image_id", "patient", "part"]).assign(dropped="", linked=False)


@pytest.fixture
def shots():
    rows = [(seed, "1", f"train{seed}") for seed in (0, 1)] + [
        (seed, "all", f"train{n}") for seed in (0, 1) for n in range(3)
    ]
    return pd.DataFrame(rows, columns=["seed", "k", "image_id"])


@pytest.fixture
def spent(settings):
    """Budgets and learning curves of a run in order."""
    budgets, curves = [], []
    for run in runs.all_runs(settings):
        pretrain, train = settings.classify.steps(run.classifier, run.k)
        planned = {"real": [train], "real-long": [pretrain + train], "diffusion": [pretrain, train]}
        steps = planned.get(run.arm, [pretrain + train + 600])
        for number, count in enumerate(steps):
            # A step costs 2, and the generator as much as 600 steps.
            total = 2 * count + (1200 if run.arm == "diffusion" and not number else 0)
            budgets.append(vars(run) | dict(steps=count, classifier_flops=2 * count, total_flops=total))
        curves += [vars(run) | dict(total_step=sum(steps) // 2), vars(run) | dict(total_step=sum(steps))]
    return pd.DataFrame(budgets), pd.DataFrame(curves)


def test_a_patient_in_two_parts_fails(splits):
    assert checks.splits_disjoint(splits).passed
    splits.loc[8, "patient"] = "train0"
    found = checks.splits_disjoint(splits)
    assert found.passed is False and found.said.startswith("1 of 8\u00a0patients")
    splits.loc[8, "dropped"] = "also in train"
    assert checks.splits_disjoint(splits).passed, "an image that nobody uses harms nobody"
    both = checks.splits_of({"here": splits, "there": splits.assign(dropped="", patient="one")})
    assert both.passed is False and "there: 1 of 1\u00a0patient" in both.said


def test_a_picture_in_two_parts_or_twice_in_test_fails(splits):
    def pairs(*names):
        return pd.DataFrame([names], columns=["image_a", "image_b"])

    assert checks.duplicates_handled(splits, pairs("train0", "train1")).passed
    for names in (("train0", "test0"), ("train0", "validation1"), ("test0", "test1")):
        found = checks.duplicates_handled(splits, pairs(*names))
        assert found.passed is False and "1 of them left" in found.said
    splits.loc[splits.image_id == "test0", "dropped"] = "also in train"
    assert checks.duplicates_handled(splits, pairs("train0", "test0")).passed


def test_a_subset_with_what_it_may_not_have_fails(settings, splits, shots):
    judged = {"test0", "validation0"}
    assert checks.no_leak(settings, splits, shots, judged).passed
    outside = shots.assign(image_id=shots.image_id.replace("train1", "test1"))
    found = checks.no_leak(settings, splits, outside, judged)
    assert found.passed is False and "1 of them from outside train, 1 among" in found.said
    assert checks.no_leak(settings, splits, shots, {*judged, "train2"}).passed is False, "asked about what it has seen"
    shared = splits.assign(patient=splits.patient.replace("validation2", "train2"))
    assert "1\u00a0patient shared" in checks.no_leak(settings, shared, shots, judged).said
    assert checks.no_leak(settings, shared, shots, judged).passed is False
    found = checks.no_leak(settings, splits, shots[shots.seed == 0], judged)
    assert found.passed is False and "1\u00a0subset not recorded" in found.said


def test_a_run_that_spent_other_steps_fails(settings, spent):
    budgets, curves = spent
    assert checks.budgets_kept(settings, budgets, curves, []).passed
    for arm in ("diffusion", "real-compute"):
        other = budgets.assign(steps=budgets.steps - ((budgets.arm == arm) & (budgets.seed == 1) & (budgets.k == "1")))
        name = f"{arm}_resnet10t-half_k1_seed1"
        found = checks.budgets_kept(settings, other, curves, [])
        assert found.passed is False and found.said.endswith(f"; not {name}")
        assert checks.budgets_kept(settings, other, curves, [name]).passed, "a run that failed is told elsewhere"
    ended = curves.assign(total_step=curves.total_step - 1)
    assert "0 of 16\u00a0runs" in checks.budgets_kept(settings, budgets, ended, []).said
    assert checks.budgets_kept(settings, budgets[budgets.arm != "real"], curves, []).passed is False


def test_a_failed_run_fails():
    assert checks.runs_finished(3, []).passed
    found = checks.runs_finished(9, ["a", "b", "c", "d"])
    assert found.passed is False and found.said == "4 of 9\u00a0runs failed: a, b and c and 1 more"


def test_pictures_in_two_cohorts_are_looked_for_where_there_are_two():
    assert checks.pictures_apart(7).passed and checks.pictures_apart(0).passed is None


def quality(**changes):
    of = dict(recognised=0.6, recognised_real=0.8, near_copies=0.01) | changes
    return {"diffusion": {"by_k": {"10": dict(recognised=0.8, recognised_real=0.8, near_copies=0.0), "all": of}}}


@pytest.mark.parametrize(("p", "gain", "passed"), [(0.01, 5.0, True), (0.09, 5.0, False), (0.01, -5.0, False)])
def test_the_positive_control_has_to_be_ahead(p, gain, passed):
    entry = dict(arm="simulation", control="real-long", k="10", gain=gain, low=gain - 2, high=gain + 2, p=p, p_holm=p)
    (found,) = checks.positive_control([entry, entry | {"arm": "diffusion"}], "simulation")
    assert found.passed is passed and "over real-long at k = 10" in found.said
    assert checks.positive_control([entry], "diffusion") == []
    gone = entry | dict.fromkeys(("gain", "low", "high", "p", "p_holm"), float("nan"))
    assert checks.positive_control([gone], "simulation")[0].passed is None


def test_a_generator_that_copies_or_is_not_recognised_fails():
    for check, bad, none in (
        (checks.few_copies, dict(near_copies=0.06), dict(near_copies=None)),
        (checks.recognised, dict(recognised=0.55), dict(recognised=None)),
    ):
        assert check(quality(), ["diffusion"]).passed
        found = check(quality(**bad), ["diffusion"])
        assert found.passed is False and "at k = all" in found.said and found.page == "06_fidelity.html"
        assert check(quality(**bad), ["gan"]).passed is None, "nothing is known of it"
        assert check(quality(**none), ["diffusion"]).passed, "what was not measured at one k was at the other"


def test_what_verify_has_left_counts_for_these_results_alone(tmp_path):
    results, record = tmp_path / "results.csv", tmp_path / checks.VERIFIED
    results.write_text("accuracy\n0.5\n")
    assert checks.reproduced(record, results).passed is None
    for within, holds, passed in ((3, True, True), (2, True, False), (3, False, False)):
        content = dict(results=checks.digest(results), tables=3, within=within, conclusions_hold=holds)
        record.write_text(json.dumps(content))
        found = checks.reproduced(record, results)
        assert found.passed is passed and f"{within} of 3\u00a0tables" in found.said
    results.write_text("accuracy\n0.6\n")
    assert checks.reproduced(record, results).passed is None
    record.write_text("{")
    assert checks.reproduced(record, results).passed is None
