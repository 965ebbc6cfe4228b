"""The GAN learns, obeys its labels, resumes with the same bits; its discriminator conditions on the class."""

import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from test_generators import PLANES, two_planes

from fetalkit import generators
from fetalkit.generators import trainer
from fetalkit.generators.diffusion.generator import DiffusionGenerator
from fetalkit.generators.gan import diffaugment
from fetalkit.generators.gan.adversarial import AdversarialTraining
from fetalkit.generators.gan.generator import GanGenerator
from fetalkit.generators.gan.networks import Discriminator, GeneratorNetwork, recompute_batch_norm, variety
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.streams import rng

pytestmark = pytest.mark.slow

SMALL = dict(unshuffle=2, channels=(8, 16), latent=8, batch_size=8, penalty=0.1, penalty_every=4)


def small(image_size=16, **changes):
    return GanGenerator(PLANES, image_size, SMALL | changes, device="cpu", precision="float32")


def train(steps=10, checkpoint=None, precision="float32", **changes):
    training = SMALL | dict(steps=steps) | changes
    generator = GanGenerator(PLANES, 16, training, device="cpu", precision=precision)
    generator.fit(*two_planes(), seed=0, checkpoint=checkpoint, label="t")
    return generator


def bits(generator):
    return torch.cat([tensor.flatten() for tensor in generator.network.state_dict().values()])


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
    same = learned.sample(labels, seed=0, sampling=dict(temperature=0.0))
    assert np.abs(same[0].astype(int) - same[2]).max() <= 1


