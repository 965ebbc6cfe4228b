"""A classifier that is the way down of the diffusion model's denoiser, so that it can begin with the weights of a trained one.

What a denoiser computes on its way tells planes apart, best at low noise: at step 11 of 1000 in [1]_, which is a noise level of
0.05 for images of standard deviation 0.5, and at low levels too in [2]_. `SIGMA` is that one. The network is told this level
always, and images come as they are: noise of a tenth of their contrast would hide texture from the few that a run has.

References
----------
.. [1] Xiang et al., Denoising Diffusion Autoencoders are Unified Self-supervised Learners, ICCV 2023, arXiv 2303.09769.
.. [2] Mukhopadhyay et al., Do text-free diffusion models learn discriminative visual representations?, ECCV 2024,
   arXiv 2311.17921.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from timm.models import register_model
from torch import nn
from torch.nn import functional

from fetalkit.classifiers.models import MEAN, STD, Normalised
from fetalkit.generators import card, networks
from fetalkit.generators.diffusion.denoiser import GROUPS, Conditions, Denoiser, Encoder, Norm
from fetalkit.generators.diffusion.edm import SIGMA_DATA
from fetalkit.generators.diffusion.training import PixelScale

SIGMA = 0.05  # noise level, for images of standard deviation `SIGMA_DATA`


class DenoiserEncoder(nn.Module):
    """The way down of a `Denoiser`, averaged over positions, and a last layer; used as a timm model is.

    Parameters
    ----------
    unshuffle, channels, attention, blocks
        As in :class:`fetalkit.generators.diffusion.settings.DiffusionTraining`.
    num_classes
        Number of planes.
    sigma
        Noise level that the network is told, positive.
    """

    pixel_scale: torch.Tensor
    pixel_shift: torch.Tensor

    def __init__(
        self,
        unshuffle: int,
        channels: Sequence[int],
        attention: Sequence[bool],
        blocks: int,
        num_classes: int,
        sigma: float = SIGMA,
    ):
        super().__init__()
        if sigma <= 0:
            raise ValueError(f"sigma = {sigma}: must be positive")
        self.sigma, self.num_classes, self.num_features = sigma, num_classes, channels[-1]
        self.encoder = Encoder(unshuffle, list(channels), list(attention), blocks)
        self.conditions = Conditions(channels[-1], 0, self.encoder.blocks())
        self.conditions.register_module("move", None)  # no image is moved
        self.norm, self.head = Norm(GROUPS, channels[-1]), nn.Linear(channels[-1], num_classes)
        self.register_buffer("pixel_scale", torch.ones(()))
        self.register_buffer("pixel_shift", torch.zeros(()))
        # As timm lists the stages of its networks; a level of several blocks ends with its last one.
        self.feature_info = [
            {"module": f"encoder.levels.{level}.{blocks - 1}", "num_chs": width} for level, width in enumerate(channels)
        ]

    def see(self, scale: PixelScale) -> None:
        """Scale pixels from now on as a denoiser does that has learnt images of this scale."""
        factor = SIGMA_DATA / scale.std / math.hypot(self.sigma, SIGMA_DATA)
        self.pixel_scale.fill_(2 * STD * factor)
        self.pixel_shift.fill_((2 * MEAN - 1 - scale.mean) * factor)

    def begin_with(self, denoiser: Denoiser) -> None:
        """Take over all weights that it has in common with `denoiser`, as it is where it is told no class.

        Raises
        ------
        RuntimeError
            When the denoiser has another shape.
        """
        known = denoiser.conditions
        weights = {name: weight for name, weight in known.state_dict().items() if name.split(".")[0] in _SHARED}
        if known.plane is not None:  # the last of its labels is "no class"
            weights["level.bias"] = weights["level.bias"] + known.plane.weight[-1]
        rows = sum(self.conditions.widths)  # blocks of the way down are the first of a denoiser
        weights |= {f"modulate.{part}": weights[f"modulate.{part}"][:rows] for part in ("weight", "bias")}
        self.conditions.load_state_dict(weights)
        self.encoder.load_state_dict(denoiser.encoder.state_dict())

    def get_classifier(self) -> nn.Module:
        """The last layer."""
        return self.head

    def forward_features(self, inputs: torch.Tensor) -> torch.Tensor:
        """Maps (batch, channels, height, width) of standardised images (batch, 1, height, width)."""
        time = torch.full((1,), math.log(self.sigma) / 4, device=inputs.device)
        seen = inputs * self.pixel_scale + self.pixel_shift
        return functional.silu(self.norm(self.encoder(seen, self.conditions(time, None, None))[-1]))

    def forward_head(self, maps: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Logits (batch, classes) of maps, or what the last layer sees of them (batch, channels)."""
        pooled = maps.mean(dim=(2, 3))
        return pooled if pre_logits else self.head(pooled)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits (batch, classes) of standardised images (batch, 1, height, width)."""
        return self.forward_head(self.forward_features(inputs))


_SHARED = (
    "frequency",
    "phase",
    "level",
    "mix",
    "modulate",
)  # of the conditions, what does not depend on classes or moves


@register_model
def denoiser_encoder(
    pretrained: bool = False,
    *,
    in_chans: int = 1,
    num_classes: int = 2,
    pretrained_cfg: Any = None,
    pretrained_cfg_overlay: Any = None,
    cache_dir: Any = None,
    **arguments: Any,
) -> DenoiserEncoder:
    """Called by ``timm.create_model``; `arguments` as for `DenoiserEncoder`, which takes images of one channel."""
    return DenoiserEncoder(num_classes=num_classes, **arguments)


def begin_with(model: Normalised, folder: Path) -> None:
    """Give a classifier the averaged weights of a saved generator's denoiser, and have it see pixels as that one does.

    Raises
    ------
    FetalkitError
        When the generator is missing or damaged, or of another shape.
    """
    about = card.read_card(folder)
    with networks.complete(folder), torch.no_grad():
        denoiser = networks.read(Denoiser, folder / "denoiser", torch.device("cpu"))
        model.network.begin_with(denoiser)
        model.network.see(PixelScale(float(about["pixel_mean"]), float(about["pixel_std"])))
