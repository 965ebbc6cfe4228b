"""Runs of a transfer study: none sees more of the target than its level allows, and what is finished is not made again."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_transfer import DIRECTION, PATIENTS, PLANES, STUDY, K, blocks, change

from fetalkit.data import subsets
from fetalkit.data.study import Study, read_set
from fetalkit.experiments.outcome import Outcome
from fetalkit.experiments.phase_cache import PhaseCache
from fetalkit.experiments.transfer import adabn, domains, runs, sets
from fetalkit.experiments.transfer.methods import CONTROL, LABELLED, LEVELS, METHODS, NONE, UNLABELLED
from fetalkit.experiments.transfer.runs import TransferRun
from fetalkit.generators.diffusion.generator import DiffusionGenerator
from fetalkit.generators.diffusion.training import Losses
from fetalkit.utils import paths

pytestmark = pytest.mark.slow

TRAIN = PATIENTS["train"] * len(PLANES)  # images of one machine


def trained(plan, method, study=STUDY):
    """Network, outcome and material of a training."""
    return runs.train(study, plan, PhaseCache.of(study, runs.STAGE), TransferRun(DIRECTION, method, "resnet", 0))


def bits(plan, method, study):
    """All numbers of a trained classifier, normalisation statistics included."""
    model, _, _ = trained(plan, method, study)
    return torch.cat([tensor.flatten().double() for tensor in model.state_dict().values()])


def drawn(plan, method, study=STUDY):
    """File of the synthetic set that a method begins with."""
    run = TransferRun(DIRECTION, method, "resnet", 0)
    return runs.synthetic_set(study, plan, PhaseCache.of(study, runs.STAGE), run)


@pytest.fixture
def steps(monkeypatch):
    """Steps of diffusion models that were made; a training that is finished makes none."""
    made, denoising = [], Losses.denoising

    def counted(self, denoiser):
        loss = denoising(self, denoiser)
        return lambda step: made.append(step) or loss(step)

    monkeypatch.setattr(Losses, "denoising", counted)
    return made


# What training sees

HIDDEN = {
    NONE: ["labels of train", "images of train", "labels of validation", "images of validation"],
    UNLABELLED: ["labels of train", "labels of validation", "images of validation"],
    LABELLED: ["labels of validation", "images of validation"],
}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_what_the_level_hides_changes_no_bit_of_training(transfer_plan, method):
    plan, before = transfer_plan(), None
    for number, what in enumerate([None, *HIDDEN[METHODS[method].level], "labels of test", "images of test"]):
        if what:
            change(what)
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
        ("pseudo-label", "images of train"),
        ("synthetic-target", "images of train"),
        ("target-only", "labels of train"),
        ("joint", "labels of train"),
    ],
)
def test_what_the_level_allows_is_used(transfer_plan, method, what):
    plan = transfer_plan()
    before = bits(plan, method, "before")
    change(what)
    assert not torch.equal(before, bits(plan, method, "after"))


def test_material_holds_what_the_level_allows_and_no_more(transfer_plan):
    plan = transfer_plan()
    direction = plan.directions[DIRECTION]
    of = {level: domains.material(plan, direction, level, seed=0) for level in LEVELS}
    for data in of.values():
        assert len(data.source.labels) == TRAIN and set(data.source_places) == {"a"}
        assert len(data.validation.labels) == PATIENTS["validation"] * len(PLANES)
    assert of[NONE].target is None and of[NONE].target_places is None
    assert len(of[UNLABELLED].target) == TRAIN and set(of[UNLABELLED].target_places) == {"b"}
    assert of[NONE].labelled is of[UNLABELLED].labelled is None
    assert np.bincount(of[LABELLED].labelled.labels).tolist() == [K] * len(PLANES)
    rows = of[LABELLED].labelled_rows
    assert np.array_equal(of[LABELLED].target[rows], of[LABELLED].labelled.images)
    test, rows = domains.test(plan, direction)
    assert len(test.labels) == PATIENTS["test"] * len(PLANES) and set(rows.machine) == {"b"}


def test_labelled_images_are_nested_and_those_of_the_target_s_own_study(transfer_plan):
    whole = domains.Direction("x", domains.Domain(STUDY, "machine", "a"), domains.Domain(STUDY))
    chosen = {}
    for k in (1, 3):
        plan = transfer_plan(labelled=k)
        chosen[k] = set(domains.material(plan, whole, LABELLED, seed=0).labelled_rows)
        study = Study(STUDY, plan.cohorts[STUDY])
        own = subsets.k_shot_subsets(study.table, [k], [0], PLANES).image_id
        train = study.part("train").image_id
        assert chosen[k] == set(np.flatnonzero(train.isin(set(own))))
    assert chosen[1] < chosen[3]


def test_predictions_bear_the_ids_of_their_images(transfer_plan):
    plan = transfer_plan(blocks=blocks(CONTROL))
    run = TransferRun(DIRECTION, CONTROL, "resnet", 0)
    outcome = runs.train_and_predict(STUDY, plan, PhaseCache.of(STUDY, runs.STAGE), run)
    ids = [name for name in outcome.image_ids if "test" in name]
    assert [name for name in outcome.image_ids if name not in ids] == [
        f"a-validation{patient}-{plane[6:]}" for patient in range(PATIENTS["validation"]) for plane in PLANES
    ]
    assert ids and all(name.startswith("b-test") for name in ids)
    # The store in another order: ids lead to the same images, and no prediction moves.
    folder = paths.data(STUDY, "images")
    images = np.load(folder / "images.npy")
    names = folder / "image_ids.json"
    listed = names.read_text()
    np.save(folder / "images.npy", images[::-1])
    names.write_text("[" + ", ".join(reversed(listed.strip("[]").split(", "))) + "]")
    again = runs.train_and_predict(STUDY, plan, PhaseCache.of("another", runs.STAGE), run)
    assert again.image_ids == outcome.image_ids and np.array_equal(again.probabilities, outcome.probabilities)


# Synthetic sets


def test_the_generator_of_the_source_has_not_seen_the_place_left_out(transfer_plan, monkeypatch):
    plan, seen = transfer_plan(), []
    stored = sets.stored
    monkeypatch.setattr(sets, "stored", lambda *given: seen.append(given[2]) or stored(*given))
    for method in ("synthetic-source", "synthetic-target"):
        assert np.bincount(read_set(drawn(plan, method), plan.image_size).labels).tolist() == [4, 4, 4]
    source, both = seen
    assert set(source.places) == {"a"} and set(both.places) == {"a", "b"}
    assert np.array_equal(source.images, both.images[: len(source.images)])


def test_sets_of_one_generator_are_not_drawn_side_by_side(transfer_plan, monkeypatch):
    plan, rounds = transfer_plan(), []

    def attempt(function, jobs, workers, label):
        if function is runs.synthetic_set:
            rounds.append([job["run"].method for job in jobs])
            return [runs.parallel.Attempt(None, "not drawn") for _ in jobs]
        return [runs.parallel.Attempt(Outcome(job["run"]), "") for job in jobs]

    monkeypatch.setattr(runs.parallel, "attempt", attempt)
    runs.train_all(STUDY, plan)
    assert rounds == [["synthetic-aligned", "synthetic-target", "joint+synthetic-target"], ["synthetic-magnified"]]


def test_sets_that_differ_in_magnification_alone_are_of_one_training(transfer_plan, steps):
    plan = transfer_plan()
    paths_of = [drawn(plan, method) for method in ("synthetic-source", "synthetic-magnified")]
    assert len(steps) == plan.generator.steps, "the second set trained a generator of its own"
    first, second = (read_set(path, plan.image_size) for path in paths_of)
    assert first.labels.tolist() == second.labels.tolist() and not np.array_equal(first.images, second.images)


def test_a_stored_set_is_taken_until_what_it_follows_from_changes(transfer_plan, transfer_content, monkeypatch):
    fits, fit = [], DiffusionGenerator.fit
    monkeypatch.setattr(
        DiffusionGenerator, "fit", lambda self, *given, **more: fits.append(self) or fit(self, *given, **more)
    )
    first = drawn(transfer_plan(), "synthetic-source")
    assert len(fits) == 1
    assert drawn(transfer_plan(), "synthetic-source") == first and len(fits) == 1
    # What other methods are told makes no difference.
    assert drawn(transfer_plan(joint_share=0.25, scales=[1, 2]), "synthetic-source") == first and len(fits) == 1
    section = transfer_content["transfer"][STUDY]["generator"]
    others = {
        "more steps": dict(generator=section | {"steps": 3}),
        "more images": dict(generator=section | {"images_per_plane": 5}),
    }
    made = {first}
    for number, (name, changes) in enumerate(others.items(), 2):
        made.add(drawn(transfer_plan(**changes), "synthetic-source"))
        assert len(made) == len(fits) == number, name
    transfer_content["phantom"]["generators"]["diffusion"]["training"]["learning_rate"] = 0.001
    made.add(drawn(transfer_plan(generator=section), "synthetic-source"))
    change("images of train")  # of the target, which this generator does not see
    made.add(drawn(transfer_plan(), "synthetic-source"))
    assert len(made) == len(fits) == 4


def test_a_study_keeps_the_sets_of_its_latest_run_alone(transfer_plan, transfer_content):
    used = blocks(CONTROL, "synthetic-source")
    assert not any(outcome.error for outcome in runs.train_all(STUDY, transfer_plan(blocks=used)))
    (first,) = sets.folder(STUDY).glob("*")
    section = transfer_content["transfer"][STUDY]["generator"] | {"images_per_plane": 5}
    runs.train_all(STUDY, transfer_plan(generator=section))
    (second,) = sets.folder(STUDY).glob("*")
    assert first != second


def test_a_study_without_sets_has_an_empty_folder_for_them(transfer_plan):
    runs.train_all(STUDY, transfer_plan(blocks=blocks(CONTROL)))
    assert sets.folder(STUDY).is_dir() and not list(sets.folder(STUDY).iterdir())  # DVC asks for it


def test_a_set_that_cannot_be_made_removes_no_other(transfer_plan, monkeypatch):
    used = transfer_plan(blocks=blocks(CONTROL, "synthetic-source"))
    runs.train_all(STUDY, used)
    before = set(sets.folder(STUDY).glob("*"))

    def broken(*_):
        raise ValueError("no set today")

    monkeypatch.setattr(sets, "stored", broken)
    control, failed = runs.train_all(STUDY, used)
    assert not control.error and "no set today" in failed.error and np.isnan(failed.probabilities).all()
    assert set(sets.folder(STUDY).glob("*")) == before


def test_planes_of_the_target_are_guessed_but_where_they_are_labelled(transfer_plan, monkeypatch):
    plan = transfer_plan()
    monkeypatch.setattr(runs, "predict", lambda *_: np.eye(3)[np.full(TRAIN, 2)])
    run, cache = TransferRun(DIRECTION, "joint+synthetic-target", "resnet", 0), PhaseCache.of(STUDY, runs.STAGE)
    for level, known in ((UNLABELLED, 0), (LABELLED, K)):
        data = domains.material(plan, plan.directions[DIRECTION], level, seed=0)
        planes = runs.believed(STUDY, plan, cache, run, data)
        assert np.bincount(planes, minlength=3).tolist() == [known, known, TRAIN - 2 * known]


def test_the_generator_has_a_class_per_plane_and_place():
    seen = sets.Seen(np.zeros((5, 8, 8), np.uint8), np.array([0, 0, 1, 1, 2]), np.array(["a", "b", "a", "b", "a"]))
    assert seen.classes() == [(0, "a"), (0, "b"), (1, "a"), (1, "b"), (2, "a")]
    numbers, planes = sets.wanted_classes(seen.classes(), ["b"], each=3)
    # The plane 2 was never seen in b: images of a stand in for it.
    assert numbers.tolist() == [1, 1, 1, 3, 3, 3, 4, 4, 4] and planes.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    numbers, _ = sets.wanted_classes(seen.classes(), ["a", "b"], each=4)
    assert np.bincount(numbers).tolist() == [2, 2, 2, 2, 4]


# All runs of a study


def stored_weights():
    """When each file of weights of the study was written."""
    return {path: path.stat().st_mtime_ns for path in paths.data(STUDY, "trainings").rglob("*.safetensors")}


def test_a_run_that_fails_is_marked_and_the_others_are_stored(transfer_plan, monkeypatch):
    used = [CONTROL, "multi-resolution", "pseudo-label", "adabn", "synthetic-target"]
    plan = transfer_plan(blocks=blocks(*used))

    def broken(*_):
        raise ValueError("no statistics today")

    with monkeypatch.context() as patch:
        patch.setattr(adabn, "adapt", broken)
        outcomes = {outcome.run.method: outcome for outcome in runs.train_all(STUDY, plan)}
    assert list(outcomes) == used
    assert "no statistics today" in outcomes["adabn"].error and "Traceback" in outcomes["adabn"].error
    assert np.isnan(outcomes["adabn"].probabilities).all()
    assert outcomes["adabn"].image_ids == outcomes[CONTROL].image_ids
    assert outcomes["adabn"].probabilities.shape == outcomes[CONTROL].probabilities.shape
    assert not any(outcomes[name].error for name in used if name != "adabn")
    # The same training, predicted at one scale and at several.
    assert outcomes[CONTROL].weights == outcomes["multi-resolution"].weights
    assert not np.array_equal(outcomes[CONTROL].probabilities, outcomes["multi-resolution"].probabilities)

    stored = stored_weights()
    assert len(stored) == 1 + 1 + 1  # the control; the pseudo-labels; the last phase of the pre-trained one
    again = runs.train_all(STUDY, plan)
    assert not any(outcome.error for outcome in again)
    assert stored_weights() == stored
    assert np.array_equal(again[0].probabilities, outcomes[CONTROL].probabilities)


# Trains a study in a folder; every second step leaves a checkpoint.
STUDY_OF = """
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
outcomes = runs.train_all(sys.argv[2], settings.load("phantom", paths.ROOT / "params.yaml"))
np.save(paths.ROOT / f"{sys.argv[2]}.npy", [outcome.probabilities for outcome in outcomes])
print(len(calls))
"""


@pytest.mark.slow
def test_a_killed_study_goes_on_to_the_same_bits(transfer_plan, transfer_content, elsewhere):
    transfer_content["transfer"][STUDY]["training"] |= {"pretrain_steps": 4, "train_steps": 4}
    transfer_plan(blocks=blocks(CONTROL, "dann", "histogram", "synthetic-target", "joint"))

    def study(folder, killed_at=0):
        call = [sys.executable, "-c", STUDY_OF, elsewhere, folder, str(killed_at)]
        root = {"PYTHONPATH": str(Path(__file__).parents[1])}
        return subprocess.run(call, env=os.environ | root, capture_output=True, text=True)

    whole = study("whole")
    assert whole.returncode == 0, whole.stderr
    batches = int(whole.stdout.split()[-1])
    for _ in range(2):  # each time it goes on from where it stood
        killed = study("killed", killed_at=batches // 3)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = study("killed")
    assert resumed.returncode == 0, resumed.stderr
    assert 0 < int(resumed.stdout.split()[-1]) < 0.6 * batches
    ours, theirs = (np.load(elsewhere / f"{name}.npy") for name in ("killed", "whole"))
    assert np.isfinite(theirs).all() and np.array_equal(ours, theirs)
