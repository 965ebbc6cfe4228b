"""The diffusion model learns, obeys its labels, resumes with the same bits, and is readable by diffusers alone."""

import copy
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm.optim.muon
import torch
from diffusers import EDMDPMSolverMultistepScheduler

from fetalkit import generators, simulator
from fetalkit.config.sections import Section
from fetalkit.generators import networks, optimisers, trainer
from fetalkit.generators.diffusion import augmentation, edm, guidance
from fetalkit.generators.diffusion.denoiser import Denoiser, NoisyClassifier
from fetalkit.generators.diffusion.generator import DiffusionGenerator
from fetalkit.generators.diffusion.settings import DiffusionSampling
from fetalkit.generators.gan.generator import GanGenerator
from fetalkit.generators.gan.projected import ProjectedGanGenerator
from fetalkit.generators.settings import TrainingSettings
from fetalkit.generators.simulated import SimulatedGenerator
from fetalkit.generators.smote import SmoteGenerator
from fetalkit.utils import devices, provenance
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.streams import rng

CLASSES = [DiffusionGenerator, GanGenerator, SmoteGenerator, SimulatedGenerator]
PLANES = ("plane 0", "plane 1")
SMALL = dict(unshuffle=2, channels=(16, 32), attention=(False, True), batch_size=8)


