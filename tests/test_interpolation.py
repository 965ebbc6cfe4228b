"""Interpolated images lie between two similar real images of their class, and follow from the seed alone."""

import numpy as np
import pytest

from fetalkit import generators
from fetalkit.generators import smote
from fetalkit.generators.smote import SmoteGenerator
from fetalkit.utils.errors import FetalkitError


def two_classes(n=12, size=16):
    random = np.random.default_rng(0)
    return random.integers(0, 256, (n, size, size), np.uint8), np.arange(n) % 2


def made(images=None, labels=None):
    given = two_classes() if images is None else (images, labels)
    generator = SmoteGenerator(("a", "b"), given[0].shape[1])
    generator.fit(*given, seed=0)
    return generator


def test_images_follow_from_seed_place_and_label():
    generator, labels = made(), np.array([0, 1, 1, 0])
    drawn = generator.sample(labels, seed=3)
    assert drawn.shape == (4, 16, 16) and drawn.dtype == np.uint8
    assert np.array_equal(drawn, generator.sample(labels, seed=3))
    assert np.array_equal(drawn[:2], generator.sample(labels[:2], seed=3))
    assert np.array_equal(drawn[3], generator.sample(np.array([1, 1, 1, 0]), seed=3)[3])
    assert not np.array_equal(drawn, generator.sample(labels, seed=4))
    assert generator.loaded and generator.losses == []


def test_an_image_lies_between_a_real_one_and_its_neighbour():
    """Images of one grey level: class 0 dark at 0 and 100, far from 250; class 1 at 10 and 20."""
    levels, labels = np.array([0, 100, 250, 10, 20]), np.array([0, 0, 0, 1, 1])
    images = np.broadcast_to(levels[:, None, None], (5, 8, 8)).astype(np.uint8)
    drawn = made(images, labels).sample(np.array([0] * 200 + [1] * 200), seed=0, sampling=dict(neighbours=1))[:, 0, 0]
    dark, other = drawn[:200], drawn[200:]
    # The nearest of 0 is 100, that of 250 is 100 as well, and that of 100 is 0.
    assert dark.min() < 10 and dark.max() > 240 and ((dark > 100) & (dark < 250)).sum() in range(40, 95)
    assert other.min() == 10 and other.max() == 20
    more = made(images, labels).sample(np.array([0] * 200), seed=0, sampling=dict(neighbours=5))[:, 0, 0]
    assert not np.array_equal(more, dark)


def test_a_class_with_one_image_yields_it_and_equal_images_are_neighbours():
    images, labels = two_classes(5)
    labels = np.array([0, 1, 1, 1, 1])
    images[2:] = images[1]
    drawn = made(images, labels).sample(np.array([0, 0, 1]), seed=0)
    assert np.array_equal(drawn, images[[0, 0, 1]])


def test_saved_and_loaded_generators_draw_the_same(tmp_path):
    generator, labels = made(), np.array([0, 1, 1])
    generator.save(tmp_path / "g")
    loaded = generators.load(tmp_path / "g")
    assert np.array_equal(loaded.sample(labels, seed=1), generator.sample(labels, seed=1))
    assert loaded.describe() == generator.describe()
    images, classes = two_classes()
    images[0, 0, 0] ^= 1
    made(images, classes).save(tmp_path / "other")
    assert (tmp_path / "g" / "fetalkit.json").read_text() != (tmp_path / "other" / "fetalkit.json").read_text()
    (tmp_path / "other" / smote.IMAGES).replace(tmp_path / "g" / smote.IMAGES)
    with pytest.raises(FetalkitError, match=r"images.npz: missing or damaged \(not the images of its card\); make"):
        generators.load(tmp_path / "g")
    for damage in (b"no images", b"PK\x03\x04", b""):
        (tmp_path / "g" / smote.IMAGES).write_bytes(damage)
        with pytest.raises(FetalkitError, match=r"images.npz: missing or damaged .* make the generator again"):
            generators.load(tmp_path / "g")
    (tmp_path / "g" / smote.IMAGES).unlink()
    with pytest.raises(FetalkitError, match=r"images.npz: missing or damaged"):
        generators.load(tmp_path / "g")


def test_bad_input_gets_one_clear_line():
    images, labels = two_classes()
    generator = SmoteGenerator(("a", "b"), 16)
    with pytest.raises(FetalkitError, match="SmoteGenerator: nothing has been learned yet; call fit"):
        generator.sample(labels, seed=0)
    with pytest.raises(FetalkitError, match="no training image of class 1"):
        generator.fit(images, np.zeros_like(labels), seed=0)
    generator.fit(images, labels, seed=0)
    with pytest.raises(FetalkitError, match=r"must lie in 0\.\.1"):
        generator.sample(np.array([2]), seed=0)
    with pytest.raises(FetalkitError, match="sampling.neighbours = 0: input should be greater than or equal to 1"):
        generator.sample(labels, seed=0, sampling=dict(neighbours=0))
    with pytest.raises(FetalkitError, match="SmoteGenerator: training.steps = 5 is not a known key"):
        SmoteGenerator(("a", "b"), 16, dict(steps=5))
