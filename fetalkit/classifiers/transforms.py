"""Augmentation of whole batches of tensors, the same for every arm of the study."""

import torch
from torch.nn import functional

from fetalkit.utils import devices

ROTATION = 15.0  # degrees
SCALE = (0.85, 1.2)
WIDE = (0.8, 1.69)  # magnification, from zoomed out to a crop of 0.35 of the image's area
SHIFT = 0.08  # of the image's side
GAIN = 0.15  # of the grey range
GAMMA = 0.25  # in log units


def uniform(low: float, high: float, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """One number between `low` and `high` for each of `images`, float (batch,) on their device.

    It is drawn on the CPU, where `generator` lives, so that all devices draw the same numbers.
    """
    draws = torch.rand(len(images), generator=generator) * (high - low) + low
    return devices.send(draws, images.device)


def move(
    images: torch.Tensor, generator: torch.Generator, scale: tuple[float, float] = SCALE, roam: bool = False
) -> torch.Tensor:
    """Random flip left to right, rotation, scale and shift, drawn per image.

    Parameters
    ----------
    images
        Float (batch, 1, height, width).
    generator
        On the CPU.
    scale
        Least and largest magnification; 1.2 shows the part of an image that is 1 / 1.2 as wide and high.
    roam
        Let a magnified image show any part, also a corner (a random crop), and not only parts near the middle.

    Returns
    -------
    torch.Tensor
        Same shape and range as `images`; black where there was no image.
    """
    angle = torch.deg2rad(uniform(-ROTATION, ROTATION, images, generator))
    zoom = 1 / uniform(*scale, images, generator)
    flip = torch.where(uniform(0, 1, images, generator) < 0.5, -1.0, 1.0)
    # In grid units, of which a side has two; a part of `zoom` of a side can move by `1 - zoom` either way.
    reach = (1 - zoom).clamp(min=2 * SHIFT) if roam else 2 * SHIFT
    right, below = (uniform(0, 1, images, generator) * (2 * reach) - reach for _ in range(2))
    # One resampling for all geometry; rows of the matrices from output to input coordinates.
    across = torch.stack([flip * zoom * angle.cos(), -zoom * angle.sin(), right], dim=1)
    down = torch.stack([flip * zoom * angle.sin(), zoom * angle.cos(), below], dim=1)
    grid = functional.affine_grid(torch.stack([across, down], dim=1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def tone(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Random contrast, brightness and gamma, drawn per image; shape and range [0, 1] as given."""
    contrast = uniform(1 - GAIN, 1 + GAIN, images, generator)
    offset = uniform(-GAIN, GAIN, images, generator) / 2
    gamma = uniform(-GAMMA, GAMMA, images, generator).exp()
    shape = (len(images), 1, 1, 1)
    # The offset scales with the grey value: the black around the fan stays black.
    toned = images.clamp(min=1e-4) ** gamma.view(shape) * (contrast + offset).view(shape)
    return toned.clamp(0, 1)


def augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Random flip, rotation, scale, shift, contrast, brightness and gamma, drawn per image.

    Parameters
    ----------
    images
        Float (batch, 1, height, width) in [0, 1].
    generator
        On the CPU, whatever the device of `images`, so that all devices draw the same numbers.

    Returns
    -------
    torch.Tensor
        Same shape and range as `images`.
    """
    return tone(move(images, generator), generator)


def crop(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Random flip and rotation, and a magnification from zoomed out to a crop of a third of the area, anywhere."""
    return move(images, generator, scale=WIDE, roam=True)


def multi_scale(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """As `augment`, but with the wide range of scales of `crop`."""
    return tone(crop(images, generator), generator)