def two_planes(n=32, size=16):
    """Bright top or bright bottom, with noise."""
    random = np.random.default_rng(0)
    labels = np.arange(n) % 2
    images = random.integers(0, 60, (n, size, size))
    images[labels == 0, : size // 2] += 160
    images[labels == 1, size // 2 :] += 160
    return images.astype(np.uint8), labels


def small(planes=PLANES, image_size=16, **changes):
    return DiffusionGenerator(planes, image_size, SMALL | changes, device="cpu", precision="float32")


def train(steps=12, checkpoint=None, start=None, precision="float32", **changes):
    training = SMALL | dict(steps=steps) | changes
    generator = DiffusionGenerator(PLANES, 16, training, device="cpu", precision=precision)
    generator.fit(*two_planes(), seed=0, checkpoint=checkpoint, label="t", start=start)
    return generator


def bits(generator):
    return torch.cat([tensor.double().flatten() for tensor in generator.denoiser.state_dict().values()])


@pytest.fixture(scope="module")
def learned():
    return train(steps=600, learning_rate=3e-3, augment=0.2, guide_steps=60, snapshots=(0.1,))


@pytest.mark.slow
def test_it_learns_and_obeys_its_labels(learned):
    assert np.mean(learned.losses[-50:]) < 0.8 * np.mean(learned.losses[:10])
    labels = np.array([0] * 8 + [1] * 8)
    drawn = learned.sample(labels, seed=1, sampling=dict(guidance=1.0)).astype(float)
    top_minus_bottom = drawn[:, :8].mean(axis=(1, 2)) - drawn[:, 8:].mean(axis=(1, 2))
    assert (np.sign(top_minus_bottom) == np.where(labels == 0, 1, -1)).mean() > 0.8
    # The training images' grey levels, not those of a standardised or clipped copy.
    images, _ = two_planes()
    assert abs(drawn.mean() - images.mean()) < 30
    assert abs(drawn.std() - images.std()) < 30


def test_an_untrained_network_has_the_loss_of_predicting_zero():
    torch.manual_seed(0)
    denoiser = Denoiser(3, unshuffle=2, channels=[16, 32], attention=[False, True])
    clean = torch.randn(256, 1, 16, 16) * edm.SIGMA_DATA
    sigma = torch.logspace(-2, 1.5, 256)
    labels = torch.zeros(256).long()
    with torch.inference_mode():
        loss = edm.denoising_loss(
            lambda seen, time: denoiser(seen, time, labels).sample, clean, sigma, torch.randn_like(clean)
        )
    # For images of standard deviation SIGMA_DATA the target has variance 1 at every noise level.
    assert loss.mean().item() == pytest.approx(1, abs=0.03)
    assert loss[:64].mean().item() == pytest.approx(loss[-64:].mean().item(), abs=0.05)


def towards(point):
    """Predictions of a perfect denoiser of data at one single point."""

    def predict(seen, time):
        sigma = torch.as_tensor(time * 4).exp()
        total = (sigma**2 + edm.SIGMA_DATA**2).sqrt()
        skip, out = edm.SIGMA_DATA**2 / total**2, sigma * edm.SIGMA_DATA / total
        return (point - skip * seen * total) / out

    return predict


def test_a_perfect_denoiser_draws_the_data():
    point = torch.full((1, 1, 4, 4), 0.7)
    drawn = edm.denoise(towards(point), edm.scheduler(), torch.randn(3, 1, 4, 4), 8)
    assert torch.allclose(drawn, point.expand_as(drawn), atol=0.03)


def test_classifier_guidance_is_the_gradient_of_the_classifier():
    """For data at a point and p(label 0 | x) = sigmoid(x), the guided estimate moves by scale * sigma^2 * sigmoid(-x)."""
    point, time, scale = torch.full((1, 1, 2, 2), 0.3), torch.tensor(-0.2), 3.0
    sigma = float((4 * time).exp())
    total = (sigma**2 + edm.SIGMA_DATA**2) ** 0.5
    seen = torch.randn(1, 1, 2, 2)
    perfect = towards(point)

    def denoiser(seen, time, labels):
        return type("Output", (), {"sample": perfect(seen, time)})

    def guide(seen, time):
        logit = (seen * total)[:, :, 0, 0]
        return torch.cat([logit, torch.zeros_like(logit)], dim=1)

    wanted = DiffusionSampling(guidance_kind="classifier", guidance=scale)
    with torch.inference_mode(False), torch.no_grad():
        guided = guidance.predictor(denoiser, None, guide, torch.zeros(1).long(), 2, wanted)(seen, time)
    out = sigma * edm.SIGMA_DATA / total
    moved = (guided - perfect(seen, time)) * out
    noisy = seen * total
    assert moved[0, 0, 0, 0].item() == pytest.approx(
        scale * sigma**2 * torch.sigmoid(-noisy[0, 0, 0, 0]).item(), rel=1e-4
    )
    assert moved[0, 0, 1:].abs().max() < 1e-6


def test_autoguidance_leads_away_from_the_early_state_without_its_plane():
    seen, time, labels = torch.randn(2, 1, 2, 2), torch.tensor(-0.2), torch.tensor([0, 1])

    def network(factor):
        return lambda seen, time, labels: type("Output", (), {"sample": factor * seen + labels[:, None, None, None]})

    wanted = DiffusionSampling(guidance_kind="autoguidance", guidance=3.0)
    predicted = guidance.predictor(network(1.0), network(0.5), None, labels, 2, wanted)(seen, time)
    weaker, conditional = 0.5 * seen + 2, seen + labels[:, None, None, None]
    assert torch.allclose(predicted, conditional + 2 * (conditional - weaker))


def test_guidance_acts_where_it_should():
    free = DiffusionSampling(guidance=2.0, guidance_interval=(0.1, 2.0))
    assert free.guides_at(1.0) and not free.guides_at(0.05) and not free.guides_at(3.0)
    assert not DiffusionSampling(guidance=1.0).guides_at(1.0)
    assert not DiffusionSampling(guidance_kind="autoguidance", guidance=1.0).guides_at(1.0)
    assert DiffusionSampling(guidance_kind="classifier", guidance=1.0).guides_at(1.0)
    assert not DiffusionSampling(guidance_kind="classifier", guidance=0.0).guides_at(1.0)


def test_noise_levels_follow_their_distribution():
    levels = torch.stack([edm.noise_levels(8, -1.2, 1.2, rng(0, step)) for step in range(500)]).log()
    assert levels.mean().item() == pytest.approx(-1.2, abs=0.02)
    assert levels.std().item() == pytest.approx(1.2, abs=0.02)
    # Low discrepancy: the mean of a batch varies less than that of eight independent draws (1.2 / sqrt(8)).
    assert levels.mean(dim=1).std() < 0.5 * 1.2 / 8**0.5


# 12 steps of the denoiser, with a snapshot, and then 6 of the guide.
WHOLE = dict(guide_steps=6, snapshots=(0.3,))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("killed_at", "precision"),  # before the first checkpoint, between two of the denoiser, in the guide's training
    [(1, "float32"), (8, "bfloat16"), (16, "float32")],
)
def test_sigkill_and_resume_gives_the_same_bits(tmp_path, killed_at, precision):
    options = WHOLE | dict(precision=precision)
    script = (
        "import os, signal, sys, torch; torch.set_num_threads(1); sys.path.insert(0, 'tests')\n"
        "import test_generators as t\n"
        "from fetalkit.generators import trainer\n"
        "from fetalkit.utils.checkpoints import Checkpoint\n"
        "step, calls = trainer.SingleNetworkTraining.step, []\n"
        "def deadly(*args):\n"
        f"    if len(calls) == {killed_at}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    calls.append(1)\n"
        "    return step(*args)\n"
        "trainer.SingleNetworkTraining.step = deadly\n"
        f"t.train(checkpoint=Checkpoint({str(tmp_path / 'state')!r}, 'x', every=3), **{options})\n"
    )
    top = Path(__file__).parents[1]
    process = subprocess.run([sys.executable, "-c", script], cwd=top, capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert (tmp_path / "state").exists() == (killed_at > 3)
    resumed = train(checkpoint=Checkpoint(tmp_path / "state", "x", every=3), **options)
    undisturbed = train(**options)
    assert torch.equal(bits(resumed), bits(undisturbed))
    for ours, theirs in [(resumed.guide, undisturbed.guide), (resumed.snapshots[0.3], undisturbed.snapshots[0.3])]:
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert resumed.losses == undisturbed.losses


def test_a_finished_run_is_not_repeated(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "state", "x")
    first = train(checkpoint=checkpoint)
    monkeypatch.setattr(trainer.SingleNetworkTraining, "step", lambda *_: pytest.fail("trained again"))
    assert torch.equal(bits(train(checkpoint=checkpoint)), bits(first))


def test_saved_and_loaded_generators_draw_the_same(tmp_path, learned):
    learned.save(tmp_path / "g")
    loaded = generators.load(tmp_path / "g", device="cpu", precision="float32")
    labels = np.array([0, 1, 1])
    assert np.array_equal(loaded.sample(labels, seed=3), learned.sample(labels, seed=3))
    away = dict(guidance_kind="autoguidance", guidance=3.0)
    assert np.array_equal(loaded.sample(labels, seed=3, sampling=away), learned.sample(labels, seed=3, sampling=away))
    assert not np.array_equal(loaded.sample(labels, seed=3), loaded.sample(labels, seed=4))
    assert loaded.describe() == learned.describe()
    assert type(loaded) is DiffusionGenerator
    # A finished training can be taken from its folder.
    assert (loaded.losses, loaded.seconds) == (learned.losses, learned.seconds) and len(loaded.losses) == 600


def test_networks_are_stored_in_half_precision_and_draw_as_those_in_memory(tmp_path, learned):
    learned.save(tmp_path / "g")
    for path in tmp_path.rglob("*.safetensors"):
        if path.parent.name in ("denoiser", "early", "guide"):
            assert {tensor.dtype for tensor in safetensors.torch.load_file(path).values()} == {torch.float16}
    assert not list((tmp_path / "g" / "snapshots").rglob("early")), "found beside the whole generator"
    wide = copy.deepcopy(learned)
    next(wide.denoiser.parameters()).data[:] = 1e6
    with pytest.raises(FetalkitError, match="denoiser: weights beyond the range of half precision"):
        wide.save(tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_a_snapshot_is_a_generator_of_its_own(tmp_path, learned):
    learned.save(tmp_path / "g")
    early = generators.load(tmp_path / "g" / "snapshots" / "10", device="cpu")
    labels = np.array([0, 1])
    assert not np.array_equal(early.sample(labels, seed=0), learned.sample(labels, seed=0))
    expected = learned.snapshots[0.1].state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in early.denoiser.state_dict().items())
    assert early.describe() == learned.describe() and early.losses == learned.losses
    # Led away from itself without the plane, it has classifier-free guidance.
    away, free = (
        early.sample(labels, seed=0, sampling=dict(guidance_kind=kind, guidance=2.0)).astype(int)
        for kind in ("autoguidance", "classifier-free")
    )
    assert np.abs(away - free).max() <= 2


def test_networks_and_scheduler_load_in_the_way_of_diffusers(tmp_path, learned):
    learned.save(tmp_path / "g")
    denoiser = Denoiser.from_pretrained(tmp_path / "g", subfolder="denoiser").eval()
    solver = EDMDPMSolverMultistepScheduler.from_pretrained(tmp_path / "g", subfolder="scheduler")
    card = json.loads((tmp_path / "g" / "fetalkit.json").read_text())
    solver.set_timesteps(6)
    noise = torch.randn(1, 1, 16, 16, generator=rng(5, "image", 0))
    images = noise * solver.init_noise_sigma
    with torch.inference_mode():
        for time in solver.timesteps:
            prediction = denoiser(solver.scale_model_input(images, time), time, torch.tensor([1])).sample
            images = solver.step(prediction, time, images).prev_sample
    pixels = images[:, 0] / solver.config.sigma_data * card["pixel_std"] + card["pixel_mean"]
    expected = ((pixels + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    # Single precision, as above: what `auto` chooses depends on the machine.
    drawn = generators.load(tmp_path / "g", "cpu", "float32").sample(
        np.array([1]), seed=5, sampling=dict(steps=6, guidance=1.0)
    )
    assert np.abs(drawn.astype(int) - expected).max() <= 1


@pytest.mark.long
@pytest.mark.slow
def test_bfloat16_learns_as_well(learned):
    coarse = train(steps=600, learning_rate=3e-3, augment=0.2, precision="bfloat16")
    assert coarse.precision == torch.bfloat16
    assert np.mean(coarse.losses[-50:]) == pytest.approx(np.mean(learned.losses[-50:]), rel=0.05)


@pytest.mark.parametrize(
    ("capabilities", "chosen"),
    [
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True}, torch.bfloat16),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": False}, torch.float32),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, torch.float32),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, torch.bfloat16),
        ({}, torch.float32),
    ],
)
def test_the_precision_follows_the_processor(monkeypatch, capabilities, chosen):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert devices.precision("auto", torch.device("cpu")) == chosen


def test_a_named_precision_is_taken_and_mps_computes_in_float32():
    assert devices.precision("float32", torch.device("cuda")) == torch.float32
    assert devices.precision("auto", torch.device("mps")) == torch.float32


def test_moved_images_follow_the_movement_that_is_told():
    image = torch.zeros(1, 1, 33, 33)
    image[..., 16, 16] = 1.0
    seen = set()
    for seed in range(6):
        moved, moves = augmentation.move(image, 1.0, rng(seed))
        row, column = divmod(int(moved[0, 0].argmax()), 33)
        # The centre of the output shows what lay at the shift; the dot therefore moves the other way.
        across, down, size, angle, aspect = (moves[0] * augmentation.SPREAD).tolist()
        wide, high = np.exp(-size - aspect / 2), np.exp(-size + aspect / 2)
        matrix = np.array([[wide * np.cos(angle), -wide * np.sin(angle)], [high * np.sin(angle), high * np.cos(angle)]])
        x, y = np.linalg.solve(matrix, [-2 * across, -2 * down]) * 33 / 2
        assert (column - 16, row - 16) == (pytest.approx(x, abs=1), pytest.approx(y, abs=1))
        seen.add((row, column))
    assert len(seen) > 3
    still, moves = augmentation.move(image, 0.0, rng(0))
    assert torch.allclose(still, image, atol=1e-6) and not moves.any()


def test_half_of_the_images_are_mirrored_and_it_is_told_which():
    images = np.tile(np.arange(8, dtype=np.uint8), (400, 4, 1))
    seen, mirrored = augmentation.mirror(images, rng(0))
    turned = seen[:, 0, 0] == 7
    assert 0.4 < turned.mean() < 0.6
    assert (turned == mirrored.numpy()).all()


@pytest.mark.slow
def test_a_network_that_is_told_of_mirroring_draws_every_image_the_right_way_round():
    """Half of the training images are seen mirrored; in what is drawn the bright side is where the images have it."""
    images = np.full((64, 16, 16), 40, np.uint8)
    images[:, :, 10:14] = 220
    noise = dict(sigma_mean=0.0, sigma_std=1.5)  # at high levels it is decided where the bar is
    made = small(("bar",), steps=600, batch_size=16, augment=0.0, learning_rate=3e-3, **noise)
    made.fit(images, np.zeros(64, np.int64), seed=0)
    drawn = made.sample(np.zeros(16, np.int64), seed=1).astype(float)
    assert (drawn[:, :, 10:14].mean(axis=(1, 2)) > drawn[:, :, 2:6].mean(axis=(1, 2)) + 60).all()


def test_the_noisy_classifier_learns_the_planes(learned):
    images, labels = two_planes()
    seen, time = edm.noisy(
        learned.scale.standardised(images, learned.device), torch.full((len(images),), 0.3), torch.randn(32, 1, 16, 16)
    )
    with torch.inference_mode():
        called = learned.guide(seen, time).argmax(dim=1).numpy()
    assert isinstance(learned.guide, NoisyClassifier)
    assert (called == labels).mean() > 0.9


def test_images_do_not_depend_on_their_batch(learned):
    labels = np.array([0, 1, 0, 1, 1])
    together, apart = learned.sample(labels, seed=0), learned.sample(labels, seed=0, batch_size=2)
    assert np.abs(together.astype(int) - apart).max() <= 1


def test_guidance_changes_images(learned):
    labels = np.array([0, 1])

    def drawn(**sampling):
        return learned.sample(labels, seed=0, sampling=sampling)

    plain = drawn(guidance=1.0)
    assert not np.array_equal(plain, drawn(guidance=3.0))
    assert not np.array_equal(plain, drawn(guidance_kind="classifier", guidance=3.0))
    assert np.array_equal(plain, drawn(guidance_kind="classifier", guidance=0.0))
    assert np.array_equal(plain, drawn(guidance_kind="autoguidance", guidance=1.0))
    assert not np.array_equal(drawn(guidance=3.0), drawn(guidance_kind="autoguidance", guidance=3.0))
    assert np.array_equal(plain, drawn(guidance=3.0, guidance_interval=(200, 300)))
    with pytest.raises(FetalkitError, match="no noise-aware classifier, .* train it with training.guide_steps > 0"):
        train(steps=1).sample(labels, seed=0, sampling=dict(guidance_kind="classifier"))
    with pytest.raises(
        FetalkitError, match="no early state, .* train it with training.snapshots, or use classifier-free"
    ):
        train(steps=1).sample(labels, seed=0, sampling=dict(guidance_kind="autoguidance"))


def test_what_is_as_good_as_black_is_black():
    grey = torch.tensor([[[-3.0, 1.4, 1.0, 1.0, 2.0], [0.4, 1.0, 1.4, 1.6, 300.0]]])
    drawn = networks.as_images(grey[:, None] / 127.5 - 1)
    # Beside what is not black, level 1 stays, as at the edge of the field of view.
    assert drawn.tolist() == [[[0, 0, 1, 1, 2], [0, 0, 1, 2, 255]]]


def test_phantoms_are_a_generator_too(tmp_path):
    planes, coarse = ("Fetal brain", "Fetal femur"), dict(simulated_size=48)
    generator = SimulatedGenerator(planes, 16)
    generator.fit(*two_planes(), seed=0)
    labels = np.array([0, 1, 1])
    drawn = generator.sample(labels, seed=0, sampling=coarse)
    assert drawn.shape == (3, 16, 16) and drawn.dtype == np.uint8 and drawn.std() > 5
    assert np.array_equal(drawn[:2], generator.sample(labels[:2], seed=0, sampling=coarse))
    assert not np.array_equal(drawn, generator.sample(labels, seed=1, sampling=coarse))
    generator.save(tmp_path / "g")
    loaded = generators.load(tmp_path / "g")
    assert np.array_equal(loaded.sample(labels, seed=0, sampling=coarse), drawn)
    assert not loaded.sees_images and GanGenerator.sees_images
    with pytest.raises(FetalkitError, match="SimulatedGenerator: planes: cannot simulate Fetal tail; there are: Fetal"):
        SimulatedGenerator(("Fetal tail",), 16)
    assert set(simulator.PLANES) >= set(planes)


class GreyTraining(TrainingSettings):
    level: int = 7


class GreyGenerator(generators.Generator):
    """One from outside the package: even images."""

    Training = GreyTraining

    def _fit(self, images, labels, **options):
        self.losses = [0.1]

    def _sample(self, labels, *, seed, sampling, batch_size):
        return np.full((len(labels), self.image_size, self.image_size), self.training.level, np.uint8)


def test_a_generator_from_outside_the_package_works_like_ours(tmp_path):
    made = generators.create(f"{__name__}:GreyGenerator", PLANES, 16, dict(level=9))
    made.fit(*two_planes(), seed=0)
    assert made.sample(np.array([0, 1]), seed=0).tolist() == np.full((2, 16, 16), 9).tolist()
    made.save(tmp_path / "g")
    loaded = generators.load(tmp_path / "g")
    assert type(loaded) is GreyGenerator and loaded.training.level == 9 and loaded.losses == [0.1]
    with pytest.raises(FetalkitError, match="GreyGenerator: training.level = 'dark': input should be a valid integer"):
        generators.create(f"{__name__}:GreyGenerator", PLANES, 16, dict(level="dark"))
    with pytest.raises(FetalkitError, match=r"GreyGenerator: sampling.hue = 1 is not a known key"):
        loaded.sample(np.array([0]), seed=0, sampling=dict(hue=1))
    with pytest.raises(FetalkitError, match="GreyGenerator: cannot begin from another training"):
        made.fit(*two_planes(), seed=0, start=tmp_path / "g")


@pytest.mark.parametrize(
    ("class_path", "words"),
    [
        ("magic", "no class derived from fetalkit.generators.Generator; give it as package.module:Name"),
        ("no_such_package:Name", r"cannot be imported \(No module named 'no_such_package'\); give it as"),
        ("fetalkit.generators.smote:Smoke", r"cannot be imported \(.*'Smoke'\)"),
        ("fetalkit.generators.smote:IMAGES", "no class derived from"),
        ("fetalkit.utils.errors:FetalkitError", "no class derived from"),
        ("bad path:!", "cannot be imported"),
    ],
)
def test_a_class_that_is_no_generator_is_named(class_path, words):
    with pytest.raises(FetalkitError, match=words) as caught:
        generators.create(class_path, PLANES, 16)
    assert str(caught.value).startswith(f"generator {class_path!r}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", CLASSES)
def test_no_setting_has_a_name_that_dvc_overlooks(kind):
    for section in (kind.Training, kind.Sampling):
        assert issubclass(section, Section) and section.model_config["extra"] == "forbid"
        assert not {"size", "nfiles", "isexec"} & set(section.model_fields)


@pytest.mark.parametrize("kind", CLASSES)
def test_settings_are_complete_equal_whatever_wrote_them_and_cannot_change(kind):
    planes = ("Fetal brain", "Fetal femur")
    made = kind(planes, 32)
    again = kind(list(planes), 32, made.describe()["training"])
    assert again.describe() == made.describe() == json.loads(json.dumps(made.describe()))
    assert kind(planes, 32, made.training).training == again.training and again.n_classes == 2
    assert set(made.describe()["training"]) == set(kind.Training.model_fields)
    with pytest.raises(FetalkitError, match=f"{kind.__name__}: training.steps = 0"):
        kind(planes, 32, made.training.model_copy(update={"steps": 0}))
    for name in kind.Training.model_fields:
        with pytest.raises(ValueError, match="frozen"):
            setattr(made.training, name, 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(image_size=18), r"image_size = 18: must be a multiple of 4, as training.unshuffle = 2 and .*\(16, 32\)"),
        (dict(channels=(16,)), r"training: channels \(16,\) and attention \(False, True\) must be equally long"),
        (dict(channels=(12, 32)), r"training.channels = \(12, 32\): must be multiples of 8, one for each resolution"),
        (dict(channels=()), r"training.channels = \(\): must be multiples of 8"),
        (dict(channels=(16, 40)), r"must be multiples of 32 where there is attention"),
        (dict(unshuffle=3), "training.unshuffle = 3: input should be 1, 2, 4 or 8"),
        (dict(blocks=9), "training.blocks = 9: input should be less than or equal to 8"),
        (dict(augment=1.5), "training.augment = 1.5: input should be less than or equal to 1"),
        (dict(snapshots=(1.0,)), "training.snapshots.0 = 1.0: input should be less than 1"),
        (dict(snapshots=(0.5, 0.5)), "names something twice"),
        (dict(snapshots=(0.5, 0.504), steps=100), "snapshots 0.5 and 0.504 are both step 50 of 100; drop one"),
        (dict(snapshots=(0.1, 0.2), steps=4), "snapshots 0.1 and 0.2 are both step 1 of 4; drop one"),
        (dict(snapshots=(0.251, 0.254), steps=2000), "snapshots 0.251 and 0.254 are one in whole percent; drop one"),
        (dict(steps=0), "training.steps = 0: input should be greater than or equal to 1"),
        (dict(learning_rate=0.0), "training.learning_rate = 0.0: input should be greater than 0"),
        (dict(warmup_fraction=1.0), "training.warmup_fraction = 1.0: input should be less than 1"),
        (dict(weight_decay=-0.1), "training.weight_decay = -0.1: input should be greater than or equal to 0"),
        (dict(sigma_std=0), "training.sigma_std = 0: input should be greater than 0"),
        (dict(sigma_mean=float("nan")), "training.sigma_mean = nan: input should be a finite number"),
        (dict(label_dropout=1.0), "training.label_dropout = 1.0"),
        (dict(planes=("a", "a")), r"planes = \('a', 'a'\): give at least one name, and none twice"),
        (dict(planes=()), r"planes = \(\): give at least one name"),
        (dict(planes="ab"), "planes = 'ab': give at least one name"),
        (dict(image_size=0), "image_size = 0: must be at least 1"),
        (dict(colour=1), "training.colour = 1 is not a known key"),
    ],
)
def test_impossible_settings_get_one_clear_line(changes, words):
    with pytest.raises(FetalkitError, match=words) as caught:
        small(**changes)
    assert str(caught.value).startswith("DiffusionGenerator: ") and "\n" not in str(caught.value)


