"""One process at a time works on a study: two of them would write the same files."""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fetalkit.runner.following import now
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError


@contextmanager
def study_lock(study: str, what: str) -> Iterator[None]:
    """Keep every other process from the study's files for as long as the block runs.

    The system gives the lock ``work/<study>/lock`` back when its process ends, however it ends. ``lock.json`` beside it says
    who holds it.

    Parameters
    ----------
    study
        A cohort, or a study between cohorts.
    what
        What this process does, e.g. the name of a notebook.

    Raises
    ------
    FetalkitError
        When another process holds the lock: which one, and what to do; or when `work/` cannot be written.
    """
    with _held(paths.work(study, "lock"), study, what):
        yield


@contextmanager
def pipeline_lock(study: str) -> Iterator[None]:
    """The same for the files of the study's pipeline, while ``fetalkit repro`` or ``fetalkit publish`` moves them."""
    with _held(paths.work(study, "pipeline", "lock"), study, "its pipeline"):
        yield


def refuse_if_locked(study: str) -> None:
    """Raise as `study_lock` does when another process holds the study's lock."""
    path = paths.work(study, "lock")
    if path.exists():
        _acquire(path, study).release()


@contextmanager
def _held(path: Path, study: str, what: str) -> Iterator[None]:
    lock, holder = _acquire(path, study), path.with_suffix(".json")
    try:
        about = {"pid": os.getpid(), "what": what, "started": now(), "host": platform.node()}
        holder.write_text(json.dumps(about) + "\n", encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _acquire(path: Path, study: str) -> FileLock:
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=1)  # A process that only looks, or is being killed, is gone by then.
    except Timeout:
        raise FetalkitError(_refusal(study, path.with_suffix(".json"))) from None
    except OSError as error:
        raise FetalkitError(f"{path}: cannot be locked ({error.strerror}); check rights and space") from error
    return lock


def _refusal(study: str, holder: Path) -> str:
    try:
        about = json.loads(holder.read_text(encoding="utf-8"))
        where = "" if about["host"] == platform.node() else f" on {about['host']}"
        who = f"process {about['pid']}{where} is at work on {about['what']} since {about['started']}"
        return f"{study}: {who}; wait until it ends, or end it: kill {about['pid']}"
    except (OSError, ValueError, KeyError):
        # It has just begun or is about to end.
        return f"{study}: another process is at work; wait until it ends"
