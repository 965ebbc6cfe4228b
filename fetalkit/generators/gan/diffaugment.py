"""Differentiable augmentation of what a discriminator sees, real or drawn: with few images it learns them by heart without.

The policy "color, translation, cutout" of DiffAugment [1]_; grey images have no saturation, hence brightness and contrast
alone. Uncovered and cut out pixels are 0, mid-grey, as published.

References
----------
.. [1] Zhao et al., Differentiable Augmentation for Data-Efficient GAN Training, NeurIPS 2020, arXiv 2006.10738.
"""

import torch
from torch.nn import functional

from fetalkit.utils import devices

# Largest shift and side of the hole (shares of the side of the image), half-ranges of brightness and of the contrast around 1.
SHIFT, HOLE, BRIGHTNESS, CONTRAST = 0.125, 0.5, 0.5, 0.5


def augment(images: torch.Tensor, share: float, random: torch.Generator) -> torch.Tensor:
    """Change brightness and contrast, shift, and cut a hole; gradients flow back to `images`.

    Parameters
    ----------
    images
        Float (batch, 1, height, width), in [-1, 1].
    share
        Probability of each of the three changes, for every image on its own; 1 as published, 0 for none.
    random
        On the CPU.

    Returns
    -------
    torch.Tensor
        Of the same shape; brightness and contrast can lead out of [-1, 1].
    """
    for change in (_colour, _shift, _cut):
        chosen = torch.rand(len(images), 1, 1, 1, generator=random) < share
        images = torch.where(devices.send(chosen, images.device), change(images, random), images)
    return images


def _uniform(n: int, reach: float, random: torch.Generator) -> torch.Tensor:
    """(n, 1, 1, 1) in [-reach, reach)."""
    return (2 * torch.rand(n, 1, 1, 1, generator=random) - 1) * reach


def _colour(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    brightness = devices.send(_uniform(len(images), BRIGHTNESS, random), images.device).to(images.dtype)
    contrast = 1 + devices.send(_uniform(len(images), CONTRAST, random), images.device).to(images.dtype)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * contrast + mean + brightness


def _positions(n: int, reach: int, random: torch.Generator, device: torch.device) -> torch.Tensor:
    """Whole numbers (n, 1) in [0, reach]."""
    return devices.send(torch.randint(reach + 1, (n, 1), generator=random), device)


def _shift(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    batch, _, height, width = images.shape
    margins = [round(SHIFT * side) for side in (height, width)]
    rows, columns = (
        torch.arange(side, device=images.device) + _positions(batch, 2 * margin, random, images.device)
        for side, margin in zip((height, width), margins, strict=True)
    )
    padded = functional.pad(images, [margins[1], margins[1], margins[0], margins[0]])
    which = torch.arange(batch, device=images.device)[:, None, None]
    return padded[which, 0, rows[:, :, None], columns[:, None, :]][:, None]


def _cut(images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    batch, _, height, width = images.shape
    inside = []
    for side in (height, width):
        # The middle may lie anywhere in the image: the hole can reach over its border.
        away = torch.arange(side, device=images.device) - _positions(batch, side, random, images.device)
        half = round(HOLE * side / 2)
        inside.append((away >= -half) & (away < half))
    return images.masked_fill((inside[0][:, :, None] & inside[1][:, None, :])[:, None], 0.0)
