"""Images of a plane from a trained generator, as files: ``fetalkit draw GENERATOR --plane PLANE``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fetalkit.experiments import trained
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import refuse_unwritable, replacing

SHEET = "sheet.png"
SHOWN = 128  # px that an image has at least on a sheet
GAP, GROUND = 4, 96  # px between images, and their grey


def draw(
    generator: str, plane: str, count: int, seed: int, options: Mapping[str, Any], folder: Path | None = None
) -> Path:
    """Write images of a plane and a sheet of them all; return their folder.

    Every file says in its metadata that it is synthetic, and of what generator, plane, seed and options it is.

    Parameters
    ----------
    generator, plane, count, seed
        As for `fetalkit.experiments.trained.draw`.
    options
        How to draw, where that differs from how the generator's study does; None stands for "as there".
    folder
        New or empty; ``drawn/<generator>-<plane>-seed<seed>`` by default.

    Raises
    ------
    FetalkitError
        When the generator or the plane is unknown, an option is not allowed, or `folder` is not empty or cannot be written.
    """
    if count < 1:
        raise FetalkitError(f"-n {count}: give a number of images of at least 1")
    folder = folder or Path("drawn", f"{Path(generator).name}-{file_name(plane)}-seed{seed}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FetalkitError(f"{folder}: is there already and not an empty folder; name a new one with --out")
    refuse_unwritable(folder)
    options = {name: value for name, value in options.items() if value is not None}
    images = trained.draw(generator, plane, count, seed, **options)
    about = {"Comment": "synthetic", "generator": generator, "plane": plane, "seed": seed, **options}
    with replacing(folder) as temporary:
        temporary.mkdir()
        for number, image in enumerate(images):
            _save(image, temporary / f"{file_name(plane)}-{number:04d}.png", about | {"number": number})
        _save(sheet(images), temporary / SHEET, about)
    return folder


def sheet(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """All images side by side, small ones enlarged: uint8 (height, width) of uint8 (n, size, size)."""
    columns = columns or int(np.ceil(np.sqrt(len(images))))
    size = images.shape[1] * -(-SHOWN // images.shape[1])
    step = size + GAP
    lines = -(-len(images) // columns)
    whole = np.full((lines * step + GAP, min(columns, len(images)) * step + GAP), GROUND, np.uint8)
    for number, image in enumerate(images):
        top, left = (GAP + step * place for place in divmod(number, columns))
        enlarged = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)
        whole[top : top + size, left : left + size] = np.asarray(enlarged)
    return whole


def file_name(plane: str) -> str:
    """A plane's name, fit for a file."""
    return "-".join("".join(letter if letter.isalnum() else " " for letter in plane.lower()).split()) or "plane"


def _save(image: np.ndarray, path: Path, about: Mapping[str, Any]) -> None:
    texts = PngInfo()
    for key, value in about.items():
        texts.add_itxt(key, str(value))
    Image.fromarray(image).save(path, pnginfo=texts)
