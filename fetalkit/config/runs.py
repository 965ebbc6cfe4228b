"""The grid of runs (arm × classifier × k × seed): enumerated from the parameters, never from what lies on disk."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fetalkit.config import arms
from fetalkit.config.params import Params


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
    probabilities
        Float32 (images, planes), for the validation images and then the test images of the study, in table order; NaN where
        the run has failed.
    weights
        Safetensors file of the trained classifier; None where the run has failed.
    curve
        Points of the learning curve with ``phase`` and ``source``.
    budget
        Steps and number of images per phase.
    seconds
        Training time of all phases; a phase that arms share counts for each of them.
    error
        Why the run has failed, with its traceback; empty where it has not.
    """

    cell: Cell
    probabilities: np.ndarray
    weights: Path | None = None
    curve: list[dict] = field(default_factory=list)
    budget: list[dict] = field(default_factory=list)
    seconds: float = 0.0
    error: str = ""


def arms_of(settings: Params, classifier: str, k: str) -> list[str]:
    """Arms of a classifier at k, in the order of the parameters: those of every cell, then the further ones of this cell."""
    wanted = list(settings.classify.arms)
    for block in settings.classify.further:
        if k in map(str, block.shots) and classifier in block.classifiers:
            wanted += [arm for arm in block.arms if arm not in wanted]
    # Where all images are in the cell, the ceiling is what the arm `diffusion` does.
    return [arm for arm in wanted if arm != arms.CEILING or k != arms.EVERY]


def cells(settings: Params) -> list[Cell]:
    """All cells, in the order classifier, k, seed, arm."""
    return [
        Cell(arm, classifier, str(k), seed)
        for classifier in settings.classify.classifiers
        for k in settings.splits.shots
        for seed in settings.splits.seeds
        for arm in arms_of(settings, classifier, str(k))
    ]


def sets(settings: Params) -> list[tuple[str, str, int]]:
    """Name, k and seed of every stored synthetic set that some cell trains on, sorted by name, in the order of the shots."""
    needed = {(*item, cell.seed) for cell in cells(settings) for item in arms.synthetic(cell.arm, cell.k)}
    order = list(map(str, settings.splits.shots))
    return sorted(needed, key=lambda item: (item[0], order.index(item[1]), item[2]))
