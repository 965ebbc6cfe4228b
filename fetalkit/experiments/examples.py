"""Single test images as exhibits: where a classifier looked when it was right, and when it was wrong."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from safetensors.torch import load_file

from fetalkit.analysis.results import TEST_SETS
from fetalkit.classifiers import gradcam, models
from fetalkit.config.runs import Outcome
from fetalkit.data.study import Study
from fetalkit.utils import devices
from fetalkit.utils.errors import FetalkitError


@dataclass(frozen=True)
class Exhibit:
    """Test images of one run with their Grad-CAM maps; arguments of `fetalkit.plots.gradcam.gallery`.

    Attributes
    ----------
    outcome
        The run.
    images
        uint8 (n, size, size).
    maps
        Float (n, size, size) in [0, 1], for the plane that was called.
    titles
        ``"brain → femur"``: what an image shows and what it was called.
    right
        Whether that was right, (n,).
    """

    outcome: Outcome
    images: np.ndarray
    maps: np.ndarray
    titles: list[str]
    right: np.ndarray


def looked_at(study: Study, outcomes: Sequence[Outcome], arm: str, each: int = 6) -> Exhibit | None:
    """The surest right calls, of different planes in turn, and the surest wrong ones, of a run of `arm`.

    Taken is the run of the largest k, the first seed and the first classifier that has spatial maps; None if there is none.
    """
    for outcome in _candidates(study, outcomes, arm):
        test = study.part("test")
        used = TEST_SETS[""](test).to_numpy()
        probabilities = outcome.probabilities[-len(test) :][used]
        data = study.labelled(test[used])
        called, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
        right = called == data.labels
        rows = np.concatenate([surest(data.labels, sure, right, each), surest(data.labels, sure, ~right, each)])
        device = devices.device(study.params.run.device)
        model = models.of_study(study.params, outcome.cell.classifier, outcome.cell.seed)
        model.load_state_dict(load_file(outcome.weights))
        try:
            maps = gradcam.gradcam(model.to(device), data.images[rows], called[rows], device)
        except FetalkitError:  # a network without spatial maps
            continue
        names = [plane.removeprefix("Fetal ").removeprefix("Maternal ").lower() for plane in study.planes]
        titles = [f"{names[data.labels[row]]} → {names[called[row]]}" for row in rows]
        return Exhibit(outcome, data.images[rows], maps, titles, right[rows])
    return None


def _candidates(study: Study, outcomes: Sequence[Outcome], arm: str) -> list[Outcome]:
    k, seed = str(study.params.splits.shots[-1]), study.params.splits.seeds[0]
    return [
        outcome
        for outcome in outcomes
        if (outcome.cell.arm, outcome.cell.k, outcome.cell.seed) == (arm, k, seed) and outcome.weights
    ]


def surest(labels: np.ndarray, sure: np.ndarray, chosen: np.ndarray, count: int) -> np.ndarray:
    """Rows of the surest calls among the `chosen`, one of each plane at a time."""
    order = np.flatnonzero(chosen)[np.argsort(-sure[chosen], kind="stable")]
    rank = np.zeros(len(order), int)
    for plane in np.unique(labels):
        mine = labels[order] == plane
        rank[mine] = np.arange(mine.sum())
    return order[np.argsort(rank, kind="stable")][:count]
