"""The two networks of the conditional GAN: those of DCGAN [1]_, made conditional, with few channels at high resolution.

A GAN learns from many steps, so both are small. Pixels are folded into channels and tensors are channels-last, as in
`fetalkit.generators.diffusion.denoiser`; convolutions run in the precision of the surrounding `torch.autocast`.

References
----------
.. [1] Radford et al., Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks, ICLR
   2016, arXiv 1511.06434.
.. [2] Miyato and Koyama, cGANs with Projection Discriminator, ICLR 2018, arXiv 1802.05637.
.. [3] Brock et al., Large Scale GAN Training for High Fidelity Natural Image Synthesis, ICLR 2019, arXiv 1809.11096.
.. [4] Karras et al., Progressive Growing of GANs, ICLR 2018, arXiv 1710.10196.
"""

from itertools import pairwise

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import nn
from torch.nn import functional

# Images whose variety the discriminator sees together; length of the vector that stands for a class.
TOGETHER, PLANE = 4, 32
# Scales and shifts begin with about this standard deviation: a latent vector matters from the first step, but does not rule.
STYLE = 0.2


def _active(hidden: torch.Tensor) -> torch.Tensor:
    return functional.leaky_relu(hidden, 0.2)


class _Stage(nn.Module):
    """Doubles the resolution: convolution, then batch normalisation with scale and shift that latent and class set [3]_."""

    def __init__(self, inputs: int, outputs: int, style: int):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs, affine=False)
        self.modulate = nn.Linear(style, 2 * outputs)
        nn.init.normal_(self.modulate.weight, std=STYLE * style**-0.5)

    def forward(self, inputs: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        scale, shift = self.modulate(style).float()[:, :, None, None].chunk(2, dim=1)
        hidden = self.norm(self.convolution(functional.interpolate(inputs, scale_factor=2, mode="nearest")))
        return _active(torch.addcmul(shift, hidden.float(), 1 + scale))


class GeneratorNetwork(ModelMixin, ConfigMixin):
    """Network that turns a latent vector and a class into an image.

    Parameters
    ----------
    n_classes, image_size
        Number of planes, and height and width of the images in pixels.
    unshuffle, channels, latent
        As in :class:`fetalkit.generators.gan.settings.GanTraining`.
    """

    @register_to_config
    def __init__(self, n_classes: int, image_size: int, unshuffle: int, channels: list[int], latent: int):
        super().__init__()
        self.side, style = image_size // unshuffle // 2 ** (len(channels) - 1), latent + PLANE
        self.plane = nn.Embedding(n_classes, PLANE)
        self.first = nn.Linear(style, channels[-1] * self.side**2)
        self.stages = nn.ModuleList(_Stage(inputs, outputs, style) for inputs, outputs in pairwise(channels[::-1]))
        self.out = nn.Conv2d(channels[0], unshuffle**2, 3, padding=1)
        nn.Module.to(self, memory_format=torch.channels_last)

    def forward(self, latent: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Images (batch, 1, size, size), float32 in [-1, 1].

        Parameters
        ----------
        latent
            Standard normal, (batch, latent).
        labels
            int64, (batch,).
        """
        style = torch.cat([latent, self.plane(labels)], dim=1)
        hidden = _active(self.first(style)).view(len(latent), self.side, self.side, -1).permute(0, 3, 1, 2)
        for stage in self.stages:
            hidden = stage(hidden, style)
        return functional.pixel_shuffle(self.out(hidden), self.config["unshuffle"]).float().tanh()


class Discriminator(nn.Module):
    """Says how real an image of a class looks: strided convolutions with batch normalisation, and a projection [2]_.

    Parameters
    ----------
    n_classes, unshuffle, channels
        As in :class:`fetalkit.generators.gan.settings.GanTraining`.
    """

    def __init__(self, n_classes: int, unshuffle: int, channels: list[int]):
        super().__init__()
        self.unshuffle = unshuffle
        self.stem = nn.Conv2d(unshuffle**2, channels[0], 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.BatchNorm2d(outputs))
            for inputs, outputs in pairwise(channels)
        )
        self.last = nn.Conv2d(channels[-1] + 1, channels[-1], 3, padding=1)
        self.real, self.plane = nn.Linear(channels[-1], 1), nn.Embedding(n_classes, channels[-1])
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
        hidden = _active(self.stem(folded.contiguous(memory_format=torch.channels_last)))
        for block in self.blocks:
            hidden = _active(block(hidden))
        hidden = self.last(torch.cat([hidden, variety(hidden)], dim=1))
        features = _active(hidden.float()).mean(dim=(2, 3))
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


@torch.no_grad()
def recompute_batch_norm(
    network: GeneratorNetwork, latents: torch.Tensor, labels: torch.Tensor, batch_size: int
) -> None:
    """Measure the means and variances of the network's batch normalisations anew, and leave it in evaluation mode.

    Those of the training belong to other weights than the averaged ones ("standing statistics" [3]_).

    Parameters
    ----------
    network
        Changed in place.
    latents, labels
        As for `GeneratorNetwork.forward`; many batches of them.
    batch_size
        As in training: what is measured is the mean over batches.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
    network.train()
    for vectors, classes in zip(latents.split(batch_size), labels.split(batch_size), strict=True):
        network(vectors, classes)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
