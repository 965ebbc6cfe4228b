"""The transfer study: no run sees more of the target than its level allows, budgets are equal, and the numbers are right."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from fetalkit.analysis import intervals, transfer_conclusions, transfer_results
from fetalkit.analysis.transfer_summary import summary
from fetalkit.config.runs import Outcome
from fetalkit.data import subsets
from fetalkit.data.study import Study
from fetalkit.experiments.transfer import adabn, domains, examples, methods, runs, sets, settings
from fetalkit.experiments.transfer.methods import CONTROL, LABELLED, LEVELS, METHODS, NONE, UNLABELLED
from fetalkit.generators.diffusion.generator import DiffusionGenerator
from fetalkit.reporting import readme
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import write_json, write_table

PLANES = ["Fetal abdomen", "Fetal brain", "Fetal femur"]
MACHINES = ["a", "b"]
PATIENTS = {"train": 6, "validation": 2, "test": 5}  # per machine, with one image of each plane
SIZE, K = 32, 2
DIRECTION = "phantom to b"
TINY = {"resnet": {"model": "resnet10t", "arguments": {"stem_width": 8, "channels": [8, 8, 16, 16]}}}
GENERATOR = {"channels": [16, 32], "attention": [False, True], "batch_size": 4, "augment": 0.5}


@pytest.fixture
def content(elsewhere):
    """Parameters of a study of two machines, in which every method runs in a second or two."""
    content = yaml.safe_load(paths.PARAMS.read_text())
    content["run"] = {"device": "cpu", "precision": "float32", "workers": 1}
    phantom = content["phantom"]
    phantom["cohort"]["planes"], phantom["images"] = PLANES, {"size": SIZE}
    phantom["diffusion"] |= GENERATOR
    phantom["synthesis"]["diffusion"]["steps"] = 2
    content["transfer"]["phantom"] |= {
        "leave_out": [{"cohort": "phantom", "by": "machine", "places": ["b"]}],
        "seeds": [0],
        "labelled": K,
        "generator": {"steps": 2, "images_per_plane": 4, "magnifications": [0.8, 1.25]},
        "blocks": [{"methods": list(METHODS), "directions": [DIRECTION], "classifiers": ["resnet"]}],
    }
    content["transfer"]["phantom"]["training"] |= {
        "classifiers": TINY, "pretrain_steps": 1, "train_steps": 2, "batch_size": 4
    }  # fmt: skip
    return content


@pytest.fixture
def load(content, elsewhere):
    """Write images and splits; return a function that loads the plan after changes of the transfer section."""
    rows = [
        (f"{machine}-{part}{patient}-{plane[6:]}", f"{machine}-{part}{patient}", plane, machine, part)
        for machine in MACHINES
        for part, number in PATIENTS.items()
        for patient in range(number)
        for plane in PLANES
    ]
    table = pd.DataFrame(rows, columns=["image_id", "patient", "plane", "machine", "part"])
    table = table.assign(group=table.patient, centre="", official_split="", dropped="", linked=False)
    write(table, np.random.default_rng(0).integers(0, 256, (len(table), SIZE, SIZE), np.uint8))

    def load(**changes):
        content["transfer"]["phantom"] |= changes
        path = elsewhere / "params.yaml"
        path.write_text(yaml.safe_dump(content))
        return settings.load("phantom", path)

    return load


def write(table, images):
    write_table(table, paths.data("phantom", "splits", "splits.csv"))
    paths.data("phantom", "images").mkdir(parents=True, exist_ok=True)
    np.save(paths.data("phantom", "images", "images.npy"), images)


def changed(what, seed=7):
    """Change labels or images of a part of the target on disk."""
    kind, part = what.split(" of ")
    path = paths.data("phantom", "splits", "splits.csv")
    table = pd.read_csv(path, keep_default_na=False)
    images = np.load(paths.data("phantom", "images", "images.npy"))
    rows = np.flatnonzero((table.machine == "b") & (table.part == part))
    random = np.random.default_rng(seed)
    if kind == "labels":
        table.loc[rows, "plane"] = np.roll(table.plane[rows], 1)  # of every image, so that no order is the old one
    else:
        images[rows] = random.integers(0, 256, images[rows].shape, np.uint8)
    write(table, images)


def bits(plan, method, folder):
    """All numbers of a trained classifier, normalisation statistics included."""
    model, _, _ = runs.train_cell(folder, plan, runs.Cell(DIRECTION, method, "resnet", 0))
    return torch.cat([tensor.flatten().double() for tensor in model.state_dict().values()])


# What training sees

HIDDEN = {
    NONE: ["labels of train", "images of train", "labels of validation", "images of validation"],
    UNLABELLED: ["labels of train", "labels of validation", "images of validation"],
    LABELLED: ["labels of validation", "images of validation"],
}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_what_the_level_hides_changes_no_bit_of_training(load, method):
    plan, before = load(), None
    for number, what in enumerate([None, *HIDDEN[METHODS[method].level], "labels of test", "images of test"]):
        if what:
            changed(what)
        # A folder of its own each time, so that nothing stored is taken.
        after = bits(plan, method, f"try{number}")
        assert before is None or torch.equal(before, after), what
        before = after


@pytest.mark.parametrize(
    ("method", "what"),
    [
        ("coral", "images of train"),
        ("dann", "images of train"),
        ("adabn", "images of train"),
        ("histogram", "images of train"),
        ("synthetic-target", "images of train"),
        ("target-only", "labels of train"),
        ("joint", "labels of train"),
    ],
)
def test_what_the_level_allows_is_used(load, method, what):
    plan = load()
    before = bits(plan, method, "before")
    changed(what)
    assert not torch.equal(before, bits(plan, method, "after"))


def test_material_holds_what_the_level_allows_and_no_more(load):
    plan = load()
    direction = plan.directions[DIRECTION]
    found = {level: domains.material(plan, direction, level, seed=0) for level in LEVELS}
    for of in found.values():
        assert len(of.source.labels) == PATIENTS["train"] * len(PLANES) and set(of.source_places) == {"a"}
        assert len(of.validation.labels) == PATIENTS["validation"] * len(PLANES)
    assert found[NONE].target is None and found[NONE].target_places is None
    assert len(found[UNLABELLED].target) == PATIENTS["train"] * len(PLANES) and set(
        found[UNLABELLED].target_places
    ) == {"b"}
    assert found[NONE].labelled is found[UNLABELLED].labelled is None
    assert np.bincount(found[LABELLED].labelled.labels).tolist() == [K] * len(PLANES)
    rows = found[LABELLED].labelled_rows
    assert np.array_equal(found[LABELLED].target[rows], found[LABELLED].labelled.images)
    test, rows = domains.test(plan, direction)
    assert len(test.labels) == PATIENTS["test"] * len(PLANES) and set(rows.machine) == {"b"}


def test_labelled_images_are_nested_and_those_of_the_target_s_own_study(load):
    whole = domains.Direction("x", domains.Domain("phantom", "machine", "a"), domains.Domain("phantom"))
    chosen = {}
    for k in (1, 3):
        plan = load(labelled=k)
        chosen[k] = set(domains.material(plan, whole, LABELLED, seed=0).labelled_rows)
        study = Study("phantom", plan.cohorts["phantom"])
        own = subsets.k_shot_subsets(study.table, [k], [0], PLANES).image_id
        train = study.part("train").image_id
        assert chosen[k] == set(np.flatnonzero(train.isin(set(own))))
    assert chosen[1] < chosen[3]


def test_the_generator_of_the_source_has_not_seen_the_place_left_out(load, monkeypatch):
    plan, seen = load(), []
    learn = sets.trained
    monkeypatch.setattr(sets, "trained", lambda *given: seen.append(given[2]) or learn(*given))
    for method in ("synthetic-source", "synthetic-target"):
        drawn = runs.synthetic("phantom", plan, runs.Cell(DIRECTION, method, "resnet", 0))
        assert np.bincount(drawn.labels).tolist() == [4, 4, 4]
    source, both = seen
    assert set(source.places) == {"a"} and set(both.places) == {"a", "b"}
    assert np.array_equal(source.images, both.images[: len(source.images)])


def test_sets_of_one_generator_are_not_drawn_side_by_side(load, monkeypatch):
    plan, rounds = load(), []

    def attempt(function, jobs, workers, label):
        if function is runs.synthetic:
            rounds.append([job["cell"].method for job in jobs])
        return [runs.parallel.Attempt(None, "") for _ in jobs]

    monkeypatch.setattr(runs.parallel, "attempt", attempt)
    runs.run("phantom", plan)
    assert rounds == [["synthetic-aligned", "synthetic-target", "joint+synthetic-target"], ["synthetic-magnified"]]


def test_a_training_serves_several_sets(load, monkeypatch):
    plan = load()
    first = runs.synthetic("phantom", plan, runs.Cell(DIRECTION, "synthetic-source", "resnet", 0))
    monkeypatch.setattr(DiffusionGenerator, "_batch", lambda *_: pytest.fail("trained again"))
    second = runs.synthetic("phantom", plan, runs.Cell(DIRECTION, "synthetic-magnified", "resnet", 0))
    assert first.labels.tolist() == second.labels.tolist() and not np.array_equal(first.images, second.images)


def test_planes_of_the_target_are_guessed_but_where_they_are_labelled(load, monkeypatch):
    plan = load()
    monkeypatch.setattr(runs, "predict", lambda *_: np.eye(3)[np.full(PATIENTS["train"] * len(PLANES), 2)])
    cell = runs.Cell(DIRECTION, "joint+synthetic-target", "resnet", 0)
    for level, known in ((UNLABELLED, 0), (LABELLED, K)):
        data = domains.material(plan, plan.directions[DIRECTION], level, seed=0)
        assert np.bincount(runs.believed("phantom", plan, cell, data), minlength=3).tolist() == [
            known,
            known,
            18 - 2 * known,
        ]


def test_the_generator_has_a_class_per_plane_and_place():
    seen = sets.Seen(np.zeros((5, 8, 8), np.uint8), np.array([0, 0, 1, 1, 2]), np.array(["a", "b", "a", "b", "a"]))
    assert seen.classes() == [(0, "a"), (0, "b"), (1, "a"), (1, "b"), (2, "a")]
    numbers, planes = sets.wanted(seen.classes(), ["b"], each=3)
    # The plane 2 was never seen in b: images of a stand in for it.
    assert numbers.tolist() == [1, 1, 1, 3, 3, 3, 4, 4, 4] and planes.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    numbers, _ = sets.wanted(seen.classes(), ["a", "b"], each=4)
    assert np.bincount(numbers).tolist() == [2, 2, 2, 2, 4]


# Methods and parameters


def test_all_methods_spend_the_same_number_of_steps():
    for name, method in METHODS.items():
        planned = methods.phases(method, 5, 7)
        assert sum(phase.steps for phase in planned) == 12, name
        assert [phase.source for phase in planned] == (["synthetic", "real"] if method.pretraining else ["real"])


def test_levels_are_those_of_the_study_s_description():
    of = {level: {name for name in METHODS if METHODS[name].level == level} for level in LEVELS}
    assert of[UNLABELLED] == {"coral", "mmd", "dann", "adabn", "histogram", "fourier", "synthetic-target"}
    assert of[LABELLED] == {"target-only", "joint", "joint+coral", "joint+synthetic-target"}
    assert {CONTROL, "multi-scale", "multi-resolution", "ultrasound", "synthetic-source", "synthetic-aligned"} < of[
        NONE
    ]


def test_the_published_studies_are_valid():
    assert settings.names() == ["phantom", "transfer"]
    hospitals = settings.load("transfer")
    assert list(hospitals.cohorts) == ["africa", "spain"]
    assert [name for name, of in hospitals.directions.items() if not of.source.by] == [
        "spain to africa",
        "africa to spain",
    ]
    assert len(hospitals.views["each centre of africa"]) == 5
    assert len(hospitals.seeds) >= 3
    used = {cell.method for cell in runs.cells(hospitals)}
    assert used == set(METHODS)
    names = [cell.name for cell in runs.cells(hospitals)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"joint_share": 1.0}, ["transfer.phantom.joint_share", "= 1.0", "less than 1"]),
        ({"colour": 1}, ["transfer.phantom.colour", "not a known key"]),
        ({"blocks": [dict(methods=["magic"], directions=[DIRECTION], classifiers=["resnet"])]}, ["magic", "adabn"]),
        ({"blocks": [dict(methods=["coral"], directions=[DIRECTION], classifiers=["resnet"])]}, ["no unaligned"]),
        ({"blocks": [dict(methods=["coral"], directions=["moon"], classifiers=["resnet"])]}, ["moon", DIRECTION]),
        ({"across": [["phantom", "mars"]]}, ["'mars' is not known"]),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(load, changes, words):
    with pytest.raises(FetalkitError) as error:
        load(**changes)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_unknown_studies_and_places_are_named(load):
    with pytest.raises(FetalkitError, match=r"no section 'africa'; there are studies for: phantom"):
        settings.load("africa")
    plan = load(
        leave_out=[{"cohort": "phantom", "by": "machine", "places": ["c"]}],
        blocks=[dict(methods=[CONTROL], directions=["phantom to c"], classifiers=["resnet"])],
    )
    with pytest.raises(FetalkitError, match="no test image where machine is 'c'"):
        domains.test(plan, plan.directions["phantom to c"])
    plan = load(labelled=7, leave_out=[{"cohort": "phantom", "by": "machine", "places": ["b"]}],
                blocks=[dict(methods=[CONTROL], directions=[DIRECTION], classifiers=["resnet"])])  # fmt: skip
    with pytest.raises(FetalkitError, match=r"transfer.labelled, phantom to b: .*k = 7.*only 6"):
        domains.material(plan, plan.directions[DIRECTION], LABELLED, seed=0)


# Runs and results


def test_a_run_that_fails_is_marked_and_the_others_are_stored(load, monkeypatch):
    used = [CONTROL, "multi-resolution", "adabn", "synthetic-target"]
    plan = load(blocks=[dict(methods=used, directions=[DIRECTION], classifiers=["resnet"])])

    def broken(*_):
        raise ValueError("no statistics today")

    with monkeypatch.context() as patch:
        patch.setattr(adabn, "adapt", broken)
        outcomes = {outcome.cell.method: outcome for outcome in runs.run("phantom", plan)}
    assert list(outcomes) == used
    assert "no statistics today" in outcomes["adabn"].error and "Traceback" in outcomes["adabn"].error
    assert np.isnan(outcomes["adabn"].probabilities).all()
    assert not any(outcomes[name].error for name in used if name != "adabn")
    # The same training, predicted at one scale and at several.
    assert outcomes[CONTROL].weights == outcomes["multi-resolution"].weights
    assert not np.array_equal(outcomes[CONTROL].probabilities, outcomes["multi-resolution"].probabilities)

    table = transfer_results.long_table(plan, list(outcomes.values()))
    assert table[table.method == "adabn"].value.isna().all()
    assert table[table.method != "adabn"].value.notna().all()
    gained = transfer_results.gains(transfer_results.Compared(plan, list(outcomes.values())))
    assert gained[gained.method == "adabn"].accuracy.isna().all()
    content = summary(transfer_results.Compared(plan, list(outcomes.values())), gained, ["x"], {})
    assert content["directions"][DIRECTION][UNLABELLED]["adabn"]["accuracy"] is None

    stored = {path: path.stat().st_mtime_ns for path in paths.work("phantom").rglob("*.safetensors")}
    assert len(stored) == 1 + 2  # the control; both phases of the pre-trained one
    again = runs.run("phantom", plan)
    assert not any(outcome.error for outcome in again)
    assert {path: path.stat().st_mtime_ns for path in paths.work("phantom").rglob("*.safetensors")} == stored
    assert np.array_equal(again[0].probabilities, outcomes[CONTROL].probabilities)


# Runs the grid in a folder; every second step leaves a checkpoint.
GRID = """
import os, signal, sys
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
from fetalkit.data import sampling
from fetalkit.utils import checkpoints, paths
from fetalkit.experiments.transfer import runs, settings
paths.ROOT = Path(sys.argv[1])
checkpoints.Checkpoint.__init__.__defaults__ = (2,)
indices, calls = sampling.indices, []
def deadly(*args):
    calls.append(args)
    if len(calls) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return indices(*args)