def test_impossible_wishes_for_samples_get_one_clear_line(learned):
    for sampling, words in (
        (dict(steps=1), "sampling.steps = 1: input should be greater than or equal to 2"),
        (dict(guidance_kind="magic"), "sampling.guidance_kind = 'magic': input should be 'classifier-free', 'autog"),
        (dict(guidance=-1), "sampling.guidance = -1: input should be greater than or equal to 0"),
        (dict(guidance_interval=(0.1,)), "sampling.guidance_interval.1 is missing; add it"),
        (dict(guidance_interval=(5, 0.2)), r"sampling: guidance_interval: \[5, 0.2\] is reversed"),
        (dict(neighbours=5), "sampling.neighbours = 5 is not a known key"),
    ):
        with pytest.raises(FetalkitError, match=f"DiffusionGenerator: {words}"):
            learned.sample(np.array([0]), seed=0, sampling=sampling)


def test_bad_training_sets_get_one_clear_line():
    images, labels = two_planes()
    generator = small()
    for bad_images, bad_labels, words in [
        (images.astype(float), labels, "uint8 array"),
        (images[:, :8], labels, "uint8 array"),
        (images, labels[:-1], "do not match"),
        (images, np.zeros_like(labels), "no training image of class 1"),
        (images, labels + 1, "must lie in 0..1"),
        (np.full_like(images, 7), labels, "blank"),
        (images, labels / 1.0, "integer array"),
    ]:
        with pytest.raises(FetalkitError, match=words):
            generator.fit(bad_images, bad_labels, seed=0)


