"""From a source file to the uint8 store that all stages share.

Canonical form: 8-bit grey, longest side at most 384 px (LANCZOS). The store holds square, zero-padded copies at the
working size, memory-mapped, so that memory stays flat in the number of images.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from fetalkit.utils.files import replacing

from fetalkit.utils.errors import FetalkitError

LONGEST_SIDE = 384
SHOWN = 20  # of a long list of bad files, the message names this many


@dataclass(frozen=True)
class Labelled:
    """Images with labels: uint8 (n, height, width) and int64 (n,)."""

    images: np.ndarray
    labels: np.ndarray


def read(path: Path) -> Image.Image:
    """Image as stored, fully decoded.

    Raises
    ------
    FetalkitError
        When it is missing, truncated, or not an image.
    """
    try:
        image = Image.open(path)
        image.load()
    except FileNotFoundError:
        raise FetalkitError(f"{path}: missing") from None
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise FetalkitError(f"{path}: corrupt ({error})") from None
    return image


def canonical(image: Image.Image) -> Image.Image:
    """8-bit grey copy whose longest side has at most 384 px."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    grey = image.convert("L")
    longest = max(grey.size)
    if longest <= LONGEST_SIDE:
        return grey
    width, height = (max(1, round(side * LONGEST_SIDE / longest)) for side in grey.size)
    return grey.resize((width, height), Image.Resampling.LANCZOS)


def working(image: Image.Image, size: int) -> np.ndarray:
    """Canonical image, centred on a black square and resized: uint8 (size, size)."""
    grey = canonical(image)
    square = Image.new("L", (max(grey.size),) * 2)
    square.paste(grey, tuple((square.width - side) // 2 for side in grey.size))
    return np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))


def each(function: Callable, items: Sequence, action: str) -> list:
    """``[function(item) for item in items]`` on all cores.

    Raises
    ------
    FetalkitError
        One message that lists every item for which `function` raised `FetalkitError`.
    """

    def attempt(item):
        try:
            return function(item), None
        except FetalkitError as error:
            return None, str(error)

    # Threads suffice: Pillow, hashlib and NumPy release the lock while they work.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(attempt, items))
    bad = [message for _, message in results if message]
    if bad:
        more = f"\n... and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise FetalkitError(
            f"{len(bad)} of {len(items)} images cannot be {action}; fetch them again or leave them out:\n"
            + "\n".join(bad[:SHOWN])
            + more
        )
    return [result for result, _ in results]


def build(sources: Iterable[Path], size: int, path: Path) -> None:
    """Write the store: ``.npy``, uint8 (n, size, size), in the order of `sources`.

    Raises
    ------
    FetalkitError
        Lists all images that cannot be read; no store is left behind then.
    """
    sources = list(sources)
    with replacing(path) as temporary:
        shape = (len(sources), size, size)
        store = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)

        def fill(row: int) -> None:
            store[row] = working(read(sources[row]), size)

        each(fill, range(len(sources)), "read")
        store.flush()


def load(path: Path) -> np.ndarray:
    """Memory-mapped store, read-only: uint8 (n, size, size)."""
    return np.load(path, mmap_mode="r", allow_pickle=False)
