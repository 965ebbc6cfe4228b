"""From a file of any usual kind to one picture: which frame, which way up, which grey levels.

``docs/image-formats.md`` has the rules. Files are recognised by what is in them, whatever they are called.
"""

import errno
import stat
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from fetalkit.config.sections import Frame
from fetalkit.data import formats
from fetalkit.data.pixels import chosen, eight_bits, refuse_size
from fetalkit.utils.errors import FetalkitError

FORMATS = ("PNG", "JPEG", "JPEG2000", "TIFF", "BMP", "DIB", "GIF", "WEBP", "PPM")
_DEEP = ("I", "F")  # modes that begin so have more than eight bits
_CONVERTIBLE = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV")
_ORIENTATION, _BITS, _PHOTOMETRIC = 0x0112, 258, 262  # tags of EXIF and TIFF
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pillow warns of what is refused here.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", "Corrupt EXIF data", UserWarning)


@dataclass(frozen=True)
class Picture:
    """One picture of a file.

    Attributes
    ----------
    image
        Upright, 8 bits per channel, nothing transparent.
    format
        ``"PNG"``, ``"DICOM"`` and so on.
    mode
        How the file holds pixels, in Pillow's words, of which ``"L"`` is 8-bit grey, or in those of DICOM.
    frames
        Number of frames that the file holds.
    masked_share
        Share of the picture, 0-1, that was made black because it lies outside the ultrasound regions that the file names; NaN
        where it names none, and then nothing was masked.
    """

    image: Image.Image
    format: str
    mode: str
    frames: int = 1
    masked_share: float = float("nan")


def read(path: Path, frame: Frame | None = None) -> Picture:
    """Decode a file.

    Parameters
    ----------
    path
        PNG, JPEG, JPEG 2000, TIFF, BMP, GIF, WebP, PGM or DICOM.
    frame
        Which one of a file that has several: the first, the one in the middle, or a number from 1; None refuses such a file.

    Raises
    ------
    FetalkitError
        One line that says why there is no picture: missing, no image, truncated, too large or too small, several frames.
    """
    head = _head(path)
    if formats.is_dicom(head):
        from fetalkit.data import dicom  # 0.3 s, and few have DICOM

        values, about = dicom.read(path, frame)
        picture = Picture(Image.fromarray(values), "DICOM", **about)
    elif what := formats.other_than_image(head):
        raise FetalkitError(f"{path}: no image but {what}")
    else:
        picture = _opened(path, frame)
    refuse_size(path, *picture.image.size)
    return picture


def _head(path: Path) -> bytes:
    try:
        kind = path.stat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            raise FetalkitError(f"{path}: a device or a pipe, not an image")  # reading it may never end
        with path.open("rb") as stream:
            head = stream.read(formats.HEAD)
    except FileNotFoundError:
        raise FetalkitError(f"{path}: missing{_hint(path)}") from None
    except IsADirectoryError:
        raise FetalkitError(f"{path}: a folder, not an image") from None
    except OSError as error:
        advice = "; check its rights" if error.errno == errno.EACCES else ""
        raise FetalkitError(f"{path}: cannot be read ({error.strerror}){advice}") from None
    if not head:
        raise FetalkitError(f"{path}: empty (0 bytes); copy it again")
    return head


def _hint(path: Path) -> str:
    if path.is_symlink():
        return f" (a link to {path.readlink()}, which is not there)"
    try:
        alike = [other.name for other in path.parent.iterdir() if other.name.lower() == path.name.lower()]
    except OSError:
        return ""
    return f" ({alike[0]} is there: upper and lower case differ)" if alike else ""


def _opened(path: Path, frame: Frame | None) -> Picture:
    """Picture of a file that Pillow reads."""
    try:
        with path.open("rb") as stream:
            image = Image.open(stream, formats=FORMATS)
            refuse_size(path, *image.size)
            # An MPO is a photograph with a preview or a depth map behind it.
            frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
            if frames > 1:
                image.seek(chosen(path, frame, frames))
            image.load()
            return _finished(image, path, frames)
    except Image.DecompressionBombError as error:
        raise FetalkitError(f"{path}: larger than any scan ({error}); save it smaller") from None
    except UnidentifiedImageError:
        raise FetalkitError(
            f"{path}: corrupt, or no image of a kind that can be read ({', '.join(FORMATS)}, DICOM)"
        ) from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise FetalkitError(f"{path}: corrupt ({error})") from None


def _finished(image: Any, path: Path, frames: int) -> Picture:
    """Upright, without depth and transparency."""
    kind, mode, turned = str(image.format), image.mode, _UPRIGHT.get(_orientation(image))
    if kind == "PNG" and mode.startswith("RGB") and (deep := _deep_png(path)) is not None:
        image, mode = Image.fromarray(deep), f"{mode};16"
    elif kind == "TIFF" and mode.startswith("RGB") and max(image.tag_v2.get(_BITS, (8,))) > 8:
        raise FetalkitError(f"{path}: colours of more than 8 bits in a TIFF are not read; save it as PNG, or in grey")
    elif mode.startswith(_DEEP):
        levels = _with_path(path, np.asarray(image))
        white_is_zero = kind == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == 0  # Pillow inverts 8 bits alone
        image = Image.fromarray(255 - levels if white_is_zero else levels)
    image = on_black(image)
    if image.mode not in _CONVERTIBLE:
        raise FetalkitError(f"{path}: its colours are {image.mode}, which is not read; save it as RGB or in grey")
    if turned is not None:
        image = image.transpose(turned)
    return Picture(image, kind, mode, frames)


def _orientation(image: Any) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, struct.error):
        return 1  # an EXIF block that cannot be read says nothing


def _deep_png(path: Path) -> np.ndarray | None:
    """Colours or transparency of 16 bits, of which Pillow keeps the upper 8 alone: uint8 (height, width, channels)."""
    with path.open("rb") as stream:
        content = stream.read(26)
        depth, colours = content[24:]  # of the first chunk, IHDR
        if depth != 16 or not colours & 6:
            return None
        content += stream.read()
    import torch  # such files are rare
    from torchvision.io import ImageReadMode, decode_png

    pixels = decode_png(torch.frombuffer(bytearray(content), dtype=torch.uint8), ImageReadMode.UNCHANGED)
    channels = pixels.permute(1, 2, 0).to(torch.int32).numpy()
    colours = channels.shape[2] - (channels.shape[2] + 1) % 2  # 2 and 4 channels end in transparency
    levels = [_with_path(path, channels[:, :, :colours]), np.rint(channels[:, :, colours:] / 257).astype(np.uint8)]
    return np.concatenate(levels, axis=2)


def _with_path(path: Path, values: np.ndarray) -> np.ndarray:
    try:
        return eight_bits(values)
    except FetalkitError as error:
        raise FetalkitError(f"{path}: {error}") from None


def on_black(image: Image.Image) -> Image.Image:
    """`image` as a viewer with a black background shows it; the same object where nothing is transparent."""
    if image.mode not in ("LA", "La", "PA", "RGBA", "RGBa") and "transparency" not in image.info:
        return image
    ground = Image.new("RGBA", image.size, (0, 0, 0, 255))
    return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")


def grey(image: Image.Image) -> Image.Image:
    """8-bit grey copy of a picture of any depth and colours (`eight_bits`, `on_black`; ITU-R 601-2 luma)."""
    if image.mode.startswith(_DEEP):
        return Image.fromarray(eight_bits(np.asarray(image)))
    return on_black(image).convert("L")
