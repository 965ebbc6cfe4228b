"""The canonical form and the store."""

import json

import numpy as np
import pytest
from PIL import Image

from fetalkit.data import images
from fetalkit.data.images import ImageStore
from fetalkit.utils.errors import FetalkitError


def test_small_images_are_not_resized():
    image = Image.fromarray(np.arange(60 * 90, dtype=np.uint8).reshape(60, 90))
    assert np.array_equal(np.asarray(images.canonical(image)), np.asarray(image))


@pytest.mark.parametrize(
    ("size", "expected"), [((960, 480), (384, 192)), ((300, 768), (150, 384)), ((384, 10), (384, 10))]
)
def test_longest_side(size, expected):
    assert images.canonical(Image.new("L", size)).size == expected


def test_native_and_mirrored_copies_agree():
    random = np.random.default_rng(0)
    native = Image.fromarray(random.integers(0, 255, (660, 950), np.uint8)).resize((950, 660), Image.Resampling.BOX)
    mirrored = images.canonical(native)  # what a mirror stores
    assert np.array_equal(images.working(native, 64), images.working(mirrored, 64))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "1", "LA"])
def test_other_modes_become_grey(mode):
    assert images.canonical(Image.new("L", (8, 8), 255).convert(mode)).getpixel((0, 0)) == 255


def test_sixteen_bit():
    deep = Image.fromarray(np.full((8, 8), 128 << 8, np.uint16))
    assert images.canonical(deep).getpixel((0, 0)) == 128


def test_padding_is_black_and_centred():
    square = images.working(Image.new("L", (64, 32), 200), 64)
    assert square[:12].max() == 0
    assert square[-12:].max() == 0
    assert square[20:44].min() == 200


def test_store(tmp_path, image_folder):
    root, table = image_folder
    ImageStore.build(table.image_id, [root / name for name in table.source], 32, tmp_path / "out")
    store = ImageStore.load(tmp_path / "out", 32)
    assert (store.pixels.shape, store.pixels.dtype) == ((36, 32, 32), np.uint8)
    assert store.image_ids == tuple(table.image_id)
    for row in (0, 17, 35):
        assert np.array_equal(store.pixels[row], images.working(Image.open(root / table.source[row]), 32))
    with pytest.raises(ValueError, match="read-only"):
        store.pixels[0] = 0


def test_images_go_by_their_ids(tmp_path, image_folder):
    root, table = image_folder
    sources = [root / name for name in table.source]
    one = ImageStore.build(table.image_id, sources, 32, tmp_path / "one")
    other = ImageStore.build(table.image_id[::-1], sources[::-1], 32, tmp_path / "other")
    wanted = ["p07_1", "p00_0", "p11_2"]
    assert np.array_equal(one.images(wanted), other.images(wanted)), "whatever the order in the store"
    assert np.array_equal(one.images(wanted)[1], images.working(Image.open(root / "p00_0.png"), 32))
    with pytest.raises(KeyError, match="p99"):
        one.images(["p99"])


@pytest.mark.parametrize("damage", ["other size", "names", "pixels", "half"])
def test_a_store_that_does_not_fit_is_refused(tmp_path, image_folder, damage):
    root, table = image_folder
    folder, side = tmp_path / "out", 32
    ImageStore.build(table.image_id, [root / name for name in table.source], side, folder)
    if damage == "other size":
        side = 48
    elif damage == "names":
        (folder / "image_ids.json").write_text(json.dumps(list(table.image_id)[:-1]))
    elif damage == "pixels":
        np.save(folder / "images.npy", np.zeros((36, 32, 31), np.uint8))
    else:
        (folder / "images.npy").write_bytes((folder / "images.npy").read_bytes()[:500])
    with pytest.raises(FetalkitError, match=r"out: .*run 02_images again"):
        ImageStore.load(folder, side)


def test_a_bad_image_leaves_no_store(tmp_path, image_folder):
    root, table = image_folder
    (root / "p00_0.png").write_bytes(b"")
    with pytest.raises(FetalkitError, match=r"1 of 36 images cannot be read"):
        ImageStore.build(table.image_id, [root / name for name in table.source], 32, tmp_path / "new" / "out")
    assert list((tmp_path / "new").iterdir()) == []
