"""What the networks of the diffusion generator learn from: scaled grey levels, batches, and their losses."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from fetalkit.data import sampling
from fetalkit.generators import networks
from fetalkit.generators.diffusion import augmentation, edm
from fetalkit.generators.diffusion.settings import DiffusionTraining
from fetalkit.utils import devices, processes
from fetalkit.utils.streams import rng


@dataclass(frozen=True)
class PixelScale:
    """Mean and standard deviation of the training images in [-1, 1]; networks work on ``(x - mean) * SIGMA_DATA / std``."""

    mean: float = 0.0
    std: float = 1.0

    @classmethod
    def of(cls, images: np.ndarray) -> "PixelScale":
        """Scale of uint8 images, any shape."""
        pixels = images / 127.5 - 1
        return cls(float(pixels.mean()), float(pixels.std()))

    def standardised(self, images: np.ndarray, device: torch.device) -> torch.Tensor:
        """Float (batch, 1, height, width) of uint8 images (batch, height, width)."""
        return (networks.pixels(images, device) - self.mean) * (edm.SIGMA_DATA / self.std)

    def as_images(self, standard: torch.Tensor) -> np.ndarray:
        """Inverse of `standardised`, rounded to uint8."""
        return networks.as_images(standard * (self.std / edm.SIGMA_DATA) + self.mean)


class Batch(NamedTuple):
    """One training step's images.

    Attributes
    ----------
    clean, noise
        Standardised images and standard normal noise, (batch, 1, height, width).
    classes
        int64 (batch,); for the denoiser a share of them is "no class".
    moves
        How the images were moved and whether they were mirrored, (batch, 6).
    sigma
        Noise levels, (batch,).
    """

    clean: torch.Tensor
    classes: torch.Tensor
    moves: torch.Tensor
    sigma: torch.Tensor
    noise: torch.Tensor


@dataclass(frozen=True)
class Losses:
    """Losses of the denoiser and of the guide on batches of a training set.

    Attributes
    ----------
    images, labels
        uint8 (n, height, width) and int64 (n,).
    no_class
        Label that stands for "no class"; labels above it are those of further sources, see `Denoiser`.
    scale
        Of the images.
    training
        Batch size, augmentation, label dropout and noise levels.
    seed
        Of all randomness.
    device, precision
        Where and in which type the networks compute.
    """

    images: np.ndarray
    labels: np.ndarray
    no_class: int
    scale: PixelScale
    training: DiffusionTraining
    seed: int
    device: torch.device
    precision: torch.dtype

    def denoising(self, denoiser: nn.Module) -> Callable[[int], torch.Tensor]:
        """Function of the step: mean squared error of the noise that `denoiser` leaves in its batch."""
        passes: list[nn.Module] = [] if processes.count() == 1 else [denoiser]

        def loss(step: int) -> torch.Tensor:
            clean, classes, moves, sigma, noise = self._batch(step, "diffusion")

            def predict(seen: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
                inputs = (seen, time, classes, moves)
                if not passes:
                    passes.append(devices.graphed(denoiser, inputs, self.precision))
                return passes[0](*inputs).sample

            with networks.autocast(self.device, self.precision):
                return edm.denoising_loss(predict, clean, sigma, noise).mean()

        return loss

    def classification(self, guide: nn.Module) -> Callable[[int], torch.Tensor]:
        """Function of the step: cross-entropy of the planes that `guide` sees in its noisy batch."""

        def loss(step: int) -> torch.Tensor:
            clean, classes, moves, sigma, noise = self._batch(step, "guide")
            with networks.autocast(self.device, self.precision):
                return functional.cross_entropy(guide(*edm.noisy(clean, sigma, noise), moves), classes)

        return loss

    def _batch(self, step: int, purpose: str) -> Batch:
        """All its randomness comes from the number of the step, on the CPU: resuming needs no random state.

        Processes that share the training draw the whole batch alike, and each takes its part.
        """
        training = self.training
        rows = sampling.indices(len(self.images), training.batch_size, step, f"{self.seed}-{purpose}").numpy()
        random = rng(self.seed, purpose, step)
        seen, mirrored = augmentation.mirror(self.images[rows], random)
        clean, moves = augmentation.move(self.scale.standardised(seen, self.device), training.augment, random)
        moves = torch.cat([moves, devices.send(mirrored.float(), self.device)[:, None]], dim=1)
        classes = torch.from_numpy(self.labels[rows].astype(np.int64))
        if purpose == "diffusion":
            dropped = torch.rand(len(rows), generator=random) < training.label_dropout
            n_labels = self.no_class + 1
            # Of a source, the class is dropped and not the source itself.
            classes = torch.where(dropped, classes // n_labels * n_labels + self.no_class, classes)
        sigma = edm.noise_levels(len(rows), training.sigma_mean, training.sigma_std, random)
        noise = torch.randn(clean.shape, generator=random)
        whole = Batch(clean, *(devices.send(values, self.device) for values in (classes, moves, sigma, noise)))
        return Batch(*(values[processes.part(len(rows))] for values in whole))
