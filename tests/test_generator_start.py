"""What generators begin with: phantoms with their planes, train images without, each known by its source."""

import numpy as np
import pytest
import torch

from fetalkit.config.generation import Start
from fetalkit.config.sections import validated
from fetalkit.generators.diffusion.denoiser import Denoiser
from fetalkit.generators.diffusion.generator import DiffusionGenerator
from fetalkit.generators.gan.generator import GanGenerator
from fetalkit.utils.errors import FetalkitError

PLANES = ["left", "right"]
TINY = dict(channels=(8, 8), attention=(False, False), steps=3, batch_size=4)
SHAPE = dict(unshuffle=2, channels=[8, 8], attention=[False, False])


def images(n=12):
    return np.random.default_rng(0).integers(0, 256, (n, 16, 16), np.uint8)


LABELS = np.array([0, 1, 0, 1, -1, -1] * 2)
DOMAINS = np.array([1, 1, 1, 1, 0, 0] * 2)


def test_a_generator_goes_on_from_a_start_of_two_sources(tmp_path):
    start = DiffusionGenerator(PLANES, 16, TINY, device="cpu")
    start.pretrain(images(), LABELS, DOMAINS, seed=0)
    start.save(tmp_path / "start")
    again = DiffusionGenerator.load(tmp_path / "start", device="cpu")
    assert again.denoiser.config["n_domains"] == 2
    made = DiffusionGenerator(PLANES, 16, TINY | {"steps": 1, "learning_rate": 1e-12}, device="cpu")
    made.fit(images(), np.array([0, 1] * 6), seed=0, start=tmp_path / "start")
    assert made.denoiser.config["n_domains"] == 1
    before, after = again.denoiser.state_dict(), made.denoiser.state_dict()
    assert torch.allclose(before["encoder.stem.weight"], after["encoder.stem.weight"], atol=1e-6)


def test_the_first_source_is_gone_on_with():
    torch.manual_seed(0)
    both, one = Denoiser(3, **SHAPE, n_domains=2), Denoiser(3, **SHAPE)
    for parameter in both.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    one.begin_with(both)
    seen, time = torch.randn(3, 1, 16, 16), torch.tensor(0.1)
    labels = torch.tensor([0, 1, 2])
    expected = both(seen, time, labels).sample
    assert torch.allclose(one(seen, time, labels).sample, expected, atol=1e-4)
    # The other source is another condition.
    assert not torch.allclose(both(seen, time, labels + 3).sample, expected, atol=0.01)


@pytest.mark.parametrize(
    "labels, domains, message",
    [
        (LABELS + 3, DOMAINS, "labels of a start must lie below 2"),
        (LABELS - 1, DOMAINS, "labels of a start must be an integer array .* from -1 on"),
        (LABELS, DOMAINS - 1, "domains of a start must be an integer array .* from 0 on"),
        (LABELS, DOMAINS[:3], "one domain belong to each"),
        (LABELS[:3], DOMAINS[:3], "12 training images do not match 3 labels"),
    ],
)
def test_arrays_that_are_no_start_are_refused(labels, domains, message):
    with pytest.raises(FetalkitError, match=message):
        DiffusionGenerator(PLANES, 16, TINY, device="cpu").pretrain(images(), labels, domains, seed=0)


def test_a_generator_that_cannot_begin_elsewhere_says_so():
    with pytest.raises(FetalkitError, match="GanGenerator: cannot begin from another training"):
        GanGenerator(PLANES, 16, {"channels": (8, 8), "steps": 1}, device="cpu").pretrain(
            images(), LABELS, DOMAINS, seed=0
        )


@pytest.mark.parametrize(
    "section, message",
    [
        ({"steps": 5}, "has nothing to learn from"),
        ({"steps": 5, "generator": "simulation"}, "generator and images_per_plane go together"),
        ({"steps": 5, "unlabelled": True, "images_per_plane": 5}, "generator and images_per_plane go together"),
    ],
)
def test_a_start_must_say_what_it_learns_from(section, message):
    with pytest.raises(FetalkitError, match=message):
        validated(Start, section, "params.yaml", "start")
