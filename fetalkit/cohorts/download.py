"""Source archives: found unpacked in the mirror, or downloaded from Zenodo with a checksum and a progress bar."""

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

import pooch

from fetalkit.cohorts import archives
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing


@dataclass(frozen=True)
class Archive:
    """One file of a Zenodo record.

    Attributes
    ----------
    cohort
        Name of the folder in the mirror that holds the unpacked archive.
    doi
        DOI of the record.
    file
        Name of the archive in the record.
    folder
        Top folder inside the archive.
    md5
        Checksum of the archive; None takes the one that Zenodo publishes for the record.
    images_sha256
        SHA-256 of the unpacked PNG files, see `images_digest`; None: any are taken.
    """

    cohort: str
    doi: str
    file: str
    folder: str
    md5: str | None = None
    images_sha256: str | None = None


def locate(archive: Archive, folder: Path) -> Path:
    """Folder with the unpacked `archive`: in the mirror if ``FETALKIT_MIRROR`` is set, else downloaded into `folder`.

    A mirror may also hold the archive itself, which is then unpacked into `folder`.

    Raises
    ------
    FetalkitError
        When the mirror lacks it, the download fails, or the checksum is wrong.
    """
    root = _unpacked(archive, folder)
    if archive.images_sha256 not in (None, images_digest(root)):
        # No error: somebody may have corrected an image, and a study of that is sound.
        print(
            f"{root}: not the images that the published results of {archive.cohort} were made from; yours will differ. If "
            f"you did not change them, delete the folder and unpack {archive.file} anew",
            file=sys.stderr,
        )
    return root


def images_digest(root: Path) -> str:
    """SHA-256 over the relative paths and the contents of all PNG files under `root`, in the order of the paths."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.png"), key=lambda path: path.relative_to(root).as_posix()):
        digest.update(f"{path.relative_to(root).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _unpacked(archive: Archive, folder: Path) -> Path:
    mirror = paths.mirror()
    if mirror is None:
        return _download(archive, folder)
    root = mirror / archive.cohort / archive.folder
    packed = root.with_name(archive.file)
    if not root.is_dir() and packed.exists():
        return archives.unpacked(packed, folder / "archive")
    if not root.is_dir():
        raise FetalkitError(f"{root}: not found; unpack {archive.file} there, or unset FETALKIT_MIRROR to download it")
    return root


def _download(archive: Archive, folder: Path) -> Path:
    root = folder / archive.folder
    # Several sections may be of one data set, which is downloaded once.
    for there in (root, paths.data(archive.cohort, "source", archive.folder)):
        if there.is_dir():
            return there
    source = pooch.create(path=folder, base_url=f"doi:{archive.doi}", registry=None, retry_if_failed=2)
    try:
        if archive.md5:
            source.registry[archive.file] = f"md5:{archive.md5}"
        else:
            source.load_registry_from_doi()
        packed = Path(source.fetch(archive.file, progressbar=True))
    except ValueError as error:
        # pooch has removed the bad file already.
        raise FetalkitError(f"{archive.file}: {error}; run again to download it anew") from error
    except Exception as error:
        raise FetalkitError(
            f"{archive.file}: download of doi:{archive.doi} failed ({type(error).__name__}); check the network, or set "
            f"FETALKIT_MIRROR to a folder that holds {archive.cohort}/{archive.folder}/"
        ) from error
    _unpack(packed, root)
    packed.unlink()
    return root


def _unpack(packed: Path, root: Path) -> None:
    with replacing(root) as temporary:
        inside = temporary.parent / "unpacked"
        archives.extract(packed, inside)
        own = inside / root.name
        (own if own.is_dir() else inside).rename(temporary)
