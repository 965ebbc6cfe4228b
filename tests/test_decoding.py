"""Images as hospitals have them: the decoded pixels are those that a viewer shows."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from fetalkit.data import decoding, images
from fetalkit.data.pixels import eight_bits
from fetalkit.utils.errors import FetalkitError

WIDTH, HEIGHT = 48, 32
RAMP = (np.arange(WIDTH * HEIGHT) * 7 % 256).reshape(HEIGHT, WIDTH).astype(np.uint8)  # every grey level, 255 too
COLOUR = np.dstack([RAMP, 255 - RAMP, RAMP // 2])


def grey(path, frame=None):
    return np.asarray(images.canonical(images.read(path, frame)))


def luma(rgb):
    return np.asarray(Image.fromarray(rgb).convert("L"))


def png(path, rows, depth, colours):
    """PNG of any depth and colour type, which Pillow cannot write: rows are uint16 (height, width, channels)."""
    import struct
    import zlib

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width = rows.shape[:2]
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("name", ["x.png", "x.bmp", "x.tif", "x.gif", "x.webp", "x.pgm", "x.jp2", "x.png.dcm", "x"])
def test_eight_bits_of_grey_stay_as_they_are(tmp_path, name):
    kinds = {".dcm": "PNG", "": "PNG", ".webp": "WEBP", ".jp2": "JPEG2000", ".tif": "TIFF", ".pgm": "PPM"}
    path = tmp_path / name
    image = Image.fromarray(RAMP)
    image.save(path, kinds.get(path.suffix), **({"lossless": True} if path.suffix == ".webp" else {}))
    assert np.array_equal(grey(path), RAMP), "whatever the file is called"


@pytest.mark.parametrize("name", ["x.png", "x.bmp", "x.tif", "x.webp", "x.ppm"])
def test_colours_become_the_luma_that_they_were_before(tmp_path, name):
    Image.fromarray(COLOUR).save(tmp_path / name, **({"lossless": True} if name == "x.webp" else {}))
    assert np.array_equal(grey(tmp_path / name), luma(COLOUR))


def test_lossy_and_print_colours(tmp_path):
    smooth = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))
    Image.fromarray(smooth).save(tmp_path / "grey.JPG", "JPEG", quality=95)
    Image.fromarray(smooth).convert("RGB").convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    for name in ("grey.JPG", "cmyk.jpg"):
        assert np.abs(grey(tmp_path / name).astype(int) - smooth).max() <= 4


@pytest.mark.parametrize("kind", ["png", "tif", "jp2"])
@pytest.mark.parametrize(
    ("factor", "white", "tolerance"),
    [(1, 255, 0), (4, 1023, 1), (16, 4095, 1), (64, 16383, 1), (257, 65535, 0), (256, 65535, 1)],
)
def test_sixteen_bits_are_stretched_by_the_bits_that_are_used(tmp_path, kind, factor, white, tolerance):
    deep = RAMP.astype(np.uint16) * factor
    Image.fromarray(deep).save(tmp_path / f"x.{kind}", **({"irreversible": False} if kind == "jp2" else {}))
    decoded = grey(tmp_path / f"x.{kind}")
    assert np.array_equal(decoded, np.rint(deep * (255 / white)).astype(np.uint8))
    assert np.abs(decoded.astype(int) - RAMP).max() <= tolerance


def test_a_dark_image_of_twelve_bits_is_not_black(tmp_path):
    Image.fromarray(RAMP.astype(np.uint16) * 5).save(tmp_path / "x.png")  # up to 1275 of 4095
    assert grey(tmp_path / "x.png").max() == round(1275 * 255 / 4095)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (RAMP.astype(np.float32) / 255, RAMP),
        (RAMP.astype(np.float32), RAMP),
        (RAMP.astype(np.float32) * 16, np.rint(RAMP * (16 * 255 / 4095)).astype(np.uint8)),
        (RAMP.astype(np.float32) - 128, RAMP),  # negative: from the darkest to the brightest
        (RAMP.astype(np.int32) * 1000, RAMP),  # beyond 16 bits: likewise
        (RAMP.astype(np.int32), RAMP),
        (RAMP.astype(np.int32) * 257 - 1000, RAMP),
    ],
)
def test_float_and_long_integers(tmp_path, values, expected):
    Image.fromarray(values).save(tmp_path / "x.tif")
    assert np.array_equal(grey(tmp_path / "x.tif"), expected)


def test_sixteen_bits_with_a_sign(tmp_path):
    """A TIFF that says so, which Pillow reads and does not write: from the darkest to the brightest."""
    pixels = (RAMP.astype("<i2") - 128).tobytes()
    (height, width), data = RAMP.shape, 8 + 2 + 10 * 12 + 4
    tags = [(256, 4, width), (257, 4, height), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, data), (277, 3, 1)]
    tags += [(278, 4, height), (279, 4, len(pixels)), (339, 3, 2)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    (tmp_path / "x.tif").write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + pixels)
    assert np.array_equal(grey(tmp_path / "x.tif"), RAMP)


def test_a_broken_colour_profile_says_nothing(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "x.png", icc_profile=b"no profile")
    assert np.array_equal(grey(tmp_path / "x.png"), RAMP)


def test_a_flat_image_is_not_stretched():
    assert eight_bits(np.full((4, 4), -7.0)).max() == 0 and eight_bits(np.zeros((4, 4), np.uint16)).max() == 0
    assert eight_bits(np.full((4, 4), 3, np.uint16)).max() == 3, "noise of the last bits stays dark"


def test_white_is_zero(tmp_path):
    for number, values in enumerate([RAMP, RAMP.astype(np.uint16) * 257]):
        Image.fromarray(values).save(tmp_path / f"{number}.tif", tiffinfo={262: 0})
        with Image.open(tmp_path / f"{number}.tif") as stored:
            assert stored.tag_v2[262] == 0
    raw = [RAMP, 255 - RAMP]  # Pillow inverts eight bits when it writes them, and sixteen neither way
    assert [np.array_equal(grey(tmp_path / f"{number}.tif"), raw[number]) for number in (0, 1)] == [True, True]


def test_one_bit_and_palettes(tmp_path):
    half = Image.fromarray(np.where(RAMP > 127, 255, 0).astype(np.uint8))
    for name in ("x.png", "x.tif", "x.bmp"):
        half.convert("1").save(tmp_path / name)
        assert np.array_equal(grey(tmp_path / name), np.asarray(half))
    palette = Image.fromarray(RAMP)
    palette.putpalette([value for level in range(256) for value in (level, level, level)])
    palette.save(tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as stored:
        assert stored.mode == "P"
    assert np.array_equal(grey(tmp_path / "p.png"), RAMP)


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.webp"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_is_black(tmp_path, name, mode):
    if (name, mode) == ("x.webp", "LA"):
        pytest.skip("WebP has no grey")
    fan = RAMP > 60
    hidden = np.where(fan, RAMP, 255)  # white below what is transparent, as editors leave it
    alpha = np.where(fan, 255, 0).astype(np.uint8)
    channels = [hidden] * (3 if mode == "RGBA" else 1)
    options = {"lossless": True, "exact": True} if name == "x.webp" else {}
    Image.fromarray(np.dstack([*channels, alpha]).astype(np.uint8), mode).save(tmp_path / name, **options)
    assert np.array_equal(grey(tmp_path / name), np.where(fan, RAMP, 0))


def test_opaque_alpha_changes_nothing_and_half_of_it_halves(tmp_path):
    for alpha, expected in ((255, RAMP), (128, RAMP * (128 / 255))):
        Image.fromarray(np.dstack([RAMP] * 3 + [np.full_like(RAMP, alpha)])).save(tmp_path / "x.png")
        assert np.abs(grey(tmp_path / "x.png") - expected).max() <= (0 if alpha == 255 else 1)


def test_a_transparent_colour_of_a_palette_or_of_grey_is_black(tmp_path):
    palette = Image.fromarray(np.where(RAMP > 60, RAMP, 255).astype(np.uint8))
    palette.putpalette([value for level in range(256) for value in (level, level, level)])
    for name in ("p.png", "p.gif"):
        palette.save(tmp_path / name, transparency=255)
        assert np.array_equal(grey(tmp_path / name), np.where((RAMP > 60) & (RAMP < 255), RAMP, 0))
    Image.fromarray(np.where(RAMP > 60, RAMP, 255).astype(np.uint8)).save(tmp_path / "l.png", transparency=255)
    assert np.array_equal(grey(tmp_path / "l.png"), np.where((RAMP > 60) & (RAMP < 255), RAMP, 0))


def test_colours_of_sixteen_bits(tmp_path):
    deep = COLOUR.astype(np.uint16)
    for factor, tolerance in ((257, 0), (16, 1), (1, 0)):
        png(tmp_path / "rgb.png", deep * factor, 16, 2)
        assert np.abs(grey(tmp_path / "rgb.png").astype(int) - luma(COLOUR)).max() <= tolerance
    alpha = np.where(RAMP > 60, 65535, 0).astype(np.uint16)[:, :, None]
    png(tmp_path / "rgba.png", np.concatenate([deep * 16, alpha], axis=2), 16, 6)
    assert np.abs(grey(tmp_path / "rgba.png").astype(int) - np.where(RAMP > 60, luma(COLOUR), 0)).max() <= 1
    png(tmp_path / "la.png", np.dstack([RAMP.astype(np.uint16) * 16, alpha]), 16, 4)
    assert np.abs(grey(tmp_path / "la.png").astype(int) - np.where(RAMP > 60, RAMP, 0)).max() <= 1
    assert decoding.read(tmp_path / "la.png").mode.endswith(";16")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
def test_an_image_is_turned_upright(tmp_path, orientation, kind):
    upright = np.zeros((HEIGHT, WIDTH), np.uint8)
    upright[:8, :12] = 255  # marks the upper left corner
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "webp" else {"quality": 95} if kind == "jpg" else {}
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / f"x.{kind}", exif=exif, **options)
    decoded = grey(tmp_path / f"x.{kind}")
    assert decoded.shape == upright.shape and np.abs(decoded.astype(int) - upright).max() <= 8


def test_a_bad_exif_block_says_nothing(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "x.png", exif=b"Exif\0\0broken")
    assert np.array_equal(grey(tmp_path / "x.png"), RAMP)


def sweep(path, **options):
    first, *more = (Image.fromarray(np.full((HEIGHT, WIDTH), level, np.uint8)) for level in (50, 100, 150, 200))
    first.save(path, save_all=True, append_images=more, **options)
    return path


@pytest.mark.parametrize(
    ("name", "options"), [("x.tif", {}), ("x.gif", {}), ("x.webp", {"lossless": True}), ("x.png", {})]
)
def test_of_several_frames_one_must_be_chosen(tmp_path, name, options):
    path = sweep(tmp_path / name, **options)
    with pytest.raises(
        FetalkitError, match=r"holds 4 frames; say which is meant: first, middle or a number \(in params.yaml: frame"
    ):
        images.read(path)
    for frame, level in (("first", 50), ("middle", 100), (1, 50), (4, 200)):
        assert np.abs(grey(path, frame).astype(int) - level).max() <= 1
    with pytest.raises(FetalkitError, match="holds 4 frames, and frame 5 is asked for"):
        images.read(path, 5)
    assert decoding.read(path, 2).frames == 4


def test_a_choice_of_frames_leaves_single_images_as_they_are(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "x.png")
    assert np.array_equal(grey(tmp_path / "x.png", 3), RAMP)


def test_a_photograph_with_a_preview_is_one_image(tmp_path):
    content = io.BytesIO()
    pictures = [Image.fromarray(np.full((HEIGHT, WIDTH), level, np.uint8)) for level in (50, 100)]
    pictures[0].save(content, "MPO", save_all=True, append_images=pictures[1:])
    (tmp_path / "x.jpg").write_bytes(content.getvalue())
    assert np.abs(grey(tmp_path / "x.jpg").astype(int) - 50).max() <= 1


def test_images_of_the_mirror_are_what_they_were(mirror):
    """8-bit grey and RGB files of the published cohorts: as Pillow alone converts them."""
    files = sorted(mirror.glob("*/*/**/*.png"))[::37]
    assert files
    for path in files:
        picture = decoding.read(path)
        with Image.open(path) as stored:
            assert picture.mode == stored.mode
            assert np.array_equal(np.asarray(decoding.grey(picture.image)), np.asarray(stored.convert("L"))), path
