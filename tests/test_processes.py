"""Several processes share a training: the same network as one trains, up to rounding; whoever is killed, nothing is lost."""

import os
import signal
import threading
import time
from functools import partial

import numpy as np
import psutil
import pytest
import torch

from fetalkit import generators
from fetalkit.config import params
from fetalkit.experiments import generator_training, outputs
from fetalkit.generators.diffusion.generator import DiffusionGenerator
from fetalkit.utils import paths, processes
from fetalkit.utils.errors import FetalkitError

CPU = torch.device("cpu")
PLANES = ("plane 0", "plane 1")
NETWORK = dict(channels=(16, 32), attention=(False, True), batch_size=4, guide_steps=4, snapshots=(0.5,))


def learnt(images, labels, seed, label, made, checkpoint):
    made.fit(images, labels, seed=seed, label=label, checkpoint=checkpoint)
    return []  # nothing to write beside the generator


def trained(name, n, steps=30, seed=0, **changes):
    """A generator that `n` processes have trained, as the study does; and its losses."""
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (12, 16, 16), np.uint8), np.arange(12) % 2
    training = NETWORK | dict(steps=steps) | changes
    made = DiffusionGenerator(PLANES, 16, training, device="cpu", precision="float32")
    learn = partial(learnt, images, labels, seed, name)
    _, losses, _ = generator_training._kept("phantom", made, name, "print", learn, n)
    return generators.load(paths.data("phantom", "generators", name), device="cpu", precision="float32"), losses


def weights(generator, part="denoiser"):
    return torch.cat([value.flatten() for value in getattr(generator, part).parameters()]).detach()


@pytest.mark.slow
def test_two_processes_train_what_one_trains(elsewhere):
    pytest.importorskip("accelerate", reason="the extra `cluster` is not installed")
    (one, losses), (two, shared), (other, _) = trained("one", 1), trained("two", 2), trained("other", 1, seed=1)
    assert len(shared) == 30 and shared == pytest.approx(losses, rel=1e-3)
    for part in ("denoiser", "guide"):
        apart = (weights(one, part) - weights(two, part)).abs().max()
        assert 0 < apart < 1e-2 * (weights(one, part) - weights(other, part)).abs().max()
    labels = np.array([0, 1, 1])
    drawn = [of.sample(labels, seed=3).astype(int) for of in (one, two)]
    assert np.abs(drawn[0] - drawn[1]).max() <= 2
    snapshots = [paths.data("phantom", "generators", name, "snapshots", "50") for name in ("one", "two", "other")]
    halfway = [weights(generators.load(folder, device="cpu")) for folder in snapshots]
    assert (halfway[0] - halfway[1]).abs().max() < 1e-2 * (halfway[0] - halfway[2]).abs().max()


@pytest.mark.slow
@pytest.mark.long
def test_one_of_two_is_killed_and_the_training_goes_on_from_its_checkpoint(elsewhere):
    pytest.importorskip("accelerate", reason="the extra `cluster` is not installed")
    checkpoint, killed = paths.work("phantom", "generators", "killed.checkpoint"), []

    def kill():
        while not checkpoint.exists():
            time.sleep(0.01)
        children = [one for one in psutil.Process().children() if "spawn_main" in " ".join(one.cmdline())]
        os.kill(children[-1].pid, signal.SIGKILL)
        killed.append(children[-1].pid)

    threading.Thread(target=kill, daemon=True).start()
    with pytest.raises(
        FetalkitError, match="2 processes that share a training: one of them ended.*run again"
    ) as raised:
        trained("killed", 2, steps=260, optimiser="adamw")
    assert killed and "\n" not in str(raised.value)
    assert not psutil.pid_exists(killed[0]) and checkpoint.exists()
    resumed, losses = trained("killed", 2, steps=260, optimiser="adamw")
    undisturbed, same = trained("undisturbed", 2, steps=260, optimiser="adamw")
    assert torch.equal(weights(resumed), weights(undisturbed)) and losses == same


def test_a_batch_that_cannot_be_parted_is_one_line(monkeypatch):
    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setattr(processes, "index", lambda: 1)
    assert processes.part(4) == slice(2, 4)
    with pytest.raises(
        FetalkitError, match=r"training.batch_size = 5: must be a multiple of run.processes = 2"
    ) as raised:
        processes.part(5)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
@pytest.mark.long
def test_a_mistake_in_one_of_two_processes_is_one_line(elsewhere):
    pytest.importorskip("accelerate", reason="the extra `cluster` is not installed")
    with pytest.raises(FetalkitError, match=r"training.batch_size = 5: must be a multiple") as raised:
        trained("odd", 2, batch_size=5)
    assert "\n" not in str(raised.value)
    assert not paths.data("phantom", "generators", "odd").exists()


def test_only_generators_that_can_be_shared_are(elsewhere):
    settings = params.load("phantom")
    settings = settings.model_copy(update={"run": settings.run.model_copy(update={"processes": 2})})
    shared = {name: outputs.sharing(settings, name) for name in settings.generators}
    assert shared == {"diffusion": 2, "diffusion-phantoms": 2, "gan": 1, "interpolation": 1, "simulation": 1}


def test_what_is_missing_for_several_processes_is_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(FetalkitError, match="run.processes = 2: this machine has 1 GPUs"):
        processes.together(2, torch.device("cuda"), print)
    monkeypatch.setitem(__import__("sys").modules, "accelerate", None)
    with pytest.raises(FetalkitError, match=r"accelerate is not installed; pip install 'fetalkit\[cluster\]'"):
        processes.together(2, CPU, print)
