"""Settings of the diffusion generator, checked before anything is built."""

from dataclasses import dataclass
from typing import ClassVar

from fetalkit.generators.checks import Checked


@dataclass(frozen=True, kw_only=True)
class Settings(Checked):
    """Settings of a diffusion generator; all are stored with the trained model.

    Attributes
    ----------
    n_classes
        Number of planes. Index `n_classes` stands for "no class" in classifier-free guidance.
    planes
        Names of the planes, for the card of the saved model; empty or one per class.
    size
        Height and width of the images in pixels; a multiple of ``unshuffle * 2 ** (len(channels) - 1)``.
    unshuffle
        Factor by which pixels are folded into channels before the network:
        ``(1, size, size)`` becomes ``(unshuffle ** 2, size // unshuffle, size // unshuffle)``.
    channels
        Width of the network at each resolution, finest first; multiples of 8.
    attention
        Whether there is self-attention, per resolution; such widths are multiples of 32.
    blocks
        Residual blocks per resolution on the way down, and again on the way up.
    steps, batch_size
        Length of the training and images per step.
    learning_rate, warmup_fraction, weight_decay
        AdamW. The rate rises over this share of the steps and then falls linearly towards zero.
    ema_length
        The weights are averaged over about this share of the steps made so far; in (0, 1).
    label_dropout
        Share of the training labels replaced by "no class", in [0, 1).
    sigma_mean, sigma_std
        Mean and standard deviation of the natural logarithm of the noise level in training.
    augment
        Share of the training images that are moved, turned and scaled, in [0, 1]; see
        `fetalkit.generators.diffusion.augmentation`. All are mirrored left to right at random.
    guide_steps
        Training steps of the noise-aware classifier that classifier guidance needs; 0 for none.
    snapshots
        Shares of the training, in (0, 1), after which the averaged weights are kept beside the final ones.
    """

    KIND: ClassVar[str] = "diffusion"

    n_classes: int
    planes: tuple[str, ...] = ()
    size: int = 64
    unshuffle: int = 2
    channels: tuple[int, ...] = (32, 64, 128)
    attention: tuple[bool, ...] = (False, False, True)
    blocks: int = 1
    steps: int = 1000
    batch_size: int = 8
    learning_rate: float = 2e-3
    warmup_fraction: float = 0.05
    weight_decay: float = 0.01
    ema_length: float = 0.1
    label_dropout: float = 0.1
    sigma_mean: float = -1.2
    sigma_std: float = 1.2
    augment: float = 0.5
    guide_steps: int = 0
    snapshots: tuple[float, ...] = ()

    def _problem(self) -> str | None:
        small = self._too_small(
            ("n_classes", "size", "unshuffle", "blocks", "steps", "batch_size"), ("learning_rate", "sigma_std")
        )
        if small:
            return small
        if not self.channels or len(self.channels) != len(self.attention):
            return f"channels {self.channels} and attention {self.attention} must be equally long and not empty"
        if misfit := self._misfit():
            return misfit
        if any(width % 32 for width, attention in zip(self.channels, self.attention, strict=True) if attention):
            return f"channels {self.channels} must be multiples of 32 where there is attention {self.attention}"
        if not (0 <= self.label_dropout < 1 and 0 <= self.warmup_fraction < 1 and 0 < self.ema_length < 1):
            return "label_dropout and warmup_fraction must lie in [0, 1), and ema_length in (0, 1)"
        if not 0 <= self.augment <= 1 or self.guide_steps < 0 or not all(0 < share < 1 for share in self.snapshots):
            return "augment must lie in [0, 1], snapshots in (0, 1), and guide_steps must not be negative"
        return None
