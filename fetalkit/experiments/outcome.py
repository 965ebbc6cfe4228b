"""What a run leaves behind: predictions by image id, weights, and what it cost."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Outcome:
    """What a run leaves behind.

    Attributes
    ----------
    run
        Which one; has a ``name``.
    image_ids
        Images that were predicted.
    probabilities
        Float32 (images, planes), in the order of `image_ids`; NaN where the run has failed.
    weights
        Safetensors file of the trained classifier; None where the run has failed, or its weights are not kept.
    curve
        Points of the learning curve with ``phase`` and ``source``.
    budget
        Steps and number of images per phase.
    seconds
        Training time of all phases; a phase that arms share counts for each of them.
    trainings
        Fingerprints of the phases, in order.
    teachers
        Fingerprints of the trainings of the classifiers that named images for it.
    error
        Why the run has failed, with its traceback; empty where it has not.
    """

    run: Any
    image_ids: tuple[str, ...] = ()
    probabilities: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    weights: Path | None = None
    curve: list[dict] = field(default_factory=list)
    budget: list[dict] = field(default_factory=list)
    seconds: float = 0.0
    trainings: tuple[str, ...] = ()
    teachers: tuple[str, ...] = ()
    error: str = ""

    @classmethod
    def failed(cls, run: Any, image_ids: Sequence[str], n_planes: int, error: str) -> "Outcome":
        """Outcome of a run that failed: all its predictions are missing."""
        return cls(run, tuple(image_ids), np.full((len(image_ids), n_planes), np.nan, np.float32), error=error)

    def of(self, image_ids: Sequence[str]) -> np.ndarray:
        """Probabilities (images, planes) of some of the images, in the order given; KeyError for one not predicted."""
        rows = {name: row for row, name in enumerate(self.image_ids)}
        return self.probabilities[[rows[name] for name in image_ids]]
