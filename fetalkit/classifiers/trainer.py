"""Training of a classifier: one phase at a time, exactly resumable, and prediction."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from timm.optim import param_groups_weight_decay  # pyright: ignore[reportPrivateImportUsage]  # documented there
from timm.scheduler.cosine_lr import CosineLRScheduler
from timm.scheduler.scheduler import Scheduler
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import update_bn

from fetalkit.classifiers.loader import Feed, as_input
from fetalkit.data.images import Labelled
from fetalkit.utils import devices
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.losses import Losses
from fetalkit.utils.progress import Progress

ADVICE = "lower classify.learning_rate in params.yaml"
STATISTICS = 20  # batches that the final means and variances of batch normalisation are of
MEMORY = "lower batch_size of classify (or of the study's training), or run.workers, in params.yaml"


@dataclass(frozen=True)
class Recipe:
    """Settings that all phases of all arms of a classifier share; see ``classify`` in ``params.yaml``."""

    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup_fraction: float
    label_smoothing: float

    def optimiser(self, *networks: nn.Module) -> torch.optim.Optimizer:
        """AdamW over the networks' parameters; weights decay, norms and biases do not."""
        groups = [group for network in networks for group in param_groups_weight_decay(network, self.weight_decay)]
        on_gpu = next(networks[0].parameters()).device.type == "cuda"  # one kernel for all weights there
        return torch.optim.AdamW(groups, lr=self.learning_rate, fused=on_gpu)

    def schedule(self, optimiser: torch.optim.Optimizer, steps: int) -> Scheduler:
        """Learning rate over `steps` steps: linear warm-up, then cosine to zero."""
        warmup = round(self.warmup_fraction * steps)
        return CosineLRScheduler(
            optimiser,
            t_initial=max(1, steps - warmup),
            warmup_t=warmup,
            warmup_lr_init=self.learning_rate / (warmup + 1),
            warmup_prefix=True,
            t_in_epochs=False,
        )


