"""A GPU does what a CPU does: the same study within rounding, the same bits every time, and no step that waits for it."""

import numpy as np
import pytest
import small_study
import torch

from fetalkit.classifiers import models
from fetalkit.classifiers.loader import Feed
from fetalkit.classifiers.trainer import CrossEntropy, Recipe, fit, predict
from fetalkit.data.images import Labelled
from fetalkit.experiments import classification
from fetalkit.generators import trainer
from fetalkit.generators.diffusion.generator import DiffusionGenerator
from fetalkit.generators.gan.adversarial import AdversarialTraining
from fetalkit.generators.gan.generator import GanGenerator
from fetalkit.utils import devices, parallel, paths
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.losses import Losses

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA GPU on this machine"),
]
RECIPE = Recipe(batch_size=16, learning_rate=1e-3, weight_decay=0.05, warmup_fraction=0.1, label_smoothing=0.1)
CLASSIFIERS = {
    "resnet": ("resnet10t", {"stem_width": 8}),
    "vit": ("vit_tiny_patch16_224", dict(patch_size=8, embed_dim=96, depth=2, num_heads=4)),
}
DIFFUSION = dict(channels=(16, 32), attention=(False, True), batch_size=8, guide_steps=8, snapshots=(0.5,))
GAN = dict(channels=(16, 32), latent=8, batch_size=8)


def data(n=64, size=32):
    random = np.random.default_rng(0)
    labels = np.arange(n) % 2
    images = random.integers(0, 60, (n, size, size))
    images[labels == 0, : size // 2] += 120
    return Labelled(images.astype(np.uint8), labels.astype(np.int64))


def classifier(name, place, folder, steps=40, every=15):
    images = data()
    model = models.create(*CLASSIFIERS[name], 2, 32, 0).to(place)
    checkpoint = Checkpoint(folder / "state", "x", every=every)
    feed = Feed(images, 2, 0)
    curve, _ = fit(model, feed, steps, RECIPE, device=place, checkpoint=checkpoint, label="t", validation=images)
    return predict(model, images.images, place), curve


def generator(kind, place, precision="float32", steps=60, checkpoint=None):
    images, (made, training) = data(), {"diffusion": (DiffusionGenerator, DIFFUSION), "gan": (GanGenerator, GAN)}[kind]
    of = made(("a", "b"), 32, training | dict(steps=steps), device=place, precision=precision)
    of.fit(images.images, images.labels, seed=0, checkpoint=checkpoint, label="t")
    return of


class Interrupted(Exception):
    pass


def interrupting(monkeypatch, owner, name, at):
    """Make the method raise when it is called the `at`-th time."""
    method, calls = getattr(owner, name), []

    def deadly(*arguments):
        calls.append(1)
        if len(calls) == at:
            raise Interrupted
        return method(*arguments)

    monkeypatch.setattr(owner, name, deadly)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_agree_with_the_cpu(name, tmp_path):
    (one, curve), (other, same) = (classifier(name, torch.device(place), tmp_path / place) for place in ("cpu", "cuda"))
    assert [point["loss"] for point in curve] == pytest.approx([point["loss"] for point in same], rel=2e-2)
    assert np.abs(one - other).max() < 0.02


@pytest.mark.parametrize("kind", ["diffusion", "gan"])
def test_generators_agree_with_the_cpu(kind):
    one, other = (generator(kind, place, steps=20) for place in ("cpu", "cuda"))
    assert one.losses == pytest.approx(other.losses, rel=2e-2)
    labels = np.array([0, 1, 0, 1])
    drawn = [of.sample(labels, seed=1).astype(float) for of in (one, other)]
    assert np.abs(drawn[0] - drawn[1]).mean() < 2  # grey levels


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["diffusion", "gan"])
def test_a_generator_has_the_same_bits_also_when_interrupted(kind, precision, tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "state", "x", every=20)
    first, again = (generator(kind, "cuda", precision) for _ in range(2))
    labels = np.array([0, 1, 0, 1])
    assert np.array_equal(first.sample(labels, seed=1), again.sample(labels, seed=1)) and first.losses == again.losses
    owner = trainer.SingleNetworkTraining if kind == "diffusion" else AdversarialTraining
    with monkeypatch.context() as patched:
        interrupting(patched, owner, "step", 45)
        with pytest.raises(Interrupted):
            generator(kind, "cuda", precision, checkpoint=checkpoint)
    resumed = generator(kind, "cuda", precision, checkpoint=checkpoint)
    assert (
        np.array_equal(first.sample(labels, seed=1), resumed.sample(labels, seed=1)) and first.losses == resumed.losses
    )


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_has_the_same_bits_also_when_interrupted(name, tmp_path, monkeypatch):
    place = torch.device("cuda")
    first, again = (classifier(name, place, tmp_path / folder) for folder in ("first", "again"))
    assert np.array_equal(first[0], again[0]) and first[1] == again[1]
    with monkeypatch.context() as patched:
        interrupting(patched, CrossEntropy, "forward", 25)
        with pytest.raises(Interrupted):
            classifier(name, place, tmp_path / "killed")
    resumed = classifier(name, place, tmp_path / "killed")
    assert np.array_equal(first[0], resumed[0]) and first[1] == resumed[1]


