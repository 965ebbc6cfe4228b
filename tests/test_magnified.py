"""A generator that was told of magnified training images draws magnified ones."""

import math

import numpy as np
import pytest
import torch

from fetalkit.experiments.transfer import magnified
from fetalkit.generators.diffusion import augmentation
from fetalkit.generators.diffusion.generator import DiffusionGenerator
from fetalkit.generators.smote import SmoteGenerator
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.streams import rng

SMALL = dict(unshuffle=2, channels=(16, 32), attention=(False, False), batch_size=8, guide_steps=0)


def discs(n=64):
    """Bright discs of 7 px on black."""
    rows, columns = np.mgrid[:16, :16] - 7.5
    return np.repeat(np.where(rows**2 + columns**2 < 3.5**2, 220, 10)[None], n, 0).astype(np.uint8)


@pytest.fixture(scope="module")
def learned():
    training = SMALL | dict(steps=300, learning_rate=4e-3, augment=0.8)
    made = DiffusionGenerator(("disc",), 16, training, device="cpu", precision="float32")
    made.fit(discs(), np.zeros(64, np.int64), seed=0)
    return made


def area(images):
    return (images > 110).sum(axis=(1, 2)).mean()


def test_what_is_drawn_larger_is_larger(learned):
    labels = np.zeros(24, np.int64)
    small, plain, large = (
        magnified.sample(learned, labels, [m], seed=0, sampling=dict(steps=12)) for m in (0.8, 1.0, 1.3)
    )
    assert area(small) < 0.85 * area(plain) and area(large) > 1.2 * area(plain)
    by_turns = magnified.sample(learned, labels, [0.8, 1.3], seed=0, sampling=dict(steps=12))
    assert area(by_turns[::2]) < 0.8 * area(by_turns[1::2])


def test_it_leaves_the_generator_as_it_was(learned):
    labels = np.zeros(4, np.int64)
    before = learned.sample(labels, seed=1, sampling=dict(steps=4))
    magnified.sample(learned, labels, [1.2], seed=1, sampling=dict(steps=4))
    assert np.array_equal(learned.sample(labels, seed=1, sampling=dict(steps=4)), before)


def test_what_it_was_told_ends_with_an_error_too(learned):
    with pytest.raises(ZeroDivisionError), magnified.told(learned.denoiser, 1.2):
        1 / 0  # noqa: B018
    assert not learned.denoiser._forward_pre_hooks


def test_a_generator_of_another_kind_knows_no_magnifications():
    with pytest.raises(FetalkitError, match="knows no magnified images; use a diffusion model"):
        magnified.sample(SmoteGenerator(("disc",), 16), np.zeros(2, np.int64), [1.1], seed=0)


def test_magnifications_are_those_of_training():
    """The place among the movements, their unit, and how far they go are those of `augmentation.move`."""
    images = torch.from_numpy(discs(4000))[:, None].float()
    moved, moves = augmentation.move(images, 1.0, rng(0))
    assert moves.abs().max() == magnified.MOST
    size = moves[:, magnified.SIZE] * augmentation.SPREAD[magnified.SIZE]
    grown = (moved > 110).sum(dim=(1, 2, 3)).float().log()
    slope = float(((size - size.mean()) * (grown - grown.mean())).mean() / size.var())
    assert slope == pytest.approx(2, abs=0.2)  # an area grows with the square of the magnification


def test_bad_requests_get_one_clear_line(learned):
    labels = np.zeros(2, np.int64)
    with pytest.raises(FetalkitError, match=r"magnification 2: the generator knows 0.74 to 1.35; correct"):
        magnified.sample(learned, labels, [2.0], seed=0)
    assert math.isclose(math.log(1.35), magnified.MOST * float(augmentation.SPREAD[magnified.SIZE]), abs_tol=0.01)
    still = DiffusionGenerator(("disc",), 16, SMALL | dict(augment=0.0), device="cpu")
    with pytest.raises(FetalkitError, match=r"knows no magnified images; .* train it with .*training.augment above 0"):
        magnified.sample(still, labels, [1.1], seed=0)
