"""Training loop of the generators' networks: AdamW, averaged weights, exact resume.

References
----------
.. [1] Karras et al., Analyzing and Improving the Training Dynamics of Diffusion Models, CVPR 2024, arXiv 2312.02696.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from diffusers.training_utils import EMAModel
from torch import nn

from fetalkit import devices
from fetalkit.checkpoints import Checkpoint
from fetalkit.errors import FetalkitError
from fetalkit.progress import Progress

# Steps between two lines of the log.
REPORT_EVERY = 100


@dataclass(frozen=True)
class Schedule:
    """How a network is trained; fields as in :class:`fetalkit.generators.settings.Settings`."""

    steps: int
    learning_rate: float
    warmup_fraction: float
    weight_decay: float
    ema_length: float

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        warmup = max(1, round(self.warmup_fraction * self.steps))
        return self.learning_rate * min((step + 1) / warmup, (self.steps - step) / max(1, self.steps - warmup), 1.0)


@dataclass
class Fitted:
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


class _Run:
    """Everything that changes during a training, and thus belongs into its checkpoint."""

    def __init__(self, network: nn.Module, schedule: Schedule):
        self.network, self.parameters = network, list(network.parameters())
        self.optimiser = torch.optim.AdamW(
            self.parameters,
            lr=schedule.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=schedule.weight_decay,
            fused=True,
        )
        # With power 1 the decay is 1 - 1 / (1 + t * length): a power-function average [1].
        self.ema = EMAModel(
            self.parameters, use_ema_warmup=True, inv_gamma=1 / schedule.ema_length, power=1, foreach=True
        )
        self.fitted = Fitted()

    @property
    def step(self) -> int:
        """Number of finished steps."""
        return len(self.fitted.losses)

    def state(self) -> dict:
        """Tensors and plain values only, as `Checkpoint` asks for."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "ema": self.ema.state_dict(),
            **vars(self.fitted),
        }

    def restore(self, state: dict) -> None:
        """Go back to a saved `state`."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.ema.load_state_dict(state["ema"])
        self.ema.to(self.parameters[0].device)
        self.fitted = Fitted(list(state["losses"]), state["seconds"], dict(state["snapshots"]))


def fit(
    network: nn.Module,
    loss: Callable[[int], torch.Tensor],
    schedule: Schedule,
    *,
    checkpoint: Checkpoint | None,
    label: str,
    advice: str,
    snapshots: Sequence[float] = (),
) -> Fitted:
    """Train `network` in place; it ends with its averaged weights. A run that was interrupted ends with the same bits.

    Parameters
    ----------
    network
        On its device.
    loss
        Mean loss of the batch of a step, counted from 0; all its randomness must follow from the step.
    schedule
        Length and learning rate.
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
        When the loss is no longer a number.
    """
    run = _Run(network.train(), schedule)
    saved = checkpoint.load() if checkpoint else None
    if saved:
        run.restore(saved)
    due = {max(1, round(share * schedule.steps)): share for share in snapshots}
    began = time.monotonic() - run.fitted.seconds
    with Progress(label, schedule.steps, done=run.step) as progress, devices.reproducible():
        while run.step < schedule.steps:
            value = _step(run, loss, schedule)
            if value is None:
                raise FetalkitError(f"{label}: the loss is not a number at step {run.step + 1}; {advice}")
            run.fitted.losses.append(value)
            run.fitted.seconds = time.monotonic() - began
            if run.step in due:
                run.fitted.snapshots[due[run.step]] = [weight.clone() for weight in run.ema.shadow_params]
            last = run.step == schedule.steps
            progress.update()
            if last or run.step % REPORT_EVERY == 0:
                progress.report(loss=float(np.mean(run.fitted.losses[-REPORT_EVERY:])))
            if checkpoint and (last or checkpoint.due(run.step)):
                checkpoint.save(run.state())
    run.ema.copy_to(run.parameters)
    network.eval()
    return run.fitted


def _step(run: _Run, loss: Callable[[int], torch.Tensor], schedule: Schedule) -> float | None:
    """One step of the optimiser; the loss, or None when it or its gradient is not a number."""
    for group in run.optimiser.param_groups:
        group["lr"] = schedule.rate(run.step)
    value = loss(run.step)
    value.backward()
    norm = torch.nn.utils.clip_grad_norm_(run.parameters, 1.0)
    if not (torch.isfinite(value) and torch.isfinite(norm)):
        return None
    run.optimiser.step()
    run.optimiser.zero_grad(set_to_none=True)
    run.ema.step(run.parameters)
    return value.item()