def test_no_step_of_a_training_waits_for_the_gpu(monkeypatch, tmp_path):
    """torch raises where the CPU waits, from just before the first step until the losses are read after the last one."""
    init, read = Losses.__init__, Losses.read

    def armed(self, *arguments):
        init(self, *arguments)
        torch.cuda.set_sync_debug_mode("error")

    def disarmed(self):
        torch.cuda.set_sync_debug_mode("default")
        return read(self)

    monkeypatch.setattr(Losses, "__init__", armed)
    monkeypatch.setattr(Losses, "read", disarmed)
    try:
        for kind in ("diffusion", "gan"):
            generator(kind, "cuda", steps=5)
        for name in CLASSIFIERS:
            model = models.create(*CLASSIFIERS[name], 2, 32, 0).to("cuda")
            options = dict(device=torch.device("cuda"), checkpoint=Checkpoint(tmp_path / name, "x"), label="t")
            fit(model, Feed(data(), 2, 0), 5, RECIPE, curve_points=1, **options)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_memory_that_runs_out_is_one_line_and_the_next_job_has_it_again():
    def too_much():
        return torch.empty(1 << 50, device="cuda")

    (made,) = parallel.attempt(too_much, [{}], 1)
    assert "out of memory (CUDA out of memory" in made.error and "run.workers" in made.error and "\n" not in made.error
    with pytest.raises(FetalkitError, match=r"training.batch_size"):
        training = DIFFUSION | dict(steps=1, batch_size=1 << 17, channels=(64, 128))
        images = data()
        DiffusionGenerator(("a", "b"), 32, training, device="cuda").fit(images.images, images.labels, seed=0)
    devices.free()
    assert generator("diffusion", "cuda", steps=2).losses


def test_float32_is_not_rounded_to_tf32():
    random = torch.Generator().manual_seed(0)
    inputs, kernel = (torch.randn(*shape, generator=random) for shape in ((8, 64, 32, 32), (64, 64, 3, 3)))
    exact = torch.nn.functional.conv2d(inputs.double(), kernel.double())
    with devices.reproducible(torch.device("cuda")):
        found = torch.nn.functional.conv2d(inputs.cuda(), kernel.cuda()).cpu()
    assert (found - exact).abs().max() < 1e-3  # TF32 keeps ten bits: it would be some 1e-2 away


def test_workers_side_by_side_on_one_gpu_change_nothing(elsewhere):
    """The small study with one and with three workers on the GPU: same bits; and on the CPU: the same within rounding."""
    found = {}
    for name, place, workers in (("one", "cuda", 1), ("three", "cuda", 3), ("cpu", "cpu", 1)):
        study = small_study.trainable()
        run = study.params.run.model_copy(update=dict(device=place))
        settings = study.params.model_copy(update={"run": run})
        shared = dict(root=paths.ROOT, settings=settings)  # other processes do not know of the test's folder
        jobs = [dict(shared, run=one) for one in classification.all_runs(settings)]
        outcomes = parallel.run(there, jobs, workers)
        found[name] = {one.run.name: one.probabilities for one in outcomes}
        (paths.data("phantom") / "trainings").rename(paths.ROOT / f"trainings-{name}")
    for run_name, probabilities in found["one"].items():
        assert np.array_equal(probabilities, found["three"][run_name])
        assert np.abs(probabilities - found["cpu"][run_name]).max() < 0.02


def there(root, settings, run):
    paths.ROOT = root
    cache = classification.PhaseCache.of("phantom", classification.STAGE)
    return classification.train_and_predict("phantom", settings, cache, run)


def test_a_generator_of_the_gpu_is_read_on_the_cpu(tmp_path):
    made = generator("diffusion", "cuda", steps=5)
    made.save(tmp_path / "saved")
    read = DiffusionGenerator.load(tmp_path / "saved", device="cpu", precision="float32")
    labels = np.array([0, 1])
    assert np.abs(read.sample(labels, seed=1).astype(float) - made.sample(labels, seed=1)).mean() < 2


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_graph_of_kernels_gives_the_bits_of_kernels_one_by_one(precision, tmp_path, monkeypatch):
    place, labels = torch.device("cuda"), np.array([0, 1, 0, 1])
    made = generator("diffusion", "cuda", precision)
    trained = [classifier(name, place, tmp_path / name) for name in CLASSIFIERS]
    monkeypatch.setattr(devices, "graphed", lambda network, *_: network)
    plain = generator("diffusion", "cuda", precision)
    assert made.losses == plain.losses and np.array_equal(made.sample(labels, seed=1), plain.sample(labels, seed=1))
    for name, (probabilities, curve) in zip(CLASSIFIERS, trained, strict=True):
        same = classifier(name, place, tmp_path / f"{name} plain")
        assert np.array_equal(probabilities, same[0]) and curve == same[1]
