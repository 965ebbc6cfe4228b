"""The diffusion model learns, obeys its labels, resumes with the same bits, and is readable by diffusers alone."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import EDMDPMSolverMultistepScheduler

from fetalkit import generators, simulator
from fetalkit.generators import trainer
from fetalkit.generators.diffusion import augmentation, edm, guidance
from fetalkit.generators.diffusion.denoiser import Denoiser, NoisyClassifier
from fetalkit.utils import devices
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.streams import rng

SMALL = dict(n_classes=2, size=16, unshuffle=2, channels=(16, 32), attention=(False, True), batch_size=8)


def two_planes(n=32, size=16):
    """Bright top or bright bottom, with noise."""
    random = np.random.default_rng(0)
    labels = np.arange(n) % 2
    images = random.integers(0, 60, (n, size, size))
    images[labels == 0, : size // 2] += 160
    images[labels == 1, size // 2 :] += 160
    return images.astype(np.uint8), labels


def train(steps=12, checkpoint=None, start=None, **changes):
    settings = SMALL | dict(steps=steps, precision="float32") | changes
    generator = generators.create("diffusion", device="cpu", **settings)
    generator.fit(*two_planes(), seed=0, checkpoint=checkpoint, label="t", start=start)
    return generator


def bits(generator):
    return torch.cat([tensor.double().flatten() for tensor in generator.denoiser.state_dict().values()])


@pytest.fixture(scope="module")
def learned():
    return train(steps=600, learning_rate=3e-3, augment=0.2, guide_steps=60, snapshots=(0.1,))


def test_it_learns_and_obeys_its_labels(learned):
    assert np.mean(learned.losses[-50:]) < 0.8 * np.mean(learned.losses[:10])
    labels = np.array([0] * 8 + [1] * 8)
    drawn = learned.sample(labels, seed=1, guidance=1.0).astype(float)
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

    wanted = guidance.Guidance("classifier", scale)
    with torch.inference_mode(False), torch.no_grad():
        guided = guidance.predictor(denoiser, guide, torch.zeros(1).long(), 2, wanted)(seen, time)
    out = sigma * edm.SIGMA_DATA / total
    moved = (guided - perfect(seen, time)) * out
    noisy = seen * total
    assert moved[0, 0, 0, 0].item() == pytest.approx(
        scale * sigma**2 * torch.sigmoid(-noisy[0, 0, 0, 0]).item(), rel=1e-4
    )
    assert moved[0, 0, 1:].abs().max() < 1e-6


def test_guidance_acts_where_it_should():
    free = guidance.Guidance("classifier-free", 2.0, (0.1, 2.0))
    assert free.acts(1.0) and not free.acts(0.05) and not free.acts(3.0)
    assert not guidance.Guidance("classifier-free", 1.0).acts(1.0)
    assert not guidance.Guidance("classifier", 0.0).acts(1.0)
    with pytest.raises(
        FetalkitError, match="guidance 'magic' is not known; choose one of: classifier-free, classifier"
    ):
        guidance.Guidance("magic")


def test_noise_levels_follow_their_distribution():
    levels = torch.stack([edm.noise_levels(8, -1.2, 1.2, rng(0, step)) for step in range(500)]).log()
    assert levels.mean().item() == pytest.approx(-1.2, abs=0.02)
    assert levels.std().item() == pytest.approx(1.2, abs=0.02)
    # Low discrepancy: the mean of a batch varies less than that of eight independent draws (1.2 / sqrt(8)).
    assert levels.mean(dim=1).std() < 0.5 * 1.2 / 8**0.5


# 12 steps of the denoiser, with a snapshot, and then 6 of the guide.
WHOLE = dict(guide_steps=6, snapshots=(0.3,))


@pytest.mark.parametrize("killed_at", [1, 5, 8, 16])
def test_sigkill_and_resume_gives_the_same_bits(tmp_path, killed_at):
    script = (
        "import os, signal, sys, torch; torch.set_num_threads(1); sys.path.insert(0, 'tests')\n"
        "import test_generators as t\n"
        "from fetalkit.generators import trainer\n"
        "from fetalkit.utils.checkpoints import Checkpoint\n"
        "step, calls = trainer._Single.step, []\n"
        "def deadly(*args):\n"
        f"    if len(calls) == {killed_at}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    calls.append(1)\n"
        "    return step(*args)\n"
        "trainer._Single.step = deadly\n"
        f"t.train(checkpoint=Checkpoint({str(tmp_path / 'state')!r}, 'x', every=3), **t.WHOLE)\n"
    )
    top = Path(__file__).parents[1]
    process = subprocess.run([sys.executable, "-c", script], cwd=top, capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert (tmp_path / "state").exists() == (killed_at > 3)
    resumed = train(checkpoint=Checkpoint(tmp_path / "state", "x", every=3), **WHOLE)
    undisturbed = train(**WHOLE)
    assert torch.equal(bits(resumed), bits(undisturbed))
    for ours, theirs in [(resumed.guide, undisturbed.guide), (resumed.snapshots[0.3], undisturbed.snapshots[0.3])]:
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert resumed.losses == undisturbed.losses


def test_a_finished_run_is_not_repeated(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "state", "x")
    first = train(checkpoint=checkpoint)
    monkeypatch.setattr(trainer._Single, "step", lambda *_: pytest.fail("trained again"))
    assert torch.equal(bits(train(checkpoint=checkpoint)), bits(first))


def test_saved_and_loaded_generators_draw_the_same(tmp_path, learned):
    learned.save(tmp_path / "g")
    loaded = generators.load(tmp_path / "g", device="cpu", precision="float32")
    labels = np.array([0, 1, 1])
    assert np.array_equal(loaded.sample(labels, seed=3), learned.sample(labels, seed=3))
    assert not np.array_equal(loaded.sample(labels, seed=3), loaded.sample(labels, seed=4))
    assert loaded.describe() == learned.describe()
    assert isinstance(loaded, generators.Generator)


def test_a_snapshot_is_a_generator_of_its_own(tmp_path, learned):
    learned.save(tmp_path / "g")
    early = generators.load(tmp_path / "g" / "snapshots" / "10", device="cpu")
    labels = np.array([0, 1])
    assert not np.array_equal(early.sample(labels, seed=0), learned.sample(labels, seed=0))


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
    drawn = generators.load(tmp_path / "g", "cpu", "float32").sample(np.array([1]), seed=5, steps=6, guidance=1.0)
    assert np.abs(drawn.astype(int) - expected).max() <= 1


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


def test_half_of_the_images_are_mirrored():
    images = np.tile(np.arange(8, dtype=np.uint8), (400, 4, 1))
    turned = (augmentation.mirror(images, rng(0))[:, 0, 0] == 7).mean()
    assert 0.4 < turned < 0.6


def test_the_noisy_classifier_learns_the_planes(learned):
    images, labels = two_planes()
    seen, time = edm.noisy(learned._as_input(images), torch.full((len(images),), 0.3), torch.randn(32, 1, 16, 16))
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
    plain = learned.sample(labels, seed=0, guidance=1.0)
    assert not np.array_equal(plain, learned.sample(labels, seed=0, guidance=3.0))
    by_classifier = learned.sample(labels, seed=0, guidance_kind="classifier", guidance=3.0)
    assert not np.array_equal(plain, by_classifier)
    assert np.array_equal(plain, learned.sample(labels, seed=0, guidance_kind="classifier", guidance=0.0))
    assert np.array_equal(plain, learned.sample(labels, seed=0, guidance=3.0, guidance_interval=(200, 300)))
    with pytest.raises(FetalkitError, match="no noise-aware classifier; train it with diffusion.guide_steps > 0"):
        train(steps=1).sample(labels, seed=0, guidance_kind="classifier")


def test_phantoms_are_a_generator_too(tmp_path):
    planes = ("Fetal brain", "Fetal femur")
    generator = generators.create("simulation", n_classes=2, planes=planes, size=16)
    generator.fit(*two_planes(), seed=0)
    labels = np.array([0, 1, 1])
    drawn = generator.sample(labels, seed=0, simulated_size=48)
    assert drawn.shape == (3, 16, 16) and drawn.dtype == np.uint8 and drawn.std() > 5
    assert np.array_equal(drawn[:2], generator.sample(labels[:2], seed=0, simulated_size=48))
    assert not np.array_equal(drawn, generator.sample(labels, seed=1, simulated_size=48))
    generator.save(tmp_path / "g")
    loaded = generators.load(tmp_path / "g")
    assert isinstance(loaded, generators.Generator)
    assert np.array_equal(loaded.sample(labels, seed=0, simulated_size=48), drawn)
    with pytest.raises(FetalkitError, match="simulation: cannot draw Fetal tail; it knows"):
        generators.create("simulation", n_classes=1, planes=("Fetal tail",))
    assert set(simulator.PLANES) >= set(planes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(size=18), "size 18 must be a multiple of 4"),
        (dict(channels=(16,)), "equally long"),
        (dict(channels=(12, 20)), "multiples of 8"),
        (dict(channels=(16, 40), attention=(False, True)), r"must be multiples of 32 where there is attention"),
        (dict(augment=1.5), r"augment must lie in \[0, 1\]"),
        (dict(snapshots=(1.0,)), r"snapshots in \(0, 1\)"),
        (dict(steps=0), "steps is 0"),
        (dict(learning_rate=0.0), "learning_rate is 0.0"),
        (dict(label_dropout=1.0), "label_dropout"),
        (dict(planes=("a",)), "1 planes are named, but n_classes is 2"),
        (dict(colour=1), "no setting is called colour"),
    ],
)
def test_impossible_settings_get_one_clear_line(changes, words):
    with pytest.raises(FetalkitError, match=words) as caught:
        generators.create("diffusion", **(SMALL | changes))
    assert "\n" not in str(caught.value)


def test_bad_training_sets_get_one_clear_line():
    images, labels = two_planes()
    generator = generators.create("diffusion", device="cpu", **SMALL)
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


def test_a_loss_that_is_not_a_number_stops_the_training(tmp_path):
    with pytest.raises(FetalkitError, match=r"t: the loss is not a number at step \d+; lower diffusion.learning_rate"):
        train(steps=60, learning_rate=1e25)


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
    step = trainer._Single.step

    def interrupted(self, number):
        if number == 7:
            raise KeyboardInterrupt
        return step(self, number)

    checkpoint = Checkpoint(tmp_path / "state", "x", every=3)
    monkeypatch.setattr(trainer._Single, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(checkpoint=checkpoint, start=tmp_path / "g", **WHOLE)
    monkeypatch.undo()
    resumed = train(checkpoint=checkpoint, start=tmp_path / "g", **WHOLE)
    assert torch.equal(bits(resumed), bits(undisturbed)) and resumed.losses == undisturbed.losses
    assert not torch.equal(bits(resumed), bits(train(**WHOLE)))


def test_a_start_that_does_not_fit_is_named(tmp_path, learned):
    learned.save(tmp_path / "g")
    for changes, words in (
        (dict(channels=(16, 64)), r"g: channels is \(16, 32\), but \(16, 64\) here"),
        (dict(planes=("a", "b")), r"g: planes is \(\), but \('a', 'b'\) here"),
        (dict(size=32), "g: size is 16, but 32 here"),
    ):
        generator = generators.create("diffusion", device="cpu", **(SMALL | changes))
        images, labels = two_planes(size=generator.settings.size)
        with pytest.raises(FetalkitError, match=words):
            generator.fit(images, labels, seed=0, start=tmp_path / "g")
    (tmp_path / "g" / "denoiser" / "diffusion_pytorch_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(FetalkitError, match="g: not a complete generator"):
        train(start=tmp_path / "g")
    generators.create("simulation", n_classes=1, planes=("Other",), size=16).save(tmp_path / "s")
    with pytest.raises(FetalkitError, match="s: a generator of the kind simulation cannot be begun from"):
        train(start=tmp_path / "s")


@pytest.mark.parametrize("kind", ["diffusion", "gan", "interpolation", "simulation"])
def test_a_generator_follows_from_all_modules_that_it_imports(kind):
    """Python itself tells what is imported: in a fresh process, beside what the package does."""
    script = (
        "import sys; from fetalkit import generators\n"
        f"generators._class({kind!r})\n"
        "names = [n for n in sys.modules if n.startswith('fetalkit.generators.') or n == 'fetalkit.data.sampling']\n"
        "print('\\n'.join(sys.modules[n].__file__ for n in names))"
    )
    top = Path(__file__).parents[1]
    found = subprocess.run([sys.executable, "-c", script], cwd=top, capture_output=True, text=True, check=True)
    assert set(map(Path, found.stdout.split())) == set(generators.code(kind))


def test_missing_and_damaged_generators_are_named(tmp_path, learned):
    with pytest.raises(FetalkitError, match=r"fetalkit.json: not the card of a saved generator"):
        generators.load(tmp_path)
    learned.save(tmp_path / "g")
    (tmp_path / "g" / "denoiser" / "diffusion_pytorch_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(FetalkitError, match="not a complete generator"):
        generators.load(tmp_path / "g")
    with pytest.raises(FetalkitError, match="'magic' is not known; choose one of: diffusion, gan, interpolation, sim"):
        generators.create("magic")
    with pytest.raises(FetalkitError, match="no weights yet"):
        generators.create("diffusion", **SMALL).sample(np.array([0]), seed=0)


def test_the_learning_rate_rises_and_falls():
    schedule = trainer.Schedule(100, 1.0, 0.05, 0.01, 0.1)
    rates = [schedule.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == 1
    assert rates[-1] == pytest.approx(1 / 95)
    assert rates[5:] == sorted(rates[5:], reverse=True)
