"""Training loop of the generators' networks: progress, averaged weights, exact resume.

`run` is the loop, whatever is trained; `train_network` trains one network on a loss.

References
----------
.. [1] Karras et al., Analyzing and Improving the Training Dynamics of Diffusion Models, CVPR 2024, arXiv 2312.02696.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import nn

from fetalkit.generators import optimisers
from fetalkit.utils import devices, processes
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.losses import Losses
from fetalkit.utils.progress import Progress

if TYPE_CHECKING:
    from timm.scheduler.scheduler import Scheduler

# Steps between two lines of the log.
REPORT_EVERY = 100
MEMORY = "lower training.batch_size of this generator, or run.workers, in params.yaml"


@dataclass(frozen=True)
class Schedule:
    """How a network is trained; fields as in :class:`fetalkit.generators.diffusion.settings.DiffusionTraining`.

    `precision` is that of the optimiser's matrix products, if it has any.
    """

    steps: int
    learning_rate: float
    warmup_fraction: float
    weight_decay: float
    ema_length: float
    optimiser: optimisers.Name
    precision: torch.dtype

    def rates(self, optimiser: torch.optim.Optimizer) -> "Scheduler":
        """Learning rate over the steps: it rises linearly during the warm-up, then falls linearly to zero."""
        from timm.scheduler.poly_lr import PolyLRScheduler

        warmup = round(self.warmup_fraction * self.steps)
        return PolyLRScheduler(
            optimiser,
            t_initial=max(1, self.steps - warmup),
            power=1.0,
            warmup_t=warmup,
            warmup_lr_init=self.learning_rate / (warmup + 1),
            warmup_prefix=True,
            t_in_epochs=False,
        )


@dataclass
class TrainingResult:
    """What a training leaves behind.

    Attributes
    ----------
    losses
        Training loss per step.
    seconds
        Duration, interrupted attempts included up to their last checkpoint.
    snapshots
        Share of the training → averaged weights after it, in the order of the network's parameters.
    """

    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    snapshots: dict[float, list[torch.Tensor]] = field(default_factory=dict)


class Average:
    """Average of a network's weights over about the last `length` (a share) of the steps made so far."""

    def __init__(self, network: nn.Module, length: float):
        from diffusers.training_utils import EMAModel

        self.parameters = list(network.parameters())
        # With power 1 the decay is 1 - 1 / (1 + t * length): a power-function average [1].
        self.device = self.parameters[0].device
        self._ema = EMAModel(self.parameters, use_ema_warmup=True, inv_gamma=1 / length, power=1, foreach=True)

    def update(self) -> None:
        """Take in the weights after one more step."""
        self._ema.step(self.parameters)

    def weights(self) -> list[torch.Tensor]:
        """Copy of the averaged weights, in the order of the network's parameters."""
        return [weight.clone() for weight in self._ema.shadow_params]

    def apply(self) -> None:
        """Put the averaged weights into the network."""
        self._ema.copy_to(self.parameters)

    def state(self) -> dict[str, Any]:
        """Tensors and plain values only, as `Checkpoint` asks for."""
        return self._ema.state_dict()

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a saved `state`."""
        self._ema.load_state_dict(state)
        self._ema.to(self.device)


def snapshot_step(share: float, steps: int) -> int:
    """Step of a training of `steps` after which the snapshot at this share of it is taken."""
    return max(1, round(share * steps))


class Trainer(Protocol):
    """Networks with their optimisers: everything that changes during a training.

    Attributes
    ----------
    average
        Of the network that is wanted in the end.
    """

    average: Average

    def step(self, number: int) -> torch.Tensor:
        """Make step `number`, counted from 0; the loss, a scalar, or NaN when it or its gradient is not a number.

        All its randomness must follow from its number. It stays on its device: who reads it waits for a GPU.
        """
        ...

    def state(self) -> dict[str, Any]:
        """Tensors and plain values only, as `Checkpoint` asks for."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a saved `state`, which may hold more."""


