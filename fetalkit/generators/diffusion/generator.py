"""Class-conditional diffusion model, small enough to be trained on one core in minutes.

`settings` says what can be chosen, `denoiser` holds the networks, `edm` noise levels, loss and sampler, `augmentation` how
training images move, `training` what is learned from them, `guidance` how samples are steered.
"""

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fetalkit.generators import card, networks, simulated, trainer
from fetalkit.generators.appearance import FILE as APPEARANCE
from fetalkit.generators.appearance import Appearance
from fetalkit.generators.base import Generator
from fetalkit.generators.diffusion import edm
from fetalkit.generators.diffusion.guidance import predictor
from fetalkit.generators.diffusion.settings import SIGMA_MAX, DiffusionSampling, DiffusionTraining, snapshot_name
from fetalkit.generators.diffusion.training import Losses, PixelScale
from fetalkit.utils import devices, processes
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.streams import rng

if TYPE_CHECKING:
    from fetalkit.generators.diffusion.denoiser import Denoiser, NoisyClassifier

ADVICE = "lower training.learning_rate of this generator in params.yaml"
SNAPSHOTS = "snapshots"  # folder of a saved generator with its states in the course of the training
# Settings that the shape of the networks follows from.
SHAPE = ("unshuffle", "channels", "attention", "blocks")


