"""Balanced softmax: training on planes with unequal numbers of images, for a test in which every plane counts alike."""

from collections.abc import Sequence

import torch
from torch import nn

from fetalkit.classifiers.trainer import CrossEntropy


class BalancedSoftmax(CrossEntropy):
    """Cross-entropy of logits to which the logarithms of the planes' frequencies are added while training [1]_.

    Parameters
    ----------
    counts
        Train images of every plane, at least 1 each.
    label_smoothing
        As for `CrossEntropy`.

    References
    ----------
    .. [1] Ren et al., Balanced Meta-Softmax for Long-Tailed Visual Recognition, NeurIPS 2020, arXiv 2007.10740.
    """

    prior: torch.Tensor

    def __init__(self, counts: Sequence[int], label_smoothing: float = 0.0):
        super().__init__(label_smoothing)
        shares = torch.tensor(counts, dtype=torch.float32) / sum(counts)
        self.register_buffer("prior", shares.log())

    def forward(
        self, model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, step: int, steps: int
    ) -> torch.Tensor:
        """Loss, a scalar; as `CrossEntropy.forward`."""
        return self.of_logits(model(inputs) + self.prior, targets)
