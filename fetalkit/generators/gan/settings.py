"""Settings of the GAN, checked before anything is built."""

from dataclasses import dataclass
from typing import ClassVar

from fetalkit.generators.checks import Checked


@dataclass(frozen=True, kw_only=True)
class Settings(Checked):
    """Settings of a conditional GAN; all are stored with the trained model.

    Attributes
    ----------
    n_classes
        Number of planes.
    planes
        Names of the planes, for the card of the saved model; empty or one per class.
    size
        Height and width of the images in pixels; a multiple of ``unshuffle * 2 ** (len(channels) - 1)``.
    unshuffle
        Factor by which pixels are folded into channels, as in the diffusion generator.
    channels
        Width of both networks at each resolution, finest first; multiples of 8.
    latent
        Length of the random vectors that images are drawn from.
    steps, batch_size
        Length of the training, and real images per step; as many are drawn.
    learning_rate, discriminator_rate
        Of Adam, for the two networks, through the first half of the training; they fall to zero in the second.
    ema_length
        The weights of the generator's network are averaged over about this share of the steps made so far; in (0, 1).
    augment
        Probability of each change of :func:`fetalkit.generators.gan.diffaugment.augment`, in [0, 1]. Besides, real images are
        mirrored left to right at random.
    penalty
        Weight of the gradient penalty R1, 0 for none.
    penalty_every
        Steps from one penalty to the next; its weight is multiplied by them.
    """

    KIND: ClassVar[str] = "gan"

    n_classes: int
    planes: tuple[str, ...] = ()
    size: int = 64
    unshuffle: int = 2
    channels: tuple[int, ...] = (32, 48, 96, 128)
    latent: int = 64
    steps: int = 1000
    batch_size: int = 16
    learning_rate: float = 1e-3
    discriminator_rate: float = 5e-4
    ema_length: float = 0.1
    augment: float = 1.0
    penalty: float = 0.003
    penalty_every: int = 8

    def _problem(self) -> str | None:
        counts = ("n_classes", "size", "unshuffle", "latent", "steps", "batch_size", "penalty_every")
        if small := self._too_small(counts, ("learning_rate", "discriminator_rate")):
            return small
        if not self.channels:
            return "channels must not be empty"
        if misfit := self._misfit():
            return misfit
        if not (0 < self.ema_length < 1 and 0 <= self.augment <= 1 and self.penalty >= 0):
            return "ema_length must lie in (0, 1), augment in [0, 1], and penalty must not be negative"
        return None
