"""Noise levels, preconditioned loss and sampler of the EDM framework [1]_.

The network sees the noisy image divided by its standard deviation and the time ``ln(sigma) / 4``, and predicts a target
whose variance is 1 at every noise level. This is the convention of `EDMDPMSolverMultistepScheduler`, so that a trained
network and its scheduler work together in diffusers.

References
----------
.. [1] Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, NeurIPS 2022, arXiv 2206.00364.
.. [2] Kingma et al., Variational Diffusion Models, NeurIPS 2021, arXiv 2107.00630, appendix I.1.
.. [3] Lu et al., DPM-Solver++, 2022, arXiv 2211.01095.
.. [4] Meng et al., SDEdit: Guided Image Synthesis and Editing with Stochastic Differential Equations, ICLR 2022,
       arXiv 2108.01073.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from fetalkit.generators.diffusion.settings import SIGMA_MAX, SIGMA_MIN

if TYPE_CHECKING:
    from diffusers.schedulers.scheduling_edm_dpmsolver_multistep import EDMDPMSolverMultistepScheduler

# Standard deviation that images are scaled to; the value that the EDM defaults are made for.
SIGMA_DATA = 0.5


def noise_levels(n: int, mean: float, std: float, generator: torch.Generator) -> torch.Tensor:
    """Draw `n` noise levels, one from each of `n` equally likely slices of their log-normal distribution.

    Spreading the levels evenly over every batch lowers the variance of the loss [2]_.

    Parameters
    ----------
    n
        Number of images in the batch.
    mean, std
        Of the natural logarithm of the noise level.
    generator
        On the CPU.

    Returns
    -------
    torch.Tensor
        float32, shape ``(n,)``, ascending and positive.
    """
    quantile = (torch.arange(n) + torch.rand(n, generator=generator, dtype=torch.float64)) / n
    return torch.exp(mean + std * torch.special.ndtri(quantile.clamp(1e-9, 1 - 1e-9))).float()


def noisy(clean: torch.Tensor, sigma: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What a network sees of noisy images: the images at variance 1, and the times ``ln(sigma) / 4``.

    Parameters
    ----------
    clean, noise
        Shape ``(batch, channel, height, width)``; images of standard deviation `SIGMA_DATA`, and standard normal noise.
    sigma
        Noise levels, shape ``(batch,)``.
    """
    level = sigma[:, None, None, None]
    return (clean + level * noise) / (level.square() + SIGMA_DATA**2).sqrt(), sigma.log() / 4


def denoising_loss(
    predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    clean: torch.Tensor,
    sigma: torch.Tensor,
    noise: torch.Tensor,
) -> torch.Tensor:
    """Mean squared error of the preconditioned prediction, per image; 1 is that of a network that predicts zero.

    Parameters
    ----------
    predict
        Takes what `noisy` returns, and predicts a tensor like its images.
    clean, sigma, noise
        As for `noisy`.

    Returns
    -------
    torch.Tensor
        Shape ``(batch,)``.
    """
    seen, time = noisy(clean, sigma, noise)
    level = sigma[:, None, None, None]
    total = (level.square() + SIGMA_DATA**2).sqrt()
    c_skip, c_out = SIGMA_DATA**2 / total.square(), level * SIGMA_DATA / total
    target = (clean - c_skip * seen * total) / c_out
    return (predict(seen, time) - target).square().mean(dim=(1, 2, 3))


def scheduler(sigma_max: float = SIGMA_MAX) -> "EDMDPMSolverMultistepScheduler":
    """Second-order multistep solver [3]_ over the noise levels of EDM, from `sigma_max` down."""
    from diffusers.schedulers.scheduling_edm_dpmsolver_multistep import EDMDPMSolverMultistepScheduler

    return EDMDPMSolverMultistepScheduler(sigma_min=SIGMA_MIN, sigma_max=sigma_max, sigma_data=SIGMA_DATA)


def denoise(
    predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    solver: "EDMDPMSolverMultistepScheduler",
    noise: torch.Tensor,
    steps: int,
    begin: torch.Tensor | None = None,
) -> torch.Tensor:
    """Turn noise into images, deterministically.

    Parameters
    ----------
    predict
        Takes noisy images at variance 1 and their time (one number), and predicts a tensor like the images.
    noise
        Standard normal, shape ``(batch, channel, height, width)``.
    steps
        Number of noise levels.
    begin
        Images, like `noise`, to which the noise of the solver's highest level is added: what they show at a larger scale
        than that of the noise stays [4]_. None begins from noise alone.

    Returns
    -------
    torch.Tensor
        Shape as `noise`, standard deviation about `SIGMA_DATA`.
    """
    solver.set_timesteps(steps, device=noise.device)
    images = noise * solver.sigmas[0]
    if begin is not None:
        images = images + begin
    for time in solver.timesteps:
        prediction = predict(solver.scale_model_input(images, time), time)
        images = solver.step(prediction, time, images, return_dict=False)[0]
    return images
