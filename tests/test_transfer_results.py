"""Numbers, words and examples of a transfer study: gains are paired and kept apart by level, and failed runs stay gaps."""

import dataclasses

import numpy as np
import pytest
from small_transfer import DIRECTION, MACHINES, PATIENTS, PLANES, STUDY, blocks

from fetalkit.analysis import intervals, transfer_conclusions, transfer_results
from fetalkit.analysis.transfer_results import TransferComparison
from fetalkit.analysis.transfer_summary import summary
from fetalkit.experiments import examples as maps
from fetalkit.experiments.outcome import Outcome
from fetalkit.experiments.phase_cache import PhaseCache
from fetalkit.experiments.transfer import domains, examples, runs
from fetalkit.experiments.transfer.methods import CONTROL, LABELLED, LEVELS, METHODS, ONE_SCALE, UNLABELLED
from fetalkit.reporting import readme
from fetalkit.utils import paths
from fetalkit.utils.files import write_json

pytestmark = pytest.mark.slow


def called(test, right):
    """Certain predictions of test images, right where it says."""
    return np.eye(3, dtype=np.float32)[np.where(right, test.labels, (test.labels + 1) % 3)]


@pytest.fixture
def invented(transfer_plan):
    """A plan of both machines, left out in turn, and outcomes that are right where the test says."""
    both = ["phantom to a", "phantom to b"]
    plan = transfer_plan(
        leave_out=[{"cohort": "phantom", "by": "machine", "places": MACHINES}],
        seeds=[0, 1],
        blocks=blocks(CONTROL, "coral", "joint", directions=both),
    )

    def outcomes(right):
        made = []
        for run in runs.all_runs(plan):
            test, rows = domains.test(plan, plan.directions[run.direction])
            validation = np.zeros((PATIENTS["validation"] * len(PLANES), 3), np.float32)
            probabilities = np.concatenate([validation, called(test, right(run, rows))])
            made.append(Outcome(run, tuple(runs.predicted(plan, run.direction)), probabilities))
        return made

    return plan, outcomes


def brain(run, rows):
    return (rows.plane == "Fetal brain").to_numpy()


# Numbers


def test_gains_are_paired_with_the_control_and_kept_apart_by_level(invented):
    plan, outcomes = invented

    def right(run, rows):
        better = brain(run, rows) | (rows.machine == "b").to_numpy()
        return {CONTROL: brain(run, rows), "coral": better, "joint": np.ones(len(rows), bool)}[run.method]

    compared = TransferComparison(plan, outcomes(right))
    gained = transfer_results.gains(compared).set_index(["view", "method", "classifier"])
    assert set(gained.index.get_level_values("view")) == {"phantom to a", "phantom to b", "each machine of phantom"}
    one = gained.loc[("phantom to b", "coral", "mean of all")]
    assert (one.level, one.accuracy, round(one.control, 3)) == (UNLABELLED, 1.0, 0.333)
    assert one.gain == pytest.approx(200 / 3, abs=1e-3)
    both = gained.loc[("each machine of phantom", "coral", "mean of all")]
    assert both.accuracy == pytest.approx(2 / 3, abs=1e-6) and both.gain == pytest.approx(100 / 3, abs=1e-3)
    # Pooled by hand: two machines of five patients, three images each.
    differences = np.tile(np.repeat([0.0, 1.0], 15) * np.tile([1.0, 0.0, 1.0], 10), (2, 1))
    patients = np.repeat([f"{machine}{patient}" for machine in MACHINES for patient in range(5)], 3)
    expected = intervals.gain(differences, patients)
    assert (both.gain_low, both.gain_high) == pytest.approx((100 * expected.low, 100 * expected.high), abs=1e-3)
    assert np.isnan(gained.loc[("phantom to b", CONTROL, "mean of all")].gain)
    # Holm: over the methods of views that are no part of another one.
    assert gained.p_holm.notna().sum() == 2
    holm = gained.loc["each machine of phantom"].p_holm.dropna()
    assert (holm >= gained.loc["each machine of phantom"].p[holm.index]).all()

    content = summary(compared, gained.reset_index(), [], {})
    entry = content["directions"]["phantom to b"][UNLABELLED]["coral"]
    assert {"accuracy", "low", "high", "gain_over_unaligned", "gain_low", "gain_high", "p_holm"} < set(entry)
    assert entry["by_plane"] == dict.fromkeys(PLANES, 1.0)
    assert content["directions"]["phantom to a"][UNLABELLED]["coral"]["by_plane"]["Fetal brain"] == 1.0
    assert content["directions"]["phantom to a"][UNLABELLED]["coral"]["by_plane"]["Fetal femur"] == 0.0
    assert set(content["directions"]["phantom to a"]) == set(LEVELS)


