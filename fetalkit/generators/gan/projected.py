"""Projected GAN: the discriminator sees what a frozen ImageNet network makes of an image, not its pixels.

A discriminator that learns to see from a few hundred images learns them by heart before it has seen what they share.
Features that are there from the start spare it that [1]_. They are those of EfficientNet-Lite0 at four resolutions, mixed
across channels and from coarse to fine by random weights that are never trained; each resolution has a small discriminator of
its own [3]_. What still happens with few images is that one picture is drawn per plane: a further loss asks for images that
differ as their latent vectors do [2]_.

Who compares its images with real ones should do so in other features, too: distances in those of EfficientNet-Lite0 flatter it.

References
----------
.. [1] Sauer et al., Projected GANs Converge Faster, NeurIPS 2021, arXiv 2111.01007.
.. [2] Mao et al., Mode Seeking Generative Adversarial Networks for Diverse Image Synthesis, CVPR 2019, arXiv 1903.05628.
.. [3] Miyato et al., Spectral Normalization for Generative Adversarial Networks, ICLR 2018, arXiv 1802.05957.
"""

from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from fetalkit.generators.gan.adversarial import AdversarialTraining
from fetalkit.generators.gan.generator import GanGenerator
from fetalkit.generators.gan.settings import ProjectedGanTraining
from fetalkit.utils import devices, imagenet

# Channels of the mixed features and of the small discriminators.
WIDTH = 64
# Of a ratio of distances: below this, images count as equal.
SMALLEST = 0.01


class Projection(nn.Module):
    """Frozen features of images at four resolutions, finest first, each with `WIDTH` channels.

    Parameters
    ----------
    seen_size
        Side in px that images are brought to before.
    """

    def __init__(self, seen_size: int):
        super().__init__()
        import timm

        self.seen_size = seen_size
        # Strides 4, 8, 16 and 32: the one before holds little but edges.
        self.network: Any = timm.create_model(imagenet.NAME, features_only=True, out_indices=(1, 2, 3, 4), in_chans=1)
        known = imagenet.weights()
        # Filters summed over colours, which is the same as a grey image given three times.
        known["conv_stem.weight"] = known["conv_stem.weight"].sum(dim=1, keepdim=True)
        self.network.load_state_dict({name: known[name] for name in self.network.state_dict()})
        channels = self.network.feature_info.channels()
        self.across = nn.ModuleList(nn.Conv2d(width, WIDTH, 1) for width in channels)
        self.down = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 1) for _ in channels[1:])
        for mixing in cast(list[nn.Conv2d], [*self.across, *self.down]):
            nn.init.kaiming_normal_(mixing.weight, nonlinearity="linear")
            nn.init.zeros_(cast(torch.Tensor, mixing.bias))
        self.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    @property
    def sides(self) -> list[int]:
        """Height and width of the features."""
        return [self.seen_size // reduction for reduction in self.network.feature_info.reduction()]

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Features of images (batch, 1, height, width) in [-1, 1], which is what the network knows."""
        seen = functional.interpolate(images, size=(self.seen_size,) * 2, mode="bilinear")
        seen = seen.contiguous(memory_format=torch.channels_last)
        features = [mix(of) for mix, of in zip(self.across, self.network(seen), strict=True)]
        for level in reversed(range(len(self.down))):
            coarse = functional.interpolate(self.down[level](features[level + 1]), size=features[level].shape[-2:])
            features[level] = features[level] + coarse
        return features


class _Head(nn.Module):
    """Small discriminator of the features of one resolution: scores of places, with a projection of the class."""

    def __init__(self, n_classes: int, side: int):
        super().__init__()
        layers: list[nn.Module] = []
        while side > 4:
            layers += [spectral_norm(nn.Conv2d(WIDTH, WIDTH, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
            side //= 2
        layers += [spectral_norm(nn.Conv2d(WIDTH, WIDTH, 3, padding=1)), nn.LeakyReLU(0.2)]
        self.layers, self.real = nn.Sequential(*layers), spectral_norm(nn.Conv2d(WIDTH, 1, 1))
        self.plane = nn.Embedding(n_classes, WIDTH)
        nn.init.normal_(self.plane.weight, std=0.1)

    def forward(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        hidden = self.layers(features)
        of_class = (hidden * self.plane(labels)[:, :, None, None]).sum(dim=1)
        return (self.real(hidden)[:, 0] + of_class).flatten(1).float()


class ProjectedDiscriminator(nn.Module):
    """Scores of images by what a `Projection` shows of them.

    Parameters
    ----------
    n_classes
        Number of planes.
    seen_size
        As in :class:`fetalkit.generators.gan.settings.ProjectedGanTraining`.
    """

    def __init__(self, n_classes: int, seen_size: int):
        super().__init__()
        projection = Projection(seen_size)
        # Not a part of this network: nothing of it is trained, saved or switched to training.
        self.project = [projection]
        self.heads = nn.ModuleList(_Head(n_classes, side) for side in projection.sides)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Scores (batch, places of all resolutions), float32, high for what looks real.

        Parameters
        ----------
        images
            (batch, 1, size, size) in [-1, 1].
        labels
            int64, (batch,).
        """
        projection = self.project[0].to(images.device)
        return torch.cat([head(of, labels) for head, of in zip(self.heads, projection(images), strict=True)], dim=1)


class ProjectedTraining(AdversarialTraining):
    """`AdversarialTraining` whose drawn images must differ as their latent vectors do."""

    def _generator_loss(
        self, drawn: torch.Tensor, latent: torch.Tensor, labels: torch.Tensor, random: torch.Generator
    ) -> torch.Tensor:
        loss = super()._generator_loss(drawn, latent, labels, random)
        weight = cast(ProjectedGanTraining, self.training).variety
        if not weight:
            return loss
        half = len(labels) // 2
        others = devices.send(torch.randn(half, latent.shape[1], generator=random), latent.device)
        apart = difference(drawn[:half], self.network(others, labels[:half]))
        ratio = apart / (latent[:half] - others).abs().mean(dim=1)
        return loss + weight * (1 / (ratio + SMALLEST)).mean()


def difference(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of images (batch, 1, height, width) of equal brightness and contrast; shape (batch,)."""
    flat = [images.flatten(1) for images in (one, other)]
    equal = [(pixels - pixels.mean(dim=1, keepdim=True)) / (pixels.std(dim=1, keepdim=True) + 1e-3) for pixels in flat]
    return (equal[0] - equal[1]).abs().mean(dim=1)


class ProjectedGanGenerator(GanGenerator):
    """Conditional GAN whose discriminator sees ImageNet features.

    Parameters are those of :class:`fetalkit.generators.base.Generator`; beside the images it is given, it owes what it knows to
    ImageNet.
    """

    Training = ProjectedGanTraining
    adversarial = ProjectedTraining

    def _discriminator(self) -> nn.Module:
        training = cast(ProjectedGanTraining, self.training)
        return ProjectedDiscriminator(self.n_classes, training.seen_size)
