"""The GAN that sees ImageNet features learns, draws different images, resumes with the same bits, and trains no feature."""

import numpy as np
import pytest
import torch
from test_generators import PLANES, two_planes

from fetalkit import generators
from fetalkit.generators.gan.projected import ProjectedDiscriminator, ProjectedGanGenerator, difference
from fetalkit.utils import imagenet
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.errors import FetalkitError

pytestmark = pytest.mark.slow

SMALL = dict(unshuffle=2, channels=(16, 32), latent=8, batch_size=8, seen_size=32)


def train(steps=6, checkpoint=None, **changes):
    training = SMALL | dict(steps=steps) | changes
    made = ProjectedGanGenerator(PLANES, 16, training, device="cpu", precision="float32")
    made.fit(*two_planes(), seed=0, checkpoint=checkpoint, label="t")
    return made


def bits(made):
    return torch.cat([tensor.flatten() for tensor in made.network.state_dict().values()])


def test_it_learns_obeys_its_labels_and_is_read_again(tmp_path):
    made = train(steps=150, learning_rate=2e-3, discriminator_rate=1e-3)
    labels = np.array([0] * 8 + [1] * 8)
    drawn = made.sample(labels, seed=1).astype(float)
    top_minus_bottom = drawn[:, :8].mean(axis=(1, 2)) - drawn[:, 8:].mean(axis=(1, 2))
    assert (np.sign(top_minus_bottom) == np.where(labels == 0, 1, -1)).mean() > 0.8
    made.save(tmp_path / "gan")
    again = generators.load(tmp_path / "gan", "cpu", "float32")
    assert isinstance(again, ProjectedGanGenerator)
    assert np.array_equal(again.sample(labels, seed=1), made.sample(labels, seed=1))
    stored = sum(path.stat().st_size for path in (tmp_path / "gan").rglob("*") if path.is_file())
    assert stored < 1e6, "the ImageNet network is not a part of what is saved"


def test_variety_asks_for_images_that_differ():
    apart = {}
    for weight in (0.0, 5.0):
        drawn = train(steps=60, variety=weight, learning_rate=2e-3).sample(np.zeros(16, np.int64), seed=0)
        images = torch.from_numpy(drawn)[:, None].float()
        apart[weight] = float(difference(images[:8], images[8:]).mean())
    assert apart[5.0] > 1.2 * apart[0.0]


def test_brightness_and_contrast_are_no_difference():
    image = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert float(difference(image, 0.5 * image + 0.2).max()) < 0.02
    assert float(difference(image, image.flip(3)).min()) > 0.5


def test_an_interrupted_training_ends_with_the_same_bits(tmp_path, monkeypatch):
    whole = bits(train())
    step = ProjectedGanGenerator.adversarial.step

    def interrupted(self, number):
        if number == 4:
            raise KeyboardInterrupt
        return step(self, number)

    checkpoint = Checkpoint(tmp_path / "state", "x", every=3)
    with monkeypatch.context() as changed, pytest.raises(KeyboardInterrupt):
        changed.setattr(ProjectedGanGenerator.adversarial, "step", interrupted)
        train(checkpoint=checkpoint)
    assert torch.equal(bits(train(checkpoint=checkpoint)), whole)


def test_features_are_those_of_imagenet_and_no_part_of_the_network():
    discriminator = ProjectedDiscriminator(2, 64)
    known = imagenet.weights()
    seen = discriminator.project[0].network
    assert torch.equal(seen.conv_stem.weight, known["conv_stem.weight"].sum(dim=1, keepdim=True))
    names = [name for name, _ in discriminator.named_parameters()]
    assert names and all(name.startswith("heads.") for name in names)
    discriminator.train().requires_grad_(True)
    assert not seen.training and not any(weight.requires_grad for weight in seen.parameters())
    images = torch.rand(2, 1, 16, 16, requires_grad=True)
    scores = discriminator(images, torch.tensor([0, 1]))
    assert scores.shape == (2, 16 + 16 + 16 + 4)
    scores.sum().backward()
    assert images.grad is not None and images.grad.abs().sum() > 0


def test_impossible_settings_and_missing_weights(monkeypatch):
    for changes, key in (
        (dict(seen_size=50), "seen_size"),
        (dict(variety=-1), "variety"),
        (dict(batch_size=1), "batch"),
    ):
        with pytest.raises(FetalkitError, match=key):
            ProjectedGanGenerator(PLANES, 16, SMALL | changes)
    monkeypatch.setattr(imagenet, "PACKAGE", "no-such-package")
    with pytest.raises(FetalkitError, match="install them: pip install no-such-package"):
        train()
