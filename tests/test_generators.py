"""The diffusion model learns, obeys its labels, resumes with the same bits, and is readable by diffusers alone."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import EDMDPMSolverMultistepScheduler, UNet2DModel
from torch.nn import functional

from fetalkit import generators
from fetalkit.checkpoints import Checkpoint, rng
from fetalkit.errors import FetalkitError
from fetalkit.generators import edm
from fetalkit.generators.diffusion import DiffusionGenerator, Settings

SMALL = dict(n_classes=2, size=16, unshuffle=2, channels=(16, 32), attention=(False, False), batch_size=8)


def two_planes(n=32, size=16):
    """Bright top or bright bottom, with noise."""
    random = np.random.default_rng(0)
    labels = np.arange(n) % 2
    images = random.integers(0, 60, (n, size, size))
    images[labels == 0, : size // 2] += 160
    images[labels == 1, size // 2 :] += 160
    return images.astype(np.uint8), labels


def train(steps=12, checkpoint=None, **changes):
    generator = generators.create("diffusion", device="cpu", **(SMALL | dict(steps=steps) | changes))
    generator.fit(*two_planes(), seed=0, checkpoint=checkpoint, label="t")
    return generator


def bits(generator):
    return torch.cat([tensor.double().flatten() for tensor in generator.unet.state_dict().values()])


@pytest.fixture(scope="module")
def learned():
    return train(steps=250, learning_rate=3e-3)


def test_it_learns_and_obeys_its_labels(learned):
    assert np.mean(learned.losses[-50:]) < 0.7 * np.mean(learned.losses[:10])
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
    unet = UNet2DModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(16, 32),
        norm_num_groups=8,
        num_class_embeds=3,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )
    torch.nn.init.zeros_(unet.conv_out.weight)
    torch.nn.init.zeros_(unet.conv_out.bias)
    clean = torch.randn(256, 4, 8, 8) * edm.SIGMA_DATA
    sigma = torch.logspace(-2, 1.5, 256)
    with torch.inference_mode():
        loss = edm.denoising_loss(unet, clean, torch.zeros(256).long(), sigma, torch.randn_like(clean))
    # For images of standard deviation SIGMA_DATA the target has variance 1 at every noise level.
    assert loss.mean().item() == pytest.approx(1, abs=0.03)
    assert loss[:64].mean().item() == pytest.approx(loss[-64:].mean().item(), abs=0.05)


def test_a_perfect_denoiser_draws_the_data():
    # For data at one single point the optimal prediction is known; the sampler must then end at that point.
    point = torch.full((1, 1, 4, 4), 0.7)

    class Perfect(torch.nn.Module):
        def forward(self, seen, time, labels):
            sigma = torch.as_tensor(time * 4).exp()
            total = (sigma**2 + edm.SIGMA_DATA**2).sqrt()
            noisy = seen * total
            skip, out = edm.SIGMA_DATA**2 / total**2, sigma * edm.SIGMA_DATA / total
            return type("Output", (), {"sample": (point - skip * noisy) / out})

    drawn = edm.denoise(Perfect(), edm.scheduler(), torch.randn(3, 1, 4, 4), torch.zeros(3).long(), 2, 8, 1.0)
    assert torch.allclose(drawn, point.expand_as(drawn), atol=0.03)


def test_noise_levels_follow_their_distribution():
    levels = torch.stack([edm.noise_levels(8, -1.2, 1.2, rng(0, step)) for step in range(500)]).log()
    assert levels.mean().item() == pytest.approx(-1.2, abs=0.02)
    assert levels.std().item() == pytest.approx(1.2, abs=0.02)
    # Low discrepancy: the mean of a batch varies less than that of eight independent draws (1.2 / sqrt(8)).
    assert levels.mean(dim=1).std() < 0.5 * 1.2 / 8**0.5


@pytest.mark.parametrize("killed_at", [1, 5, 8])
def test_sigkill_and_resume_gives_the_same_bits(tmp_path, killed_at):
    script = (
        "import os, signal, sys, torch; torch.set_num_threads(1); sys.path.insert(0, 'tests')\n"
        "import test_generators as t\n"
        "from fetalkit.generators import diffusion\n"
        "from fetalkit.checkpoints import Checkpoint\n"
        "step = diffusion.DiffusionGenerator._train_step\n"
        "def deadly(self, training, *args):\n"
        f"    if training.step == {killed_at}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    step(self, training, *args)\n"
        "diffusion.DiffusionGenerator._train_step = deadly\n"
        f"t.train(checkpoint=Checkpoint({str(tmp_path / 'state')!r}, 'x', every=3))\n"
    )
    top = Path(__file__).parents[1]
    process = subprocess.run([sys.executable, "-c", script], cwd=top, capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert (tmp_path / "state").exists() == (killed_at > 3)
    resumed = train(checkpoint=Checkpoint(tmp_path / "state", "x", every=3))
    undisturbed = train()
    assert torch.equal(bits(resumed), bits(undisturbed))
    assert resumed.losses == undisturbed.losses


def test_a_finished_run_is_not_repeated(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "state", "x")
    first = train(checkpoint=checkpoint)
    monkeypatch.setattr(DiffusionGenerator, "_train_step", lambda *_: pytest.fail("trained again"))
    assert torch.equal(bits(train(checkpoint=checkpoint)), bits(first))


def test_saved_and_loaded_generators_draw_the_same(tmp_path, learned):
    learned.save(tmp_path / "g")
    loaded = generators.load(tmp_path / "g", device="cpu")
    labels = np.array([0, 1, 1])
    assert np.array_equal(loaded.sample(labels, seed=3), learned.sample(labels, seed=3))
    assert not np.array_equal(loaded.sample(labels, seed=3), loaded.sample(labels, seed=4))
    assert loaded.describe() == learned.describe()
    assert isinstance(loaded, generators.Generator)


def test_diffusers_alone_can_draw_from_a_saved_generator(tmp_path, learned):
    learned.save(tmp_path / "g")
    unet = UNet2DModel.from_pretrained(tmp_path / "g", subfolder="unet").eval()
    solver = EDMDPMSolverMultistepScheduler.from_pretrained(tmp_path / "g", subfolder="scheduler")
    card = json.loads((tmp_path / "g" / "fetalkit.json").read_text())
    solver.set_timesteps(6)
    noise = torch.randn(1, 4, 8, 8, generator=rng(5, "image", 0))
    images = noise * solver.init_noise_sigma
    with torch.inference_mode():
        for time in solver.timesteps:
            prediction = unet(solver.scale_model_input(images, time), time, torch.tensor([1])).sample
            images = solver.step(prediction, time, images).prev_sample
    pixels = (
        functional.pixel_shuffle(images, 2)[:, 0] / solver.config.sigma_data * card["pixel_std"] + card["pixel_mean"]
    )
    expected = ((pixels + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    drawn = learned.sample(np.array([1]), seed=5, steps=6, guidance=1.0)
    assert np.abs(drawn.astype(int) - expected).max() <= 1


def test_images_do_not_depend_on_their_batch(learned):
    labels = np.array([0, 1, 0, 1, 1])
    together, apart = learned.sample(labels, seed=0), learned.sample(labels, seed=0, batch_size=2)
    assert np.abs(together.astype(int) - apart).max() <= 1


def test_guidance_changes_images(learned):
    labels = np.array([0, 1])
    assert not np.array_equal(
        learned.sample(labels, seed=0, guidance=1.0), learned.sample(labels, seed=0, guidance=3.0)
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(size=18), "size 18 must be a multiple of 4"),
        (dict(channels=(16,)), "equally long"),
        (dict(channels=(12, 20)), "multiples of norm_groups"),
        (dict(channels=(16, 40), attention=(False, True)), r"channels with attention \[40\] must be multiples of 32"),
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


def test_missing_and_damaged_generators_are_named(tmp_path, learned):
    with pytest.raises(FetalkitError, match=r"fetalkit.json: not the card of a saved generator"):
        generators.load(tmp_path)
    learned.save(tmp_path / "g")
    (tmp_path / "g" / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(FetalkitError, match="not a complete generator"):
        generators.load(tmp_path / "g")
    with pytest.raises(FetalkitError, match="generator 'magic' is not known; choose one of: diffusion"):
        generators.create("magic")
    with pytest.raises(FetalkitError, match="no weights yet"):
        generators.create("diffusion", **SMALL).sample(np.array([0]), seed=0)


def test_the_learning_rate_rises_and_falls():
    rates = [Settings(**SMALL, steps=100, learning_rate=1.0).rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == 1
    assert rates[-1] == pytest.approx(1 / 95)
    assert rates[5:] == sorted(rates[5:], reverse=True)
