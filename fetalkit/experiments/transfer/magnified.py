"""Synthetic images at several magnifications, from a diffusion model that was told how its training images were magnified.

The network learns moved images with the movement as a condition (`generators.diffusion.augmentation`), and is asked for no
movement when images are drawn. Here it is asked for a magnification: detail is drawn at that scale, not resampled.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn

from fetalkit.generators.base import Generator
from fetalkit.generators.diffusion.augmentation import SPREAD
from fetalkit.generators.diffusion.denoiser import MOVES
from fetalkit.generators.diffusion.generator import DiffusionGenerator
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.streams import rng

# Place of the logarithm of the size among the movements, and how far they go in training, in units of `SPREAD`.
SIZE, MOST = 2, 2.5


@contextmanager
def told(denoiser: nn.Module, magnification: float) -> Iterator[None]:
    """Meanwhile, the denoiser is told of whatever it denoises that the image was magnified.

    Parameters
    ----------
    denoiser
        A `fetalkit.generators.diffusion.denoiser.Denoiser`; left as it was.
    magnification
        1.25 for the part of an image that is 1 / 1.25 as wide and high.
    """
    movement = torch.zeros(MOVES)
    movement[SIZE] = math.log(magnification) / SPREAD[SIZE]

    def with_movement(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return *inputs, movement.to(inputs[0]).expand(len(inputs[0]), -1)

    hook = denoiser.register_forward_pre_hook(with_movement)
    try:
        yield
    finally:
        hook.remove()


def sample(
    generator: Generator, labels: np.ndarray, magnifications: Sequence[float], *, seed: int, **options: Any
) -> np.ndarray:
    """Draw one image for every label, the magnifications by turns.

    Parameters
    ----------
    generator
        A trained `fetalkit.generators.diffusion.generator.DiffusionGenerator`. Of its training images a share was magnified at
        random (``augment``), so that it knows how.
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
        When a magnification lies outside, the generator is of another kind or was trained on images that were not moved, or as
        its `sample` does.
    """
    furthest = MOST * float(SPREAD[SIZE])
    if outside := [number for number in magnifications if abs(math.log(number)) > furthest]:
        least, most = math.exp(-furthest), math.exp(furthest)
        raise FetalkitError(
            f"magnification {outside[0]:g}: the generator knows {least:.2f} to {most:.2f}; correct generator.magnifications "
            f"of transfer in params.yaml"
        )
    if not isinstance(generator, DiffusionGenerator) or not generator.training.augment:
        raise FetalkitError(
            "this generator knows no magnified images; use a diffusion model, and train it with "
            "generators.diffusion.training.augment above 0"
        )
    images = np.empty((len(labels), generator.image_size, generator.image_size), np.uint8)
    for turn, magnification in enumerate(magnifications):
        rows = np.arange(turn, len(labels), len(magnifications))
        if len(rows):
            with told(generator.denoiser, magnification) if generator.denoiser is not None else nullcontext():
                images[rows] = generator.sample(
                    labels[rows], seed=rng(seed, "magnified", turn).initial_seed(), **options
                )
    return images
