"""One step of a GAN's training: the discriminator learns, then the generator's network against it.

Hinge loss [1]_; gradient penalty R1 [2]_ every few steps [3]_; Adam as for DCGAN [4]_.

References
----------
.. [1] Lim and Ye, Geometric GAN, 2017, arXiv 1705.02894.
.. [2] Mescheder et al., Which Training Methods for GANs do actually Converge?, ICML 2018, arXiv 1801.04406.
.. [3] Karras et al., Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020, arXiv 1912.04958.
.. [4] Radford et al., Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks, ICLR
   2016, arXiv 1511.06434.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from fetalkit.generators import networks, trainer
from fetalkit.generators.gan.diffaugment import augment
from fetalkit.generators.gan.settings import GanTraining
from fetalkit.utils import devices
from fetalkit.utils.streams import rng

if TYPE_CHECKING:
    from fetalkit.generators.gan.networks import GeneratorNetwork


def _adam(network: nn.Module, rate: float) -> torch.optim.Optimizer:
    # Less momentum than usual: the other network changes what is downhill with every step.
    return torch.optim.Adam(network.parameters(), lr=rate, betas=(0.5, 0.99), fused=True)


class AdversarialTraining:
    """The two networks as a :class:`fetalkit.generators.trainer.Trainer`; its loss is that of the discriminator.

    Parameters
    ----------
    network, discriminator
        On their device.
    batch
        Gives the real images (batch, 1, size, size), in [-1, 1], and labels (batch,) of a step.
    training
        Rates, augmentation and penalty.
    precision
        Of convolutions and matrix products.
    seed
        Of the latent vectors and the augmentation.
    """

    def __init__(
        self,
        network: "GeneratorNetwork",
        discriminator: nn.Module,
        batch: Callable[[int], tuple[torch.Tensor, torch.Tensor]],
        training: GanTraining,
        precision: torch.dtype,
        seed: int,
    ):
        self.network, self.discriminator = network.train(), discriminator.train()
        self.batch, self.training, self.precision, self.seed = batch, training, precision, seed
        self.rates = training.learning_rate, training.discriminator_rate
        self.optimisers = [
            _adam(network, rate) for network, rate in zip((network, discriminator), self.rates, strict=True)
        ]
        self.average = trainer.Average(network, training.ema_length)

    def step(self, number: int) -> torch.Tensor:
        """Both networks learn once, from the same drawn images; that saves drawing others."""
        for optimiser, rate in zip(self.optimisers, self.rates, strict=True):
            optimiser.param_groups[0]["lr"] = rate * min(1.0, 2 * (1 - number / self.training.steps))
        real, labels = self.batch(number)
        random = rng(self.seed, "gan", number)
        latent = devices.send(torch.randn(len(real), self.training.latent, generator=random), real.device)
        self.discriminator.requires_grad_(True)
        with networks.autocast(real.device, self.precision):
            drawn = self.network(latent, labels)
            loss = self._discriminator_loss(
                self._augmented(real, random), self._augmented(drawn.detach(), random), labels, number
            )
        value = trainer.gradient_step(loss, self.optimisers[1])
        self.discriminator.requires_grad_(False)
        with networks.autocast(real.device, self.precision):
            generator_loss = self._generator_loss(drawn, latent, labels, random)
        other = trainer.gradient_step(generator_loss, self.optimisers[0])
        self.average.update()
        return torch.where(torch.isfinite(other), value, torch.nan)

    def _augmented(self, images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        return augment(images, self.training.augment, random)

    def _generator_loss(
        self, drawn: torch.Tensor, latent: torch.Tensor, labels: torch.Tensor, random: torch.Generator
    ) -> torch.Tensor:
        """Hinge loss of what the network has drawn from these latent vectors."""
        return -self.discriminator(self._augmented(drawn, random), labels).mean()

    def _discriminator_loss(
        self, real: torch.Tensor, drawn: torch.Tensor, labels: torch.Tensor, number: int
    ) -> torch.Tensor:
        """Hinge loss, and the gradient penalty where one is due."""
        penalised = self.training.penalty > 0 and number % self.training.penalty_every == 0
        real.requires_grad_(penalised)
        of_real, of_drawn = self.discriminator(real, labels), self.discriminator(drawn, labels)
        loss = functional.relu(1 - of_real).mean() + functional.relu(1 + of_drawn).mean()
        if not penalised:
            return loss
        (slope,) = torch.autograd.grad(of_real.sum(), real, create_graph=True)
        weight = self.training.penalty / 2 * self.training.penalty_every
        return loss + weight * slope.square().sum(dim=(1, 2, 3)).mean()

    def state(self) -> dict[str, Any]:
        """As `Checkpoint` asks for."""
        return {
            "generator": self.network.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "ema": self.average.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a saved `state`."""
        self.network.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.average.restore(state["ema"])
