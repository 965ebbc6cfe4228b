"""Atomic files and exact resume.

A training loop draws all randomness of step *s* from :func:`rng` keyed by its seed and *s*. A checkpoint therefore needs
no random state: weights, optimiser and step number are enough to go on with the very bits of an undisturbed run.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from fetalkit.utils.errors import FetalkitError


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
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = Path(tempfile.mkdtemp(prefix=f".{path.stem}-", dir=path.parent))
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
        raise FetalkitError(f"{path}: cannot be written ({error.strerror}); free some space or check rights") from error
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def fingerprint(settings: Any, files: Iterable[Path] = ()) -> str:
    """SHA-256 (first 16 hex digits) over JSON-able `settings` and the contents of `files`, in the order given."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for file in files:
        digest.update(hashlib.sha256(Path(file).read_bytes()).digest())
    return digest.hexdigest()[:16]


def rng(*key: int | str, device: str | torch.device = "cpu") -> torch.Generator:
    """Random generator that depends on `key` alone, e.g. ``rng(seed, "batch", step)``."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest[:8], "little") >> 1)


class Checkpoint:
    """The last saved state of one training run.

    Parameters
    ----------
    path
        File of the checkpoint. Its folder is made on the first save.
    fingerprint
        Identifies settings and data; a checkpoint with another one is ignored, since its run was another one.
    every
        Save after this many steps.
    """

    def __init__(self, path: Path, fingerprint: str, every: int = 200):
        self.path, self.fingerprint, self.every = Path(path), fingerprint, every

    def load(self) -> dict | None:
        """Saved state, or None when there is none, it is unreadable, or it belongs to another run."""
        try:
            # weights_only: a checkpoint holds tensors and plain values, and nothing else is ever unpickled.
            saved = torch.load(self.path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError, KeyError):
            return None
        except Exception as error:
            if type(error).__name__ == "UnpicklingError":
                return None
            raise
        return saved["state"] if saved.get("fingerprint") == self.fingerprint else None

    def save(self, state: dict) -> None:
        """Replace the saved state in one atomic step."""
        with replacing(self.path) as temporary:
            torch.save({"fingerprint": self.fingerprint, "state": state}, temporary)

    def part(self, name: str) -> "Checkpoint":
        """Checkpoint of another training that belongs to the same run, in a file beside this one."""
        return Checkpoint(self.path.with_suffix(f".{name}{self.path.suffix}"), self.fingerprint, self.every)

    def due(self, step: int) -> bool:
        """Whether the loop that has just finished `step` steps should save."""
        return step % self.every == 0

    def clear(self) -> None:
        """Remove the saved state, once the run's result is stored elsewhere."""
        self.path.unlink(missing_ok=True)
