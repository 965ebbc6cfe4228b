"""What can be chosen of the diffusion generator, checked before anything is built."""

import math
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from fetalkit.config.sections import GuidanceKind, Rate, Section, Steps, unique
from fetalkit.generators import optimisers
from fetalkit.generators.networks import Channels, NetworkSettings
from fetalkit.generators.settings import SamplingSettings
from fetalkit.generators.trainer import snapshot_step

# Channels of one attention head.
HEAD = 32
# Range of the noise levels in sampling, for images of standard deviation `edm.SIGMA_DATA`.
SIGMA_MIN, SIGMA_MAX = 0.01, 80.0
NoiseLevel = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class DiffusionTraining(NetworkSettings):
    """Networks of a diffusion generator and their training.

    Attributes
    ----------
    unshuffle, channels
        As in :class:`fetalkit.generators.networks.NetworkSettings`.
    attention
        Whether there is self-attention, per resolution; such widths are multiples of 32.
    blocks
        Residual blocks per resolution on the way down, and again on the way up.
    steps, batch_size
        Length of the training and images per step.
    optimiser
        ``"muon"`` or ``"adamw"``; see `fetalkit.generators.optimisers`.
    learning_rate, warmup_fraction, weight_decay
        The rate rises over this share of the steps and then falls linearly towards zero.
    ema_length
        The weights are averaged over about this share of the steps made so far; in (0, 1).
    label_dropout
        Share of the training labels replaced by "no class", in [0, 1).
    sigma_mean, sigma_std
        Mean and standard deviation of the natural logarithm of the noise level in training. EDM's mean of -1.2 shows a short
        training too few of the high levels at which layout and plane are decided (measured: docs/generator.md).
    augment
        Share of the training images that are moved, turned and scaled, in [0, 1]; see
        `fetalkit.generators.diffusion.augmentation`. All are mirrored left to right at random, of which it is told, too.
    guide_steps
        Training steps of the noise-aware classifier that classifier guidance needs; 0 for none.
    snapshots
        Shares of the training, in (0, 1), after which the averaged weights are kept beside the final ones. Autoguidance leads
        away from the first of them.
    """

    channels: Channels = (32, 64, 128)
    attention: tuple[bool, ...] = (False, False, True)
    blocks: Annotated[int, Field(ge=1, le=8)] = 1
    steps: Steps = 1000
    batch_size: Annotated[int, Field(ge=1)] = 8
    optimiser: optimisers.Name = "muon"
    learning_rate: Rate = 2e-3
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.05
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.01
    ema_length: Rate = 0.1
    label_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    sigma_mean: Annotated[float, Field(allow_inf_nan=False)] = -0.8
    sigma_std: Annotated[float, Field(gt=0, lt=math.inf)] = 1.2
    augment: Annotated[float, Field(ge=0, le=1)] = 0.5
    guide_steps: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    snapshots: Annotated[tuple[Rate, ...], AfterValidator(unique)] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        widths, attention = self.channels, self.attention
        if len(widths) != len(attention):
            raise ValueError(f"channels {widths} and attention {attention} must be equally long")
        if any(width % HEAD for width, attended in zip(widths, attention, strict=True) if attended):
            raise ValueError(f"channels {widths} must be multiples of {HEAD} where there is attention {attention}")
        for number, share in enumerate(self.snapshots):
            for other in self.snapshots[:number]:
                if snapshot_step(share, self.steps) == snapshot_step(other, self.steps):
                    step = snapshot_step(share, self.steps)
                    raise ValueError(f"snapshots {other} and {share} are both step {step} of {self.steps}; drop one")
                if snapshot_name(share) == snapshot_name(other):
                    raise ValueError(f"snapshots {other} and {share} are one in whole percent; drop one")
        return self

    @property
    def early(self) -> tuple[float, ...]:
        """The first of the snapshots, as `snapshots` of a training that needs no more; empty where there are none."""
        return tuple(sorted(self.snapshots)[:1])


def snapshot_name(share: float) -> str:
    """Folder, below ``snapshots``, of the generator as it was after this share of its training: whole percent."""
    return f"{100 * share:.0f}"


class DiffusionSampling(SamplingSettings):
    """How images are drawn from a trained diffusion model.

    Attributes
    ----------
    steps
        Noise levels of the sampler: evaluations of the network per image, twice that with guidance.
    guidance_kind
        ``"classifier-free"``, ``"autoguidance"`` or ``"classifier"``; see `fetalkit.generators.diffusion.guidance`.
    guidance
        Scale. Of a classifier: 0 is none. Else 1 is none, i.e. purely conditional, and 0 is the weaker model alone.
    guidance_interval
        Lowest and highest noise level (sigma) at which it acts; data have standard deviation `edm.SIGMA_DATA`.
    phantom_sigma
        Phantom-guided drawing: the noise level that a simulated phantom of the plane is brought to before it is denoised,
        so that layout and label come from the simulator, texture from the model. The higher, the less of the phantom stays.
        0 draws from noise alone.
    """

    steps: Annotated[int, Field(ge=2, le=1000)] = 18
    guidance_kind: GuidanceKind = "classifier-free"
    guidance: Annotated[float, Field(ge=0, le=20)] = 1.5
    guidance_interval: tuple[NoiseLevel, NoiseLevel] = (0.0, 100.0)
    phantom_sigma: Annotated[float, Field(ge=0, le=SIGMA_MAX)] = 0.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        lowest, highest = self.guidance_interval
        if lowest > highest:
            raise ValueError(
                f"guidance_interval: [{lowest:g}, {highest:g}] is reversed; write the lowest noise level first"
            )
        return self

    @property
    def guides(self) -> bool:
        """Whether guidance changes anything."""
        return self.guidance != (0.0 if self.guidance_kind == "classifier" else 1.0)

    def guides_at(self, sigma: float) -> bool:
        """Whether guidance changes the prediction at this noise level."""
        lowest, highest = self.guidance_interval
        return self.guides and lowest <= sigma <= highest

    def check(self, training: Section) -> None:
        """Raise ValueError where guidance needs what the training does not make."""
        if not self.guides or not isinstance(training, DiffusionTraining):
            return
        if self.guidance_kind == "classifier" and not training.guide_steps:
            raise ValueError("guidance_kind: classifier needs training.guide_steps > 0")
        if self.guidance_kind == "autoguidance" and not training.snapshots:
            raise ValueError("guidance_kind: autoguidance needs training.snapshots")
        if self.guidance_kind != "classifier" and not training.label_dropout:
            raise ValueError(
                f"guidance = {self.guidance:g}: {self.guidance_kind}, other than 1, needs training.label_dropout > 0"
            )
