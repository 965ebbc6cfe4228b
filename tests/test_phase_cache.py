"""A phase is trained once, whoever wants it, survives a kill, and is kept only where it is needed."""

import multiprocessing
import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fetalkit.classifiers.trainer import Recipe
from fetalkit.data.images import Labelled
from fetalkit.experiments import phase_cache
from fetalkit.experiments.outcome import Outcome
from fetalkit.experiments.phase_cache import PhaseCache, finished
from fetalkit.utils import paths

STEPS, SAVED_EVERY = 8, 2
RECIPE = Recipe(batch_size=4, learning_rate=0.01, weight_decay=0.01, warmup_fraction=0.1, label_smoothing=0.0)
SPAWN = multiprocessing.get_context("spawn")


@dataclass
class Batches:
    """Batches that write down every step that is asked for; at step `kill_at` the whole process is killed."""

    log: Path
    kill_at: int = -1
    seconds: float = 0.0

    def batch(self, step, batch_size, *_):
        if step == self.kill_at:
            os._exit(9)
        time.sleep(self.seconds)
        with self.log.open("a") as log:
            log.write(f"{step}\n")
        random = torch.Generator().manual_seed(step)
        return torch.rand(batch_size, 1, 8, 8, generator=random), torch.arange(batch_size) % 2


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 2))


def train(cache, fingerprint, batches, model=None, precision=torch.float32):
    """Train a phase; return its record and the weights that the model then has, as bytes."""
    model = model or network()
    validation = Labelled(np.zeros((2, 8, 8), np.uint8), np.array([0, 1]))
    record = cache.train(
        fingerprint, model, batches, STEPS, RECIPE, device=torch.device("cpu"), label="test", validation=validation,
        precision=precision,
    )  # fmt: skip
    return record, b"".join(value.numpy().tobytes() for value in model.state_dict().values())


def in_a_process(root, folder, batches, ready=None):
    """As `train`, in a process of its own; it waits until both of the two files `ready` are there."""
    paths.ROOT = root
    phase_cache.Checkpoint = partial(phase_cache.Checkpoint, every=SAVED_EVERY)
    if ready:
        ready[0].touch()
        while not ready[1].exists():
            time.sleep(0.01)
    train(PhaseCache("study", folder), "a", batches)


def asked_for(log):
    return [int(step) for step in log.read_text().split()]


@pytest.mark.slow
def test_two_processes_that_want_one_phase_train_it_once(elsewhere):
    log, ready = elsewhere / "log", [elsewhere / "one", elsewhere / "two"]
    batches = Batches(log, seconds=0.1)
    both = [
        SPAWN.Process(target=in_a_process, args=(elsewhere, elsewhere / "kept", batches, of))
        for of in (ready, ready[::-1])
    ]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    assert asked_for(log) == list(range(STEPS)), "each step once"


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_with_the_same_bits(elsewhere):
    log, folder = elsewhere / "log", elsewhere / "kept"
    process = SPAWN.Process(target=in_a_process, args=(elsewhere, folder, Batches(log, kill_at=5)))
    process.start()
    process.join(120)
    assert process.exitcode == 9 and not list(folder.glob("*"))
    log.unlink()
    record, resumed = train(PhaseCache("study", folder), "a", Batches(log))
    assert asked_for(log) == [4, 5, 6, 7], "from the last checkpoint, which lies at step 4"
    other, undisturbed = train(PhaseCache("other", elsewhere / "other"), "a", Batches(elsewhere / "another log"))
    assert resumed == undisturbed and record["curve"] == other["curve"]
    assert not list(paths.work("study", "phases").glob("*.checkpoint"))


def test_a_finished_phase_is_taken(elsewhere):
    cache, log = PhaseCache("study", elsewhere / "kept"), elsewhere / "log"
    first = train(cache, "a", Batches(log))
    changed = network()
    nn.init.zeros_(changed[1].weight)
    assert train(cache, "a", Batches(log), changed) == first, "whatever the model was before"
    assert asked_for(log) == list(range(STEPS))


