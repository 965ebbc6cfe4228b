"""DANN: a small network tries to tell the domains apart by the features, and reversed gradients train these to deceive it.

References
----------
Ganin Y, Ustinova E, Ajakan H, Germain P, Larochelle H, Laviolette F, Marchand M, Lempitsky V. Domain-Adversarial Training of
Neural Networks. J Mach Learn Res 17(59), 1-35 (2016), arXiv 1505.07818.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from fetalkit.utils.streams import rng

HIDDEN = 512  # units between the two layers; in trials on toy domains, 128 or fewer could not keep up with the features


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features: torch.Tensor, strength: float) -> torch.Tensor:
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx, *grad_outputs: torch.Tensor) -> tuple[torch.Tensor, None]:
        (gradient,) = grad_outputs
        return -ctx.strength * gradient, None


def reverse(features: torch.Tensor, strength: float) -> torch.Tensor:
    """`features` as they are; on the way back, gradients are multiplied by ``−strength``."""
    return _Reversal.apply(features, strength)


def ramp(progress: float) -> float:
    """The paper's λ, ``2 / (1 + exp(−10 progress)) − 1``: from 0 at the start of training (0) to almost 1 at its end (1)."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


class Discriminator(nn.Module):
    """Two linear layers that guess the domain of an image from its features.

    Parameters
    ----------
    features
        Width d of the features.
    seed
        Of the first weights.
    """

    def __init__(self, features: int, seed: int | str = 0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(rng(seed, "discriminator").initial_seed())
            self.layers = nn.Sequential(nn.Linear(features, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Log-odds (batch,) of the target domain, of features (batch, d)."""
        return self.layers(features)[:, 0]


def adversarial_loss(
    discriminator: Discriminator, source: torch.Tensor, target: torch.Tensor, strength: float
) -> torch.Tensor:
    """Binary cross-entropy of the domains, the mean of the source's mean and the target's mean.

    Descending it, the discriminator learns to tell the domains apart, and what made the features learns, `strength` times as
    strongly, to hinder that.

    Parameters
    ----------
    source, target
        Features, float (n, d) and (m, d). Both domains weigh the same, whatever n and m.
    strength
        Factor of the reversed gradient, at least 0.

    Returns
    -------
    torch.Tensor
        Scalar, at least 0; log 2 = 0.69 where the domains cannot be told apart.
    """
    odds = discriminator(reverse(torch.cat([source, target]), strength))
    # softplus(x) is the cross-entropy of log-odds x that should be low, softplus(-x) of such that should be high.
    return (functional.softplus(odds[: len(source)]).mean() + functional.softplus(-odds[len(source) :]).mean()) / 2