def test_the_long_table_has_every_run_and_its_level(invented):
    plan, outcomes = invented
    table = transfer_results.long_table(plan, outcomes(brain))
    assert list(table.columns) == [*transfer_results.KEYS, "metric", "value"]
    accuracy = table[table.metric == "accuracy"]
    assert len(accuracy) == len(runs.all_runs(plan)) == 2 * 2 * 3
    assert np.allclose(accuracy.value, 1 / 3)
    assert (table.level == table.method.map(lambda name: METHODS[name].level)).all()
    metrics = set(table[table.direction == "phantom to a"].metric)
    assert metrics >= {"recall[Fetal brain]", "accuracy[a]", "validation_accuracy"}


def test_predictions_are_found_by_the_ids_of_their_images(invented):
    plan, outcomes = invented
    one = outcomes(brain)
    # The same predictions in another order, with their ids.
    turned = [
        dataclasses.replace(
            outcome, image_ids=outcome.image_ids[::-1], probabilities=np.ascontiguousarray(outcome.probabilities[::-1])
        )
        for outcome in one
    ]
    of_one, of_turned = (transfer_results.gains(TransferComparison(plan, these)) for these in (one, turned))
    assert of_one.equals(of_turned)
    assert transfer_results.long_table(plan, one).equals(transfer_results.long_table(plan, turned))
    arrays = transfer_results.predictions(plan, one)
    run = one[0].run
    assert arrays[f"image_id of {run.direction}"].tolist() == list(one[0].image_ids)
    assert np.array_equal(arrays[run.name], one[0].probabilities)


def test_failed_runs_are_gaps_everywhere(invented):
    plan, outcomes = invented
    made = [
        Outcome.failed(outcome.run, outcome.image_ids, 3, "no luck")
        if (outcome.run.direction, outcome.run.method, outcome.run.seed) == ("phantom to b", "coral", 1)
        else outcome
        for outcome in outcomes(brain)
    ]
    table = transfer_results.long_table(plan, made)
    failed = (table.direction == "phantom to b") & (table.method == "coral") & (table.seed == 1)
    assert failed.any() and table[failed].value.isna().all() and table[~failed].value.notna().all()
    complete = set(table[(table.direction == "phantom to b") & (table.method == "joint")].metric)
    assert set(table[failed].metric) == complete, "a failed run has a row for every metric"

    compared = TransferComparison(plan, made)
    gained = transfer_results.gains(compared)
    numbers = ["accuracy", "low", "high", "gain", "gain_low", "gain_high", "p"]
    gaps = (gained.method == "coral") & (gained["view"] != "phantom to a")
    assert gained[gaps][numbers].isna().all(axis=None) and gained[gaps].p_holm.isna().all()
    assert gained[~gaps & (gained.method != CONTROL)][numbers].notna().all(axis=None)
    parts = transfer_results.by_group(compared, "each machine of phantom", "machine")
    of_coral = parts[parts.method == "coral"].set_index("group").accuracy
    assert np.isnan(of_coral["b"]) and of_coral["a"] == pytest.approx(1 / 3, abs=1e-6)

    content = summary(compared, gained, ["phantom-to-b_coral_resnet_seed1"], {})
    entry = content["directions"]["phantom to b"][UNLABELLED]["coral"]
    assert entry["accuracy"] is entry["gain_over_unaligned"] is entry["p_holm"] is None
    assert set(entry["by_plane"].values()) == {None}
    assert content["failed_runs"] == ["phantom-to-b_coral_resnet_seed1"]
    assert transfer_conclusions.best(gained, "each machine of phantom", LEVELS) == "joint"


# Words


def test_the_answer_names_the_best_of_each_level(invented):
    plan, outcomes = invented

    def right(run, rows):
        wrong = {CONTROL: {0, 1, 2}, "coral": {0, 1}, "joint": set()}[run.method]
        return ~np.isin(np.arange(len(rows)) % 3, list(wrong))

    gained = transfer_results.gains(TransferComparison(plan, outcomes(right)))
    (view,) = plan.main_views
    (sentence,) = transfer_conclusions.opening(gained, [view])
    assert "is right in 0.0% of the test images" in sentence
    assert "with its images, coral: +33.3 points" in sentence
    assert "labels of k images per plane, joint: +100.0 points" in sentence
    assert "knowing nothing" not in sentence  # there is nothing but the control
    assert transfer_conclusions.best(gained, view, LEVELS[:2]) == "coral"
    assert "joint (each machine of phantom, +100.0)" in transfer_conclusions.corrected(gained)
    table = transfer_conclusions.beside_published(gained, "phantom to b", 18, 15)
    assert table["accuracy, %"].tolist() == ["54.9 to 74.7", "73.0 to 82.4", "0.0"]


def test_the_best_may_be_sought_among_some_methods(invented):
    plan, outcomes = invented
    made = outcomes(lambda run, rows: np.arange(len(rows)) % 3 < ["unaligned", "coral", "joint"].index(run.method) + 1)
    gained = transfer_results.gains(TransferComparison(plan, made))
    (view,) = plan.main_views
    assert transfer_conclusions.best(gained, view, LEVELS) == "joint"
    assert transfer_conclusions.best(gained, view, LEVELS, among=[CONTROL, "coral"]) == "coral"
    assert transfer_conclusions.best(gained, view, LEVELS, among=[CONTROL]) is None
    assert {"coral", "standard-outline"} < set(ONE_SCALE)
    assert not {"multi-resolution", "multi-scale+multi-resolution"} & set(ONE_SCALE)


