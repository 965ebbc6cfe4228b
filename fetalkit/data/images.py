"""From a source file to the uint8 store that all stages share.

Canonical form: 8-bit grey, longest side at most 384 px (LANCZOS). The store holds square, zero-padded copies at the
working size, memory-mapped, so that memory stays flat in the number of images.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from fetalkit.config.sections import Frame
from fetalkit.data import decoding
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing

LONGEST_SIDE = 384
SHOWN = 20  # of a long list of bad files, the message names this many


@dataclass(frozen=True)
class Labelled:
    """Images with labels: uint8 (n, height, width) and int64 (n,)."""

    images: np.ndarray
    labels: np.ndarray

    def digest(self) -> str:
        """SHA-256 of the pixels, then the labels, both in C order: 64 hexadecimal digits."""
        return hashlib.sha256(np.ascontiguousarray(self.images).tobytes() + self.labels.tobytes()).hexdigest()


def read(path: Path, frame: Frame | None = None) -> Image.Image:
    """Picture of an image file, see `fetalkit.data.decoding.read`, which says what is raised."""
    return decoding.read(path, frame).image


def canonical(image: Image.Image) -> Image.Image:
    """8-bit grey copy whose longest side has at most 384 px."""
    grey = decoding.grey(image)
    longest = max(grey.size)
    if longest <= LONGEST_SIDE:
        return grey
    width, height = (max(1, round(side * LONGEST_SIDE / longest)) for side in grey.size)
    return grey.resize((width, height), Image.Resampling.LANCZOS)


def working(image: Image.Image, size: int) -> np.ndarray:
    """Canonical image, centred on a black square and resized: uint8 (size, size)."""
    grey = canonical(image)
    side = max(grey.size)
    square = Image.new("L", (side, side))
    square.paste(grey, ((side - grey.width) // 2, (side - grey.height) // 2))
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
            f"{len(bad)} of {len(items)} images cannot be {action}; mend them or leave them out of the table:\n"
            + "\n".join(bad[:SHOWN])
            + more
        )
    return [result for result, _ in results]


@dataclass(frozen=True)
class ImageStore:
    """Working copies of all images of a cohort, memory-mapped, by id.

    Attributes
    ----------
    pixels
        uint8 (n, side, side), read-only.
    image_ids
        Names of the images, in the order of `pixels`.
    hidden
        Those that `images` refuses to show.
    """

    pixels: np.ndarray
    image_ids: tuple[str, ...]
    hidden: frozenset[str] = frozenset()

    def images(self, image_ids: Iterable[str]) -> np.ndarray:
        """Images by their ids, uint8 (n, side, side), in the order given; KeyError for an id that is not there.

        Raises
        ------
        FetalkitError
            For a hidden image.
        """
        wanted = list(image_ids)
        if refused := self.hidden.intersection(wanted):
            raise FetalkitError(
                f"{min(refused)}: is a test image, and classify.tested_on is validation: test images are not read yet"
            )
        return self.pixels[[self._rows[name] for name in wanted]]

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.image_ids)}

    @classmethod
    def build(
        cls, image_ids: Sequence[str], sources: Sequence[Path], side: int, folder: Path, frame: Frame | None = None
    ) -> "ImageStore":
        """Write a store, all or nothing: ``images.npy`` and ``image_ids.json`` in `folder`; `frame` as for `read`.

        Raises
        ------
        FetalkitError
            Lists all images that cannot be read; no store is left behind then.
        """
        with replacing(folder) as temporary:
            temporary.mkdir()
            shape = (len(sources), side, side)
            pixels = np.lib.format.open_memmap(temporary / _PIXELS, mode="w+", dtype=np.uint8, shape=shape)

            def fill(row: int) -> None:
                pixels[row] = working(read(sources[row], frame), side)

            each(fill, range(len(sources)), "read")
            pixels.flush()
            (temporary / _IDS).write_text(json.dumps(list(image_ids), ensure_ascii=False), encoding="utf-8")
        return cls.load(folder, side)

    @classmethod
    def load(cls, folder: Path, side: int) -> "ImageStore":
        """Open a store that `build` wrote.

        Raises
        ------
        FetalkitError
            When it is damaged, or its images have another side than `side` px: then other parameters made it.
        """
        try:
            pixels = np.load(folder / _PIXELS, mmap_mode="r", allow_pickle=False)
            image_ids = tuple(json.loads((folder / _IDS).read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise FetalkitError(f"{folder}: not a complete image store ({error}); run 02_images again") from error
        if pixels.shape != (len(image_ids), side, side):
            raise FetalkitError(
                f"{folder}: it holds {pixels.shape} pixels for {len(image_ids)} names, but images.image_size is {side}; "
                "run 02_images again"
            )
        return cls(pixels, image_ids)


_PIXELS, _IDS = "images.npy", "image_ids.json"
