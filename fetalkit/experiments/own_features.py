"""The study's own classifier as a feature space: what tells the planes apart, instead of what tells dogs from cars."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from fetalkit.classifiers import weights
from fetalkit.classifiers.models import Normalised
from fetalkit.config.arms import REAL
from fetalkit.config.params import Params
from fetalkit.config.runs import Run
from fetalkit.config.shots import EVERY
from fetalkit.experiments import building, classification
from fetalkit.experiments.phase_cache import PhaseCache
from fetalkit.metrics.features import FeatureSpace
from fetalkit.utils import devices, parallel

STAGE = "fidelity"


class Penultimate(nn.Module):
    """Pooled features before the last layer of a classifier of `fetalkit.classifiers`."""

    def __init__(self, classifier: Normalised):
        super().__init__()
        self.classifier = classifier

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features (batch, d) of float images (batch, 1, height, width) in [0, 1]."""
        return self.classifier.features(images)


@dataclass(frozen=True)
class ClassifierSpace(FeatureSpace):
    """A feature space whose last layer is at hand: it also says which plane an image shows."""

    network: Penultimate

    @torch.inference_mode()
    def classes(self, features: np.ndarray) -> np.ndarray:
        """Plane that the classifier calls each image, int64 (n,), from its features (n, d)."""
        logits = self.network.classifier.classify(torch.from_numpy(features).to(self.device))
        return logits.argmax(dim=1).cpu().numpy()


def judge(settings: Params, classifier: str | None = None) -> Run:
    """The run whose network it is: `real`, most images, first seed, and the first classifier where none is given."""
    name = classifier or next(iter(settings.classify.classifiers))
    return Run(REAL, name, settings.splits.shots.largest, settings.splits.seeds[0])


def trained(cohort: str, settings: Params, classifier: str | None = None) -> ClassifierSpace:
    """Features of a classifier trained on real train images: the run `real`, most images, first seed, of the study.

    That very run is taken where it has been trained already, and trained and kept for the study where it has not.

    The classifier has learnt the train images by heart, so in this space real train images lie further from real test images
    than unseen real images would: here they are no measure of what a perfect generator could reach.

    Parameters
    ----------
    cohort, settings
        The study; its splits must have been made.
    classifier
        One of ``classify.classifiers``; the first one if not given.

    Raises
    ------
    FetalkitError
        When an earlier stage is missing.
    """
    run = judge(settings, classifier)
    job = dict(cohort=cohort, settings=settings, cache=PhaseCache.of(cohort, STAGE), run=run)
    # As a job of the study is run, with one thread: the study goes on with the very bits.
    (outcome,) = parallel.run(classification.train_and_predict, [job], workers=1)
    model = building.classifier(
        settings.classify, run.classifier, len(settings.cohort.planes), settings.images.image_size, run.seed
    )
    assert outcome.weights is not None  # a run that fails has raised an error
    weights.load(model, outcome.weights)
    device = devices.device(settings.run.device)
    seen = "real train images" if run.k == EVERY else f"{run.k} real train images per plane"
    network = building.placed(Penultimate(model), device)
    return ClassifierSpace(f"{run.classifier} ({seen} of {cohort})", network, device, batch_size=64)
