"""Noise levels, preconditioned loss and sampler of the EDM framework [1]_, around a `UNet2DModel`.

The network sees the noisy image divided by its standard deviation and the time ``ln(sigma) / 4``, and predicts a target
whose variance is 1 at every noise level. This is the convention of `EDMDPMSolverMultistepScheduler`, so that a trained
network and its scheduler work together in diffusers without code of ours.

References
----------
.. [1] Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, NeurIPS 2022, arXiv 2206.00364.
.. [2] Kingma et al., Variational Diffusion Models, NeurIPS 2021, arXiv 2107.00630, appendix I.1.
.. [3] Lu et al., DPM-Solver++, 2022, arXiv 2211.01095.
.. [4] Ho and Salimans, Classifier-Free Diffusion Guidance, 2022, arXiv 2207.12598.
"""

import torch
from diffusers import EDMDPMSolverMultistepScheduler, UNet2DModel

# Standard deviation that images are scaled to; the value that the EDM defaults are made for.
SIGMA_DATA = 0.5
# Range of the noise levels in sampling, relative to the same scale.
SIGMA_MIN, SIGMA_MAX = 0.01, 80.0


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


def denoising_loss(
    unet: UNet2DModel, clean: torch.Tensor, labels: torch.Tensor, sigma: torch.Tensor, noise: torch.Tensor
) -> torch.Tensor:
    """Mean squared error of the preconditioned prediction, per image; 1 is that of a network that predicts zero.

    Parameters
    ----------
    unet
        Takes ``(batch, channel, height, width)``, times ``(batch,)`` and class labels ``(batch,)``.
    clean, noise
        Shape ``(batch, channel, height, width)``; images of standard deviation `SIGMA_DATA`, and standard normal noise.
    labels
        int64, shape ``(batch,)``.
    sigma
        Noise levels, shape ``(batch,)``.

    Returns
    -------
    torch.Tensor
        Shape ``(batch,)``.
    """
    level = sigma[:, None, None, None]
    noisy = clean + level * noise
    total = (level.square() + SIGMA_DATA**2).sqrt()
    prediction = unet(noisy / total, sigma.log() / 4, labels).sample
    c_skip, c_out = SIGMA_DATA**2 / total.square(), level * SIGMA_DATA / total
    target = (clean - c_skip * noisy) / c_out
    return (prediction - target).square().mean(dim=(1, 2, 3))


def scheduler() -> EDMDPMSolverMultistepScheduler:
    """Second-order multistep solver [3]_ over the noise levels of EDM."""
    return EDMDPMSolverMultistepScheduler(sigma_min=SIGMA_MIN, sigma_max=SIGMA_MAX, sigma_data=SIGMA_DATA)


def denoise(
    unet: UNet2DModel,
    solver: EDMDPMSolverMultistepScheduler,
    noise: torch.Tensor,
    labels: torch.Tensor,
    no_class: int,
    steps: int,
    guidance: float,
) -> torch.Tensor:
    """Turn noise into images, deterministically, with classifier-free guidance [4]_.

    Parameters
    ----------
    noise
        Standard normal, shape ``(batch, channel, height, width)``.
    labels
        int64, shape ``(batch,)``.
    no_class
        Label that stands for "no class".
    steps
        Network evaluations per image (twice that with guidance).
    guidance
        Scale; 1 is purely conditional, 0 unconditional.

    Returns
    -------
    torch.Tensor
        Shape as `noise`, standard deviation about `SIGMA_DATA`.
    """
    solver.set_timesteps(steps, device=noise.device)
    images = noise * solver.init_noise_sigma
    for time in solver.timesteps:
        seen = solver.scale_model_input(images, time)
        if guidance == 1:
            prediction = unet(seen, time, labels).sample
        else:
            both = torch.cat([labels, torch.full_like(labels, no_class)])
            conditional, unconditional = unet(torch.cat([seen, seen]), time, both).sample.chunk(2)
            prediction = unconditional + guidance * (conditional - unconditional)
        images = solver.step(prediction, time, images).prev_sample
    return images
