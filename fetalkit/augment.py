"""Augmentation of whole batches of tensors, the same for every arm of the study."""

import torch
from torch.nn import functional

ROTATION = 15.0  # degrees
SCALE = (0.85, 1.2)
SHIFT = 0.08  # of the image's side
GAIN = 0.15  # of the grey range
GAMMA = 0.25  # in log units


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
    n = len(images)

    def uniform(low: float, high: float) -> torch.Tensor:
        draws = torch.rand(n, generator=generator) * (high - low) + low
        return draws.to(images.device)

    angle = torch.deg2rad(uniform(-ROTATION, ROTATION))
    zoom = 1 / uniform(*SCALE)
    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    # One resampling for all geometry; rows of the matrices from output to input coordinates.
    across = torch.stack([flip * zoom * angle.cos(), -zoom * angle.sin(), uniform(-2 * SHIFT, 2 * SHIFT)], dim=1)
    down = torch.stack([flip * zoom * angle.sin(), zoom * angle.cos(), uniform(-2 * SHIFT, 2 * SHIFT)], dim=1)
    grid = functional.affine_grid(torch.stack([across, down], dim=1), list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, align_corners=False)

    contrast, offset, gamma = uniform(1 - GAIN, 1 + GAIN), uniform(-GAIN, GAIN) / 2, uniform(-GAMMA, GAMMA).exp()
    shape = (n, 1, 1, 1)
    # The offset scales with the grey value: the black around the fan stays black.
    toned = moved.clamp(min=1e-4) ** gamma.view(shape) * (contrast + offset).view(shape)
    return toned.clamp(0, 1)
