"""What users put where images belong: each gets one line that says what it is and what to do, and never a trace."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fetalkit.data import images
from fetalkit.utils.errors import FetalkitError

SCAN = np.random.default_rng(0).integers(0, 256, (40, 60), np.uint8)


def whole(path, kind="PNG"):
    Image.fromarray(SCAN).save(path, kind)
    return path.read_bytes()


def truncated(kind):
    def make(path):
        path.write_bytes(whole(path, kind)[:400])

    return make


def content(*parts):
    return lambda path: path.write_bytes(b"".join(parts))


def saved(values, **options):
    return lambda path: Image.fromarray(values).save(path, **options)


def bomb(path):
    """An image whose header promises 60,000 x 60,000 px."""
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0), b"IDAT" + zlib.compress(bytes(99))]
    parts = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def text_bomb(path):
    """An image with 200 MB of text, compressed."""
    raw = whole(path)
    chunk = b"zTXt" + b"a\0\0" + zlib.compress(bytes(200_000_000), 1)
    at = raw.index(b"IDAT") - 4
    parts = (struct.pack(">I", len(chunk) - 4), chunk, struct.pack(">I", zlib.crc32(chunk)))
    path.write_bytes(raw[:at] + b"".join(parts) + raw[at:])


def changed_byte(path):
    raw = bytearray(whole(path))
    raw[300] ^= 0xFF
    path.write_bytes(raw)


def animated(path):
    frames = [Image.fromarray(np.roll(SCAN, shift)) for shift in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def unreadable(path):
    whole(path)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")


def other_case(path):
    whole(path.with_suffix(path.suffix.upper()))
    if path.exists():
        pytest.skip("this file system does not tell upper from lower case")


def broken_link(path):
    path.symlink_to(path.parent / "gone.png")


NAN = np.where(SCAN > 250, np.nan, SCAN).astype(np.float32)
DEEP_COLOUR = np.dstack([SCAN] * 3)


def deep_colour_tiff(path):
    """A TIFF of 16 bits per colour, uncompressed."""
    pixels = (DEEP_COLOUR.astype("<u2") * 16).tobytes()
    bits_at, data_at = 8 + 2 + 10 * 12 + 4, 8 + 2 + 10 * 12 + 4 + 6
    tags = [
        (256, 4, 1, 60),
        (257, 4, 1, 40),
        (258, 3, 3, bits_at),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, data_at),
    ]
    tags += [(277, 3, 1, 3), (278, 4, 1, 40), (279, 4, 1, len(pixels)), (284, 3, 1, 1)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    bits = struct.pack("<HHH", 16, 16, 16)
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0) + bits + pixels)


def lab(path):
    Image.frombytes("LAB", (60, 40), DEEP_COLOUR.tobytes()).save(path)


CASES = {
    "missing": ("x.png", lambda path: None, "x.png: missing"),
    "other case": ("x.png", other_case, "x.png: missing (x.PNG is there: upper and lower case differ)"),
    "link to itself": (
        "x.png",
        lambda path: path.symlink_to(path),
        "cannot be read (Too many levels of symbolic links)",
    ),
    "pipe": ("x.png", os.mkfifo, "x.png: a device or a pipe, not an image"),
    "broken link": ("x.png", broken_link, "gone.png, which is not there)"),
    "folder": ("x.png", lambda path: path.mkdir(), "x.png: a folder, not an image"),
    "below a file": ("x.png/y.png", lambda path: whole(path.parent), "y.png: cannot be read (Not a directory)"),
    "no rights": ("x.png", unreadable, "cannot be read (Permission denied); check its rights"),
    "empty": ("x.png", content(b""), "x.png: empty (0 bytes); copy it again"),
    "zeros": ("x.png", content(bytes(5000)), "no image but nothing but zeros"),
    "text": ("x.png", content(b"a scan of the head\n" * 50), "no image but text"),
    "table": ("x.png", content(b"file;label\na;b\n"), "no image but text"),
    "web page": ("x.jpg", content(b"<!DOCTYPE html><html>Please log in</html>"), "no image but a web page"),
    "pointer": (
        "x.png",
        content(b"version https://git-lfs.github.com/spec/v1\noid"),
        "a pointer of Git LFS; run `git lfs pull`",
    ),
    "pdf": ("x.png", content(b"%PDF-1.7\n", bytes(99)), "no image but a PDF file"),
    "svg": ("x.svg", content(b'<?xml version="1.0"?>\n<svg width="9"/>'), "no image but an SVG drawing"),
    "heic": (
        "x.heic",
        content(b"\0\0\0\x18ftypheic", bytes(99)),
        "no image but a HEIC or AVIF picture; save it as PNG",
    ),
    "video": ("x.mp4", content(b"\0\0\0\x18ftypisom", bytes(99)), "no image but a video; save the frames"),
    "avi": ("x.avi", content(b"RIFF\0\0\0\0AVI LIST", bytes(99)), "no image but a video; save the frames"),
    "archive": ("x.png", content(b"PK\x03\x04", bytes(99)), "no image but an archive; unpack it"),
    "nifti": ("x.nii", content(struct.pack("<i", 348), bytes(340), b"n+1\0", bytes(99)), "a file of measured values"),
    "hdf5": ("x.mat", content(b"\x89HDF\r\n\x1a\n", bytes(99)), "no image but a file of measured values"),
    "unknown": ("x.png", content(bytes(range(256)) * 9), "corrupt, or no image of a kind that can be read (PNG, JPEG"),
    "half a png": ("x.png", truncated("PNG"), "x.png: corrupt ("),
    "half a jpeg": ("x.jpg", truncated("JPEG"), "x.jpg: corrupt"),
    "half a tiff": ("x.tif", truncated("TIFF"), "x.tif: corrupt"),
    "half a gif": ("x.gif", truncated("GIF"), "x.gif: corrupt"),
    "half a webp": ("x.webp", truncated("WEBP"), "x.webp: corrupt"),
    "half a bmp": ("x.bmp", truncated("BMP"), "x.bmp: corrupt"),
    "a header alone": ("x.png", content(b"\x89PNG\r\n\x1a\n"), "x.png: corrupt"),
    "a changed byte": ("x.png", changed_byte, "x.png: corrupt ("),
    "text bomb": ("x.png", text_bomb, "x.png: corrupt (Decompressed data too large"),
    "bomb": ("x.png", bomb, "larger than any scan"),
    "one pixel": ("x.png", saved(SCAN[:1, :1]), "1 x 1 px: no scan; each side must have at least 16 px"),
    "a line": ("x.png", saved(np.zeros((10, 2000), np.uint8)), "2000 x 10 px: no scan"),
    "a strip": ("x.png", saved(np.zeros((20, 2000), np.uint8)), "and none be 10 times the other"),
    "nan": ("x.tif", saved(NAN), "of its pixels are no number (NaN or infinite)"),
    "infinite": ("x.tif", saved(np.where(SCAN > 250, np.inf, 0).astype(np.float32)), "of its pixels are no number"),
    "animated webp": ("x.webp", animated, "holds 3 frames; say which is meant"),
    "animated png": ("x.png", animated, "holds 3 frames"),
    "sweep in a tiff": ("x.tif", animated, "holds 3 frames"),
    "deep colours in a tiff": ("x.tif", deep_colour_tiff, "colours of more than 8 bits in a TIFF are not read"),
    "lab": ("x.tif", lab, "its colours are LAB, which is not read"),
    "postscript": ("x.eps", content(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "no image but text"),
    "an icon": ("x.ico", saved(SCAN[:32, :32], sizes=[(32, 32)]), "corrupt, or no image of a kind that can be read"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_bad_image_is_one_line(tmp_path, name):
    file, make, words = CASES[name]
    make(tmp_path / file)
    with pytest.raises(FetalkitError) as error:
        images.read(tmp_path / file)
    message = str(error.value)
    assert words in message and message.startswith(str(tmp_path)) and "\n" not in message, message


def test_all_are_named_in_one_message_and_nothing_is_written(tmp_path):
    files = []
    for number, (file, make, _) in enumerate(CASES.values()):
        if make not in (unreadable, other_case):
            folder = tmp_path / str(number)
            folder.mkdir()
            make(folder / file)
            files.append(folder / file)
    with pytest.raises(
        FetalkitError, match=rf"^{len(files)} of {len(files)} images cannot be read; .*\n(.*\n)+.*and \d+ more$"
    ):
        images.ImageStore.build([file.as_posix() for file in files], files, 32, tmp_path / "new" / "store")
    assert list((tmp_path / "new").iterdir()) == []
