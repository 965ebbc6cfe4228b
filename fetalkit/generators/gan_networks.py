"""The two networks of the conditional GAN: residual, with few channels at high resolution, like the denoiser's.

Pixels are folded into channels, tensors are channels-last, and convolutions run in the precision of the surrounding
`torch.autocast`, as in `fetalkit.generators.denoiser`, whose blocks the generator's network is made of.

References
----------
.. [1] Miyato and Koyama, cGANs with Projection Discriminator, ICLR 2018, arXiv 1802.05637.
.. [2] Miyato et al., Spectral Normalization for Generative Adversarial Networks, ICLR 2018, arXiv 1802.05957.
.. [3] Brock et al., Large Scale GAN Training for High Fidelity Natural Image Synthesis, ICLR 2019, arXiv 1809.11096.
.. [4] Karras et al., Progressive Growing of GANs, ICLR 2018, arXiv 1710.10196.
"""

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from fetalkit.generators.denoiser import GROUPS, Block, Norm

# Images whose variety the discriminator sees together.
TOGETHER = 4


class Painter(ModelMixin, ConfigMixin):
    """Network that turns a latent vector and a class into an image.

    Latent vector and class set scale and shift in every block, as in [3]_.

    Parameters
    ----------
    n_classes, size, unshuffle, channels, latent
        As in :class:`fetalkit.generators.gan_settings.Settings`.
    """

    @register_to_config
    def __init__(self, n_classes: int, size: int, unshuffle: int, channels: list[int], latent: int):
        super().__init__()
        self.side, width = size // unshuffle // 2 ** (len(channels) - 1), channels[-1]
        self.style, self.plane = nn.Linear(latent, width), nn.Embedding(n_classes, width)
        self.mix = nn.Linear(width, width)
        self.first = nn.Linear(width, width * self.side**2)
        inputs = [width, *channels[:0:-1]]
        self.blocks = nn.ModuleList(Block(a, b, False) for a, b in zip(inputs, channels[::-1], strict=True))
        self.modulate = nn.Linear(width, sum(2 * block.outputs for block in self.blocks))
        self.norm, self.out = Norm(GROUPS, channels[0]), nn.Conv2d(channels[0], unshuffle**2, 3, padding=1)
        self.to(memory_format=torch.channels_last)

    def forward(self, latent: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Images (batch, 1, size, size), float32 in [-1, 1].

        Parameters
        ----------
        latent
            Standard normal, (batch, latent).
        labels
            int64, (batch,).
        """
        vector = functional.silu(self.mix(functional.silu(self.style(latent) + self.plane(labels))))
        hidden = self.first(vector).view(len(latent), self.side, self.side, -1).permute(0, 3, 1, 2)
        modulations = self.modulate(vector).split([2 * block.outputs for block in self.blocks], dim=1)
        for number, (block, modulation) in enumerate(zip(self.blocks, modulations, strict=True)):
            if number:
                hidden = functional.interpolate(hidden, scale_factor=2, mode="nearest")
            hidden = block(hidden, modulation)
        folded = self.out(functional.silu(self.norm(hidden)))
        return functional.pixel_shuffle(folded, self.config.unshuffle).float().tanh()


def _convolution(inputs: int, outputs: int, side: int) -> nn.Module:
    return spectral_norm(nn.Conv2d(inputs, outputs, side, padding=side // 2))


class _Judge(nn.Module):
    """Residual block that halves the resolution, unless it is the first one."""

    def __init__(self, inputs: int, outputs: int, halve: bool):
        super().__init__()
        self.first, self.second = _convolution(inputs, outputs, 3), _convolution(outputs, outputs, 3)
        self.skip, self.halve = _convolution(inputs, outputs, 1), nn.AvgPool2d(2) if halve else nn.Identity()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden = self.first(functional.leaky_relu(inputs, 0.2))
        hidden = self.halve(self.second(functional.leaky_relu(hidden, 0.2)))
        return self.skip(self.halve(inputs)) + hidden


class Discriminator(nn.Module):
    """Says how real an image of a class looks: projection discriminator [1]_, all weights spectrally normalised [2]_.

    Parameters
    ----------
    n_classes, unshuffle, channels
        As in :class:`fetalkit.generators.gan_settings.Settings`.
    """

    def __init__(self, n_classes: int, unshuffle: int, channels: list[int]):
        super().__init__()
        self.unshuffle = unshuffle
        self.stem = _convolution(unshuffle**2, channels[0], 3)
        inputs = [channels[0], *channels[:-1]]
        self.blocks = nn.ModuleList(
            _Judge(a, b, halve=number > 0) for number, (a, b) in enumerate(zip(inputs, channels, strict=True))
        )
        self.last = _convolution(channels[-1] + 1, channels[-1], 3)
        self.real = spectral_norm(nn.Linear(channels[-1], 1))
        self.plane = spectral_norm(nn.Embedding(n_classes, channels[-1]))
        self.to(memory_format=torch.channels_last)

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Scores (batch,), float32, high for images that look real.

        Parameters
        ----------
        images
            (batch, 1, size, size), all real or all drawn: it compares them with each other.
        labels
            int64, (batch,).
        """
        folded = functional.pixel_unshuffle(images, self.unshuffle)
        hidden = self.stem(folded.contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            hidden = block(hidden)
        hidden = self.last(torch.cat([hidden, variety(hidden)], dim=1))
        features = functional.leaky_relu(hidden.float(), 0.2).sum(dim=(2, 3))
        return (self.real(features)[:, 0] + (self.plane(labels) * features).sum(dim=1)).float()


def variety(features: torch.Tensor) -> torch.Tensor:
    """How much the images of a group differ, as one more channel [4]_: it gives away a generator that repeats itself.

    Parameters
    ----------
    features
        (batch, channel, height, width). Groups are of `TOGETHER` images where the batch can be divided so, else the batch.

    Returns
    -------
    torch.Tensor
        (batch, 1, height, width): standard deviation over the group, averaged over channels and positions.
    """
    batch, _, height, width = features.shape
    size = TOGETHER if batch % TOGETHER == 0 else batch
    # Images of a group stand apart by batch / size places.
    groups = features.float().reshape(size, batch // size, -1)
    spread = (groups.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=1)
    return spread.repeat(size)[:, None, None, None].expand(batch, 1, height, width).to(features.dtype)
