"""Exact resume.

A training loop draws all randomness of step *s* from :func:`fetalkit.utils.streams.rng`, keyed by its seed and *s*. So a
checkpoint needs no random state: weights, optimiser and step number are enough to end with the bits of an undisturbed run.
"""

from pathlib import Path

import torch

from fetalkit.utils.files import replacing


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
