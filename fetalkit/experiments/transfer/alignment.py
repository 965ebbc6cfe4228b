"""Alignment of features: a network learns from labelled images of one domain to see no difference to another, unlabelled one.

Two distances between batches of features, and the loss of training that adds one of them, or an adversary, to cross-entropy.

References
----------
Sun B, Saenko K. Deep CORAL: Correlation Alignment for Deep Domain Adaptation. ECCV workshops (2016), arXiv 1607.01719.
Gretton A, Borgwardt KM, Rasch MJ, Schölkopf B, Smola A. A Kernel Two-Sample Test. J Mach Learn Res 13, 723-773 (2012).
Long M, Cao Y, Wang J, Jordan MI. Learning Transferable Features with Deep Adaptation Networks. ICML (2015), arXiv 1502.02791.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

from fetalkit.classifiers.loader import Feed
from fetalkit.classifiers.models import Normalised
from fetalkit.classifiers.styles import Styled
from fetalkit.classifiers.trainer import CrossEntropy
from fetalkit.experiments.transfer.adversary import Discriminator, adversarial_loss, ramp
from fetalkit.utils.errors import FetalkitError

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the median squared distance: what varies locally, and what varies at large
_TINY = 1e-12  # least bandwidth, for batches of equal rows


def coral(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Deep CORAL: ``‖C_s − C_t‖² / 4 d²``, the squared Frobenius distance of the covariances (with n − 1).

    It does not see means. It grows with the fourth power of the features' scale, and shrinks with d where features are hardly
    correlated: of a ResNet with 256 of them it is about 0.003, so that its weight has to be in the hundreds to matter.

    Parameters
    ----------
    source, target
        Features, float (n, d) and (m, d), n and m at least 2.

    Returns
    -------
    torch.Tensor
        Scalar, at least 0, differentiable in both.

    Raises
    ------
    FetalkitError
        When the shapes are others.
    """
    _check(source, target)
    difference = _covariance(source) - _covariance(target)
    return difference.square().sum() / (4 * source.shape[1] ** 2)


def mmd(source: torch.Tensor, target: torch.Tensor, factors: Sequence[float] = FACTORS) -> torch.Tensor:
    """Squared maximum mean discrepancy of several Gaussian kernels, biased: ``mean k(s, s') + mean k(t, t') − 2 mean k(s, t)``.

    ``k(x, y)`` is the mean over `factors` of ``exp(−‖x − y‖² / (factor · median))``. The median is that of the squared
    distances of all pairs of different rows of both batches (the median heuristic, for each batch anew). No gradient flows
    through it, or the features could look alike by growing. The result does not depend on the features' scale.

    Parameters
    ----------
    source, target
        Features, float (n, d) and (m, d), n and m at least 2.
    factors
        Above 0; one number gives a single kernel.

    Returns
    -------
    torch.Tensor
        Scalar from 0 to 2 (but for rounding), differentiable in both.

    Raises
    ------
    FetalkitError
        When the shapes are others.
    """
    _check(source, target)
    both = torch.cat([source, target])
    both = both - both.mean(dim=0).detach()  # squares of small numbers are more exact
    squared = both.square().sum(dim=1)
    distances = (squared[:, None] + squared[None, :] - 2 * both @ both.T).clamp(min=0)
    rows, columns = torch.triu_indices(len(both), len(both), offset=1, device=both.device)
    median = distances.detach()[rows, columns].median().clamp(min=_TINY)
    kernel = torch.stack([torch.exp(-distances / (factor * median)) for factor in factors]).mean(dim=0)
    n = len(source)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


DISTANCES = {"coral": coral, "mmd": mmd}
KINDS = (*DISTANCES, "dann")


class Aligned(CrossEntropy):
    """Loss of training with alignment: cross-entropy of the labelled images, and what keeps the domains apart.

    With ``"coral"`` and ``"mmd"`` it is ``cross-entropy + weight · ramp · distance``. With ``"dann"`` it is ``cross-entropy +
    loss of the adversary``, and ``weight · ramp`` is the strength of the reversed gradient: as in the paper, the adversary
    itself learns at full strength from the first step. `adversary.ramp` rises from 0 to 1 over training.

    Parameters
    ----------
    kind
        One of `KINDS`.
    target_feed
        Images of the other domain. Its labels are not looked at.
    weight
        Of the distance, or of the reversed gradient, at the end of training; at least 0.
    label_smoothing
        As for `fetalkit.classifiers.trainer.CrossEntropy`.
    batch_size
        Images of the other domain per step, at least 2.
    device
        Of model and batches; the adversary moves there.
    features
        Width d of the model's features, which ``"dann"`` has to know.
    seed
        Of the adversary's first weights.

    Raises
    ------
    FetalkitError
        When `kind` is another one, `weight` or `batch_size` too small, or ``"dann"`` is not told the number of features.
    """

    def __init__(
        self,
        kind: str,
        target_feed: Feed | Styled,
        weight: float,
        label_smoothing: float,
        batch_size: int,
        device: torch.device,
        *,
        features: int | None = None,
        seed: int | str = 0,
    ):
        super().__init__(label_smoothing)
        if kind not in KINDS:
            raise FetalkitError(f"there is no alignment {kind!r}; use one of: {', '.join(KINDS)}")
        if weight < 0 or batch_size < 2:
            raise FetalkitError(
                f"alignment {kind}: weight {weight}, batch of {batch_size}; give a weight of at least 0 and 2 images"
            )
        if kind == "dann" and not features:
            raise FetalkitError("alignment dann: say how many features the classifier has")
        self.kind, self.target_feed, self.weight = kind, target_feed, weight
        self.batch_size, self.device = batch_size, device
        self.discriminator = Discriminator(features, seed).to(device) if kind == "dann" and features else None

    def forward(
        self, model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, step: int, steps: int
    ) -> torch.Tensor:
        """Loss of one step.

        Parameters
        ----------
        model
            Has ``features(images)``, float (batch, d), and ``classify(features)``, logits (batch, classes).
        inputs
            Labelled images, float (batch, 1, height, width) in [0, 1].
        targets
            Class numbers (batch,), or shares of the classes (batch, classes).
        step, steps
            Step, counted from 0, of how many.

        Returns
        -------
        torch.Tensor
            Scalar.
        """
        others, _ = self.target_feed.batch(step, self.batch_size, 0.0, self.device)
        # One batch, so that batch normalisation sees both domains, as it will when the network is used.
        network = cast(Normalised, model)
        features = network.features(torch.cat([inputs, others]))
        source, target = features[: len(inputs)], features[len(inputs) :]
        loss = self.of_logits(network.classify(source), targets)
        strength = self.weight * ramp(step / steps)
        if self.discriminator is not None:
            return loss + adversarial_loss(self.discriminator, source, target, strength)
        return loss + strength * DISTANCES[self.kind](source, target)


def _covariance(features: torch.Tensor) -> torch.Tensor:
    centred = features - features.mean(dim=0)
    return centred.T @ centred / (len(features) - 1)


def _check(source: torch.Tensor, target: torch.Tensor) -> None:
    flat = source.dim() == target.dim() == 2
    if not flat or source.shape[1] != target.shape[1] or min(len(source), len(target)) < 2:
        raise FetalkitError(
            f"features {tuple(source.shape)} and {tuple(target.shape)}: give (n, d) and (m, d), of 2 or more images each"
        )
