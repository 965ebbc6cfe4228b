"""Numbers, words and examples of a transfer study: gains are paired and kept apart by level, and failed runs stay gaps."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import small_transfer
from small_transfer import DIRECTION, MACHINES, PATIENTS, PLANES, STUDY, TINY, blocks

from fetalkit.analysis import (
    intervals,
    results,
    transfer_choice,
    transfer_conclusions,
    transfer_methods,
    transfer_missed,
    transfer_planes,
    transfer_results,
)
from fetalkit.analysis.transfer_results import TransferComparison
from fetalkit.analysis.transfer_summary import summary
from fetalkit.experiments import examples as maps
from fetalkit.experiments.outcome import Outcome
from fetalkit.experiments.phase_cache import PhaseCache
from fetalkit.experiments.transfer import domains, examples, runs
from fetalkit.experiments.transfer.methods import BASELINES, CONTROL, LABELLED, LEVELS, METHODS, ONE_SCALE, UNLABELLED
from fetalkit.reporting import readme
from fetalkit.utils import paths
from fetalkit.utils.files import write_json

pytestmark = pytest.mark.slow


def called(plan, rows, right):
    """Certain predictions of images, right where it says; else the next plane is called."""
    labels = results.labels_of(rows, plan.planes)
    return np.eye(3, dtype=np.float32)[np.where(right, labels, (labels + 1) % 3)]


@pytest.fixture
def invented(transfer_plan):
    """A plan of both machines, left out in turn, and outcomes that are right where the test says."""
    both = ["phantom to a", "phantom to b"]
    plan = transfer_plan(
        leave_out=[{"cohort": "phantom", "by": "machine", "places": MACHINES}],
        seeds=[0, 1],
        primary=["coral", "joint+coral"],
        blocks=blocks(CONTROL, "pseudo-label", "coral", "joint", "joint+coral", directions=both),
    )

    def outcomes(right):
        made = []
        for run in runs.all_runs(plan):
            _, rows = domains.test(plan, plan.directions[run.direction])
            validation = np.zeros((PATIENTS["validation"] * len(PLANES), 3), np.float32)
            probabilities = np.concatenate([validation, called(plan, rows, right(run, rows))])
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
        every = np.ones(len(rows), bool)
        return {
            CONTROL: brain(run, rows), "pseudo-label": brain(run, rows), "coral": better, "joint": better, "joint+coral": every,
        }[run.method]  # fmt: skip

    compared = TransferComparison(plan, outcomes(right))
    gained = transfer_results.gains(compared).set_index(["view", "method", "classifier"])
    assert set(gained.index.get_level_values("view")) == {"phantom to a", "phantom to b", "each machine of phantom"}
    one = gained.loc[("phantom to b", "coral", "mean")]
    assert (one.level, one.baseline, one.accuracy, one.macro_f1) == (UNLABELLED, "pseudo-label", 1.0, 1.0)
    # Of each three images brain is found alone, and femur is called abdomen, abdomen brain.
    assert (round(one.baseline_accuracy, 3), round(one.unaligned_accuracy, 3)) == (0.333, 0.333)
    assert one.baseline_macro_f1 == pytest.approx((0 + 2 / 3 + 0) / 3, abs=1e-6)
    assert one.gain == pytest.approx(200 / 3, abs=1e-3)
    both = gained.loc[("each machine of phantom", "coral", "mean")]
    assert both.accuracy == pytest.approx(2 / 3, abs=1e-6) and both.gain == pytest.approx(100 / 3, abs=1e-3)
    # Pooled by hand: two machines of five patients, three images each.
    differences = np.tile(np.repeat([0.0, 1.0], 15) * np.tile([1.0, 0.0, 1.0], 10), (2, 1))
    patients = np.repeat([f"{machine}{patient}" for machine in MACHINES for patient in range(5)], 3)
    expected = intervals.gain(differences, patients)
    assert (both.gain_low, both.gain_high) == pytest.approx((100 * expected.low, 100 * expected.high), abs=1e-3)
    for baseline in (CONTROL, "pseudo-label", "joint"):
        assert np.isnan(gained.loc[("phantom to b", baseline, "mean")].gain)
    both = gained.loc[("each machine of phantom", "joint+coral", "mean")]
    assert (both.baseline, both.gain) == ("joint", pytest.approx(100 / 3, abs=1e-3)), "not over the control"
    assert (both.classifiers, both.n_runs) == ("resnet", 4)
    # One family: the primary methods, in views that are no part of another one, mean over classifiers.
    tested = gained[gained.primary]
    assert set(tested.index) == {("each machine of phantom", name, "mean") for name in ("coral", "joint+coral")}
    assert tested[["p", "p_holm"]].notna().all(axis=None) and gained[~gained.primary][["p", "p_holm"]].isna().all(
        axis=None
    )
    assert np.allclose(tested.p_holm, intervals.holm(tested.p.to_numpy()), atol=1e-4)

    table = transfer_results.long_table(plan, outcomes(right))
    chosen = transfer_choice.choices(compared, table, gained.reset_index())
    content = summary(compared, gained.reset_index(), chosen, [], {})
    assert [row["method"] for row in content["primary"]] == ["coral", "joint+coral"]
    assert json.dumps(content).count("p_holm") == 2, "a comparison has one corrected p"
    entry = content["directions"]["phantom to b"][UNLABELLED]["coral"]
    assert {"accuracy", "macro_f1", "baseline", "baseline_accuracy", "gain", "gain_low", "gain_high"} < set(entry)
    assert entry["by_plane"] == dict.fromkeys(PLANES, 1.0)
    assert content["directions"]["phantom to a"][UNLABELLED]["coral"]["by_plane"]["Fetal brain"] == 1.0
    assert content["directions"]["phantom to a"][UNLABELLED]["coral"]["by_plane"]["Fetal femur"] == 0.0
    assert set(content["directions"]["phantom to a"]) == set(LEVELS)


def test_the_long_table_has_every_run_and_its_level(invented):
    plan, outcomes = invented
    table = transfer_results.long_table(plan, outcomes(brain))
    assert list(table.columns) == [*transfer_results.KEYS, "metric", "value"]
    accuracy = table[table.metric == "accuracy"]
    assert len(accuracy) == len(runs.all_runs(plan)) == 2 * 2 * 5
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
    numbers = ["accuracy", "low", "high", "macro_f1", "gain", "gain_low", "gain_high"]
    gaps = (gained.method == "coral") & (gained["view"] != "phantom to a")
    assert gained[gaps][numbers].isna().all(axis=None) and gained[gaps].p_holm.isna().all()
    assert gained[~gaps & ~gained.method.isin(BASELINES.values())][numbers].notna().all(axis=None)
    parts = transfer_results.by_group(compared, "each machine of phantom", "machine")
    of_coral = parts[parts.method == "coral"].set_index("group").accuracy
    assert np.isnan(of_coral["b"]) and of_coral["a"] == pytest.approx(1 / 3, abs=1e-6)

    chosen = transfer_choice.choices(compared, table, gained)
    unlabelled = chosen[chosen.level == UNLABELLED].iloc[0]
    assert (unlabelled.method, unlabelled.failed) == ("pseudo-label", "coral")
    content = summary(compared, gained, chosen, ["phantom-to-b_coral_resnet_seed1"], {})
    entry = content["directions"]["phantom to b"][UNLABELLED]["coral"]
    assert entry["accuracy"] is entry["gain"] is entry["macro_f1"] is None
    assert [row["p_holm"] is None for row in content["primary"]] == [True, False]
    confused = transfer_planes.confusions(compared, "phantom to b", "coral")
    assert confused.share.isna().all() and transfer_planes.weakest(confused) == ""
    assert set(entry["by_plane"].values()) == {None}
    assert content["failed_runs"] == ["phantom-to-b_coral_resnet_seed1"]
    assert "1 was not measured, since a run failed" in transfer_conclusions.corrected(gained)[0]
    assert transfer_conclusions.corrected(gained)[1].endswith("not measured, since a run failed.")


# Words


def test_a_choice_is_made_on_validation_among_runs_with_the_same_classifiers(transfer_plan):
    classifiers = dict.fromkeys(("one", "other"), TINY["resnet"])
    training = small_transfer.parameters()["transfer"][STUDY]["training"] | {"classifiers": classifiers}
    used = [CONTROL, "multi-scale", "ultrasound"]
    plan = transfer_plan(
        training=training,
        blocks=[
            dict(methods=[*used, "multi-resolution"], directions=[DIRECTION], classifiers=["one"]),
            dict(methods=used, directions=[DIRECTION], classifiers=["other"]),
        ],
    )
    best_in_source = {"one": "multi-resolution", "other": "ultrasound"}

    def outcome(run):
        _, rows = domains.test(plan, plan.directions[run.direction])
        validation, _ = domains.tested_rows(plan, plan.directions[run.direction])
        right = np.full(len(validation), run.method == best_in_source[run.classifier])
        # On test images another method is the best by far, which must not matter.
        probabilities = [
            called(plan, validation, right),
            called(plan, rows, np.full(len(rows), run.method == "multi-scale")),
        ]
        return Outcome(run, tuple(runs.predicted(plan, run.direction)), np.concatenate(probabilities))

    outcomes = [outcome(run) for run in runs.all_runs(plan)]
    compared, table = TransferComparison(plan, outcomes), transfer_results.long_table(plan, outcomes)
    gained = transfer_results.gains(compared)
    chosen = transfer_choice.choices(compared, table, gained).set_index("classifier")
    assert chosen.method.to_dict() == {"mean": "ultrasound", "one": "multi-resolution", "other": "ultrasound"}
    assert chosen.among["mean"] == chosen.among["other"] == "unaligned, multi-scale, ultrasound"
    assert chosen.among["one"] == "unaligned, multi-scale, ultrasound, multi-resolution"
    assert chosen.validation_accuracy.to_dict() == {"mean": 0.5, "one": 1.0, "other": 1.0}
    assert (chosen.accuracy == 0).all() and (chosen.gain == 0).all()


def test_the_answer_names_what_is_chosen_and_what_is_tested(invented):
    plan, outcomes = invented

    def right(run, rows):
        wrong = {CONTROL: {0, 1, 2}, "pseudo-label": {0, 1, 2}, "coral": {0, 1}, "joint": {0}, "joint+coral": set()}
        return ~np.isin(np.arange(len(rows)) % 3, list(wrong[run.method]))

    made = outcomes(right)
    compared = TransferComparison(plan, made)
    gained = transfer_results.gains(compared)
    chosen = transfer_choice.choices(compared, transfer_results.long_table(plan, made), gained)
    (view,) = plan.main_views
    (sentence,) = (text.replace("\u00a0", " ") for text in transfer_conclusions.opening(gained, chosen, [view]))
    assert "resnet 0.0 % of the test images are right" in sentence and "macro F1 0.00" in sentence
    # All are equal on validation images: the baselines, and no method that does well on test images.
    assert "the baseline pseudo-label itself (0.0 %)" in sentence and "the baseline joint itself (66.7 %)" in sentence
    assert "Knowing nothing" not in sentence  # there is nothing but the control
    first, _, both = (text.replace("\u00a0", " ") for text in transfer_conclusions.corrected(gained))
    assert first.startswith("2 comparisons were named") and "2 show a gain after correction" in first
    assert "100.0 % against 66.7 % of joint, +33.3 points" in both and "4 runs" in both
    assert transfer_conclusions.example_method(gained, view, LEVELS, ["coral", CONTROL]) == "coral"
    assert transfer_conclusions.example_method(gained, view, LEVELS, [CONTROL]) is None
    worth = transfer_choice.knowledge(compared).set_index("level")
    assert worth.more.round(3).to_dict() == {
        "none": pytest.approx(np.nan, nan_ok=True),
        "unlabelled": 0,
        "labelled": 66.667,
    }
    table = transfer_conclusions.beside_published(gained, "phantom to b", "18 images", "15 images", 2)
    ours = table[table.study == "this study"].set_index("method")
    assert ours.accuracy["joint+coral, resnet"] == ours.F1["joint+coral, resnet"] == "100.0"
    assert ours["had seen"]["joint, resnet"] == "18 images; 2 African images per plane"
    assert {"54.9 to 68.7", "73.0 to 82.4"} < set(table.accuracy) and {"97.3", "95.2"} < set(table.F1)
    assert "92 ± 4" in set(table.recall) and table.source.ne("").all() and table["checked in"].ne("").all()
    assert {"multi-scale", "standard-outline"} < set(ONE_SCALE) and "multi-resolution" not in ONE_SCALE


def test_where_the_images_of_a_plane_go_and_why(invented):
    plan, outcomes = invented
    compared = TransferComparison(plan, outcomes(lambda run, rows: brain(run, rows) | (run.method == "joint")))
    confused = transfer_planes.confusions(compared, "phantom to b")
    assert confused.groupby("plane").share.sum().eq(1).all() and (confused.n == PATIENTS["test"]).all()
    share = confused.set_index(["plane", "called"]).share
    assert share["Fetal brain", "Fetal brain"] == share["Fetal femur", "Fetal abdomen"] == 1
    assert transfer_planes.weakest(confused) == "Fetal abdomen"  # the first of two
    recalled = transfer_planes.recalls(compared, "phantom to b").set_index(["of", "method", "plane"])
    assert (
        recalled.recall["target", "joint", "Fetal femur"] == 1
        and recalled.unaligned["target", "joint", "Fetal femur"] == 0
    )
    assert recalled.n["source", CONTROL, "Fetal femur"] == PATIENTS["validation"]

    # Target images 3 and 4 lie at source images of their own plane and of another one.
    vectors = np.array([[1, 0], [0, 1], [0.1, 1], [1, 0.01], [0, 2]])
    planes = np.array(["Fetal abdomen", "Fetal brain", "Fetal brain", "Fetal abdomen", "Fetal femur"])
    found = transfer_planes.nearest(vectors, np.arange(3), np.arange(3, 5), 2)
    assert found.tolist() == [[0, 2], [1, 2]]
    near = transfer_planes.planes_of_nearest(planes, np.arange(3, 5), found, plan.planes)
    share = near.set_index(["plane", "called"]).share
    assert share["Fetal abdomen", "Fetal abdomen"] == 0.5 and share["Fetal femur", "Fetal brain"] == 1
    words = transfer_missed.explained("phantom to b", "Fetal femur", confused, recalled.reset_index(), near, 6)
    assert "0% of its test images are found (chance: 33%); the others are called Fetal abdomen 100%" in words
    assert "0% of the nearest source images are of that plane; the most are Fetal brain (100%): it is another" in words
    assert "k labelled images per plane of the target (joint) 0% to 100%" in words
    missed = "it is missed there too, so this is no failure of the change of place alone"
    table = recalled.reset_index()
    many, few = (
        transfer_missed.explained("to b", "Fetal femur", confused, table.assign(n=n), near, 6) for n in (20, 19)
    )
    assert missed in many and missed not in few, "a handful of images says nothing of a plane"


def test_every_method_says_what_it_does():
    assert list(transfer_methods.DOES) == list(METHODS)
    table = transfer_methods.table(["joint", "unaligned", "coral"])
    assert list(table.method) == ["unaligned", "coral", "joint"]
    assert [text.endswith("; the baseline of its level") for text in table["what it does"]] == [True, False, True]


def test_appearance_is_measured_inside_the_fan():
    images = np.zeros((2, 32, 32), np.uint8)
    images[0, 8:24] = 100  # half of the image
    seen = domains.Gathered(
        images,
        *(np.array(of) for of in (["p", "p"], ["a", "b"], ["x", "y"], ["c", "c"], ["train"] * 2)),
        pd.DataFrame(),
    )
    table = transfer_planes.appearance(seen).set_index("place")
    assert table.fan["a"] == pytest.approx(0.5, abs=0.1) and table.grey["a"] == pytest.approx(100, abs=10)
    assert np.isnan(table.grey["b"]) and table.fan["b"] == 0
    assert seen.rows(domains.Domain("c")).tolist() == [0, 1]
    assert seen.rows(domains.Domain("c", "centre", "a")).tolist() == [0]
    assert seen.rows(domains.Domain("c", "centre", "a").rest()).tolist() == [1]


def test_the_readme_s_table_takes_what_validation_chooses(invented, elsewhere):
    assert "Not run yet" in readme.transfer()
    plan, outcomes = invented
    made = outcomes(lambda run, rows: np.full(len(rows), run.method != CONTROL))
    compared = TransferComparison(plan, made)
    gained = transfer_results.gains(compared)
    chosen = transfer_choice.choices(compared, transfer_results.long_table(plan, made), gained)
    write_json(summary(compared, gained, chosen, [], {}), paths.reports("wards", "summary.json"))
    lines = readme.transfer().splitlines()[2:]
    assert [line.split(" | ")[:5] for line in lines] == [
        [
            "| [each machine of phantom](reports/wards/index.html)",
            level,
            f"{method} (of 2)",
            "100.0 %",
            f"{method} 100.0 %",
        ]
        for level, method in ((UNLABELLED, "pseudo-label"), (LABELLED, "joint"))
    ]


# Examples


def turning(plan, method):
    """Outcomes of a study of `method` and control; every fifth test image turns from wrong to right. And which those are."""
    test, rows = domains.test(plan, plan.directions[DIRECTION])
    turned = np.arange(len(rows)) % 5 == 0
    outcomes = []
    for outcome in runs.train_all(STUDY, plan):
        right = turned if outcome.run.method == method else np.zeros(len(rows), bool)
        probabilities = np.concatenate([outcome.probabilities[: -len(rows)], called(plan, rows, right)])
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
