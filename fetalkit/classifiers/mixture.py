"""Training on real and synthetic images together, the synthetic ones with less weight and batch normalisation of their own."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from fetalkit.classifiers.trainer import CrossEntropy


class Mixture(CrossEntropy):
    """Cross-entropy of real images, plus that of synthetic ones with a weight.

    The two kinds go through the network apart: each is normalised by means and variances of its own images, and only those of
    real ones are kept for prediction, after the auxiliary batch normalisation of Yu et al. [1]_.

    Parameters
    ----------
    synthetic
        How many images of every batch are synthetic; they are its last ones.
    weight
        Of their loss; that of the real images has 1.
    label_smoothing
        As for `CrossEntropy`.

    References
    ----------
    .. [1] Yu et al., Diversify, Don't Fine-Tune: Scaling Up Visual Recognition Training with Synthetic Images, 2023,
       arXiv 2312.02253.
    """

    def __init__(self, synthetic: int, weight: float, label_smoothing: float = 0.0):
        super().__init__(label_smoothing)
        self.synthetic, self.weight = synthetic, weight

    def forward(
        self, model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, step: int, steps: int
    ) -> torch.Tensor:
        """Loss, a scalar; as `CrossEntropy.forward`."""
        real = len(inputs) - self.synthetic
        loss = self.of_logits(model(inputs[:real]), targets[:real])
        with _statistics_kept(model):
            return loss + self.weight * self.of_logits(model(inputs[real:]), targets[real:])


@contextmanager
def _statistics_kept(model: nn.Module) -> Iterator[None]:
    """Within it, batch normalisation in training mode leaves its running means and variances as they are."""
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
    tracking = [layer.track_running_stats for layer in layers]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer, before in zip(layers, tracking, strict=True):
            layer.track_running_stats = before
