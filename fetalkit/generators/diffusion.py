"""Class-conditional diffusion model, small enough to be trained on one core in minutes.

The image is folded into channels (pixel-unshuffle) before a small `UNet2DModel`, so that most of the work happens on few
positions with many channels, which a CPU does efficiently. Training follows EDM [1]_: preconditioned input and output,
log-normal noise levels, the loss weight that makes all levels count alike. Sampling is deterministic, by a second-order
multistep solver [2]_ in at most 20 steps, with classifier-free guidance [3]_.

References
----------
.. [1] Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, NeurIPS 2022, arXiv 2206.00364.
.. [2] Lu et al., DPM-Solver++, 2022, arXiv 2211.01095.
.. [3] Ho and Salimans, Classifier-Free Diffusion Guidance, 2022, arXiv 2207.12598.
.. [4] Karras et al., Analyzing and Improving the Training Dynamics of Diffusion Models, CVPR 2024, arXiv 2312.02696.
.. [5] Kingma et al., Variational Diffusion Models, NeurIPS 2021, arXiv 2107.00630 (low-discrepancy noise levels).
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from diffusers import EDMDPMSolverMultistepScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from torch.nn import functional as F

from fetalkit.batches import indices
from fetalkit.checkpoints import Checkpoint, replacing, rng
from fetalkit.errors import FetalkitError
from fetalkit.generators import read_card
from fetalkit.generators.checks import check_labels, check_training_set

# Training images are shifted and scaled to this standard deviation; the value that the EDM defaults are made for.
SIGMA_DATA = 0.5
# A progress report, and one point of the loss curve, per so many steps.
REPORT_EVERY = 100


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a diffusion generator; all are stored with the trained model.

    Attributes
    ----------
    n_classes
        Number of planes. Index `n_classes` stands for "no class" in classifier-free guidance.
    planes
        Names of the planes, for the card of the saved model; empty or one per class.
    size
        Height and width of the images in pixels; a multiple of ``unshuffle * 2 ** (len(channels) - 1)``.
    unshuffle
        Factor by which pixels are folded into channels: ``(1, size, size)`` becomes
        ``(unshuffle ** 2, size // unshuffle, size // unshuffle)``.
    channels
        Width of the U-Net at each resolution, finest first; multiples of `norm_groups`.
    attention
        Whether there is self-attention, per resolution.
    layers_per_block, attention_head_dim, norm_groups, freq_shift
        As in `UNet2DModel` (`norm_groups` is its `norm_num_groups`).
    steps, batch_size
        Length of the training and images per step.
    learning_rate, warmup, weight_decay
        AdamW. The rate rises over `warmup` steps and then falls linearly to zero at the last one.
    ema_length
        The weights are averaged over about this share of the steps made so far [4]_; in (0, 1).
    label_dropout
        Share of the training labels replaced by "no class", in [0, 1).
    sigma_mean, sigma_std
        Mean and standard deviation of the natural logarithm of the noise level in training.
    flip
        Whether training images are mirrored left to right at random.
    sigma_min, sigma_max, sampler_steps
        Range of the noise levels in sampling, and number of levels.
    guidance
        Scale of classifier-free guidance; 1 is none, i.e. purely conditional.
    """

    n_classes: int
    planes: tuple[str, ...] = ()
    size: int = 64
    unshuffle: int = 4
    channels: tuple[int, ...] = (64, 128)
    attention: tuple[bool, ...] = (False, True)
    layers_per_block: int = 1
    attention_head_dim: int = 32
    norm_groups: int = 8
    freq_shift: int = 0
    steps: int = 1400
    batch_size: int = 8
    learning_rate: float = 1e-3
    warmup: int = 50
    weight_decay: float = 0.01
    ema_length: float = 0.1
    label_dropout: float = 0.1
    sigma_mean: float = -1.2
    sigma_std: float = 1.2
    flip: bool = True
    sigma_min: float = 0.01
    sigma_max: float = 80.0
    sampler_steps: int = 18
    guidance: float = 1.5

    def __post_init__(self):
        for name in ("planes", "channels", "attention"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        problem = self._problem()
        if problem:
            raise FetalkitError(f"diffusion generator: {problem}")

    def _problem(self) -> str | None:
        """What is wrong with the settings, or None."""
        for name in ("n_classes", "size", "unshuffle", "layers_per_block", "attention_head_dim", "norm_groups",
                     "steps", "batch_size"):
            if getattr(self, name) < 1:
                return f"{name} is {getattr(self, name)}; it must be at least 1"
        for name in ("learning_rate", "sigma_std", "sigma_min"):
            if not 0 < getattr(self, name) < math.inf:
                return f"{name} is {getattr(self, name)}; it must be a positive number"
        if self.planes and len(self.planes) != self.n_classes:
            return f"{len(self.planes)} planes are named, but n_classes is {self.n_classes}"
        if not self.channels or len(self.channels) != len(self.attention):
            return f"channels {self.channels} and attention {self.attention} must be equally long and not empty"
        if any(width < 1 or width % self.norm_groups for width in self.channels):
            return f"channels {self.channels} must be multiples of norm_groups ({self.norm_groups})"
        multiple = self.unshuffle * 2 ** (len(self.channels) - 1)
        if self.size % multiple:
            return f"size {self.size} must be a multiple of {multiple} (unshuffle and the halvings of the U-Net)"
        if not 0 <= self.label_dropout < 1 or not 0 < self.ema_length < 1:
            return "label_dropout must lie in [0, 1) and ema_length in (0, 1)"
        if self.sigma_max <= self.sigma_min or self.sampler_steps < 2:
            return "sigma_max must exceed sigma_min, and sampler_steps be at least 2"
        return None


def _device(name: str) -> torch.device:
    """Device for `name`; ``"auto"`` is the GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _build(settings: Settings, seed: int) -> UNet2DModel:
    """U-Net with weights that depend on `seed` alone."""
    down = tuple("AttnDownBlock2D" if attention else "DownBlock2D" for attention in settings.attention)
    up = tuple("AttnUpBlock2D" if attention else "UpBlock2D" for attention in reversed(settings.attention))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng(seed, "weights").initial_seed())
        unet = UNet2DModel(
            sample_size=settings.size // settings.unshuffle,
            in_channels=settings.unshuffle**2,
            out_channels=settings.unshuffle**2,
            block_out_channels=settings.channels,
            down_block_types=down,
            up_block_types=up,
            layers_per_block=settings.layers_per_block,
            attention_head_dim=settings.attention_head_dim,
            norm_num_groups=settings.norm_groups,
            freq_shift=settings.freq_shift,
            num_class_embeds=settings.n_classes + 1,
        )
    return unet


class _Training:
    """Everything that changes during a training run, and thus belongs into its checkpoint."""

    def __init__(self, settings: Settings, seed: int, device: torch.device):
        self.unet = _build(settings, seed).to(device).train()
        self.parameters = list(self.unet.parameters())
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=settings.weight_decay, fused=True
        )
        # With power 1 the decay is 1 - 1 / (1 + t * length): the power-function average of Karras et al. 2024.
        self.ema = EMAModel(
            self.parameters, use_ema_warmup=True, inv_gamma=1 / settings.ema_length, power=1, foreach=True
        )
        self.losses: list[float] = []
        self.seconds = 0.0

    @property
    def step(self) -> int:
        """Number of finished steps."""
        return len(self.losses)

    def state(self) -> dict:
        """Tensors and plain values only, as `Checkpoint` asks for."""
        return {
            "unet": self.unet.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.state_dict(),
            "losses": self.losses,
            "seconds": self.seconds,
        }

    def restore(self, state: dict) -> None:
        """Go back to a saved `state`."""
        self.unet.load_state_dict(state["unet"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ema.load_state_dict(state["ema"])
        self.ema.to(self.unet.device)
        self.losses, self.seconds = list(state["losses"]), state["seconds"]


class DiffusionGenerator:
    """Class-conditional diffusion model behind the protocol :class:`fetalkit.generators.Generator`.

    Parameters
    ----------
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"`` (a GPU where there is one).
    settings
        Fields of :class:`Settings`.

    Attributes
    ----------
    unet : UNet2DModel or None
        The averaged weights once trained. Its input is the noisy image times ``c_in``, its time ``ln(sigma) / 4``.
    losses : list of float
        Training loss per step.
    seconds : float
        Duration of the training, over all interruptions.

    Raises
    ------
    FetalkitError
        When a setting is not known or its value not allowed.
    """

    def __init__(self, *, device: str = "auto", **settings: Any):
        unknown = sorted(set(settings) - {field.name for field in fields(Settings)})
        if unknown:
            allowed = ", ".join(field.name for field in fields(Settings))
            raise FetalkitError(f"diffusion generator: no setting is called {', '.join(unknown)}; there are: {allowed}")
        self.settings = Settings(**settings)
        self.device = _device(device)
        self.unet: UNet2DModel | None = None
        self.pixel_mean, self.pixel_std = 0.0, 1.0
        self.losses: list[float] = []
        self.seconds = 0.0

    def fit(self, images, labels, *, seed, checkpoint=None, progress=None):
        settings = self.settings
        check_training_set(images, labels, settings.n_classes, settings.size)
        self._measure(images)
        training = _Training(settings, seed, self.device)
        saved = checkpoint.load() if checkpoint else None
        if saved:
            training.restore(saved)
        began = time.perf_counter() - training.seconds
        with torch.backends.cudnn.flags(deterministic=True, benchmark=False):
            while training.step < settings.steps:
                self._train_step(training, images, labels, seed)
                training.seconds = time.perf_counter() - began
        training.ema.copy_to(training.parameters)
        self.unet = training.unet.eval()
        self.losses, self.seconds = training.losses, training.seconds

    def _measure(self, images):
        x = images / np.float64(127.5) - 1
        self.pixel_mean, self.pixel_std = float(x.mean()), float(x.std())

    def _clean(self, images):
        x = torch.from_numpy(images).to(self.device)[:, None]
        x = F.pixel_unshuffle(x, self.settings.unshuffle).float()
        return (x / 127.5 - 1 - self.pixel_mean) * (SIGMA_DATA / self.pixel_std)

    def _train_step(self, t, images, labels, seed):
        s = self.settings
        pick = indices(len(images), s.batch_size, t.step, seed).numpy()
        g = rng(seed, "step", t.step)
        batch = images[pick]
        if s.flip:
            mirrored = torch.rand(len(pick), generator=g).numpy() < 0.5
            batch = np.where(mirrored[:, None, None], batch[:, :, ::-1], batch)
        clean = self._clean(batch)
        y = torch.from_numpy(labels[pick]).long()
        y = torch.where(torch.rand(len(pick), generator=g) < s.label_dropout, s.n_classes, y)
        u = (torch.arange(len(pick)) + torch.rand(len(pick), generator=g, dtype=torch.float64)) / len(pick)
        sigma = torch.exp(s.sigma_mean + s.sigma_std * torch.special.ndtri(u)).float()
        noise = torch.randn(clean.shape, generator=g)
        loss = denoising_loss(t.unet, clean, y, sigma, noise).mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(t.parameters, 1.0)
        value = loss.item()
        if not (math.isfinite(value) and math.isfinite(norm.item())):
            raise FetalkitError("nan")
        for group in t.optimizer.param_groups:
            group["lr"] = s.learning_rate * min((t.step + 1) / (s.warmup + 1), (s.steps - t.step) / (s.steps - s.warmup))
        t.optimizer.step()
        t.optimizer.zero_grad()
        t.ema.step(t.parameters)
        t.losses.append(value)

    @torch.inference_mode()
    def sample(self, labels, *, seed, batch_size=64):
        s = self.settings
        n = s.size // s.unshuffle
        out = []
        for first in range(0, len(labels), batch_size):
            part = torch.from_numpy(labels[first:first + batch_size]).long()
            noise = torch.stack([torch.randn((s.unshuffle**2, n, n), generator=rng(seed, "image", first + i)) for i in range(len(part))])
            sch = scheduler(s)
            sch.set_timesteps(s.sampler_steps)
            x = noise * sch.init_noise_sigma
            for t in sch.timesteps:
                xin = sch.scale_model_input(x, t)
                if s.guidance == 1:
                    o = self.unet(xin, t, part).sample
                else:
                    o, nul = self.unet(torch.cat([xin, xin]), t, torch.cat([part, torch.full_like(part, s.n_classes)])).sample.chunk(2)
                    o = nul + s.guidance * (o - nul)
                x = sch.step(o, t, x).prev_sample
            x = F.pixel_shuffle(x, s.unshuffle)[:, 0] * (self.pixel_std / SIGMA_DATA) + self.pixel_mean
            out.append(((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy())
        return np.concatenate(out)


def scheduler(s):
    return EDMDPMSolverMultistepScheduler(sigma_min=s.sigma_min, sigma_max=s.sigma_max, sigma_data=SIGMA_DATA)


def denoising_loss(unet, clean, labels, sigma, noise):
    """EDM: predict the target whose variance is 1 at every noise level."""
    sigma = sigma[:, None, None, None]
    noisy = clean + sigma * noise
    total = (sigma.square() + SIGMA_DATA**2).sqrt()
    prediction = unet(noisy / total, sigma.flatten().log() / 4, labels).sample
    c_skip, c_out = SIGMA_DATA**2 / total.square(), sigma * SIGMA_DATA / total
    target = (clean - c_skip * noisy) / c_out
    return (prediction - target).square().mean(dim=(1, 2, 3))
