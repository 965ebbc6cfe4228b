"""Single test images as examples: where a classifier looked when it was right, and when it was wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fetalkit.classifiers import gradcam, weights
from fetalkit.classifiers.models import Normalised
from fetalkit.data.images import Labelled
from fetalkit.data.study import Study
from fetalkit.experiments import building
from fetalkit.experiments.outcome import Outcome
from fetalkit.utils import devices
from fetalkit.utils.errors import FetalkitError


@dataclass(frozen=True)
class Examples:
    """Test images of one run with their Grad-CAM maps; arguments of the gallery in `fetalkit.plots.gradcam`.

    Attributes
    ----------
    run
        Which run.
    images
        uint8 (n, size, size), as the classifier saw them.
    maps
        Float (n, size, size) in [0, 1], for the plane that was called.
    titles
        ``"brain → femur"``: what an image shows and what it was called.
    right
        Whether that was right, (n,).
    """

    run: Any
    images: np.ndarray
    maps: np.ndarray
    titles: list[str]
    right: np.ndarray


def surest_calls(study: Study, outcomes: Sequence[Outcome], arm: str, each: int = 6) -> Examples | None:
    """The surest right calls, of different planes in turn, and the surest wrong ones, of a run of `arm`.

    Taken is the run of the largest k, the first seed and the first classifier that has spatial maps; None if there is none.
    """
    test = study.tested
    test = test[test.dropped == ""]
    data = study.labelled(test)
    for outcome, trained in _candidates(study, outcomes, arm):
        probabilities = outcome.of(list(test.image_id))
        called, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
        right = called == data.labels
        rows = np.concatenate([surest(data.labels, sure, right, each), surest(data.labels, sure, ~right, each)])
        settings = study.params
        model = building.classifier(
            settings.classify, outcome.run.classifier, len(study.planes), settings.images.image_size, outcome.run.seed
        )
        weights.load(model, trained)
        shown = Labelled(data.images[rows], data.labels[rows])
        maps = maps_of(model, shown.images, called[rows], settings.run.device)
        if maps is not None:
            titles = titles_of(study.planes, shown.labels, called[rows])
            return Examples(outcome.run, shown.images, maps, titles, right[rows])
    return None


def maps_of(model: Normalised, images: np.ndarray, called: np.ndarray, device: str) -> np.ndarray | None:
    """Grad-CAM maps of what each image was called; None for a network without spatial maps."""
    place = devices.device(device)
    try:
        return gradcam.gradcam(model.to(place), images, called, place)
    except FetalkitError:
        return None


def titles_of(planes: Sequence[str], labels: np.ndarray, called: np.ndarray) -> list[str]:
    """``"brain → femur"`` for each image: what it shows and what it was called."""
    names = [plane.removeprefix("Fetal ").removeprefix("Maternal ").lower() for plane in planes]
    return [f"{names[label]} → {names[call]}" for label, call in zip(labels, called, strict=True)]


def _candidates(study: Study, outcomes: Sequence[Outcome], arm: str) -> list[tuple[Outcome, Path]]:
    """Runs of an arm that may be shown, with their weights."""
    k, seed = study.params.splits.shots.largest, study.params.splits.seeds[0]
    return [
        (outcome, outcome.weights)
        for outcome in outcomes
        if (outcome.run.arm, outcome.run.k, outcome.run.seed) == (arm, k, seed) and outcome.weights
    ]


def surest(labels: np.ndarray, sure: np.ndarray, chosen: np.ndarray, count: int) -> np.ndarray:
    """Rows of the surest calls among the `chosen`, one of each plane at a time."""
    order = np.flatnonzero(chosen)[np.argsort(-sure[chosen], kind="stable")]
    rank = np.zeros(len(order), int)
    for plane in np.unique(labels):
        mine = labels[order] == plane
        rank[mine] = np.arange(mine.sum())
    return order[np.argsort(rank, kind="stable")][:count]
