"""Devices: what is not there is told, memory that runs out is one line, losses are read seldom and none is missed."""

import numpy as np
import pytest
import small_study
import torch

from fetalkit.classifiers import models, trainer
from fetalkit.classifiers.loader import Feed
from fetalkit.classifiers.trainer import Recipe, fit, predict
from fetalkit.data.images import Labelled
from fetalkit.experiments import classification
from fetalkit.generators.diffusion.generator import DiffusionGenerator
from fetalkit.generators.gan.generator import GanGenerator
from fetalkit.utils import devices, parallel
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.losses import SELDOM, Losses

CPU = torch.device("cpu")
# As torch words it.
CUDA = torch.OutOfMemoryError(
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.11 GiB of which 1.2 MiB is free."
)
SHORT = [
    CUDA,
    MemoryError("Unable to allocate 7.45 GiB for an array with shape (1000000000,) and data type float64"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to"
    ),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]
RANDOM = np.random.default_rng(0)
DATA = Labelled(RANDOM.integers(0, 256, (8, 16, 16), np.uint8), np.arange(8) % 2)
RECIPE = Recipe(batch_size=4, learning_rate=1e-3, weight_decay=0.0, warmup_fraction=0.0, label_smoothing=0.0)


def raises(error):
    def fail(*_, **__):
        raise error

    return fail


def told(raised) -> str:
    text = str(raised.value)
    assert "\n" not in text and "out of memory (" in text and "params.yaml" in text
    return text


def diffusion(**changes):
    training = dict(channels=(8, 32), attention=(False, True), steps=2, batch_size=2) | changes
    return DiffusionGenerator(("a", "b"), 16, training, device="cpu", precision="float32")


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_one_line(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(FetalkitError, match=f"run.device = '{name}': torch finds no such device"):
        devices.device(name)
    assert devices.device("auto") == CPU


@pytest.mark.parametrize("error", SHORT, ids=lambda error: str(error)[:20])
def test_a_generator_without_memory_says_what_to_lower(monkeypatch, error):
    monkeypatch.setattr("fetalkit.generators.diffusion.denoiser.Denoiser.forward", raises(error))
    with pytest.raises(FetalkitError) as raised:
        diffusion().fit(DATA.images, DATA.labels, seed=0, label="diffusion k=5 seed=0")
    assert told(raised).startswith("diffusion k=5 seed=0: ") and "training.batch_size" in told(raised)


def test_another_error_stays_what_it_is(monkeypatch):
    monkeypatch.setattr(
        "fetalkit.generators.diffusion.denoiser.Denoiser.forward", raises(RuntimeError("shapes differ"))
    )
    with pytest.raises(RuntimeError, match="shapes differ"):
        diffusion().fit(DATA.images, DATA.labels, seed=0)


def test_a_gan_and_drawing_without_memory(monkeypatch):
    made = diffusion()
    made.fit(DATA.images, DATA.labels, seed=0)
    monkeypatch.setattr("fetalkit.generators.diffusion.denoiser.Denoiser.forward", raises(CUDA))
    with pytest.raises(FetalkitError) as raised:
        made.sample(DATA.labels[:2], seed=0)
    assert "drawing" in told(raised) and "run.workers" in told(raised)
    monkeypatch.setattr("fetalkit.generators.gan.networks.Discriminator.forward", raises(CUDA))
    gan = GanGenerator(("a", "b"), 16, dict(channels=(8, 8), latent=4, steps=1, batch_size=4), device="cpu")
    with pytest.raises(FetalkitError) as raised:
        gan.fit(DATA.images, DATA.labels, seed=0)
    assert "training.batch_size" in told(raised)


def test_a_classifier_without_memory(monkeypatch, tmp_path):
    model = models.create("resnet10t", {"stem_width": 8, "channels": [8, 8, 16, 16]}, 2, 16, 0)
    monkeypatch.setattr(type(model), "forward", raises(CUDA))
    options = dict(device=CPU, checkpoint=Checkpoint(tmp_path / "state", "x"), label="real_resnet_k5_seed0: real")
    with pytest.raises(FetalkitError) as raised:
        fit(model, Feed(DATA, 2, 0), 2, RECIPE, **options)
    assert told(raised).startswith("real_resnet_k5_seed0: real: ") and "batch_size of classify" in told(raised)
    with pytest.raises(FetalkitError) as raised:
        predict(model, DATA.images, CPU)
    assert "run.workers" in told(raised)


def test_a_run_without_memory_is_a_gap_with_one_line_and_stops_no_other(monkeypatch, elsewhere):
    study = small_study.trainable()
    step = trainer._Training._step

    def short(self, number):
        if self.label.startswith("real-long"):
            raise torch.OutOfMemoryError(str(CUDA))
        return step(self, number)

    monkeypatch.setattr(trainer._Training, "_step", short)
    outcomes = {one.run.arm: one for one in classification.train_all("phantom", study.params)}
    assert "\n" not in outcomes["real-long"].error and "batch_size of classify" in outcomes["real-long"].error
    assert not outcomes["real"].error and not outcomes["diffusion"].error


def large():
    raise MemoryError


def test_any_job_without_memory_is_one_line():
    (made,) = parallel.attempt(large, [{}], 1)
    assert made.error == "large: out of memory (no details); lower run.workers in params.yaml"


def test_losses_are_read_at_once_on_a_cpu_and_seldom_on_a_gpu():
    for place, steps in ((CPU, 1), (torch.device("cuda"), SELDOM)):
        losses = Losses(10, place, "t", "do something")
        for step in range(steps):
            assert not losses.due
            losses.add(torch.tensor(float(step)))
        assert losses.due and losses.read() == [float(step) for step in range(steps)]
        assert losses.read() == [] and losses.done == 10 + steps


def test_the_step_of_a_bad_loss_is_named_however_late_it_is_read():
    losses = Losses(10, torch.device("cuda"), "t", "do something")
    for value in (1.0, 2.0, float("nan"), 3.0):
        losses.add(torch.tensor(value))
    with pytest.raises(FetalkitError, match="t: the loss is not a number at step 13; do something"):
        losses.read()


def test_no_number_depends_on_how_often_losses_are_read(monkeypatch, tmp_path):
    """On the CPU as a GPU would do it: the same losses, curve and snapshots."""
    init, found = Losses.__init__, []
    for every in (1, 7, SELDOM):

        def seldom(self, *arguments, every=every):
            init(self, *arguments)
            self._every = every

        monkeypatch.setattr(Losses, "__init__", seldom)
        made = diffusion(steps=20, snapshots=(0.25,))
        made.fit(DATA.images, DATA.labels, seed=0, checkpoint=Checkpoint(tmp_path / f"generator{every}", "x", every=6))
        model = models.create("resnet10t", {"stem_width": 8, "channels": [8, 8, 16, 16]}, 2, 16, 0)
        options = dict(device=CPU, checkpoint=Checkpoint(tmp_path / f"state{every}", "x", every=6), label="t")
        curve, _ = fit(model, Feed(DATA, 2, 0), 20, RECIPE, curve_points=3, **options)
        found.append((made.losses, curve, [value.sum().item() for value in made.snapshots[0.25].parameters()]))
    assert len(found[0][0]) == 20 and found[0] == found[1] == found[2]
