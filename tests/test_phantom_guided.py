"""Phantoms with the look of real images, and drawing that is guided by them."""

import numpy as np
import pytest

from fetalkit import generators
from fetalkit.generators import simulated
from fetalkit.generators.appearance import Appearance, field_of_view
from fetalkit.generators.diffusion.generator import DiffusionGenerator
from fetalkit.generators.simulated import MatchedPhantoms
from fetalkit.utils.errors import FetalkitError

PLANES = ["Fetal brain", "Fetal femur"]
LABELS = np.array([0, 1] * 6)


@pytest.fixture(scope="module")
def phantoms():
    return simulated.phantoms([PLANES[label] for label in LABELS], 32, seed=1, simulated_size=64)


def real(dark=30):
    """Dim images whose field of view is wide and low: a half of the square, grey levels of 10 to `dark`."""
    images = np.zeros((8, 32, 32), np.uint8)
    images[:, 8:24] = np.random.default_rng(0).integers(10, dark, (8, 16, 32))
    return images, np.array([0, 1] * 4)


def test_the_field_of_view_is_the_hull_of_what_is_not_black():
    image = np.zeros((32, 32), np.uint8)
    image[4:28, 6:26] = 40
    image[10:20, 10:20] = 0  # a dark organ
    image[0, 31] = 255  # a letter
    expected = np.zeros((32, 32), bool)
    expected[4:28, 6:26] = True
    assert np.array_equal(field_of_view(image), expected)
    assert not field_of_view(np.zeros((32, 32), np.uint8)).any()
    assert not field_of_view(np.eye(32, dtype=np.uint8)[:1].repeat(32, 0)).any()


def test_phantoms_take_over_grey_levels_and_field_of_view(phantoms):
    given = Appearance.of(*real(), 2, seed=0).give(phantoms, LABELS, seed=0)
    assert phantoms.mean() > 30 > given.mean()
    assert not given[:, :8].any() and not given[:, 24:].any()
    assert (given[:, 8:24] >= 10).all() and given.max() <= 30
    assert given[:, 8:24].mean() == pytest.approx(19.5, abs=1)


def test_the_order_of_grey_levels_stays():
    phantom = np.zeros((1, 32, 32), np.uint8)
    phantom[0, 8:24] = np.linspace(20, 200, 512).reshape(16, 32)
    given = Appearance.of(*real(), 2, seed=0).give(phantom, np.array([0]), seed=0)[0, 8:24].astype(int).ravel()
    assert (np.diff(given) >= 0).all() and given[-1] - given[0] > 15


def test_anatomy_keeps_its_proportions():
    """A disc in a high fan is scaled until the fan has the area of the wide field of view, and stays a disc."""
    rows, columns = np.mgrid[:32, :32] - 15.5
    phantom = np.where(abs(columns) < 12, 40, 0).astype(np.uint8)
    phantom[rows**2 + columns**2 < 36] = 200
    bright = Appearance.of(*real(), 2, seed=0).give(phantom[None], np.array([0]), seed=0)[0] > 26
    high, wide = (np.ptp(np.nonzero(bright)[axis]) + 1 for axis in (0, 1))
    assert high == pytest.approx(12 * (16 * 32 / (24 * 32)) ** 0.5, abs=2) and wide == pytest.approx(high, abs=1)


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
    assert np.array_equal(drawn, made.sample(LABELS, seed=0, sampling=options))
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
    assert np.abs(whole.astype(int) - again).max() <= 1


def test_a_look_that_is_missing_is_told(trained, tmp_path):
    """Without it, phantoms would be drawn from as if none had been learnt."""
    trained.save(tmp_path / "g")
    (tmp_path / "g" / "appearance.safetensors").unlink()
    with pytest.raises(FetalkitError, match=r"not a complete generator .*appearance.safetensors"):
        generators.load(tmp_path / "g", device="cpu")


def test_a_plane_that_cannot_be_simulated_is_told():
    made = DiffusionGenerator(["left", "right"], 32, TINY, device="cpu")
    made.fit(*real(), seed=0)
    with pytest.raises(FetalkitError, match="cannot simulate left, right; there are: Fetal abdomen"):
        made.sample(LABELS, seed=0, sampling={"phantom_sigma": 0.5})