def run(
    trainer: Trainer,
    steps: int,
    *,
    checkpoint: Checkpoint | None,
    label: str,
    advice: str,
    snapshots: Sequence[float] = (),
) -> TrainingResult:
    """Train; the wanted network ends with its averaged weights. A run that was interrupted ends with the same bits.

    Parameters
    ----------
    trainer
        Before its first step.
    steps
        Length of the training.
    checkpoint
        Where the state is kept; it is left there after the last step, so that a repeated call returns at once.
    label
        Name of the run in logs and messages.
    advice
        What to do when the loss is no longer a number.
    snapshots
        Shares of the training, in (0, 1), after which the averaged weights are kept.

    Raises
    ------
    FetalkitError
        When the loss is no longer a number, or memory runs out.
    """
    result = TrainingResult()
    saved = checkpoint.load() if checkpoint else None
    if saved:
        trainer.restore(saved)
        result = TrainingResult(list(saved["losses"]), saved["seconds"], dict(saved["snapshots"]))
    due = {snapshot_step(share, steps): share for share in snapshots}
    began, first, on = time.monotonic() - result.seconds, len(result.losses), trainer.average.device
    losses, saves = Losses(first, on, label, advice), checkpoint if processes.index() == 0 else None
    with Progress(label, steps, done=first) as progress, devices.reproducible(on), devices.enough_memory(label, MEMORY):
        for number in range(first, steps):
            losses.add(trainer.step(number))
            progress.update()
            done = number + 1
            reported = done == steps or done % REPORT_EVERY == 0
            saved = done == steps or (checkpoint is not None and checkpoint.due(done))
            if losses.due or reported or saved or done in due:
                result.losses += losses.read()
                result.seconds = time.monotonic() - began
            if done in due:
                result.snapshots[due[done]] = trainer.average.weights()
            if reported:
                progress.report(loss=float(np.mean(result.losses[-REPORT_EVERY:])))
            if saves and saved:
                saves.save(trainer.state() | vars(result))
    trainer.average.apply()
    return result


def gradient_step(loss: torch.Tensor, optimiser: torch.optim.Optimizer, limit: float = math.inf) -> torch.Tensor:
    """Step down the gradient of `loss`, whose norm is cut to `limit`; the loss, or NaN where the norm is not a number."""
    loss.backward()
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return torch.where(torch.isfinite(norm), loss.detach(), torch.nan)


class SingleNetworkTraining:
    """One network that learns from a loss; see `train_network`."""

    def __init__(self, network: nn.Module, loss: Callable[[int], torch.Tensor], schedule: Schedule):
        self.network, self.loss = network, loss
        rate, decay = schedule.learning_rate, schedule.weight_decay
        self.optimiser = optimisers.make(network, schedule.optimiser, rate, decay, schedule.precision)
        self.rates = schedule.rates(self.optimiser)
        self.average = Average(network, schedule.ema_length)

    def step(self, number: int) -> torch.Tensor:
        self.rates.step_update(number)
        value = gradient_step(self.loss(number), self.optimiser, limit=1.0)
        self.average.update()
        return value

    def state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "ema": self.average.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.restore(state["ema"])


def train_network(
    network: nn.Module, loss: Callable[[int], torch.Tensor], schedule: Schedule, **options: Any
) -> TrainingResult:
    """Train `network` in place; it ends with its averaged weights.

    Parameters
    ----------
    network
        On its device.
    loss
        Mean loss of the batch of a step, counted from 0; all its randomness must follow from the step.
    schedule
        Length, learning rate and optimiser.
    options
        Keyword arguments of `run`.

    Raises
    ------
    FetalkitError
        As `run` does.
    """
    result = run(SingleNetworkTraining(network.train(), loss, schedule), schedule.steps, **options)
    network.eval()
    return result
