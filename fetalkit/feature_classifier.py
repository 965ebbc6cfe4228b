"""The study's own classifier as a feature space: what tells the planes apart, instead of what tells dogs from cars."""

import torch
from safetensors.torch import load_file
from torch import nn

from fetalkit import classifiers, devices, grid
from fetalkit.cells import Cell
from fetalkit.fidelity.features import FeatureSpace
from fetalkit.params import Params
from fetalkit.study import Study


class Penultimate(nn.Module):
    """Pooled features before the last layer of a classifier of `fetalkit.classifiers`."""

    def __init__(self, classifier: classifiers.Normalised):
        super().__init__()
        self.classifier = classifier

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features (batch, d) of float images (batch, 1, height, width) in [0, 1]."""
        network = self.classifier.network
        shifted = (images - classifiers.MEAN) / classifiers.STD
        return network.forward_head(network.forward_features(shifted), pre_logits=True)


def trained(cohort: str, settings: Params, classifier: str | None = None) -> FeatureSpace:
    """Features of a classifier trained on all real train images: the run `real`, k = all, first seed, of the study's grid.

    That very run is taken where it has been trained already, and trained and stored for the grid where it has not.

    The classifier has learnt the train images by heart, so in this space real train images lie further from real test images
    than unseen real images would: here they are no measure of what a perfect generator could reach.

    Parameters
    ----------
    cohort, settings
        The study; its splits must have been made, with k = all among the shots.
    classifier
        One of ``classify.classifiers``; the first one if not given.

    Raises
    ------
    FetalkitError
        When an earlier stage is missing.
    """
    classifier = classifier or next(iter(settings.classify.classifiers))
    seed = settings.splits.seeds[0]
    outcome = grid.run_cell(cohort, settings, Cell("real", classifier, "all", seed))
    spec = settings.classify.classifiers[classifier]
    planes = len(Study(cohort, settings).planes)
    model = classifiers.create(spec.model, spec.arguments, planes, settings.images.size, seed)
    model.load_state_dict(load_file(outcome.weights))
    device = devices.device(settings.run.device)
    name = f"{classifier} (real train images of {cohort})"
    return FeatureSpace(name, Penultimate(model).to(device, memory_format=torch.channels_last), device, batch_size=64)
