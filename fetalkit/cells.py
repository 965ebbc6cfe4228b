"""The grid of runs (arm × classifier × k × seed): enumerated from the parameters, never from what lies on disk."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fetalkit.params import Params


@dataclass(frozen=True)
class Cell:
    """One run of the study."""

    arm: str
    classifier: str
    k: str
    seed: int

    @property
    def name(self) -> str:
        """Unique name, fit for a file."""
        return f"{self.arm}_{self.classifier}_k{self.k}_seed{self.seed}"


@dataclass(frozen=True)
class Outcome:
    """What a cell leaves behind.

    Attributes
    ----------
    cell
        Which one.
    weights
        Safetensors file of the trained classifier.
    probabilities
        Float32 (images, planes), for the validation images and then the test images of the study, in table order.
    curve
        Points of the learning curve with ``phase`` and ``source``.
    budget
        Steps and number of images per phase.
    seconds
        Training time of all phases; a phase that arms share counts for each of them.
    """

    cell: Cell
    weights: Path
    probabilities: np.ndarray
    curve: list[dict]
    budget: list[dict]
    seconds: float


def cells(settings: Params) -> list[Cell]:
    """All cells, in the order classifier, k, seed, arm."""
    return [
        Cell(arm, classifier, str(k), seed)
        for classifier in settings.classify.classifiers
        for k in settings.splits.shots
        for seed in settings.splits.seeds
        for arm in settings.classify.arms
    ]
