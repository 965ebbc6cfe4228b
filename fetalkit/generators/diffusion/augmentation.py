"""Movements of training images that the network is told about, so that none shows in what it draws.

Small sets are learnt by heart; images that are moved a little every time are not. A network that gets the movement as an
input learns the unmoved images as the case "no movement" [1]_, which is the one that is drawn.

References
----------
.. [1] Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, NeurIPS 2022, appendix F.2.
"""

import numpy as np
import torch
from torch.nn import functional

from fetalkit.utils import devices

# Standard deviations: shift across and down (share of the side), logarithm of the size, angle (rad), logarithm of the
# aspect ratio.
SPREAD = torch.tensor([0.06, 0.06, 0.12, 0.12, 0.08])


def mirror(images: np.ndarray, generator: torch.Generator) -> tuple[np.ndarray, torch.Tensor]:
    """Mirror half of the images left to right: either side may be the left one in a scan.

    Parameters
    ----------
    images
        (n, height, width).
    generator
        On the CPU.

    Returns
    -------
    images : numpy.ndarray
        Of the same shape.
    mirrored : torch.Tensor
        bool (n,), which ones were. A network that is not told draws captions and scales of the device on either side, too.
    """
    mirrored = torch.rand(len(images), generator=generator) < 0.5
    return np.where(mirrored.numpy()[:, None, None], images[:, :, ::-1], images), mirrored


def move(images: torch.Tensor, share: float, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Shift, scale, turn and stretch a share of the images at random.

    Parameters
    ----------
    images
        Float (batch, 1, height, width); what comes in from outside is black, i.e. each image's own minimum.
    share
        Probability that an image is moved.
    generator
        On the CPU.

    Returns
    -------
    images : torch.Tensor
        Of the same shape.
    moves : torch.Tensor
        (batch, 5), what was done in units of `SPREAD`; zeros for an image that was left alone.
    """
    moves = torch.randn(len(images), len(SPREAD), generator=generator).clamp(-2.5, 2.5)
    moves *= torch.rand(len(images), 1, generator=generator) < share
    across, down, size, angle, aspect = (moves * SPREAD).unbind(dim=1)
    wide, high = torch.exp(-size - aspect / 2), torch.exp(-size + aspect / 2)
    rows = [wide * angle.cos(), -wide * angle.sin(), 2 * across, high * angle.sin(), high * angle.cos(), 2 * down]
    matrices = devices.send(torch.stack(rows, 1).view(-1, 2, 3), images.device)
    grid = functional.affine_grid(matrices, list(images.shape), False)
    black = images.amin(dim=(2, 3), keepdim=True)
    return functional.grid_sample(images - black, grid, align_corners=False) + black, devices.send(moves, images.device)
