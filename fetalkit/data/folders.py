"""The image files of a folder, as people keep them."""

from pathlib import Path

from fetalkit.data.formats import is_image_file
from fetalkit.utils.errors import FetalkitError


def files(folder: Path) -> list[Path]:
    """Image files of a folder and of the folders in it, sorted; a single file is taken as it is.

    Raises
    ------
    FetalkitError
        When there is no such folder, or no such file in it.
    """
    folder = Path(folder)
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise FetalkitError(f"{folder}: there is no such folder; name one with images in it")
    found = sorted(path for path in folder.rglob("*") if is_image_file(path))
    if not found:
        raise FetalkitError(f"{folder}: no file in it is an image by its name; name a folder with images")
    return found
