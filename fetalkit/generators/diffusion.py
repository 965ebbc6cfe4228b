"""Class-conditional diffusion model, small enough to be trained on one core in minutes.

The image is folded into channels (pixel-unshuffle) before a small `UNet2DModel`, so that most of the work happens on few
positions with many channels, which a CPU does efficiently. `fetalkit.generators.edm` holds noise levels, loss and sampler.

References
----------
.. [1] Karras et al., Analyzing and Improving the Training Dynamics of Diffusion Models, CVPR 2024, arXiv 2312.02696.
"""

import json
import math
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from diffusers import UNet2DModel
from diffusers.training_utils import EMAModel
from safetensors import SafetensorError
from torch.nn import functional

from fetalkit import batches, devices
from fetalkit.checkpoints import Checkpoint, replacing, rng
from fetalkit.errors import FetalkitError
from fetalkit.generators import edm, read_card
from fetalkit.generators.checks import check_labels, check_training_set
from fetalkit.progress import Progress

# Steps between two lines of the log.
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
    learning_rate, warmup_fraction, weight_decay
        AdamW. The rate rises over this share of the steps and then falls linearly towards zero.
    ema_length
        The weights are averaged over about this share of the steps made so far [1]_; in (0, 1).
    label_dropout
        Share of the training labels replaced by "no class", in [0, 1).
    sigma_mean, sigma_std
        Mean and standard deviation of the natural logarithm of the noise level in training.
    flip
        Whether training images are mirrored left to right at random.
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
    warmup_fraction: float = 0.05
    weight_decay: float = 0.01
    ema_length: float = 0.1
    label_dropout: float = 0.1
    sigma_mean: float = -1.2
    sigma_std: float = 1.2
    flip: bool = True

    def __post_init__(self):
        for name in ("planes", "channels", "attention"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        problem = self._problem()
        if problem:
            raise FetalkitError(f"diffusion generator: {problem}")

    def _problem(self) -> str | None:
        """What is wrong with the settings, or None."""
        for name in (
            "n_classes",
            "size",
            "unshuffle",
            "layers_per_block",
            "attention_head_dim",
            "norm_groups",
            "steps",
            "batch_size",
        ):
            if getattr(self, name) < 1:
                return f"{name} is {getattr(self, name)}; it must be at least 1"
        for name in ("learning_rate", "sigma_std"):
            if not 0 < getattr(self, name) < math.inf:
                return f"{name} is {getattr(self, name)}; it must be a positive number"
        if self.planes and len(self.planes) != self.n_classes:
            return f"{len(self.planes)} planes are named, but n_classes is {self.n_classes}"
        if not self.channels or len(self.channels) != len(self.attention):
            return f"channels {self.channels} and attention {self.attention} must be equally long and not empty"
        if any(width < 1 or width % self.norm_groups for width in self.channels):
            return f"channels {self.channels} must be multiples of norm_groups ({self.norm_groups})"
        attended = [width for width, attention in zip(self.channels, self.attention, strict=True) if attention]
        if any(width % self.attention_head_dim for width in attended):
            return (
                f"channels with attention {attended} must be multiples of {self.attention_head_dim}, the head's width"
            )
        multiple = self.unshuffle * 2 ** (len(self.channels) - 1)
        if self.size % multiple:
            return f"size {self.size} must be a multiple of {multiple} (unshuffle and the halvings of the U-Net)"
        if not (0 <= self.label_dropout < 1 and 0 <= self.warmup_fraction < 1 and 0 < self.ema_length < 1):
            return "label_dropout and warmup_fraction must lie in [0, 1), and ema_length in (0, 1)"
        return None

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        warmup = max(1, round(self.warmup_fraction * self.steps))
        return self.learning_rate * min((step + 1) / warmup, (self.steps - step) / max(1, self.steps - warmup), 1.0)


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
        self.optimiser = torch.optim.AdamW(
            self.parameters,
            lr=settings.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=settings.weight_decay,
            fused=True,
        )
        # With power 1 the decay is 1 - 1 / (1 + t * length): a power-function average [1].
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
            "optimiser": self.optimiser.state_dict(),
            "ema": self.ema.state_dict(),
            "losses": self.losses,
            "seconds": self.seconds,
        }

    def restore(self, state: dict) -> None:
        """Go back to a saved `state`."""
        self.unet.load_state_dict(state["unet"])
        self.optimiser.load_state_dict(state["optimiser"])
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
        The network with averaged weights, once trained.
    pixel_mean, pixel_std : float
        Of the training images in the range [-1, 1]; the network works on ``(x - mean) * SIGMA_DATA / std``.
    losses : list of float
        Training loss per step.
    seconds : float
        Duration of the training, interrupted attempts included up to their last checkpoint.

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
        self.device = devices.device(device)
        self.unet: UNet2DModel | None = None
        self.pixel_mean, self.pixel_std = 0.0, 1.0
        self.losses: list[float] = []
        self.seconds = 0.0

    def describe(self) -> dict[str, Any]:
        """Kind and settings, of JSON types; equal for generators that train alike."""
        return {"generator": "diffusion", "settings": asdict(self.settings)}

    def fit(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        seed: int,
        checkpoint: Checkpoint | None = None,
        label: str = "diffusion",
    ) -> None:
        """Learn from `images`; a run that was interrupted goes on from `checkpoint` and ends with the same bits.

        Parameters
        ----------
        images
            uint8, shape ``(n, size, size)``.
        labels
            Integers, shape ``(n,)``, in ``[0, n_classes)``; every class must occur.
        seed
            Of the initial weights, batches and noise.
        checkpoint
            Where the state is kept; it is left there after the last step, so that a repeated call returns at once.
        label
            Name of the run in logs and messages.

        Raises
        ------
        FetalkitError
            When the images or labels are not as above, or the loss is no longer a number.
        """
        check_training_set(images, labels, self.settings.n_classes, self.settings.size)
        self._measure_pixels(images)
        training = _Training(self.settings, seed, self.device)
        saved = checkpoint.load() if checkpoint else None
        if saved:
            training.restore(saved)
        began = time.monotonic() - training.seconds
        with (
            Progress(label, self.settings.steps, done=training.step) as progress,
            devices.reproducible(),
        ):
            while training.step < self.settings.steps:
                self._train_step(training, images, labels, seed, label)
                training.seconds = time.monotonic() - began
                last = training.step == self.settings.steps
                progress.update()
                if last or training.step % REPORT_EVERY == 0:
                    progress.report(loss=float(np.mean(training.losses[-REPORT_EVERY:])))
                if checkpoint and (last or checkpoint.due(training.step)):
                    checkpoint.save(training.state())
        training.ema.copy_to(training.parameters)
        self.unet = training.unet.eval()
        self.losses, self.seconds = training.losses, training.seconds

    def _measure_pixels(self, images: np.ndarray) -> None:
        pixels = images / 127.5 - 1
        self.pixel_mean, self.pixel_std = float(pixels.mean()), float(pixels.std())

    def _as_input(self, images: np.ndarray) -> torch.Tensor:
        """Standardised, folded images ``(batch, unshuffle ** 2, size / unshuffle, size / unshuffle)``."""
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(self.device)[:, None].float() / 127.5 - 1
        standard = (pixels - self.pixel_mean) * (edm.SIGMA_DATA / self.pixel_std)
        return functional.pixel_unshuffle(standard, self.settings.unshuffle)

    def _as_images(self, folded: torch.Tensor) -> np.ndarray:
        """Inverse of `_as_input`, rounded to uint8."""
        standard = functional.pixel_shuffle(folded, self.settings.unshuffle)[:, 0]
        pixels = standard * (self.pixel_std / edm.SIGMA_DATA) + self.pixel_mean
        return ((pixels + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu().numpy()

    def _train_step(self, training: "_Training", images: np.ndarray, labels: np.ndarray, seed: int, label: str) -> None:
        settings = self.settings
        rows = batches.indices(len(images), settings.batch_size, training.step, seed).numpy()
        # All randomness of a step comes from its number, on the CPU: resuming needs no random state.
        random = rng(seed, "diffusion", training.step)
        chosen, classes = images[rows], torch.from_numpy(labels[rows].astype(np.int64))
        if settings.flip:
            mirrored = torch.rand(len(rows), generator=random).numpy() < 0.5
            chosen = np.where(mirrored[:, None, None], chosen[:, :, ::-1], chosen)
        dropped = torch.rand(len(rows), generator=random) < settings.label_dropout
        classes = torch.where(dropped, settings.n_classes, classes).to(self.device)
        sigma = edm.noise_levels(len(rows), settings.sigma_mean, settings.sigma_std, random).to(self.device)
        clean = self._as_input(chosen)
        noise = torch.randn(clean.shape, generator=random).to(self.device)
        loss = edm.denoising_loss(training.unet, clean, classes, sigma, noise).mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(training.parameters, 1.0)
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            raise FetalkitError(
                f"{label}: the loss is not a number at step {training.step + 1}; "
                "lower diffusion.learning_rate in params.yaml"
            )
        for group in training.optimiser.param_groups:
            group["lr"] = settings.rate(training.step)
        training.optimiser.step()
        training.optimiser.zero_grad(set_to_none=True)
        training.ema.step(training.parameters)
        training.losses.append(loss.item())

    @torch.inference_mode()
    def sample(
        self, labels: np.ndarray, *, seed: int, steps: int = 18, guidance: float = 1.5, batch_size: int = 64
    ) -> np.ndarray:
        """Draw one image for every label.

        Parameters
        ----------
        labels
            Integers, shape ``(n,)``, in ``[0, n_classes)``.
        seed
            Image `i` depends on `seed`, `i` and its label alone (up to rounding, which may vary with the batch).
        steps
            Noise levels of the sampler, at least 2: evaluations of the network per image, twice that with guidance.
        guidance
            Scale of classifier-free guidance; 1 is none, i.e. purely conditional.
        batch_size
            Images that are denoised at one time.

        Returns
        -------
        numpy.ndarray
            uint8, shape ``(n, size, size)``.

        Raises
        ------
        FetalkitError
            When the generator has not been trained, a label is not valid, or `steps` is too small.
        """
        settings = self.settings
        if self.unet is None:
            raise FetalkitError("the diffusion generator has no weights yet; call fit() or load() first")
        check_labels(labels, settings.n_classes)
        if steps < 2:
            raise FetalkitError(f"the sampler needs at least 2 steps, not {steps}")
        width = settings.size // settings.unshuffle
        shape = (settings.unshuffle**2, width, width)
        solver = edm.scheduler()
        parts = []
        for first in range(0, len(labels), batch_size):
            classes = torch.from_numpy(labels[first : first + batch_size].astype(np.int64)).to(self.device)
            noise = [torch.randn(shape, generator=rng(seed, "image", first + row)) for row in range(len(classes))]
            noise = torch.stack(noise).to(self.device)
            folded = edm.denoise(self.unet, solver, noise, classes, settings.n_classes, steps, guidance)
            parts.append(self._as_images(folded))
        return np.concatenate(parts)

    def save(self, folder: Path) -> None:
        """Write ``unet/``, ``scheduler/`` (both in the format of diffusers) and ``fetalkit.json``, all or nothing.

        Raises
        ------
        FetalkitError
            When the generator has not been trained, or `folder` cannot be written.
        """
        if self.unet is None:
            raise FetalkitError("the diffusion generator has no weights yet; call fit() or load() first")
        card = self.describe() | {"pixel_mean": self.pixel_mean, "pixel_std": self.pixel_std}
        with replacing(folder) as temporary:
            temporary.mkdir()
            self.unet.save_pretrained(temporary / "unet", safe_serialization=True)
            edm.scheduler().save_pretrained(temporary / "scheduler")
            (temporary / "fetalkit.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> Self:
        """Read what `save` wrote; loss curve and duration are not stored with the model.

        Raises
        ------
        FetalkitError
            When the folder holds no diffusion generator, or a damaged one.
        """
        card = read_card(folder)
        generator = cls(device=device, **card["settings"])
        try:
            # low_cpu_mem_usage pays for large models only, and asks for another package.
            unet = UNet2DModel.from_pretrained(
                Path(folder) / "unet", use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False
            )
            generator.pixel_mean, generator.pixel_std = float(card["pixel_mean"]), float(card["pixel_std"])
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise FetalkitError(f"{folder}: not a complete generator ({reason}); train it again") from error
        generator.unet = unet.to(generator.device).eval()
        return generator
