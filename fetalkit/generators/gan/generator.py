"""Class-conditional generative adversarial network for few images: the rival of the diffusion model.

What keeps a GAN alive on tens to a thousand images is put together here: differentiable augmentation (`diffaugment`), a
projection discriminator that sees how images of a group differ (`gan_networks`), a gradient penalty (`adversarial`), averaged
weights (`fitting`). `gan_settings` says what can be chosen.

References
----------
.. [1] Goodfellow et al., Generative Adversarial Nets, NeurIPS 2014, arXiv 1406.2661.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from fetalkit.data import sampling
from fetalkit.generators import networks, read_card, trainer
from fetalkit.generators.checks import check_labels, check_training_set
from fetalkit.generators.diffusion import augmentation
from fetalkit.generators.gan.adversarial import Adversaries
from fetalkit.generators.gan.gan_networks import Discriminator, Painter, settle
from fetalkit.generators.gan.settings import Settings
from fetalkit.utils import devices
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing
from fetalkit.utils.streams import rng

# Batches that the normalisations of the averaged network are measured on.
SETTLING = 50
ADVICE = "lower gan.learning_rate and gan.discriminator_rate in params.yaml"


class GanGenerator:
    """Conditional GAN behind the protocol :class:`fetalkit.generators.Generator`.

    Parameters
    ----------
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"`` (a GPU where there is one).
    precision
        Of convolutions and matrix products: ``"float32"``, ``"bfloat16"`` or ``"auto"``; see `devices.precision`.
    settings
        Fields of :class:`fetalkit.generators.gan.settings.Settings`.

    Attributes
    ----------
    painter : Painter or None
        The network that draws, with averaged weights, once trained.
    losses : list of float
        Loss of the discriminator per step: 0 when it tells all images, 2 when it tells none.
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
        self.painter: Painter | None = None
        self.losses: list[float] = []
        self.seconds = 0.0

    def describe(self) -> dict[str, Any]:
        """Kind and settings, of JSON types; equal for generators that train alike."""
        return {"generator": "gan", "settings": asdict(self.settings)}

    def fit(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        seed: int,
        checkpoint: Checkpoint | None = None,
        label: str = "gan",
    ) -> None:
        """Learn from `images`; a run that was interrupted goes on from `checkpoint` and ends with the same bits.

        Parameters
        ----------
        images
            uint8, shape ``(n, size, size)``.
        labels
            Integers, shape ``(n,)``, in ``[0, n_classes)``; every class must occur.
        seed
            Of the initial weights, batches, latent vectors and augmentation.
        checkpoint
            Where the state is kept; it is left there after the last step, so that a repeated call returns at once.
        label
            Name of the run in logs and messages.

        Raises
        ------
        FetalkitError
            When the images or labels are not as above, or a loss is no longer a number.
        """
        settings = self.settings
        check_training_set(images, labels, settings.n_classes, settings.size)

        def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
            rows = sampling.indices(len(images), settings.batch_size, step, f"{seed}-gan").numpy()
            mirrored = augmentation.mirror(images[rows], rng(seed, "mirror", step))
            return networks.pixels(mirrored, self.device), torch.from_numpy(labels[rows].astype(np.int64)).to(
                self.device
            )

        painter = networks.seeded(self._painter, seed, self.device)
        shape = settings.n_classes, settings.unshuffle, list(settings.channels)
        discriminator = networks.seeded(lambda: Discriminator(*shape), seed, self.device)
        adversaries = Adversaries(painter, discriminator, batch, settings, self.precision, seed)
        fitted = trainer.run(adversaries, settings.steps, checkpoint=checkpoint, label=label, advice=ADVICE)
        self._settle(painter, labels, seed)
        self.painter, self.losses, self.seconds = painter, fitted.losses, fitted.seconds

    def _settle(self, painter: Painter, labels: np.ndarray, seed: int) -> None:
        """Classes are drawn as in training, from those of the training images."""
        settings, random = self.settings, rng(seed, "settle")
        n = SETTLING * settings.batch_size
        rows = torch.randint(len(labels), (n,), generator=random).numpy()
        latents = torch.randn(n, settings.latent, generator=random).to(self.device)
        classes = torch.from_numpy(labels[rows].astype(np.int64)).to(self.device)
        with networks.autocast(self.device, self.precision), devices.reproducible():
            settle(painter, latents, classes, settings.batch_size)

    def _painter(self) -> Painter:
        settings = self.settings
        return Painter(settings.n_classes, settings.size, settings.unshuffle, list(settings.channels), settings.latent)

    def _trained(self) -> Painter:
        if self.painter is None:
            raise FetalkitError("the gan generator has no weights yet; call fit() or load() first")
        return self.painter

    @torch.no_grad()
    def sample(self, labels: np.ndarray, *, seed: int, temperature: float = 1.0, batch_size: int = 64) -> np.ndarray:
        """Draw one image for every label.

        Parameters
        ----------
        labels
            Integers, shape ``(n,)``, in ``[0, n_classes)``.
        seed
            Image `i` depends on `seed`, `i` and its label alone (up to rounding, which may vary with the batch).
        temperature
            Standard deviation of the latent vectors: below 1 images are more typical and less varied.
        batch_size
            Images that are drawn at one time.

        Returns
        -------
        numpy.ndarray
            uint8, shape ``(n, size, size)``.

        Raises
        ------
        FetalkitError
            When the generator has not been trained, or a label is not valid.
        """
        painter, parts = self._trained(), []
        check_labels(labels, self.settings.n_classes)
        for first in range(0, len(labels), batch_size):
            classes = torch.from_numpy(labels[first : first + batch_size].astype(np.int64)).to(self.device)
            rows = range(first, first + len(classes))
            latent = [torch.randn(self.settings.latent, generator=rng(seed, "image", row)) for row in rows]
            with networks.autocast(self.device, self.precision), devices.reproducible():
                drawn = painter(temperature * torch.stack(latent).to(self.device), classes)
            parts.append(networks.as_images(drawn))
        return np.concatenate(parts)

    def save(self, folder: Path) -> None:
        """Write the network that draws, in the format of diffusers, and ``fetalkit.json``; all or nothing.

        Raises
        ------
        FetalkitError
            When the generator has not been trained, or `folder` cannot be written.
        """
        painter = self._trained()
        with replacing(folder) as temporary:
            painter.save_pretrained(temporary / "painter", safe_serialization=True)
            (temporary / "fetalkit.json").write_text(json.dumps(self.describe(), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, device: str = "auto", precision: str = "auto") -> Self:
        """Read what `save` wrote; loss curve and duration are not stored with the model.

        Raises
        ------
        FetalkitError
            When the folder holds no GAN, or a damaged one.
        """
        generator = cls(device=device, precision=precision, **read_card(folder)["settings"])
        with networks.complete(folder):
            generator.painter = networks.read(Painter, Path(folder, "painter"), generator.device)
        return generator
