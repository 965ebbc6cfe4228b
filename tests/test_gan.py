"""The GAN learns, obeys its labels, resumes with the same bits; its discriminator conditions on the class."""

import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from test_generators import two_planes

from fetalkit import generators
from fetalkit.generators import trainer
from fetalkit.generators.gan import diffaugment
from fetalkit.generators.gan.adversarial import Adversaries
from fetalkit.generators.gan.gan_networks import Discriminator, Painter, settle, variety
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.streams import rng

SMALL = dict(n_classes=2, size=16, unshuffle=2, channels=(8, 16), latent=8, batch_size=8, penalty=0.1, penalty_every=4)


def train(steps=10, checkpoint=None, **changes):
    generator = generators.create("gan", device="cpu", **(SMALL | dict(steps=steps, precision="float32") | changes))
    generator.fit(*two_planes(), seed=0, checkpoint=checkpoint, label="t")
    return generator


def bits(generator):
    return torch.cat([tensor.flatten() for tensor in generator.painter.state_dict().values()])


@pytest.fixture(scope="module")
def learned():
    return train(steps=150, learning_rate=1e-3, discriminator_rate=2e-3, channels=(16, 32))


def test_it_learns_and_obeys_its_labels(learned):
    labels = np.array([0] * 8 + [1] * 8)
    drawn = learned.sample(labels, seed=1)
    assert drawn.shape == (16, 16, 16) and drawn.dtype == np.uint8
    top_minus_bottom = drawn[:, :8].astype(float).mean(axis=(1, 2)) - drawn[:, 8:].mean(axis=(1, 2))
    assert (np.sign(top_minus_bottom) == np.where(labels == 0, 1, -1)).mean() > 0.8
    assert len(learned.losses) == 150 and learned.seconds > 0


def test_images_follow_from_seed_place_and_label(learned):
    labels = np.array([0, 1, 0, 1, 1])
    together, apart = learned.sample(labels, seed=0), learned.sample(labels, seed=0, batch_size=2)
    assert np.abs(together.astype(int) - apart).max() <= 1
    assert not np.array_equal(together, learned.sample(labels, seed=1))
    assert not np.array_equal(together[0], together[2])
    same = learned.sample(labels, seed=0, temperature=0.0)
    assert np.abs(same[0].astype(int) - same[2]).max() <= 1


