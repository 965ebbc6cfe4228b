"""Class-conditional generative adversarial network for few images: the rival of the diffusion model.

What keeps a GAN alive on tens to a thousand images is put together here: differentiable augmentation (`diffaugment`), a
projection discriminator that sees how images of a group differ (`networks`), a gradient penalty (`adversarial`), averaged
weights (`fetalkit.generators.trainer`). `settings` says what can be chosen.

References
----------
.. [1] Goodfellow et al., Generative Adversarial Nets, NeurIPS 2014, arXiv 1406.2661.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import nn

from fetalkit.data import sampling as batches
from fetalkit.generators import networks, trainer
from fetalkit.generators.base import Generator
from fetalkit.generators.diffusion import augmentation
from fetalkit.generators.gan.adversarial import AdversarialTraining
from fetalkit.generators.gan.settings import GanSampling, GanTraining
from fetalkit.utils import devices
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.streams import rng

if TYPE_CHECKING:
    from fetalkit.generators.gan.networks import GeneratorNetwork

# Batches that the normalisations of the averaged network are measured on.
NORM_BATCHES = 50
ADVICE = "lower training.learning_rate and training.discriminator_rate of this generator in params.yaml"


class GanGenerator(Generator[GanTraining, GanSampling]):
    """Conditional GAN.

    Parameters are those of :class:`fetalkit.generators.base.Generator`. Its losses are those of the discriminator: 0 when it
    tells all images, 2 when it tells none.

    Attributes
    ----------
    adversarial : type
        How the two networks learn.
    network : GeneratorNetwork or None
        The network that draws, with averaged weights, once trained.
    """

    Training = GanTraining
    Sampling = GanSampling
    adversarial: ClassVar[type[AdversarialTraining]] = AdversarialTraining

    network: "GeneratorNetwork | None" = None

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
        training = self.training

        def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
            rows = batches.indices(len(images), training.batch_size, step, f"{seed}-gan").numpy()
            mirrored, _ = augmentation.mirror(images[rows], rng(seed, "mirror", step))
            return networks.pixels(mirrored, self.device), self._classes(labels[rows])

        network = networks.seeded(self._network, seed, self.device)
        discriminator = networks.seeded(self._discriminator, seed, self.device)
        both = self.adversarial(network, discriminator, batch, training, self.precision, seed)
        result = trainer.run(both, training.steps, checkpoint=checkpoint, label=label, advice=ADVICE)
        self._recompute_batch_norm(network, labels, seed)
        self.network, self.losses, self.seconds = networks.rounded(network), result.losses, result.seconds

    @property
    def loaded(self) -> bool:
        """Whether it has been trained or read."""
        return self.network is not None

    def _classes(self, labels: np.ndarray) -> torch.Tensor:
        return devices.send(torch.from_numpy(labels.astype(np.int64)), self.device)

    def _recompute_batch_norm(self, network: "GeneratorNetwork", labels: np.ndarray, seed: int) -> None:
        """Classes are drawn as in training, from those of the training images."""
        from fetalkit.generators.gan.networks import recompute_batch_norm

        training, random = self.training, rng(seed, "statistics")
        n = NORM_BATCHES * training.batch_size
        rows = torch.randint(len(labels), (n,), generator=random).numpy()
        latents = torch.randn(n, training.latent, generator=random).to(self.device)
        with networks.autocast(self.device, self.precision), devices.reproducible(self.device):
            recompute_batch_norm(network, latents, self._classes(labels[rows]), training.batch_size)

    def _network(self) -> "GeneratorNetwork":
        from fetalkit.generators.gan.networks import GeneratorNetwork

        training = self.training
        return GeneratorNetwork(
            self.n_classes, self.image_size, training.unshuffle, list(training.channels), training.latent
        )

    def _discriminator(self) -> nn.Module:
        from fetalkit.generators.gan.networks import Discriminator

        training = self.training
        return Discriminator(self.n_classes, training.unshuffle, list(training.channels))

    def _trained(self) -> "GeneratorNetwork":
        self._require_training()
        assert self.network is not None
        return self.network

    @torch.no_grad()
    def _sample(self, labels: np.ndarray, *, seed: int, sampling: GanSampling, batch_size: int) -> np.ndarray:
        network, parts = self._trained(), []
        for first in range(0, len(labels), batch_size):
            classes = self._classes(labels[first : first + batch_size])
            rows = range(first, first + len(classes))
            latent = [torch.randn(self.training.latent, generator=rng(seed, "image", row)) for row in rows]
            with networks.autocast(self.device, self.precision), devices.reproducible(self.device):
                drawn = network(sampling.temperature * torch.stack(latent).to(self.device), classes)
            parts.append(networks.as_images(drawn))
        return np.concatenate(parts)

    def _write(self, folder: Path) -> dict[str, Any]:
        """The network that draws, in the format of diffusers."""
        networks.save(self._trained(), folder / "generator")
        return {}

    def _read(self, folder: Path, about: dict[str, Any]) -> None:
        from fetalkit.generators.gan.networks import GeneratorNetwork

        with networks.complete(folder):
            self.network = networks.read(GeneratorNetwork, folder / "generator", self.device)
