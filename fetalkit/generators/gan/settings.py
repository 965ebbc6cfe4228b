"""What can be chosen of the GAN, checked before anything is built."""

import math
from typing import Annotated

from pydantic import Field

from fetalkit.config.sections import Rate, Steps
from fetalkit.generators.networks import Channels, NetworkSettings
from fetalkit.generators.settings import SamplingSettings


class GanTraining(NetworkSettings):
    """Both networks of a conditional GAN and their training.

    Attributes
    ----------
    unshuffle, channels
        As in :class:`fetalkit.generators.networks.NetworkSettings`, of both networks.
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

    channels: Channels = (32, 48, 96, 128)
    latent: Annotated[int, Field(ge=1)] = 64
    steps: Steps = 1000
    batch_size: Annotated[int, Field(ge=1)] = 16
    learning_rate: Rate = 1e-3
    discriminator_rate: Rate = 5e-4
    ema_length: Rate = 0.1
    augment: Annotated[float, Field(ge=0, le=1)] = 1.0
    penalty: Annotated[float, Field(ge=0, lt=math.inf)] = 0.003
    penalty_every: Annotated[int, Field(ge=1)] = 8


class ProjectedGanTraining(GanTraining):
    """The same for a projected GAN; see `fetalkit.generators.gan.projected`.

    Attributes
    ----------
    seen_size
        Side in px that images are brought to before the ImageNet network sees them; a multiple of 32.
    variety
        Weight of the loss that demands different images of different latent vectors; 0 for none.
    """

    discriminator_rate: Rate = 2e-4
    learning_rate: Rate = 5e-4
    batch_size: Annotated[int, Field(ge=2)] = 32
    penalty: Annotated[float, Field(ge=0, lt=math.inf)] = 0.0
    seen_size: Annotated[int, Field(ge=32, le=512, multiple_of=32)] = 64
    variety: Annotated[float, Field(ge=0, lt=math.inf)] = 0.25


class GanSampling(SamplingSettings):
    """How images are drawn from a trained GAN.

    Attributes
    ----------
    temperature
        Standard deviation of the latent vectors: below 1 images are more typical and less varied.
    """

    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