def test_the_readme_s_table_takes_the_best_of_each_level(invented, elsewhere):
    assert "Not run yet" in readme.transfer()
    plan, outcomes = invented
    compared = TransferComparison(plan, outcomes(lambda run, rows: np.full(len(rows), run.method != CONTROL)))
    write_json(summary(compared, transfer_results.gains(compared), [], {}), paths.reports("wards", "summary.json"))
    lines = readme.transfer().splitlines()[2:]
    assert [line.split(" | ")[:5] for line in lines] == [
        ["| [each machine of phantom](reports/wards/index.html)", level, method, "100.0 %", "0.0 %"]
        for level, method in ((UNLABELLED, "coral"), (LABELLED, "joint"))
    ]


# Examples


def turning(plan, method):
    """Outcomes of a study of `method` and control; every fifth test image turns from wrong to right. And which those are."""
    test, rows = domains.test(plan, plan.directions[DIRECTION])
    turned = np.arange(len(rows)) % 5 == 0
    outcomes = []
    for outcome in runs.train_all(STUDY, plan):
        right = turned if outcome.run.method == method else np.zeros(len(rows), bool)
        probabilities = np.concatenate([outcome.probabilities[: -len(rows)], called(test, right)])
        outcomes.append(dataclasses.replace(outcome, probabilities=probabilities))
    return outcomes, test.images[turned]


def test_examples_are_images_that_turned_right(transfer_plan):
    plan = transfer_plan(blocks=blocks(CONTROL, "multi-scale"))
    outcomes, turned = turning(plan, "multi-scale")
    example = examples.turned(STUDY, plan, outcomes, DIRECTION, "multi-scale")
    number = len(turned)
    assert example.run.method == "multi-scale"
    assert example.right.tolist() == [True] * number + [False] * number
    assert {image.tobytes() for image in example.images[:number]} == {image.tobytes() for image in turned}
    assert np.array_equal(example.images[:number], example.images[number:])
    assert example.maps.shape == example.images.shape
    for title, right in zip(example.titles, example.right, strict=True):
        shows, said = title.split(" → ")
        assert (shows == said) == right
    assert examples.turned(STUDY, plan, outcomes[:1], DIRECTION, "multi-scale") is None


def test_examples_show_the_very_input_that_was_classified(transfer_plan, monkeypatch):
    plan = transfer_plan(blocks=blocks(CONTROL, "standard-outline"))
    outcomes, turned = turning(plan, "standard-outline")
    given, gradcam = [], maps.gradcam.gradcam
    monkeypatch.setattr(
        maps.gradcam, "gradcam", lambda model, images, *more: given.append(images) or gradcam(model, images, *more)
    )
    # Random images have no fan of their own: give all of them a border of one pixel as their outline.
    framed = lambda images: np.pad(images[:, 1:-1, 1:-1], ((0, 0), (1, 1), (1, 1)))  # noqa: E731
    monkeypatch.setattr(domains, "outlined", framed)
    example = examples.turned(STUDY, plan, outcomes, DIRECTION, "standard-outline")
    number = len(turned)
    assert {image.tobytes() for image in example.images[:number]} == {image.tobytes() for image in framed(turned)}
    assert {image.tobytes() for image in example.images[number:]} == {image.tobytes() for image in turned}
    assert np.array_equal(framed(example.images[number:]), example.images[:number]), "the same images, below"
    assert np.array_equal(np.concatenate(given), example.images), "maps of other images than are shown"


@pytest.mark.parametrize("method", ["standard-outline", "multi-scale"])
def test_predictions_are_of_the_images_that_examples_show(transfer_plan, monkeypatch, method):
    plan = transfer_plan(blocks=blocks(CONTROL, method))
    monkeypatch.setattr(domains, "outlined", lambda images: np.asarray(images) // 2)
    run, cache = runs.TransferRun(DIRECTION, method, "resnet", 0), PhaseCache.of(STUDY, runs.STAGE)
    outcome = runs.train_and_predict(STUDY, plan, cache, run)
    model, _, data = runs.train(STUDY, plan, cache, run)
    test, rows = domains.test(plan, plan.directions[DIRECTION])
    shown = runs.test_images(plan, run)
    assert np.array_equal(shown, test.images // 2 if method == "standard-outline" else test.images)
    # In one batch with the validation images, as they were predicted: a batch's size may change the last bit.
    images = np.concatenate([data.validation.images, shown])
    probabilities = runs.predict(plan, METHODS[method], model, images, next(model.parameters()).device)
    assert np.array_equal(probabilities[-len(rows) :], outcome.of(list(rows.image_id)))


@pytest.mark.parametrize("method", ["multi-resolution", "multi-scale+multi-resolution"])
def test_methods_of_several_magnifications_have_no_examples(transfer_plan, method):
    plan = transfer_plan(blocks=blocks(CONTROL, method))
    outcomes, _ = turning(plan, method)
    assert examples.turned(STUDY, plan, outcomes, DIRECTION, method) is None
