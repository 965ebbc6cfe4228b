"""Phantoms with the look of real images, and drawing that is guided by them."""

import numpy as np
import pytest

from fetalkit import generators
from fetalkit.generators import simulated
from fetalkit.generators.appearance import BLACK, Appearance
from fetalkit.generators.diffusion.generator import DiffusionGenerator
from fetalkit.generators.simulated import MatchedPhantoms
from fetalkit.utils.errors import FetalkitError

PLANES = ["Fetal brain", "Fetal femur"]
LABELS = np.array([0, 1] * 6)


@pytest.fixture(scope="module")
def phantoms():
    return simulated.phantoms([PLANES[label] for label in LABELS], 32, seed=1, simulated_size=64)


def real(dark=30):
    """Dim images whose fan is a square in the middle: a quarter of the whole, grey levels of 10 to `dark`."""
    images = np.zeros((8, 32, 32), np.uint8)
    images[:, 8:24, 8:24] = np.random.default_rng(0).integers(10, dark, (8, 16, 16))
    return images, np.array([0, 1] * 4)


def test_phantoms_take_over_grey_levels_and_the_size_of_the_fan(phantoms):
    given = Appearance.of(*real(), 2, seed=0).give(phantoms, LABELS, seed=0)
    assert phantoms.mean() > 30 > given.mean()
    lit = given >= BLACK
    assert given.max() <= 30 and given[lit].mean() == pytest.approx(20, abs=1)
    # The least scale is 0.6, at which a fan of two thirds of the square fills about a quarter.
    before = (phantoms >= BLACK).mean(axis=(1, 2))
    assert (lit.mean(axis=(1, 2)) < np.maximum(0.28, 0.4 * before)).all()


def test_the_order_of_grey_levels_stays():
    phantom = np.zeros((1, 32, 32), np.uint8)
    phantom[0, 8:24, 8:24] = np.linspace(20, 200, 256).reshape(16, 16)
    given = Appearance.of(*real(), 2, seed=0).give(phantom, np.array([0]), seed=0)[0, 8:24, 8:24].astype(int).ravel()
    assert (np.diff(given) >= 0).all() and given[-1] - given[0] > 15


def test_a_phantom_depends_on_its_own_row_alone(phantoms):
    look = Appearance.of(*real(), 2, seed=0)
    assert np.array_equal(look.give(phantoms[:3], LABELS[:3], seed=0), look.give(phantoms, LABELS, seed=0)[:3])


def test_matched_phantoms_are_saved_and_read(tmp_path):
    made = generators.create("fetalkit.generators.simulated:MatchedPhantoms", PLANES, 32)
    with pytest.raises(FetalkitError, match="nothing has been learned yet"):
        made.sample(LABELS, seed=0)
    made.fit(*real(), seed=0)
    made.save(tmp_path / "m")
    again = generators.load(tmp_path / "m")
    assert isinstance(again, MatchedPhantoms)
    options = {"simulated_size": 64}
    drawn = again.sample(LABELS, seed=0, sampling=options)
    assert np.abs(drawn.astype(int) - made.sample(LABELS, seed=0, sampling=options)).max() <= 1
    assert drawn.max() <= 30


TINY = dict(channels=(8, 8), attention=(False, False), steps=2, batch_size=4)


@pytest.fixture(scope="module")
def trained():
    made = DiffusionGenerator(PLANES, 32, TINY, device="cpu")
    made.fit(*real(), seed=0)
    return made


def test_little_noise_leaves_the_phantom_and_much_noise_does_not(trained, phantoms):
    expected = trained.appearance.give(simulated.phantoms([PLANES[i] for i in LABELS], 32, seed=4), LABELS, seed=4)
    distance = [
        np.abs(
            trained.sample(LABELS, seed=4, sampling={"steps": 6, "phantom_sigma": sigma}).astype(int) - expected
        ).mean()
        for sigma in (0.02, 0.5, 10)
    ]
    assert distance[0] < 1.5 and distance[0] < distance[1] < distance[2]


def test_guided_images_are_the_same_in_any_batch_and_after_reading(trained, tmp_path):
    options = {"steps": 3, "phantom_sigma": 0.5}
    whole = trained.sample(LABELS, seed=4, sampling=options)
    parts = trained.sample(LABELS, seed=4, sampling=options, batch_size=5)
    assert np.abs(whole.astype(int) - parts).max() <= 1
    trained.save(tmp_path / "g")
    again = generators.load(tmp_path / "g", device="cpu").sample(LABELS, seed=4, sampling=options)
    assert np.abs(whole.astype(int) - again).max() <= 2  # grey levels are stored with one decimal


def test_a_plane_that_cannot_be_simulated_is_told():
    made = DiffusionGenerator(["left", "right"], 32, TINY, device="cpu")
    made.fit(*real(), seed=0)
    with pytest.raises(FetalkitError, match="cannot simulate left, right; there are: Fetal abdomen"):
        made.sample(LABELS, seed=0, sampling={"phantom_sigma": 0.5})
