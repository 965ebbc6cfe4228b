"""Which files of a folder are images, by their names; what is in them is seen when they are read."""

import re
from pathlib import Path

SUFFIX = re.compile(r"\.(a?png|jpe?g|jpe|jfif|jp2|j2k|tiff?|bmp|dib|gif|webp|p[gpn]m|dcm|dicom|ima)", re.IGNORECASE)
_LEFTOVERS = frozenset(["__macosx", ".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", ".directory"])
_PREAMBLE = 128  # bytes before the word DICM


def is_image_file(path: Path) -> bool:
    """Whether `path` is a file that is named as an image, or has no suffix and is DICOM, as scanners and archives name it."""
    if any(is_leftover(part) for part in path.parts) or not path.is_file():
        return False
    if SUFFIX.fullmatch(path.suffix):
        return True
    return (not path.suffix or path.suffix[1:].isdigit()) and is_dicom(path)


def is_leftover(name: str) -> bool:
    """Whether an operating system has put a file or folder of this name beside the images."""
    return name.startswith("._") or name.lower() in _LEFTOVERS


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM does; False where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(_PREAMBLE + 4)[_PREAMBLE:] == b"DICM"
    except OSError:
        return False
