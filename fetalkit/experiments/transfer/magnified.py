"""Synthetic images at several magnifications, from a diffusion model that was told how its training images were magnified.

The network learns moved images with the movement as a condition (`generators.diffusion.augmentation`), and is asked for no
movement when images are drawn. Here it is asked for a magnification: detail is drawn at that scale, not resampled.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from fetalkit.generators.diffusion.augmentation import SPREAD
from fetalkit.generators.diffusion.denoiser import Denoiser
from fetalkit.generators.diffusion.generator import DiffusionGenerator
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.streams import rng

# Place of the logarithm of the size among the movements, and how far they go in training, in units of `SPREAD`.
SIZE, MOST = 2, 2.5


class Magnified:
    """A denoiser that is told, whatever it denoises, that the image was magnified.

    Parameters
    ----------
    denoiser
        The network.
    magnification
        1.25 for the part of an image that is 1 / 1.25 as wide and high.
    """

    def __init__(self, denoiser: Denoiser, magnification: float):
        self.denoiser, self.moves = denoiser, torch.zeros(len(SPREAD))
        self.moves[SIZE] = math.log(magnification) / SPREAD[SIZE]

    def __call__(self, sample: torch.Tensor, timestep: torch.Tensor, class_labels: torch.Tensor):
        """As `fetalkit.generators.diffusion.denoiser.Denoiser.forward`, with the movement."""
        moves = self.moves.to(sample).expand(len(sample), -1)
        return self.denoiser(sample, timestep, class_labels, moves)


def sample(
    generator: DiffusionGenerator, labels: np.ndarray, magnifications: Sequence[float], *, seed: int, **options: Any
) -> np.ndarray:
    """Draw one image for every label, the magnifications by turns.

    Parameters
    ----------
    generator
        A trained one. Of its training images a share was magnified at random (``augment``), so that it knows how.
    labels, seed, options
        As for `fetalkit.generators.diffusion.generator.DiffusionGenerator.sample`.
    magnifications
        Within what training images were magnified by: about 0.74 to 1.35.

    Returns
    -------
    numpy.ndarray
        uint8, shape ``(n, size, size)``.

    Raises
    ------
    FetalkitError
        When a magnification lies outside, the generator was trained on images that were not moved, or as `sample` does.
    """
    furthest = MOST * float(SPREAD[SIZE])
    if outside := [number for number in magnifications if abs(math.log(number)) > furthest]:
        least, most = math.exp(-furthest), math.exp(furthest)
        raise FetalkitError(
            f"magnification {outside[0]:g}: the generator knows {least:.2f} to {most:.2f}; correct generator.magnifications "
            f"of transfer in params.yaml"
        )
    if not generator.training.augment:
        raise FetalkitError(
            "this generator knows no magnified images; train it with generators.diffusion.training.augment above 0"
        )
    images = np.empty((len(labels), generator.image_size, generator.image_size), np.uint8)
    for turn, magnification in enumerate(magnifications):
        rows = np.arange(turn, len(labels), len(magnifications))
        if len(rows):
            told = copy.copy(generator)
            told.denoiser = Magnified(generator.denoiser, magnification)
            images[rows] = told.sample(labels[rows], seed=rng(seed, "magnified", turn).initial_seed(), **options)
    return images
