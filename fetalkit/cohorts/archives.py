"""Archives of images as they come: zip and tar files, unpacked once, all or nothing.

What other systems put in beside the images (``__MACOSX``, ``._scan.png``, ``.DS_Store``, ``Thumbs.db``) is left out, a
backslash in a name separates folders as a slash does, and an entry that would lie outside the folder is refused.
"""

import errno
import json
import lzma
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from fetalkit.data.formats import is_leftover
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing

_FILES, _ABOUT = "files", "archive.json"
_BAD_NAMES = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)
_UTF8 = 0x800  # flag of a zip entry whose name is UTF-8


def is_archive(path: Path) -> bool:
    """Whether `path` is a zip file or a tar file (also .tar.gz, .tar.bz2, .tar.xz), by its content."""
    try:
        return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))
    except OSError:
        return False


def unpacked(path: Path, into: Path) -> Path:
    """Folder with the content of an archive, which is unpacked if that has not been done yet or the archive has changed.

    Parameters
    ----------
    path
        A zip or tar file.
    into
        Folder that belongs to this archive alone, such as ``data/<cohort>/source/archive``; what is in it is replaced.

    Returns
    -------
    Path
        The folder that the files lie in: below as many folders as hold nothing but one folder.

    Raises
    ------
    FetalkitError
        When the archive is missing, damaged, protected by a password or no archive, has an entry that would lie outside the
        folder, or cannot be unpacked for want of space. Nothing is left behind then.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise FetalkitError(f"{path}: cannot be read ({error.strerror})") from None
    about = {"archive": path.name, "bytes": state.st_size, "changed_ns": state.st_mtime_ns}
    if _about(into) != about:
        with replacing(into) as temporary:
            extract(path, temporary / _FILES)
            (temporary / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
    folder = into / _FILES
    while len(inside := list(folder.iterdir())) == 1 and inside[0].is_dir():
        folder = inside[0]
    return folder


def _about(into: Path) -> dict | None:
    try:
        return json.loads((into / _ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def extract(path: Path, folder: Path) -> None:
    """Unpack an archive into `folder`, which is made; raises as `unpacked` does, and may then leave a part behind."""
    folder.mkdir(parents=True)
    with _readable(path):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                _extract_zip(archive, folder, path)
        else:
            with tarfile.open(path) as stream:
                _extract_tar(stream, folder, path)
    if not any(folder.iterdir()):
        raise FetalkitError(f"{path}: cannot be unpacked: it holds no file")


def _extract_zip(archive: zipfile.ZipFile, folder: Path, path: Path) -> None:
    entries = archive.infolist()
    needed, free = sum(entry.file_size for entry in entries), shutil.disk_usage(folder).free
    if needed > free:
        raise FetalkitError(
            f"{path}: cannot be unpacked: it needs {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"
        )
    for entry in entries:
        name = _name(entry)
        target = _target(name, folder, path)
        if target is None:
            continue
        if name.endswith(("/", "\\")):
            target.mkdir(parents=True, exist_ok=True)
            continue
        if target.exists():
            raise FetalkitError(f"{path}: cannot be unpacked: two of its entries are called {name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy)


def _name(entry: zipfile.ZipInfo) -> str:
    """Name of a zip entry; macOS and Linux write UTF-8 without saying so, which zipfile then takes for code page 437."""
    if entry.flag_bits & _UTF8:
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return entry.filename


def _extract_tar(stream: tarfile.TarFile, folder: Path, path: Path) -> None:
    for member in stream:
        target = _target(member.name, folder, path)
        if target is not None:
            renamed = member.replace(name=target.relative_to(folder).as_posix(), deep=False)
            stream.extract(renamed, folder, filter="data")  # refuses devices, and links that lead outside
    rest: Any = stream.fileobj
    while rest.read(1 << 20):  # the checksum stands behind the last file
        pass


def _target(name: str, folder: Path, path: Path) -> Path | None:
    """Where an entry goes; None for what is left out."""
    place = PurePosixPath(name.replace("\\", "/"))
    if place.is_absolute() or ".." in place.parts or re.match("[A-Za-z]:", name):
        raise FetalkitError(f"{path}: cannot be unpacked: {name} would lie outside the folder; do not trust this file")
    if not place.parts or any(is_leftover(part) for part in place.parts):
        return None
    return folder / place


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """One line for whatever is wrong with an archive; an error of the disk that is written to passes as it is."""
    try:
        yield
    except tarfile.ReadError:
        reason = "it is damaged, or neither a zip nor a tar file"
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        reason = f"it is damaged ({error})"
    except NotImplementedError as error:
        reason = f"unpack it by hand ({error})"
    except RuntimeError as error:  # zipfile has no other class for it
        reason = f"it needs a password; unpack it by hand ({error})"
    except OSError as error:
        if error.errno in _BAD_NAMES:
            reason = (
                f"the names of its files do not fit on this disk ({error.strerror}: ...{str(error.filename)[-60:]})"
            )
        elif error.errno is not None:
            raise
        else:
            reason = f"it is damaged ({error})"  # so gzip and bzip2 tell
    else:
        return
    raise FetalkitError(f"{path}: cannot be unpacked: {reason}")
