"""The run record: when, where and with what a notebook was executed. It lies in the metadata of the executed file."""

import json
import os
import platform
import shutil
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import nbformat
import psutil

from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError

DISTRIBUTIONS = (
    "torch",
    "torchvision",
    "diffusers",
    "timm",
    "scikit-learn",
    "numpy",
    "pandas",
    "seaborn",
    "papermill",
    "dvc",
)


def record(path: Path) -> dict[str, Any]:
    """Run record of an executed notebook.

    Parameters
    ----------
    path
        File that :func:`run` has made.

    Returns
    -------
    dict
        ``notebook``, ``cohort``, ``parameters``, ``started`` (ISO 8601, UTC), ``seconds``, ``commit`` and ``dirty``
        (None outside git), ``python``, ``platform``, ``cpu``, ``cores``, ``memory_gib``, ``gpu`` (None without one) and
        ``versions``.

    Raises
    ------
    FetalkitError
        When the file is missing, is no notebook, or was not made by :func:`run`.
    """
    stored = read(path).metadata.get("fetalkit")
    if stored is None:
        raise FetalkitError(f"{path}: has no run record; execute it with `fetalkit run`")
    return json.loads(json.dumps(stored))


def read(path: Path) -> nbformat.NotebookNode:
    """A notebook from a file; one clear line when there is none."""
    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise FetalkitError(f"{path}: there is no such notebook; run the stage that makes it") from None
    except (ValueError, nbformat.ValidationError, nbformat.reader.NotJSONError) as error:
        raise FetalkitError(f"{path}: is not a valid notebook ({' '.join(str(error).split())[:200]})") from error


def surroundings() -> dict[str, Any]:
    """What a reader needs to know about the place and time of a run."""
    versions = {}
    for library in DISTRIBUTIONS:
        with suppress(metadata.PackageNotFoundError):
            versions[library] = metadata.version(library)
    commit = _output("git", "-C", str(paths.ROOT), "rev-parse", "HEAD")
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "dirty": None if commit is None else _dirty(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": _gpu(),
        "versions": versions,
    }


def _dirty() -> bool:
    """Whether more than results differs from the commit; earlier stages of the same run have just written results."""
    status = _output("git", "-C", str(paths.ROOT), "status", "--porcelain", "--no-renames", "-uall", "-z") or ""
    changed = [Path(entry[3:]) for entry in status.split("\0") if entry]
    return any(file.name != "dvc.lock" and file.parts[0] != "reports" for file in changed)


def _cpu() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu() -> str | None:
    # Asked of the driver, since importing torch takes seconds.
    if shutil.which("nvidia-smi") is None:
        return None
    names = _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    return names.splitlines()[0].strip() if names else None


def _output(*command: str) -> str | None:
    """Standard output of a command, or None when there is no such command or it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.rstrip()
