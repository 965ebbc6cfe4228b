"""Can the centre be told from border or size: fans of known shapes, before and after they are given one outline."""

import numpy as np
import pandas as pd
import pytest

from fetalkit.analysis import intervals, outline_effect
from fetalkit.metrics import outline
from fetalkit.utils.errors import FetalkitError

SIZE = 64


def fans(n, half_angle, top=4, seed=0):
    """Speckled sectors on black, uint8, all of one opening angle, with the tip in the middle above the image."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE]
    depth, side = np.hypot(y + 10, x - 31.5), np.abs(np.arctan2(x - 31.5, y + 10))
    shape = (side < np.radians(half_angle)) & (depth > 10 + top) & (depth < 68)
    return (shape * random.integers(60, 250, (n, SIZE, SIZE))).astype(np.uint8)


@pytest.fixture(scope="module")
def two_centres():
    """Images of two centres whose fans have two widths, their centres and patients."""
    images = np.concatenate([fans(40, 22, seed=1), fans(60, 38, top=8, seed=2)])
    return images, np.repeat(["narrow", "wide"], [40, 60]), np.repeat([f"p{number}" for number in range(25)], 4)


# --- features


def test_sizes():
    index = pd.DataFrame({"width": [800, 300], "height": [400, 600], "mode": "L"})
    assert outline.size_features(index).tolist() == [[800, 400, 2], [300, 600, 0.5]]
    with pytest.raises(FetalkitError, match="index: no column height; take data/<cohort>/cohort/index.csv"):
        outline.size_features(index[["width"]])
    with pytest.raises(FetalkitError, match="a width or height is not above 0"):
        outline.size_features(index.assign(height=0))


def test_boxes():
    masks = np.zeros((3, 20, 10), bool)
    masks[0, 5:15, 2:8] = True
    masks[1] = True
    assert outline.box_features(masks) == pytest.approx(
        np.array([[0.2, 0.25, 0.8, 0.75, 0.3], [0, 0, 1, 1, 1], [0, 0, 0, 0, 0]])
    )


def test_small_copies_of_masks():
    masks = np.zeros((2, 32, 32), bool)
    masks[0, :2, 2:4] = True
    masks[1, 0, 0] = True
    measured = outline.mask_features(masks).reshape(2, 16, 16)
    assert measured[0, 0, 1] == 1 and measured[0].sum() == 1
    assert measured[1, 0, 0] == 0.25 and measured[1].sum() == 0.25
    assert outline.mask_features(masks, side=5).shape == (2, 25)
    with pytest.raises(FetalkitError, match="masks of 8 × 8 px are smaller than 16 × 16 squares"):
        outline.mask_features(masks[:, :8, :8])


def test_masks_do_not_depend_on_the_batches(monkeypatch, two_centres):
    images = two_centres[0][35:45]
    whole = outline.fan_masks(images)
    monkeypatch.setattr(outline, "_TOGETHER", 3)
    assert np.array_equal(outline.fan_masks(images), whole)
    assert 0.2 < whole.mean() < 0.8


def test_almost_black_is_no_fan():
    levels = np.array([8, 9], np.uint8)
    assert outline.fan_masks(np.broadcast_to(levels[:, None, None], (2, 16, 16))).all(axis=(1, 2)).tolist() == [
        False,
        True,
    ]


# --- the centre from border and size


@pytest.mark.slow
def test_sizes_between_others_are_told():
    """The middle one of three sizes, which no line parts from the others; names may be digits."""
    sizes = np.repeat([400, 800, 1200], 40)[:, None]
    told = outline.centre_from(sizes, np.repeat(["0", "1", "2"], 40), np.repeat(np.arange(30), 4).astype(str), seed=0)
    assert told.balanced_accuracy == 1 and told.chance == pytest.approx(1 / 3)


@pytest.mark.slow
def test_noise_does_not_tell():
    noise = np.random.default_rng(0).normal(size=(400, 5))
    told = outline.centre_from(noise, np.tile(["a", "b"], 200), np.repeat(np.arange(100), 4).astype(str), 0)
    assert told.low < told.chance == 0.5 < told.high
    told = outline.centre_from(np.zeros((400, 5)), np.repeat(["a", "b"], [40, 360]), np.arange(400).astype(str), 0)
    assert told.balanced_accuracy == 0.5


@pytest.mark.slow
def test_many_images_of_one_centre_do_not_hide_the_other():
    """Two normals 1.5 standard deviations apart, told in 77 % at best, and one centre twenty times as large as the other."""
    random, centres = np.random.default_rng(0), np.repeat(["a", "b"], [100, 2000])
    features = random.normal(size=(2100, 1)) + 1.5 * (centres == "a")[:, None]
    told = outline.centre_from(features, centres, np.arange(2100).astype(str), seed=0)
    assert told.balanced_accuracy == pytest.approx(0.77, abs=0.08)


@pytest.mark.slow
def test_the_table_has_a_row_per_kind(two_centres):
    images, centres, patients = two_centres
    masks = outline.fan_masks(images)
    kinds = {"box": outline.box_features(masks), "nothing": np.zeros((100, 2))}
    table = outline.centre_table(kinds, centres, patients, seed=0).set_index("features")
    assert list(table) == ["balanced_accuracy", "low", "high", "spread", "chance"]
    assert table.balanced_accuracy["box"] == 1 and table.balanced_accuracy["nothing"] == 0.5
    with pytest.raises(FetalkitError, match="100 rows of features but patients of shape"):
        outline.centre_table(kinds, centres, patients[:3], seed=0)


# --- one outline


@pytest.mark.slow
def test_after_standardising_the_mask_no_longer_tells(two_centres):
    images, centres, patients = two_centres
    changed, left = outline.standardise_mask(images)
    assert changed.shape == images.shape and changed.dtype == np.uint8 and left == 0
    for kind in (outline.box_features, outline.mask_features):
        before, after = (
            outline.centre_from(kind(outline.fan_masks(of)), centres, patients, seed=0) for of in (images, changed)
        )
        assert before.balanced_accuracy == 1
        assert after.balanced_accuracy == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("half_angle", [18, 26, 38])
def test_the_outline_is_a_disc_that_the_fan_fills(half_angle):
    grey = np.where(fans(1, half_angle) > 0, np.uint8(150), np.uint8(0))
    changed, _ = outline.standardise_mask(grey)
    middle = np.arange(SIZE) - 31.5
    radius = np.hypot(middle[:, None], middle)
    assert not changed[:, radius > 32].any()
    assert (changed[:, radius < 31] > 75).all(), "no black from beside the fan inside the disc"


def test_nothing_is_distorted():
    """A ring in the middle of a grey square stays a ring in the middle."""
    y, x = np.mgrid[:SIZE, :SIZE]
    ring = np.abs(np.hypot(y - 35.5, x - 27.5) - 10) < 1.5
    image = np.zeros((1, SIZE, SIZE), np.uint8)
    image[0, 16:56, 8:48] = 100
    image[0][ring] = 255
    kept = image.copy()
    changed, _ = outline.standardise_mask(image)
    assert np.array_equal(image, kept), "the input is not written to"
    rows, columns = np.nonzero(changed[0] > 180)
    assert np.ptp(rows) == np.ptp(columns) == pytest.approx(23 * SIZE / 40, abs=3)
    assert (rows.mean(), columns.mean()) == pytest.approx((31.5, 31.5), abs=1)


def test_images_without_a_fan_are_left_and_counted():
    images = fans(3, 30)
    images[1] = 3
    changed, left = outline.standardise_mask(images)
    assert left == 1 and np.array_equal(changed[1], images[1])
    assert not np.array_equal(changed[0], images[0])
    whole = np.full((1, SIZE, SIZE), 90, np.uint8)
    changed, left = outline.standardise_mask(whole)
    assert left == 0 and changed[0, 32, 32] == 90 and changed[0, 0, 0] == 0


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 8, 8)), np.zeros((2, 8, 9), np.uint8), np.zeros((8, 8), np.uint8), np.zeros((0, 8, 8), np.uint8)],
    ids=["floats", "not square", "one image", "none"],
)
def test_bad_images(images):
    with pytest.raises(FetalkitError, match=r"uint8 \(n, size, size\) is needed, n at least 1"):
        outline.standardise_mask(images)


# --- what accuracy owes to the outline


def test_the_drop_is_paired():
    random = np.random.default_rng(0)
    before = random.random((3, 200)) < 0.9
    after = before & (random.random((3, 200)) < 0.8)
    patients = [f"p{number // 2}" for number in range(200)]
    measured = outline_effect.drop_with_standard_mask(before, after, patients)
    assert measured.before == intervals.accuracy(before, patients) and measured.after == intervals.accuracy(
        after, patients
    )
    assert measured.change.estimate == pytest.approx(measured.after.estimate - measured.before.estimate)
    assert measured.change.high < 0 and measured.change.p < 0.05
    same = outline_effect.drop_with_standard_mask(before, before, patients)
    assert (same.change.estimate, same.change.p) == (0, 1)
    with pytest.raises(FetalkitError, match=r"\(3, 200\) calls before but \(2, 200\) after: test the same images"):
        outline_effect.drop_with_standard_mask(before, after[:2], patients)
    with pytest.raises(FetalkitError, match="name the patient of every image"):
        outline_effect.drop_with_standard_mask(before, after, patients[:5])