class DiffusionGenerator(Generator[DiffusionTraining, DiffusionSampling]):
    """Class-conditional diffusion model.

    Parameters are those of :class:`fetalkit.generators.base.Generator`.

    Attributes
    ----------
    denoiser : Denoiser or None
        The network with averaged weights, once trained.
    early : Denoiser or None
        The first of the snapshots, if there are any: the network that autoguidance leads away from.
    guide : NoisyClassifier or None
        The network of classifier guidance, if there is one.
    snapshots : dict of float to Denoiser
        Share of the training → network as it was then; not filled by `load`. Saved as generators of their own,
        ``snapshots/<percent>``, with the record of the whole training; its early state and guide they find two folders above.
    scale : PixelScale
        Of the training images.
    kept_share : float
        Share of the training after which `denoiser` was taken; 1 for its end.
    appearance : Appearance or None
        Look of the training images, which phantoms take over in phantom-guided drawing.
    """

    Training = DiffusionTraining
    Sampling = DiffusionSampling
    start_needs = SHAPE
    shares_batches = True  # no number follows from how a batch is parted: processes can share a training

    denoiser: "Denoiser | None" = None
    early: "Denoiser | None" = None
    guide: "NoisyClassifier | None" = None
    snapshots: "Mapping[float, Denoiser]" = MappingProxyType({})
    scale = PixelScale()
    appearance: Appearance | None = None
    kept_share = 1.0

    @property
    def loaded(self) -> bool:
        """Whether it has been trained or read."""
        return self.denoiser is not None

    def _fit(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        seed: int,
        checkpoint: Checkpoint | None,
        label: str,
        start: Path | None,
    ) -> None:
        """The denoiser learns first, then the guide; each begins with the weights of `start` where that has them."""
        training, initial = self.training, self._initial(start) if start else None
        self.scale, self.appearance = PixelScale.of(images), Appearance.of(images, labels, self.n_classes, seed)
        losses = Losses(images, labels, self.n_classes, self.scale, training, seed, self.device, self.precision)
        denoiser = networks.seeded(self._denoiser, seed, self.device)
        if initial and initial.denoiser:
            denoiser.begin_with(initial.denoiser)
        result = trainer.train_network(
            denoiser,
            losses.denoising(processes.sharing(denoiser)),
            self._schedule(training.steps),
            checkpoint=checkpoint,
            label=label,
            advice=ADVICE,
            snapshots=training.snapshots,
        )
        self.denoiser, self.losses, self.seconds = networks.rounded(denoiser), result.losses, result.seconds
        self.snapshots = {share: self._snapshot(denoiser, weights) for share, weights in result.snapshots.items()}
        self.early = next((self.snapshots[share] for share in training.early), None)
        if training.guide_steps:
            guide = networks.seeded(self._classifier, seed, self.device)
            if initial and initial.guide:
                guide.load_state_dict(initial.guide.state_dict())
            guided = trainer.train_network(
                guide,
                losses.classification(processes.sharing(guide)),
                self._schedule(training.guide_steps),
                checkpoint=checkpoint.part("guide") if checkpoint else None,
                label=f"{label}: guide",
                advice=ADVICE,
            )
            self.guide, self.seconds = networks.rounded(guide), self.seconds + guided.seconds

    def _pretrain(self, images: np.ndarray, labels: np.ndarray, domains: np.ndarray, **options: Any) -> None:
        """The denoiser alone: a guide learns planes, which are not known of all these images."""
        training, seed, self.scale = self.training, options.pop("seed"), PixelScale.of(images)
        conditions = domains * (self.n_classes + 1) + np.where(labels < 0, self.n_classes, labels)
        losses = Losses(images, conditions, self.n_classes, self.scale, training, seed, self.device, self.precision)
        denoiser = networks.seeded(lambda: self._denoiser(int(domains.max()) + 1), seed, self.device)
        schedule = self._schedule(training.steps)
        result = trainer.train_network(denoiser, losses.denoising(denoiser), schedule, advice=ADVICE, **options)
        self.denoiser, self.losses, self.seconds = denoiser, result.losses, result.seconds

    def keep_snapshot(self, share: float) -> None:
        """Take the network as it was after this share of the training for the trained one; raises KeyError if there is none."""
        self.denoiser, self.kept_share = self.snapshots[share], share

    def _shape(self) -> dict[str, Any]:
        training = self.training
        return {
            "unshuffle": training.unshuffle,
            "channels": list(training.channels),
            "attention": list(training.attention),
            "blocks": training.blocks,
        }

    def _denoiser(self, n_domains: int = 1) -> "Denoiser":
        from fetalkit.generators.diffusion.denoiser import Denoiser

        return Denoiser(self.n_classes + 1, **self._shape(), n_domains=n_domains)

    def _classifier(self) -> "NoisyClassifier":
        from fetalkit.generators.diffusion.denoiser import NoisyClassifier

        return NoisyClassifier(self.n_classes, **self._shape())

    @staticmethod
    def _snapshot(denoiser: "Denoiser", weights: Iterable[torch.Tensor]) -> "Denoiser":
        """Copy of the denoiser with other weights."""
        network = copy.deepcopy(denoiser)
        with torch.no_grad():
            for parameter, weight in zip(network.parameters(), weights, strict=True):
                parameter.copy_(weight)
        return networks.rounded(network)

    def _schedule(self, steps: int) -> trainer.Schedule:
        training = self.training
        return trainer.Schedule(
            steps,
            training.learning_rate,
            training.warmup_fraction,
            training.weight_decay,
            training.ema_length,
            training.optimiser,
            self.precision,
        )

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

        Raises
        ------
        FetalkitError
            When the generator has not been trained.
        """
        denoiser = self._trained()
        clean = self.scale.standardised(images, self.device)
        classes = torch.from_numpy(labels.astype(np.int64)).to(self.device)
        noise = torch.randn(clean.shape, generator=rng(seed, "error")).to(self.device)
        levels = torch.full((len(clean),), float(sigma), device=self.device)
        with networks.autocast(self.device, self.precision):
            loss = edm.denoising_loss(lambda seen, time: denoiser(seen, time, classes).sample, clean, levels, noise)
        # The loss is that of a target of variance 1; c_out turns it into one of the images.
        c_out = sigma * edm.SIGMA_DATA / (sigma**2 + edm.SIGMA_DATA**2) ** 0.5
        return float(loss.mean()) * (c_out * self.scale.std / edm.SIGMA_DATA) ** 2

    def _trained(self) -> "Denoiser":
        self._require_training()
        assert self.denoiser is not None
        return self.denoiser

    @torch.no_grad()
    def _sample(self, labels: np.ndarray, *, seed: int, sampling: DiffusionSampling, batch_size: int) -> np.ndarray:
        solver, parts = edm.scheduler(sampling.phantom_sigma or SIGMA_MAX), []
        begin = self._phantoms(labels, seed) if sampling.phantom_sigma else None
        for first in range(0, len(labels), batch_size):
            classes = torch.from_numpy(labels[first : first + batch_size].astype(np.int64)).to(self.device)
            shape = (1, self.image_size, self.image_size)
            noise = [torch.randn(shape, generator=rng(seed, "image", first + row)) for row in range(len(classes))]
            predict = predictor(self._trained(), self.early, self.guide, classes, self.n_classes, sampling)
            with networks.autocast(self.device, self.precision), devices.reproducible(self.device):
                of = None if begin is None else begin[first : first + batch_size].to(self.device)
                drawn = edm.denoise(predict, solver, torch.stack(noise).to(self.device), sampling.steps, of)
            parts.append(self.scale.as_images(drawn))
        return np.concatenate(parts)

    def _phantoms(self, labels: np.ndarray, seed: int) -> torch.Tensor:
        """Standardised phantoms of these planes with the look of the training images, (n, 1, image_size, image_size)."""
        drawn = simulated.phantoms([self.planes[label] for label in labels], self.image_size, seed)
        if self.appearance is not None:
            drawn = self.appearance.give(drawn, labels, seed)
        return self.scale.standardised(drawn, torch.device("cpu"))

    def _write(self, folder: Path) -> dict[str, Any]:
        """Networks and scheduler in the format of diffusers, and the snapshots as generators of their own."""
        for share, network in self.snapshots.items():
            snapshot = folder / SNAPSHOTS / snapshot_name(share)
            networks.save(network, snapshot / "denoiser")
            card.write(snapshot, self.describe() | self._about(), self.losses, self.seconds)
        networks.save(self._trained(), folder / "denoiser")
        for name, network in self._beside().items():
            if network is not None:
                networks.save(network, folder / name)
        edm.scheduler().save_pretrained(folder / "scheduler")
        if self.appearance is not None:
            self.appearance.save(folder)
        return self._about() | {"kept_share": self.kept_share}

    def _beside(self) -> "dict[str, Denoiser | NoisyClassifier | None]":
        return {"early": self.early, "guide": self.guide}

    def _about(self) -> dict[str, Any]:
        """What the card says of the networks beside how they were trained."""
        about = {"pixel_mean": self.scale.mean, "pixel_std": self.scale.std, "appearance": self.appearance is not None}
        return about | {name: network is not None for name, network in self._beside().items()}

    def _read(self, folder: Path, about: dict[str, Any]) -> None:
        from fetalkit.generators.diffusion.denoiser import Denoiser, NoisyClassifier

        whole = folder.parents[1] if folder.parent.name == SNAPSHOTS else folder
        with networks.complete(folder):
            self.denoiser = networks.read(Denoiser, folder / "denoiser", self.device)
            # What the card tells of must be there; cards of earlier editions do not tell.
            if about.get("early", (whole / "early").exists()):
                self.early = networks.read(Denoiser, whole / "early", self.device)
            if about.get("guide", (whole / "guide").exists()):
                self.guide = networks.read(NoisyClassifier, whole / "guide", self.device)
            self.scale = PixelScale(float(about["pixel_mean"]), float(about["pixel_std"]))
            if about.get("appearance", (whole / APPEARANCE).exists()):
                self.appearance = Appearance.load(whole, self.image_size)
            self.kept_share = float(about.get("kept_share", 1))
