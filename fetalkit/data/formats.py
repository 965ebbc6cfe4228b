"""What kind of file one has: images by their names, and other things by their first bytes."""

import re
from pathlib import Path

HEAD = 512  # bytes that tell what a file is
SUFFIX = re.compile(r"\.(a?png|jpe?g|jpe|jfif|jp2|j2k|tiff?|bmp|dib|gif|webp|p[gpn]m|dcm|dicom|ima)", re.IGNORECASE)
_LEFTOVERS = frozenset(["__macosx", ".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", ".directory"])
_DICOM_AT = 128  # behind a preamble that other programs may use as they like
_IMAGES = rb"\x89PNG|\xff\xd8\xff|GIF8|BM|II\*\0|MM\0\*|RIFF....WEBP|P[1-6]\s|\0\0\0\x0cjP|\xff\x4f\xff\x51"
_OTHERS = {
    rb"....ftyp(hei|hev|mif|msf|avi[fs])": "a HEIC or AVIF picture; save it as PNG or JPEG",
    rb"....ftyp|RIFF....AVI |\x1aE\xdf\xa3|\0\0\x01[\xb3\xba]|FLV": "a video; save the frames that are wanted as images",
    rb"%PDF": "a PDF file; save its images as PNG",
    rb"(\xef\xbb\xbf)?\s*(<\?xml.*)?<svg": "an SVG drawing; save it as PNG",
    rb"(\xef\xbb\xbf)?\s*<(!doctype html|html)": "a web page, as a download leaves behind that needs a login; fetch it again",
    rb"version https://git-lfs": "a pointer of Git LFS; run `git lfs pull`",
    rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!|\xfd7zXZ|BZh": "an archive; unpack it",
    rb"\x89HDF|MATLAB|NRRD|SIMPLE  =|.{344}n[+i]1\0": "a file of measured values (HDF5, MATLAB, NIfTI ...); save it as PNG",
    rb"\0+\Z": "nothing but zeros, as a copy leaves behind that was broken off; copy it again",
    rb"[\t\n\r\x20-\x7e\x80-\xff]+\Z": "text",
}


def is_image_file(path: Path) -> bool:
    """Whether `path` is a file that is named as an image, or has no suffix and is DICOM, as scanners and archives name it."""
    if any(is_leftover(part) for part in path.parts) or not path.is_file():
        return False
    if SUFFIX.fullmatch(path.suffix):
        return True
    try:
        with path.open("rb") as stream:
            return (not path.suffix or path.suffix[1:].isdigit()) and is_dicom(stream.read(HEAD))
    except OSError:
        return False


def is_leftover(name: str) -> bool:
    """Whether an operating system has put a file or folder of this name beside the images."""
    return name.startswith("._") or name.lower() in _LEFTOVERS


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins with `head` is DICOM; older files have no preamble and begin with group 2 or 8."""
    if head[_DICOM_AT : _DICOM_AT + 4] == b"DICM":
        return True
    return bool(re.match(rb"[\x02\x08]\0.\0(UL|UI|CS|DA|\x04\0\0\0|[\x02-\x40]\0\0\0)", head, re.DOTALL))


def other_than_image(head: bytes) -> str:
    """What a file is that begins with `head` and what to do about it; empty for an image, and for what is not known."""
    if re.match(_IMAGES, head, re.DOTALL):
        return ""
    known = (name for pattern, name in _OTHERS.items() if re.match(pattern, head, re.DOTALL | re.IGNORECASE))
    return next(known, "")
