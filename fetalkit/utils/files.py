"""Atomic files: what is written is there as a whole, or not at all."""

import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from fetalkit.utils.errors import FetalkitError

_LITTLE = 1 << 16  # bytes; with less space left, an error while writing is put down to it


@contextmanager
def replacing(path: Path):
    """Yield a temporary path beside `path`; rename it to `path` on success, delete it on failure.

    The temporary keeps the suffix of `path`, so that writers which look at the suffix behave. Works for files and folders.

    Raises
    ------
    FetalkitError
        When the disk is full or the folder cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=f".{path.stem}-", dir=path.parent))
    except OSError as error:
        raise _unwritable(path, error) from error
    temporary = holder / path.name
    try:
        yield temporary
        if temporary.is_file():
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
        if path.is_dir():
            # A folder cannot be renamed over another one; move the old one out of the way first.
            os.replace(path, holder / "old")
        os.replace(temporary, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    except Exception as error:
        if _of_full_disk(error, holder):
            raise FetalkitError(f"{path}: cannot be written (the disk is full); free some space") from error
        raise
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def refuse_unwritable(path: Path) -> None:
    """Raise now what `replacing` would raise after long work; makes nothing that stays."""
    try:
        there = next(place for place in path.absolute().parents if place.exists())
        os.rmdir(tempfile.mkdtemp(prefix=".trial-", dir=there))
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> FetalkitError:
    reason = (
        "a file stands where a folder is needed"
        if isinstance(error, FileExistsError | NotADirectoryError)
        else error.strerror
    )
    return FetalkitError(f"{path}: cannot be written ({reason}); free some space or check rights")


def _of_full_disk(error: Exception, folder: Path) -> bool:
    """Whether a full disk is behind an error that is no OSError: safetensors says so, torch says "unexpected pos"."""
    if "No space left on device" in str(error):
        return True
    return isinstance(error, RuntimeError) and shutil.disk_usage(folder).free < _LITTLE


def made_by(notebook: str, *paths: Path) -> Path:
    """The first of `paths`, once all of them are there.

    Raises
    ------
    FetalkitError
        Says that `notebook`, which makes them, has to run first.
    """
    absent = [path for path in paths if not path.exists()]
    if absent:
        others = f" and {len(absent) - 1} others" if len(absent) > 1 else ""
        raise FetalkitError(f"{absent[0]}{others}: not found; run {notebook} first, or `dvc repro`")
    return paths[0]


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write `frame` as CSV, all or nothing."""
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")


def write_json(content: dict, path: Path) -> None:
    """Write `content` as indented JSON, all or nothing; NaN, which JSON lacks, is refused."""
    with replacing(path) as temporary:
        temporary.write_text(
            json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
        )