def test_sigkill_and_resume_gives_the_same_bits(tmp_path):
    script = (
        "import os, signal, sys, torch; torch.set_num_threads(1); sys.path.insert(0, 'tests')\n"
        "import test_gan as t\n"
        "from fetalkit.utils.checkpoints import Checkpoint\n"
        "step = t.AdversarialTraining.step\n"
        "def deadly(self, number):\n"
        "    if number == 7: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return step(self, number)\n"
        "t.AdversarialTraining.step = deadly\n"
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
    monkeypatch.setattr(AdversarialTraining, "step", lambda *_: pytest.fail("trained again"))
    assert torch.equal(bits(train(checkpoint=checkpoint)), bits(first))


def test_saved_and_loaded_generators_draw_the_same(tmp_path, learned):
    learned.save(tmp_path / "g")
    loaded = generators.load(tmp_path / "g", device="cpu", precision="float32")
    labels = np.array([0, 1, 1])
    assert np.array_equal(loaded.sample(labels, seed=3), learned.sample(labels, seed=3))
    assert loaded.describe() == learned.describe()
    assert (loaded.losses, loaded.seconds) == (learned.losses, learned.seconds)
    network = GeneratorNetwork.from_pretrained(tmp_path / "g", subfolder="generator").eval()
    latent = torch.randn(8, generator=rng(5, "image", 0))[None]
    with torch.inference_mode():
        expected = ((network(latent, torch.tensor([1]))[0, 0] + 1) * 127.5).round().numpy()
    assert np.abs(loaded.sample(np.array([1]), seed=5)[0].astype(int) - expected).max() <= 1
    (tmp_path / "g" / "generator" / "diffusion_pytorch_model.safetensors").write_bytes(b"no weights")
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
    network = GeneratorNetwork(3, 16, 2, [8, 16], 8).eval()
    latent, labels = torch.randn(2, 8, generator=rng(0)), torch.tensor([0, 0])
    with torch.no_grad():
        drawn, other = network(latent, labels), network(latent, labels + 1)
    assert drawn.shape == (2, 1, 16, 16) and drawn.abs().max() <= 1
    # In the untrained network already: what a latent vector is for is not left to the training.
    assert (drawn[0] - drawn[1]).std() > 0.2 * drawn[0].std() and (drawn - other).std() > 0.05 * drawn.std()


def test_recomputed_normalisations_are_those_of_the_present_weights():
    torch.manual_seed(0)
    network = GeneratorNetwork(2, 16, 2, [8, 16], 8)
    latents, labels = torch.randn(64, 8, generator=rng(0)), torch.arange(64) % 2
    seen = []
    network.stages[0].convolution.register_forward_hook(lambda _, __, output: seen.append(output))
    recompute_batch_norm(network, latents, labels, batch_size=16)
    assert not network.training and network.stages[0].norm.momentum == 0.1
    mean = torch.stack([batch.mean(dim=(0, 2, 3)) for batch in seen]).mean(dim=0)
    variance = torch.stack([batch.var(dim=(0, 2, 3)) for batch in seen]).mean(dim=0)
    assert torch.allclose(network.stages[0].norm.running_mean, mean, atol=1e-5)
    assert torch.allclose(network.stages[0].norm.running_var, variance, rtol=1e-4)


def test_rates_fall_in_the_second_half():
    generator, rates = small(steps=8, learning_rate=1e-3), []
    step = AdversarialTraining.step

    def noted(self, number):
        loss = step(self, number)
        rates.append(self.optimisers[0].param_groups[0]["lr"])
        return loss

    with mock.patch.object(AdversarialTraining, "step", noted):
        generator.fit(*two_planes(), seed=0)
    assert rates == pytest.approx([1e-3] * 5 + [0.75e-3, 0.5e-3, 0.25e-3])


def test_it_draws_more_than_one_image_per_class():
    """Real images of a class differ by their noise; a generator that repeats itself shows here."""
    images, labels = two_planes()
    drawn = train(steps=150, channels=(16, 32)).sample(np.zeros(32, int), seed=1)
    assert drawn.astype(float).std(axis=0).mean() > 0.25 * images[labels == 0].astype(float).std(axis=0).mean()


def test_variety_tells_equal_images_from_different_ones():
    features = torch.randn(8, 3, 4, 4, generator=rng(0))
    spread = variety(features)
    assert spread.shape == (8, 1, 4, 4) and (spread > 0.5).all()
    assert (variety(features[:1].expand(8, -1, -1, -1)) < 1e-3).all()
    assert variety(features[:3]).shape == (3, 1, 4, 4)
    # Images i, i + 2, i + 4, i + 6 of eight form a group.
    features[0::2] = features[0]
    spread = variety(features)
    assert (spread[0::2] < 1e-3).all() and (spread[1::2] > 0.5).all()


def test_a_loss_that_is_not_a_number_stops_the_training():
    # No setting that is allowed leads there at once.
    generator = small(steps=60)
    generator.training = generator.training.model_copy(update=dict(learning_rate=1e30))
    with pytest.raises(FetalkitError, match=r"t: the loss is not a number at step \d+; lower training.learning_rate"):
        generator.fit(*two_planes(), seed=0, label="t")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(image_size=18), "image_size = 18: must be a multiple of 4"),
        (dict(channels=()), r"training.channels = \(\): must be multiples of 8"),
        (dict(channels=(12,)), r"training.channels = \(12,\): must be multiples of 8, one for each resolution"),
        (dict(steps=0), "training.steps = 0: input should be greater than or equal to 1"),
        (dict(latent=0), "training.latent = 0: input should be greater than or equal to 1"),
        (dict(discriminator_rate=0.0), "training.discriminator_rate = 0.0: input should be greater than 0"),
        (dict(augment=1.5), "training.augment = 1.5: input should be less than or equal to 1"),
        (dict(penalty=-1.0), "training.penalty = -1.0: input should be greater than or equal to 0"),
        (dict(penalty_every=0), "training.penalty_every = 0: input should be greater than or equal to 1"),
        (dict(colour=1), "training.colour = 1 is not a known key"),
    ],
)
def test_impossible_settings_get_one_clear_line(changes, words):
    with pytest.raises(FetalkitError, match=words) as caught:
        small(**changes)
    assert str(caught.value).startswith("GanGenerator: ") and "\n" not in str(caught.value)


def test_bad_input_gets_one_clear_line():
    images, labels = two_planes()
    generator = small()
    for act in (lambda: generator.sample(labels, seed=0), lambda: generator.save(Path("nowhere"))):
        with pytest.raises(FetalkitError, match="GanGenerator: nothing has been learned yet; call fit"):
            act()
    with pytest.raises(FetalkitError, match="no training image of class 1"):
        generator.fit(images, np.zeros_like(labels), seed=0)
    trained = train(steps=1)
    with pytest.raises(FetalkitError, match=r"must lie in 0\.\.1"):
        trained.sample(np.array([2]), seed=0)
    with pytest.raises(FetalkitError, match="GanGenerator: sampling.temperature = 2.5: input should be less than or"):
        trained.sample(labels, seed=0, sampling=dict(temperature=2.5))


def test_the_loop_is_that_of_the_diffusion_model(monkeypatch):
    monkeypatch.setattr(trainer, "run", lambda *_, **__: pytest.fail("the shared loop"))
    diffusion = DiffusionGenerator(PLANES, 16, dict(channels=(8,), attention=(False,)), device="cpu")
    for generator in (small(), diffusion):
        with pytest.raises(pytest.fail.Exception, match="the shared loop"):
            generator.fit(*two_planes(), seed=0)