def test_sigkill_and_resume_gives_the_same_bits(tmp_path):
    script = (
        "import os, signal, sys, torch; torch.set_num_threads(1); sys.path.insert(0, 'tests')\n"
        "import test_gan as t\n"
        "from fetalkit.utils.checkpoints import Checkpoint\n"
        "step = t.Adversaries.step\n"
        "def deadly(self, number):\n"
        "    if number == 7: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return step(self, number)\n"
        "t.Adversaries.step = deadly\n"
        f"t.train(checkpoint=Checkpoint({str(tmp_path / 'state')!r}, 'x', every=3))\n"
    )
    top = Path(__file__).parents[1]
    process = subprocess.run([sys.executable, "-c", script], cwd=top, capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert (tmp_path / "state").exists()
    resumed, undisturbed = train(checkpoint=Checkpoint(tmp_path / "state", "x", every=3)), train()
    assert torch.equal(bits(resumed), bits(undisturbed))
    assert resumed.losses == undisturbed.losses


def test_a_finished_run_is_not_repeated(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "state", "x")
    first = train(checkpoint=checkpoint)
    monkeypatch.setattr(Adversaries, "step", lambda *_: pytest.fail("trained again"))
    assert torch.equal(bits(train(checkpoint=checkpoint)), bits(first))


def test_saved_and_loaded_generators_draw_the_same(tmp_path, learned):
    learned.save(tmp_path / "g")
    loaded = generators.load(tmp_path / "g", device="cpu", precision="float32")
    labels = np.array([0, 1, 1])
    assert np.array_equal(loaded.sample(labels, seed=3), learned.sample(labels, seed=3))
    assert loaded.describe() == learned.describe()
    assert isinstance(loaded, generators.Generator)
    painter = Painter.from_pretrained(tmp_path / "g", subfolder="painter").eval()
    latent = torch.randn(8, generator=rng(5, "image", 0))[None]
    with torch.inference_mode():
        expected = ((painter(latent, torch.tensor([1]))[0, 0] + 1) * 127.5).round().numpy()
    assert np.abs(loaded.sample(np.array([1]), seed=5)[0].astype(int) - expected).max() <= 1
    (tmp_path / "g" / "painter" / "diffusion_pytorch_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(FetalkitError, match=r"g: not a complete generator .* train it again"):
        generators.load(tmp_path / "g")


def test_bfloat16_trains_in_single_precision_weights():
    coarse = train(steps=4, precision="bfloat16")
    assert bits(coarse).dtype == torch.float32 and np.isfinite(coarse.losses).all()
    assert not torch.equal(bits(coarse), bits(train(steps=4)))


def pictures(n=64):
    return torch.rand(n, 1, 16, 16, generator=rng(0)) * 2 - 1


def test_augmentation_is_seeded_and_lets_gradients_through():
    images = pictures().requires_grad_()
    seen = diffaugment.augment(images, 1.0, rng(1))
    assert seen.shape == images.shape
    assert torch.equal(seen, diffaugment.augment(images, 1.0, rng(1)))
    assert not torch.equal(seen, diffaugment.augment(images, 1.0, rng(2)))
    seen.square().sum().backward()
    # Every pixel counts, if only through the mean that contrast turns on.
    assert images.grad.isfinite().all() and images.grad.ne(0).all()


def test_augmentation_of_a_share_and_of_none():
    images = pictures()
    assert torch.equal(diffaugment.augment(images, 0.0, rng(1)), images)
    same = (diffaugment.augment(images, 0.5, rng(1)) == images).flatten(1).all(dim=1).float().mean()
    assert 0 < same < 0.35  # (1 - 0.5) ** 3 are left alone by all three changes


def test_a_black_image_changes_as_published():
    """Contrast cannot change an even image, brightness can; what is uncovered or cut out is 0."""
    black = torch.full((64, 1, 16, 16), -1.0)
    seen = diffaugment.augment(black, 1.0, rng(3))
    for image in seen:
        levels = image.unique()
        grey = levels[levels != 0]
        assert len(grey) <= 1 or grey.max() - grey.min() < 1e-5
        assert ((grey >= -1.5 - 1e-6) & (grey <= -0.5 + 1e-6)).all()
    holes = (seen == 0).flatten(1).float().mean(dim=1)
    assert holes.min() > 0 and holes.max() < 0.5


def test_a_shift_moves_the_image_as_a_whole():
    dot = torch.zeros(100, 1, 16, 16)
    dot[..., 8, 8] = 1.0
    moved = diffaugment._shift(dot, rng(0))
    places = {divmod(int(image.argmax()), 16) for image in moved}
    assert moved.sum() == 100 and {row for row, _ in places} == {column for _, column in places} == set(range(6, 11))


def test_the_discriminator_conditions_on_the_class():
    torch.manual_seed(0)
    discriminator = Discriminator(3, 2, [8, 16]).eval()
    images = pictures(4)
    with torch.no_grad():
        scores = [discriminator(images, torch.full((4,), label)) for label in range(3)]
        assert not torch.allclose(scores[0], scores[1]) and not torch.allclose(scores[1], scores[2])
        # The projection: two classes differ by the product of their embeddings' difference with the features.
        embedding, features = discriminator.plane.weight, []
        discriminator.real.register_forward_hook(lambda _, inputs, __: features.append(inputs[0]))
        discriminator(images, torch.zeros(4).long())
        expected = features[0] @ (embedding[1] - embedding[0])
    assert torch.allclose(scores[1] - scores[0], expected, atol=1e-5)


def test_an_image_follows_from_its_latent_vector_and_its_class():
    torch.manual_seed(0)
    painter = Painter(3, 16, 2, [8, 16], 8).eval()
    latent, labels = torch.randn(2, 8, generator=rng(0)), torch.tensor([0, 0])
    with torch.no_grad():
        drawn, other = painter(latent, labels), painter(latent, labels + 1)
    assert drawn.shape == (2, 1, 16, 16) and drawn.abs().max() <= 1
    # In the untrained network already: what a latent vector is for is not left to the training.
    assert (drawn[0] - drawn[1]).std() > 0.2 * drawn[0].std() and (drawn - other).std() > 0.05 * drawn.std()


def test_settled_normalisations_are_those_of_the_present_weights():
    torch.manual_seed(0)
    painter = Painter(2, 16, 2, [8, 16], 8)
    latents, labels = torch.randn(64, 8, generator=rng(0)), torch.arange(64) % 2
    seen = []
    painter.stages[0].convolution.register_forward_hook(lambda _, __, output: seen.append(output))
    settle(painter, latents, labels, batch_size=16)
    assert not painter.training and painter.stages[0].norm.momentum == 0.1
    mean = torch.stack([batch.mean(dim=(0, 2, 3)) for batch in seen]).mean(dim=0)
    variance = torch.stack([batch.var(dim=(0, 2, 3)) for batch in seen]).mean(dim=0)
    assert torch.allclose(painter.stages[0].norm.running_mean, mean, atol=1e-5)
    assert torch.allclose(painter.stages[0].norm.running_var, variance, rtol=1e-4)


def test_rates_fall_in_the_second_half():
    generator, rates = generators.create("gan", device="cpu", **SMALL, steps=8, learning_rate=1e-3), []
    step = Adversaries.step

    def noted(self, number):
        found = step(self, number)
        rates.append(self.optimisers[0].param_groups[0]["lr"])
        return found

    with mock.patch.object(Adversaries, "step", noted):
        generator.fit(*two_planes(), seed=0)
    assert rates == pytest.approx([1e-3] * 5 + [0.75e-3, 0.5e-3, 0.25e-3])


def test_it_draws_more_than_one_image_per_class():
    """Real images of a class differ by their noise; a generator that repeats itself shows here."""
    images, labels = two_planes()
    drawn = train(steps=150, channels=(16, 32)).sample(np.zeros(32, int), seed=1)
    assert drawn.astype(float).std(axis=0).mean() > 0.25 * images[labels == 0].astype(float).std(axis=0).mean()


def test_variety_tells_equal_images_from_different_ones():
    features = torch.randn(8, 3, 4, 4, generator=rng(0))
    found = variety(features)
    assert found.shape == (8, 1, 4, 4) and (found > 0.5).all()
    assert (variety(features[:1].expand(8, -1, -1, -1)) < 1e-3).all()
    assert variety(features[:3]).shape == (3, 1, 4, 4)
    # Images i, i + 2, i + 4, i + 6 of eight form a group.
    features[0::2] = features[0]
    found = variety(features)
    assert (found[0::2] < 1e-3).all() and (found[1::2] > 0.5).all()


def test_a_loss_that_is_not_a_number_stops_the_training():
    with pytest.raises(FetalkitError, match=r"t: the loss is not a number at step \d+; lower gan.learning_rate"):
        train(steps=60, learning_rate=1e30)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(size=18), "size 18 must be a multiple of 4"),
        (dict(channels=()), "channels must not be empty"),
        (dict(channels=(12,)), "multiples of 8"),
        (dict(steps=0), "steps is 0"),
        (dict(discriminator_rate=0.0), "discriminator_rate is 0.0"),
        (dict(augment=1.5), r"augment in \[0, 1\]"),
        (dict(penalty=-1.0), "penalty must not be negative"),
        (dict(planes=("a",)), "1 planes are named, but n_classes is 2"),
        (dict(colour=1), "no setting is called colour"),
    ],
)
def test_impossible_settings_get_one_clear_line(changes, words):
    with pytest.raises(FetalkitError, match=words) as caught:
        generators.create("gan", **(SMALL | changes))
    assert str(caught.value).startswith("gan generator: ") and "\n" not in str(caught.value)


def test_bad_input_gets_one_clear_line():
    images, labels = two_planes()
    generator = generators.create("gan", device="cpu", **SMALL)
    for act in (lambda: generator.sample(labels, seed=0), lambda: generator.save(Path("nowhere"))):
        with pytest.raises(FetalkitError, match="the gan generator has no weights yet; call fit"):
            act()
    with pytest.raises(FetalkitError, match="no training image of class 1"):
        generator.fit(images, np.zeros_like(labels), seed=0)
    with pytest.raises(FetalkitError, match=r"must lie in 0\.\.1"):
        train(steps=1).sample(np.array([2]), seed=0)


def test_the_loop_is_that_of_the_diffusion_model(monkeypatch):
    monkeypatch.setattr(trainer, "run", lambda *_, **__: pytest.fail("the shared loop"))
    for kind, more in (("gan", SMALL), ("diffusion", dict(n_classes=2, size=16, channels=(8,), attention=(False,)))):
        with pytest.raises(pytest.fail.Exception, match="the shared loop"):
            generators.create(kind, device="cpu", **more).fit(*two_planes(), seed=0)