def test_a_loss_that_is_not_a_number_stops_the_training():
    # No setting that is allowed leads there at once.
    generator = small(steps=60)
    generator.training = generator.training.model_copy(update=dict(learning_rate=1e25))
    with pytest.raises(FetalkitError, match=r"t: the loss is not a number at step \d+; lower training.learning_rate"):
        generator.fit(*two_planes(), seed=0, label="t")


def test_a_training_can_begin_with_saved_weights(tmp_path, learned, monkeypatch):
    learned.save(tmp_path / "g")
    begun = {}
    run = trainer.run

    def watched(trainer, steps, **options):
        begun[options["label"]] = {name: value.clone() for name, value in trainer.network.state_dict().items()}
        return run(trainer, steps, **options)

    monkeypatch.setattr(trainer, "run", watched)
    train(start=tmp_path / "g", **WHOLE)
    for label, network in (("t", learned.denoiser), ("t: guide", learned.guide)):
        assert all(torch.equal(value, begun[label][name]) for name, value in network.state_dict().items())
    # A start without a guide, or a training without one, is fine.
    train(steps=1).save(tmp_path / "plain")
    train(steps=1, start=tmp_path / "plain", guide_steps=1)
    train(steps=1, start=tmp_path / "g")


def test_a_resumed_training_with_a_start_gives_the_same_bits(tmp_path, learned, monkeypatch):
    learned.save(tmp_path / "g")
    undisturbed = train(start=tmp_path / "g", **WHOLE)
    step = trainer.SingleNetworkTraining.step

    def interrupted(self, number):
        if number == 7:
            raise KeyboardInterrupt
        return step(self, number)

    checkpoint = Checkpoint(tmp_path / "state", "x", every=3)
    monkeypatch.setattr(trainer.SingleNetworkTraining, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(checkpoint=checkpoint, start=tmp_path / "g", **WHOLE)
    monkeypatch.undo()
    resumed = train(checkpoint=checkpoint, start=tmp_path / "g", **WHOLE)
    assert torch.equal(bits(resumed), bits(undisturbed)) and resumed.losses == undisturbed.losses
    assert not torch.equal(bits(resumed), bits(train(**WHOLE)))


def test_a_start_that_does_not_fit_is_named(tmp_path, learned):
    learned.save(tmp_path / "g")
    for changes, words in (
        (dict(channels=(16, 64)), r"g: channels is \(16, 32\), but \(16, 64\) here; begin from a generator with equal"),
        (dict(planes=("a", "b")), r"g: planes is \('plane 0', 'plane 1'\), but \('a', 'b'\) here"),
        (dict(image_size=32), "g: image_size is 16, but 32 here"),
    ):
        generator = small(**changes)
        with pytest.raises(FetalkitError, match=words):
            generator.fit(*two_planes(size=generator.image_size), seed=0, start=tmp_path / "g")
    (tmp_path / "g" / "denoiser" / "diffusion_pytorch_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(FetalkitError, match="g: not a complete generator"):
        train(start=tmp_path / "g")
    SimulatedGenerator(("Other",), 16).save(tmp_path / "s")
    with pytest.raises(FetalkitError, match="s: a generator of the class fetalkit.*:SimulatedGenerator, not fetalkit"):
        train(start=tmp_path / "s")
    with pytest.raises(FetalkitError, match="GanGenerator: cannot begin from another training; leave out its start"):
        GanGenerator(PLANES, 16, device="cpu").fit(*two_planes(), seed=0, start=tmp_path / "g")


@pytest.mark.slow
@pytest.mark.parametrize("kind", CLASSES)
def test_a_generator_follows_from_all_modules_that_it_imports_and_from_no_other(kind):
    """Python itself tells what is imported, in a fresh process."""
    script = (
        f"import sys; from fetalkit import generators; generators.find({kind.class_path()!r})\n"
        "print('\\n'.join(name for name in sys.modules if name.startswith('fetalkit.')))"
    )
    top = Path(__file__).parents[1]
    process = subprocess.run([sys.executable, "-c", script], cwd=top, capture_output=True, text=True, check=True)
    imported, followed = set(process.stdout.split()), set(provenance.closure((kind.__module__,)))
    networks = {f"fetalkit.generators.{name}" for name in ("diffusion.denoiser", "gan.networks", "muon")}
    when_needed = {"fetalkit.data.dicom", *networks}
    assert kind.__module__ in imported and followed <= imported | {"fetalkit"} | when_needed
    packages_without_code = {
        "fetalkit.config",
        "fetalkit.data",
        "fetalkit.generators.gan",
        "fetalkit.generators.diffusion",
    }
    assert imported - followed <= provenance.INFRASTRUCTURE | packages_without_code


def test_missing_and_damaged_generators_are_named(tmp_path, learned):
    with pytest.raises(
        FetalkitError, match=r"fetalkit.json: not that of a saved generator .*; train the generator again"
    ):
        generators.load(tmp_path)
    learned.save(tmp_path / "r")
    (tmp_path / "r" / "training.json").write_text('{"losses": [')
    with pytest.raises(FetalkitError, match=r"training.json: not that of a saved generator"):
        generators.load(tmp_path / "r")
    learned.save(tmp_path / "g")
    (tmp_path / "g" / "denoiser" / "diffusion_pytorch_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(FetalkitError, match="not a complete generator"):
        generators.load(tmp_path / "g")
    with pytest.raises(FetalkitError, match="r: a generator of the class .*DiffusionGenerator, not .*GanGenerator"):
        GanGenerator.load(tmp_path / "r")
    for act in (lambda: small().sample(np.array([0]), seed=0), lambda: small().save(tmp_path / "n")):
        with pytest.raises(FetalkitError, match="DiffusionGenerator: nothing has been learned yet; call fit"):
            act()
    with pytest.raises(FetalkitError, match="nothing has been learned yet"):
        small().denoising_error(*two_planes(), 0.5, seed=0)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_weights_decay_and_norms_and_biases_do_not(name):
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.GroupNorm(2, 8))
    groups = optimisers.make(network, name, 1.0, 0.01, torch.float32).param_groups
    decayed = {id(parameter) for group in groups if group["weight_decay"] for parameter in group["params"]}
    assert decayed == {id(network[0].weight)}
    assert len([parameter for group in groups for parameter in group["params"]]) == 4


def test_muon_trains_hidden_weights_and_leaves_the_outer_layers_to_adamw():
    network = Denoiser(3, unshuffle=2, channels=[8, 8], attention=[False, False])
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    groups = optimisers.make(network, "muon", 1e-3, 0.01, torch.float32).param_groups
    hidden = {names[id(one)] for group in groups if not group["use_fallback"] for one in group["params"]}
    assert "middle.first.weight" in hidden and "encoder.downs.1.weight" in hidden
    assert not any(name.startswith(("encoder.stem", "conditions", "out.")) or name.endswith("bias") for name in hidden)


@pytest.mark.parametrize(("precision", "within"), [(torch.bfloat16, 1e-6), (torch.float32, 0.02)])
def test_muon_on_matrices_of_one_shape_together_is_that_of_timm(precision, within):
    torch.manual_seed(0)
    ours = Denoiser(3, unshuffle=2, channels=[8, 8], attention=[False, True])
    for weight in ours.parameters():
        torch.nn.init.normal_(weight)
    theirs = copy.deepcopy(ours)
    optimiser = optimisers.make(ours, "muon", 1e-2, 0.01, precision)
    groups = optimisers.make(theirs, "muon", 1e-2, 0.01, precision).param_groups
    reference = timm.optim.muon.Muon(groups, lr=1e-2, momentum=0.95, nesterov=True, betas=(0.9, 0.99))
    for _ in range(3):
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        optimiser.step()
        reference.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (one - other).norm() <= within * other.norm()


def test_the_learning_rate_rises_and_falls():
    schedule = trainer.Schedule(100, 1.0, 0.05, 0.01, 0.1, "adamw", torch.float32)
    optimiser = optimisers.make(torch.nn.Conv2d(1, 1, 3), "adamw", 1.0, 0.01, torch.float32)
    scheduler, rates = schedule.rates(optimiser), []
    for step in range(100):
        scheduler.step_update(step)
        rates.append(optimiser.param_groups[0]["lr"])
    assert rates[0] == pytest.approx(1 / 6)
    assert max(rates) == 1
    assert rates[-1] == pytest.approx(1 / 95)
    assert rates[5:] == sorted(rates[5:], reverse=True)


@pytest.mark.slow
def test_settings_are_read_without_waiting_for_the_networks_libraries():
    """Each notebook and worker of a study reads those of all generators."""
    classes = [made.class_path() for made in (DiffusionGenerator, GanGenerator, ProjectedGanGenerator, SmoteGenerator)]
    code = "import sys; from fetalkit import generators; [generators.find(name) for name in sys.argv[1:]]"
    code += "; print(*{'diffusers', 'timm', 'torchvision'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code, *classes], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
