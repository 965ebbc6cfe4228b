"""What all kinds of image files share: which frame, which sizes, and grey levels of any depth as eight bits."""

from pathlib import Path

import numpy as np

from fetalkit.config.sections import Frame
from fetalkit.utils.errors import FetalkitError

DEPTHS = (8, 10, 12, 14, 16)  # bits per pixel that scanners and formats write
LEAST_SIDE, LARGEST_ASPECT, MOST_PIXELS = 16, 10, 80_000_000


def refuse_size(path: Path, width: int, height: int) -> None:
    """Raise `FetalkitError` where a picture of `width` x `height` px is no scan."""
    short, long = sorted((width, height))
    text = f"{path}: {width} x {height} px"
    if short * long > MOST_PIXELS:
        raise FetalkitError(f"{text}: larger than any scan; save it smaller")
    if short < LEAST_SIDE or long > LARGEST_ASPECT * short:
        raise FetalkitError(
            f"{text}: no scan; each side must have at least {LEAST_SIDE} px, and none be {LARGEST_ASPECT} times the other"
        )


def chosen(path: Path, frame: Frame | None, frames: int) -> int:
    """Position, from 0, of the frame that is asked for among `frames`.

    Raises
    ------
    FetalkitError
        Where none is asked for, or one that is not there.
    """
    if frame is None:
        raise FetalkitError(
            f"{path}: holds {frames} frames; say which is meant: first, middle or a number (in params.yaml: frame, in the "
            "cohort's section), or leave it out"
        )
    if frame == "first":
        return 0
    if frame == "middle":
        return (frames - 1) // 2
    if not 1 <= frame <= frames:
        raise FetalkitError(f"{path}: holds {frames} frames, and frame {frame} is asked for")
    return frame - 1


def eight_bits(values: np.ndarray, bits: int | None = None) -> np.ndarray:
    """Grey levels of any depth as uint8: 0 stays black, and nothing is cut off.

    Parameters
    ----------
    values
        Of any shape; those of type uint8 are returned as they are.
    bits
        Depth, if it is known: the largest value of that many bits is white.

    Returns
    -------
    ndarray, uint8
        Without `bits`, white is the largest value of the least of 8, 10, 12, 14 and 16 bits that hold the brightest pixel; 1
        for floating-point values in [0, 1]; and where values are negative or beyond 16 bits, the darkest pixel is black and the
        brightest is white.

    Raises
    ------
    FetalkitError
        When a pixel is no number.
    """
    if values.dtype == np.uint8:
        return values
    real = np.issubdtype(values.dtype, np.floating)
    if real and not np.isfinite(values).all():
        raise FetalkitError(f"{int((~np.isfinite(values)).sum())} of its pixels are no number (NaN or infinite)")
    values = values.astype(np.float64)
    low, high = values.min(), values.max()
    if bits is None and real and low >= 0 and high <= 1:
        black, white = 0.0, 1.0
    elif low >= 0 and high < 2 ** (bits or DEPTHS[-1]):
        black, white = 0.0, 2.0 ** (bits or next(depth for depth in DEPTHS if high < 2**depth)) - 1
    else:
        black, white = low, high if high > low else low + 1
    return np.rint(np.clip((values - black) * (255 / (white - black)), 0, 255)).astype(np.uint8)
