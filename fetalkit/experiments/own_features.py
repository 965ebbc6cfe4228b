"""The study's own classifier as a feature space: what tells the planes apart, instead of what tells dogs from cars."""

from dataclasses import dataclass

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from fetalkit.classifiers import models
from fetalkit.config.params import Params
from fetalkit.config.runs import Cell
from fetalkit.experiments import classification
from fetalkit.metrics.features import FeatureSpace
from fetalkit.utils import devices, parallel


class Penultimate(nn.Module):
    """Pooled features before the last layer of a classifier of `fetalkit.classifiers.models`."""

    def __init__(self, classifier: models.Normalised):
        super().__init__()
        self.classifier = classifier

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features (batch, d) of float images (batch, 1, height, width) in [0, 1]."""
        network = self.classifier.network
        return network.forward_head(network.forward_features(self.classifier.prepare(images)), pre_logits=True)


@dataclass(frozen=True)
class ClassifierSpace(FeatureSpace):
    """A feature space whose last layer is at hand: it also says which plane an image shows. `network` is a `Penultimate`."""

    @torch.inference_mode()
    def classes(self, features: np.ndarray) -> np.ndarray:
        """Plane that the classifier calls each image, int64 (n,), from its features (n, d)."""
        last = self.network.classifier.network.get_classifier()
        return last(torch.from_numpy(features).to(self.device)).argmax(dim=1).cpu().numpy()


def trained(cohort: str, settings: Params, classifier: str | None = None) -> ClassifierSpace:
    """Features of a classifier trained on real train images: the run `real`, most images, first seed, of the study's grid.

    That very run is taken where it has been trained already, and trained and stored for the grid where it has not.

    The classifier has learnt the train images by heart, so in this space real train images lie further from real test images
    than unseen real images would: here they are no measure of what a perfect generator could reach.

    Parameters
    ----------
    cohort, settings
        The study; its splits must have been made. It takes k = all, or the largest k where the shots lack that.
    classifier
        One of ``classify.classifiers``; the first one if not given.

    Raises
    ------
    FetalkitError
        When an earlier stage is missing.
    """
    classifier = classifier or next(iter(settings.classify.classifiers))
    shots, seed = settings.splits.shots, settings.splits.seeds[0]
    k = "all" if "all" in shots else str(max(shots))
    job = dict(cohort=cohort, settings=settings, cell=Cell("real", classifier, k, seed))
    # As a job of the grid is run, with one thread: the grid goes on with the very bits.
    (outcome,) = parallel.run(classification.run_cell, [job], workers=1)
    model = models.of_study(settings, classifier, seed)
    model.load_state_dict(load_file(outcome.weights))
    device = devices.device(settings.run.device)
    seen = "real train images" if k == "all" else f"{k} real train images per plane"
    network = Penultimate(model).to(device, memory_format=torch.channels_last)
    return ClassifierSpace(f"{classifier} ({seen} of {cohort})", network, device, batch_size=64)