@pytest.mark.slow
def test_a_machine_takes_what_another_has_finished_but_not_what_it_has_begun(elsewhere):
    """One that rounds differently, as a processor with bfloat16 does beside one without."""
    cache = PhaseCache("study", elsewhere / "kept")
    process = SPAWN.Process(
        target=in_a_process, args=(elsewhere, elsewhere / "kept", Batches(elsewhere / "first", kill_at=5))
    )
    process.start()
    process.join()
    assert process.exitcode == 9 and asked_for(elsewhere / "first") == [0, 1, 2, 3, 4]
    record, weights = train(cache, "a", Batches(elsewhere / "second"), precision=torch.bfloat16)
    assert asked_for(elsewhere / "second") == list(range(STEPS))
    assert record["rounding"][-1] == "torch.bfloat16"
    assert train(cache, "a", Batches(elsewhere / "third")) == (record, weights)
    assert not (elsewhere / "third").exists()


def test_what_is_kept_follows_from_the_outcomes(elsewhere):
    cache, log = PhaseCache("study", elsewhere / "kept"), elsewhere / "log"
    for fingerprint in ("first", "last", "old"):
        record, bits = train(cache, fingerprint, Batches(log))
    weights = cache.weights("last")
    outcomes = [
        Outcome("run", weights=weights, trainings=("first", "last")),
        Outcome.failed("failed", ["x"], 2, "it broke"),
    ]
    cache.keep(outcomes)
    files = sorted(str(path.relative_to(cache.folder)) for path in cache.folder.rglob("*") if path.is_file())
    assert files == ["first/phase.json", "last/phase.json", "last/weights.safetensors"]
    assert [of["curve"] for of in finished(cache, ("first", "last"))] == [record["curve"]] * 2
    assert finished(cache, ("first",)) is None and finished(cache, ("old",)) is None and finished(cache, ()) is None
    # Another run that begins with the first phase trains it anew, to the same bits.
    log.unlink()
    again, same = train(cache, "first", Batches(log))
    assert same == bits and again["curve"] == record["curve"] and asked_for(log) == list(range(STEPS))


def test_of_a_run_whose_weights_are_not_kept_predictions_stay(elsewhere):
    cache, log = PhaseCache("study", elsewhere / "kept"), elsewhere / "log"
    record, _ = train(cache, "last", Batches(log))
    images = np.arange(128, dtype=np.uint8).reshape(2, 8, 8)
    assert cache.predictions("last", images) is None
    cache.keep_predictions("last", images, np.array([[0.25, 0.75]] * 2, np.float32))
    cache.keep([Outcome("run", weights=None, trainings=("last",))])
    assert not cache.weights("last").exists() and cache.record("last") == record
    assert cache.predictions("last", images).tolist() == [[0.25, 0.75]] * 2
    assert cache.predictions("last", images[::-1]) is None, "of other images, or in another order"
    train(cache, "last", Batches(log))
    assert cache.predictions("last", images) is None, "those of other weights"
    cache.keep_predictions("last", images, np.array([[0.25, 0.75]] * 2, np.float32))
    cache.keep([Outcome("run", weights=None, trainings=("last", "then"))])
    assert cache.predictions("last", images) is None, "no run ends with this phase any more"


def test_a_phase_of_another_stage_is_copied(elsewhere):
    log = elsewhere / "log"
    fidelity, classify = PhaseCache.of("phantom", "fidelity"), PhaseCache.of("phantom", "classify")
    assert classify.shared == ()
    _, bits = train(fidelity, "a", Batches(log))
    classify = PhaseCache.of("phantom", "classify")
    assert classify.shared == (fidelity.folder,)
    record, same = train(classify, "a", Batches(log))
    assert same == bits and record == fidelity.record("a") and asked_for(log) == list(range(STEPS))
    # What the other stage keeps no longer does not touch the copy.
    fidelity.keep([])
    assert finished(classify, ("a",)) == [record] and finished(fidelity, ("a",)) is None