class CrossEntropy(nn.Module):
    """What a classifier is trained for; another objective may have parameters, which are trained with the classifier's.

    Parameters
    ----------
    label_smoothing
        In [0, 1). Targets that are shares of classes, as mixing makes them, are smooth already and are left as they are.
    """

    def __init__(self, label_smoothing: float = 0.0):
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(
        self, model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, step: int, steps: int
    ) -> torch.Tensor:
        """Loss, a scalar, of a batch of `fetalkit.classifiers.loader.Feed` in step `step` (0-based) of `steps`."""
        return self.of_logits(model(inputs), targets)

    def of_logits(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Cross entropy of logits (batch, classes) of any precision, a scalar."""
        smoothing = 0.0 if targets.is_floating_point() else self.label_smoothing
        return functional.cross_entropy(logits.float(), targets, label_smoothing=smoothing)


@torch.inference_mode()
def predict(model: nn.Module, images: np.ndarray, device: torch.device, batch_size: int = 256) -> np.ndarray:
    """Class probabilities, float32 (n, classes), of uint8 (n, height, width)."""
    model.eval()
    with devices.reproducible(device), devices.enough_memory("prediction", "lower run.workers in params.yaml"):
        parts = [
            model(as_input(images[start : start + batch_size], device)).softmax(dim=1).cpu().numpy()
            for start in range(0, len(images), batch_size)
        ]
    return np.concatenate(parts)


def fit(
    model: nn.Module,
    feed: Feed,
    steps: int,
    recipe: Recipe,
    *,
    device: torch.device,
    checkpoint: Checkpoint,
    label: str,
    validation: Labelled | None = None,
    curve_points: int = 10,
    objective: nn.Module | None = None,
    precision: torch.dtype = torch.float32,
    statistics: Feed | None = None,
) -> tuple[list[dict], float]:
    """Train `model` in place for `steps` steps with AdamW.

    Goes on from `checkpoint` if that holds a state of this very phase, and ends with the same bits either way.

    Parameters
    ----------
    model
        On `device`.
    feed
        The batches of the phase.
    checkpoint
        Where the state is kept while training.
    label
        Name of the phase in logs and messages.
    validation
        If given, its accuracy is recorded `curve_points` times.
    objective
        On `device`, called as `CrossEntropy` is, which it is by default; its own parameters are trained too.
    precision
        Of convolutions and matrix products in training; predictions are made in float32.
    statistics
        If given, the running means and variances of batch normalisation are estimated anew from its batches at the end.

    Returns
    -------
    curve : list of dict
        ``step``, ``loss`` (mean since the last point), ``validation_accuracy``.
    seconds : float
        Training time, interrupted attempts included up to their last checkpoint.

    Raises
    ------
    FetalkitError
        When the loss is no longer a number, or memory runs out.
    """
    objective = objective or CrossEntropy(recipe.label_smoothing)
    training = _Training(
        model, objective, feed, steps, recipe, device, checkpoint, label, validation, curve_points, precision
    )
    return training.run(statistics)


class _Training:
    """The loop of `fit`, whose parameters it takes."""

    def __init__(
        self,
        model: nn.Module,
        objective: nn.Module,
        feed: Feed,
        steps: int,
        recipe: Recipe,
        device: torch.device,
        checkpoint: Checkpoint,
        label: str,
        validation: Labelled | None,
        curve_points: int,
        precision: torch.dtype,
    ):
        self.model, self.objective, self.feed, self.steps, self.recipe = model, objective, feed, steps, recipe
        self.device, self.checkpoint, self.label, self.validation = device, checkpoint, label, validation
        self.interval, self.precision = max(1, steps // curve_points), precision
        self.optimiser = recipe.optimiser(model, objective)
        self.schedule = recipe.schedule(self.optimiser, steps)
        self.parts = {"model": model, "objective": objective, "optimiser": self.optimiser}
        state = checkpoint.load() or {"step": 0, "curve": [], "seconds": 0.0, "loss": 0.0}
        if state["step"]:
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
        self.first, self.curve, self.loss_sum = state["step"], state["curve"], state["loss"]
        self.started = time.monotonic() - state["seconds"]
        self.passes: nn.Module | None = None
        self.losses = Losses(self.first, device, label, ADVICE)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def run(self, statistics: Feed | None) -> tuple[list[dict], float]:
        progress = Progress(self.label, self.steps, done=self.first)
        with progress, devices.reproducible(self.device), devices.enough_memory(self.label, MEMORY):
            for step in range(self.first, self.steps):
                self.losses.add(self._step(step))
                progress.update()
                done = step + 1
                noted, saved = done % self.interval == 0 or done == self.steps, self.checkpoint.due(done)
                if self.losses.due or noted or saved:
                    for loss in self.losses.read():
                        self.loss_sum += loss
                if done == self.steps and statistics is not None:
                    self._estimate(statistics)
                if noted:
                    point = self._point(done)
                    progress.report(**{key: value for key, value in point.items() if key != "step"})
                if saved and done < self.steps:
                    self._save(done)
        return self.curve, self.seconds

    def _step(self, step: int) -> torch.Tensor:
        """One step of the optimiser; returns the loss, which stays on its device."""
        self.schedule.step_update(step)
        inputs, targets = self.feed.batch(step, self.recipe.batch_size, self.recipe.label_smoothing, self.device)
        self.model.train()
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            loss = self.objective(self._passes(inputs), inputs, targets, step, self.steps)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return loss.detach()

    def _passes(self, inputs: torch.Tensor) -> nn.Module:
        """The classifier as it is trained; other objectives show it more than one batch."""
        if type(self.objective) is not CrossEntropy:
            return self.model
        if self.passes is None:
            self.passes = devices.graphed(self.model, (inputs,), self.precision)
        return self.passes

    def _estimate(self, statistics: Feed) -> None:
        """Means and variances of batch normalisation, over some batches together."""
        batches = (statistics.batch(step, self.recipe.batch_size, 0.0, self.device)[0] for step in range(STATISTICS))
        update_bn(batches, self.model)

    def _point(self, done: int) -> dict[str, float]:
        """Add the next point to the curve."""
        since = done - (self.curve[-1]["step"] if self.curve else 0)
        point = {"step": done, "loss": self.loss_sum / since}
        if self.validation is not None:
            correct = predict(self.model, self.validation.images, self.device).argmax(axis=1) == self.validation.labels
            point["validation_accuracy"] = float(correct.mean())
        self.curve.append(point)
        self.loss_sum = 0.0
        return point

    def _save(self, done: int) -> None:
        state = {"step": done, "curve": self.curve, "seconds": self.seconds, "loss": self.loss_sum}
        self.checkpoint.save(state | {name: part.state_dict() for name, part in self.parts.items()})
