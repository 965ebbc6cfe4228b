"""Class-conditional diffusion model, small enough to be trained on one core in minutes.

`settings` says what can be chosen, `denoiser` holds the networks, `edm` noise levels, loss and sampler, `augmentation` how
training images move, `guidance` how samples are steered, `fitting` the training loop, `networks` files and precision.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch.nn import functional

from fetalkit.data import sampling
from fetalkit.generators import networks, read_card, trainer
from fetalkit.generators.checks import check_labels, check_training_set
from fetalkit.generators.diffusion import augmentation, edm
from fetalkit.generators.diffusion.denoiser import Denoiser, NoisyClassifier
from fetalkit.generators.diffusion.guidance import Guidance, predictor
from fetalkit.generators.diffusion.settings import Settings
from fetalkit.utils import devices
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing
from fetalkit.utils.streams import rng

ADVICE = "lower diffusion.learning_rate in params.yaml"


class DiffusionGenerator:
    """Class-conditional diffusion model behind the protocol :class:`fetalkit.generators.Generator`.

    Parameters
    ----------
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"`` (a GPU where there is one).
    precision
        Of convolutions and matrix products: ``"float32"``, ``"bfloat16"`` or ``"auto"``; see `devices.precision`.
    settings
        Fields of :class:`fetalkit.generators.diffusion.settings.Settings`.

    Attributes
    ----------
    denoiser : Denoiser or None
        The network with averaged weights, once trained.
    guide : NoisyClassifier or None
        The network of classifier guidance, if there is one.
    snapshots : dict of float to Denoiser
        Share of the training → network as it was then; not filled by `load`.
    pixel_mean, pixel_std : float
        Of the training images in the range [-1, 1]; the network works on ``(x - mean) * SIGMA_DATA / std``.
    losses : list of float
        Training loss of the denoiser per step.
    seconds : float
        Duration of the training, interrupted attempts included up to their last checkpoint.

    Raises
    ------
    FetalkitError
        When a setting is not known or its value not allowed.
    """

    def __init__(self, *, device: str = "auto", precision: str = "auto", **settings: Any):
        self.settings = Settings.of(**settings)
        self.device = devices.device(device)
        self.precision = devices.precision(precision, self.device)
        self.denoiser: Denoiser | None = None
        self.guide: NoisyClassifier | None = None
        self.snapshots: dict[float, Denoiser] = {}
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
        start: Path | None = None,
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
        start
            Folder of a saved diffusion generator of equal planes and networks, whose weights are the initial ones; those
            of the guide where both have one. A checkpoint's fingerprint must tell of it.

        Raises
        ------
        FetalkitError
            When the images or labels are not as above, the loss is no longer a number, or `start` is damaged or differs.
        """
        settings = self.settings
        check_training_set(images, labels, settings.n_classes, settings.size)
        pixels = images / 127.5 - 1
        self.pixel_mean, self.pixel_std = float(pixels.mean()), float(pixels.std())

        def denoising(step: int) -> torch.Tensor:
            clean, classes, moves, sigma, noise = self._batch(images, labels, step, seed, "diffusion")
            with networks.autocast(self.device, self.precision):
                return edm.denoising_loss(
                    lambda seen, time: denoiser(seen, time, classes, moves).sample, clean, sigma, noise
                ).mean()

        def naming(step: int) -> torch.Tensor:
            clean, classes, moves, sigma, noise = self._batch(images, labels, step, seed, "guide")
            with networks.autocast(self.device, self.precision):
                return functional.cross_entropy(guide(*edm.noisy(clean, sigma, noise), moves), classes)

        first = self._start(start) if start else None
        denoiser = networks.seeded(self._denoiser, seed, self.device)
        if first:
            denoiser.load_state_dict(first.denoiser.state_dict())
        fitted = trainer.fit(
            denoiser,
            denoising,
            self._schedule(settings.steps),
            checkpoint=checkpoint,
            label=label,
            advice=ADVICE,
            snapshots=settings.snapshots,
        )
        self.denoiser, self.losses, self.seconds = denoiser, fitted.losses, fitted.seconds
        self.snapshots = {share: self._with(weights) for share, weights in fitted.snapshots.items()}
        if settings.guide_steps:
            guide = networks.seeded(self._classifier, seed, self.device)
            if first and first.guide:
                guide.load_state_dict(first.guide.state_dict())
            guided = trainer.fit(
                guide,
                naming,
                self._schedule(settings.guide_steps),
                checkpoint=checkpoint.part("guide") if checkpoint else None,
                label=f"{label}: guide",
                advice=ADVICE,
            )
            self.guide, self.seconds = guide, self.seconds + guided.seconds

    def _start(self, folder: Path) -> Self:
        """The saved generator whose weights this one can begin from."""
        kind = read_card(folder)["generator"]
        if kind != "diffusion":
            raise FetalkitError(
                f"{folder}: a generator of the kind {kind} cannot be begun from; name a diffusion generator"
            )
        found = self.load(folder, device=self.device.type)
        for name in ("n_classes", "planes", "size", *self._shape()):
            here, there = getattr(self.settings, name), getattr(found.settings, name)
            if here != there:
                raise FetalkitError(
                    f"{folder}: {name} is {there}, but {here} here; begin from a generator with equal {name}"
                )
        return found

    def _shape(self) -> dict[str, Any]:
        settings = self.settings
        return {
            "unshuffle": settings.unshuffle,
            "channels": list(settings.channels),
            "attention": list(settings.attention),
            "blocks": settings.blocks,
        }

    def _denoiser(self) -> Denoiser:
        return Denoiser(self.settings.n_classes + 1, **self._shape())

    def _classifier(self) -> NoisyClassifier:
        return NoisyClassifier(self.settings.n_classes, **self._shape())

    def _with(self, weights: Iterable[torch.Tensor]) -> Denoiser:
        """Copy of the denoiser with other weights."""
        network = self._denoiser()
        network.load_state_dict(self.denoiser.state_dict())
        with torch.no_grad():
            for parameter, weight in zip(network.parameters(), weights, strict=True):
                parameter.copy_(weight)
        return network.to(self.device).eval()

    def _schedule(self, steps: int) -> trainer.Schedule:
        settings = self.settings
        return trainer.Schedule(
            steps, settings.learning_rate, settings.warmup_fraction, settings.weight_decay, settings.ema_length
        )

    def _batch(self, images: np.ndarray, labels: np.ndarray, step: int, seed: int, purpose: str) -> tuple:
        """Clean images, classes, moves, noise levels and noise of one training step.

        All its randomness comes from its number, on the CPU: resuming needs no random state.
        """
        settings = self.settings
        rows = sampling.indices(len(images), settings.batch_size, step, f"{seed}-{purpose}").numpy()
        random = rng(seed, purpose, step)
        clean = self._as_input(augmentation.mirror(images[rows], random))
        clean, moves = augmentation.move(clean, settings.augment, random)
        classes = torch.from_numpy(labels[rows].astype(np.int64))
        if purpose == "diffusion":
            dropped = torch.rand(len(rows), generator=random) < settings.label_dropout
            classes = torch.where(dropped, settings.n_classes, classes)
        sigma = edm.noise_levels(len(rows), settings.sigma_mean, settings.sigma_std, random)
        noise = torch.randn(clean.shape, generator=random)
        return clean, classes.to(self.device), moves, sigma.to(self.device), noise.to(self.device)

    def _as_input(self, images: np.ndarray) -> torch.Tensor:
        """Standardised images ``(batch, 1, size, size)``."""
        return (networks.pixels(images, self.device) - self.pixel_mean) * (edm.SIGMA_DATA / self.pixel_std)

    def _as_images(self, standard: torch.Tensor) -> np.ndarray:
        """Inverse of `_as_input`, rounded to uint8."""
        return networks.as_images(standard * (self.pixel_std / edm.SIGMA_DATA) + self.pixel_mean)

    @torch.inference_mode()
    def denoising_error(self, images: np.ndarray, labels: np.ndarray, sigma: float, *, seed: int) -> float:
        """How well noise is removed from images that the generator has not seen.

        Parameters
        ----------
        images, labels
            As for `fit`.
        sigma
            Noise level, for images of standard deviation `edm.SIGMA_DATA`.
        seed
            Of the noise.

        Returns
        -------
        float
            Mean squared error of the denoised images, in the pixel range [-1, 1].
        """
        clean = self._as_input(images)
        classes = torch.from_numpy(labels.astype(np.int64)).to(self.device)
        noise = torch.randn(clean.shape, generator=rng(seed, "error")).to(self.device)
        levels = torch.full((len(clean),), float(sigma), device=self.device)
        with networks.autocast(self.device, self.precision):
            loss = edm.denoising_loss(
                lambda seen, time: self.denoiser(seen, time, classes).sample, clean, levels, noise
            )
        # The loss is that of a target of variance 1; c_out turns it into one of the images.
        c_out = sigma * edm.SIGMA_DATA / (sigma**2 + edm.SIGMA_DATA**2) ** 0.5
        return float(loss.mean()) * (c_out * self.pixel_std / edm.SIGMA_DATA) ** 2

    @torch.no_grad()
    def sample(
        self,
        labels: np.ndarray,
        *,
        seed: int,
        steps: int = 18,
        guidance_kind: str = "classifier-free",
        guidance: float = 1.5,
        guidance_interval: tuple[float, float] = (0.0, 100.0),
        batch_size: int = 64,
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
        guidance_kind, guidance, guidance_interval
            Kind, scale and noise levels, as in :class:`fetalkit.generators.diffusion.guidance.Guidance`.
        batch_size
            Images that are denoised at one time.

        Returns
        -------
        numpy.ndarray
            uint8, shape ``(n, size, size)``.

        Raises
        ------
        FetalkitError
            When the generator has not been trained, a label is not valid, `steps` is too small, or the guidance is not
            known or needs a network that this generator has not.
        """
        settings = self.settings
        if self.denoiser is None:
            raise FetalkitError("the diffusion generator has no weights yet; call fit() or load() first")
        check_labels(labels, settings.n_classes)
        if steps < 2:
            raise FetalkitError(f"the sampler needs at least 2 steps, not {steps}")
        wanted = Guidance(guidance_kind, guidance, tuple(guidance_interval))
        solver, parts = edm.scheduler(), []
        for first in range(0, len(labels), batch_size):
            classes = torch.from_numpy(labels[first : first + batch_size].astype(np.int64)).to(self.device)
            shape = (1, settings.size, settings.size)
            noise = [torch.randn(shape, generator=rng(seed, "image", first + row)) for row in range(len(classes))]
            predict = predictor(self.denoiser, self.guide, classes, settings.n_classes, wanted)
            with networks.autocast(self.device, self.precision), devices.reproducible():
                drawn = edm.denoise(predict, solver, torch.stack(noise).to(self.device), steps)
            parts.append(self._as_images(drawn))
        return np.concatenate(parts)

    def save(self, folder: Path) -> None:
        """Write the networks and the scheduler in the format of diffusers, and ``fetalkit.json``; all or nothing.

        Snapshots become generators of their own, ``snapshots/<percent>``.

        Raises
        ------
        FetalkitError
            When the generator has not been trained, or `folder` cannot be written.
        """
        if self.denoiser is None:
            raise FetalkitError("the diffusion generator has no weights yet; call fit() or load() first")
        with replacing(folder) as temporary:
            self._write(temporary, self.denoiser)
            for share, network in self.snapshots.items():
                self._write(temporary / "snapshots" / f"{100 * share:.0f}", network)

    def _write(self, folder: Path, denoiser: Denoiser) -> None:
        folder.mkdir(parents=True)
        card = self.describe() | {"pixel_mean": self.pixel_mean, "pixel_std": self.pixel_std}
        denoiser.save_pretrained(folder / "denoiser", safe_serialization=True)
        if self.guide is not None:
            self.guide.save_pretrained(folder / "guide", safe_serialization=True)
        edm.scheduler().save_pretrained(folder / "scheduler")
        (folder / "fetalkit.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, device: str = "auto", precision: str = "auto") -> Self:
        """Read what `save` wrote; loss curve and duration are not stored with the model.

        Raises
        ------
        FetalkitError
            When the folder holds no diffusion generator, or a damaged one.
        """
        card = read_card(folder)
        generator = cls(device=device, precision=precision, **card["settings"])
        with networks.complete(folder):
            generator.denoiser = networks.read(Denoiser, Path(folder, "denoiser"), generator.device)
            if Path(folder, "guide").exists():
                generator.guide = networks.read(NoisyClassifier, Path(folder, "guide"), generator.device)
            generator.pixel_mean, generator.pixel_std = float(card["pixel_mean"]), float(card["pixel_std"])
        return generator