sampling.indices = deadly
found = runs.run(sys.argv[2], settings.load("phantom", paths.ROOT / "params.yaml"))
np.save(paths.ROOT / f"{sys.argv[2]}.npy", [outcome.probabilities for outcome in found])
print(len(calls))
"""


@pytest.mark.slow
def test_a_killed_grid_goes_on_to_the_same_bits(load, content, elsewhere):
    content["transfer"]["phantom"]["training"] |= {"pretrain_steps": 4, "train_steps": 4}
    used = [CONTROL, "dann", "histogram", "synthetic-target", "joint"]
    load(blocks=[dict(methods=used, directions=[DIRECTION], classifiers=["resnet"])])

    def grid(folder, killed_at=0):
        call = [sys.executable, "-c", GRID, elsewhere, folder, str(killed_at)]
        root = {"PYTHONPATH": str(Path(__file__).parents[1])}
        return subprocess.run(call, env=os.environ | root, capture_output=True, text=True)

    whole = grid("whole")
    assert whole.returncode == 0, whole.stderr
    batches = int(whole.stdout.split()[-1])
    for _ in range(2):  # each time it goes on from where it stood
        killed = grid("killed", killed_at=batches // 3)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = grid("killed")
    assert resumed.returncode == 0, resumed.stderr
    assert 0 < int(resumed.stdout.split()[-1]) < 0.6 * batches
    ours, theirs = (np.load(elsewhere / f"{name}.npy") for name in ("killed", "whole"))
    assert np.isfinite(theirs).all() and np.array_equal(ours, theirs)


@pytest.fixture
def invented(load):
    """A plan of both machines, left out in turn, and outcomes that are right where the test says."""
    both = ["phantom to a", "phantom to b"]
    plan = load(
        leave_out=[{"cohort": "phantom", "by": "machine", "places": MACHINES}],
        seeds=[0, 1],
        blocks=[dict(methods=[CONTROL, "coral", "joint"], directions=both, classifiers=["resnet"])],
    )

    def outcomes(right):
        found = []
        for cell in runs.cells(plan):
            test, rows = domains.test(plan, plan.directions[cell.direction])
            called = np.where(right(cell, rows), test.labels, (test.labels + 1) % 3)
            validation = np.zeros((PATIENTS["validation"] * len(PLANES), 3))
            probabilities = np.concatenate([validation, np.eye(3)[called]]).astype(np.float32)
            found.append(Outcome(cell, probabilities))
        return found

    return plan, outcomes


def test_gains_are_paired_with_the_control_and_kept_apart_by_level(invented):
    plan, outcomes = invented

    def right(cell, rows):
        brain = (rows.plane == "Fetal brain").to_numpy()
        return {CONTROL: brain, "coral": brain | (rows.machine == "b").to_numpy(), "joint": np.ones(len(rows), bool)}[
            cell.method
        ]

    compared = transfer_results.Compared(plan, outcomes(right))
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
    table = transfer_results.long_table(plan, outcomes(lambda cell, rows: (rows.plane == "Fetal brain").to_numpy()))
    assert list(table.columns) == [*transfer_results.KEYS, "metric", "value"]
    accuracy = table[table.metric == "accuracy"]
    assert len(accuracy) == len(runs.cells(plan)) == 2 * 2 * 3
    assert np.allclose(accuracy.value, 1 / 3)
    assert (table.level == table.method.map(lambda name: METHODS[name].level)).all()
    assert set(table[table.direction == "phantom to a"].metric) >= {
        "recall[Fetal brain]",
        "accuracy[a]",
        "validation_accuracy",
    }


def test_the_answer_names_the_best_of_each_level(invented):
    plan, outcomes = invented

    def right(cell, rows):
        wrong = {CONTROL: {0, 1, 2}, "coral": {0, 1}, "joint": set()}[cell.method]
        return ~np.isin(np.arange(len(rows)) % 3, list(wrong))

    gained = transfer_results.gains(transfer_results.Compared(plan, outcomes(right)))
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


def test_exhibits_are_images_that_turned_right(load):
    plan = load(blocks=[dict(methods=[CONTROL, "multi-scale"], directions=[DIRECTION], classifiers=["resnet"])])
    test, rows = domains.test(plan, plan.directions[DIRECTION])
    turned = np.arange(len(rows)) % 5 == 0
    found = []
    for outcome in runs.run("phantom", plan):
        right = turned if outcome.cell.method == "multi-scale" else np.zeros(len(rows), bool)
        called = np.where(right, test.labels, (test.labels + 1) % 3)
        of_validation = outcome.probabilities[: -len(rows)]
        probabilities = np.concatenate([of_validation, np.eye(3, dtype=np.float32)[called]])
        found.append(dataclasses.replace(outcome, probabilities=probabilities))
    exhibit = examples.turned("phantom", plan, found, DIRECTION, "multi-scale")
    number = int(turned.sum())
    assert exhibit.right.tolist() == [True] * number + [False] * number
    assert {image.tobytes() for image in exhibit.images[:number]} == {image.tobytes() for image in test.images[turned]}
    assert np.array_equal(exhibit.images[:number], exhibit.images[number:])
    assert exhibit.maps.shape == exhibit.images.shape
    for title, right in zip(exhibit.titles, exhibit.right, strict=True):
        is_, called = title.split(" → ")
        assert (is_ == called) == right
    assert examples.turned("phantom", plan, found[:1], DIRECTION, "multi-scale") is None


def test_the_readme_s_table_takes_the_best_of_each_level(invented, elsewhere):
    assert "Not run yet" in readme.transfer()
    plan, outcomes = invented

    def right(cell, rows):
        return np.full(len(rows), cell.method != CONTROL)

    compared = transfer_results.Compared(plan, outcomes(right))
    write_json(summary(compared, transfer_results.gains(compared), [], {}), paths.reports("transfer", "summary.json"))
    lines = readme.transfer().splitlines()[2:]
    assert [line.split(" | ")[:5] for line in lines] == [
        ["| [each machine of phantom](reports/transfer/index.html)", level, method, "100.0 %", "0.0 %"]
        for level, method in ((UNLABELLED, "coral"), (LABELLED, "joint"))
    ]
