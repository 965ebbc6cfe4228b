"""Training of a classifier: one phase at a time, exactly resumable, and prediction."""

import math
import time
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from fetalkit.classifiers.loader import Feed, as_input
from fetalkit.config.params import Params
from fetalkit.data.images import Labelled
from fetalkit.utils import devices
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.progress import Progress


@dataclass(frozen=True)
class Recipe:
    """Settings that all phases of all arms of a classifier share; see ``classify`` in ``params.yaml``."""

    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup_fraction: float
    label_smoothing: float

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of `step` (0-based) of `steps`: linear warm-up, then cosine to zero."""
        warmup = max(1, round(self.warmup_fraction * steps))
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def recipe(settings: Params, classifier: str) -> Recipe:
    """Recipe of one of ``classify.classifiers``; some have a learning rate of their own."""
    shared = settings.classify.model_dump(include={field.name for field in fields(Recipe)})
    own = settings.classify.classifiers[classifier].learning_rate
    return Recipe(**shared | ({"learning_rate": own} if own else {}))


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
        """Cross entropy of logits (batch, classes), a scalar."""
        smoothing = 0.0 if targets.is_floating_point() else self.label_smoothing
        return functional.cross_entropy(logits, targets, label_smoothing=smoothing)


@torch.inference_mode()
def predict(model: nn.Module, images: np.ndarray, device: torch.device, batch_size: int = 256) -> np.ndarray:
    """Class probabilities, float32 (n, classes), of uint8 (n, height, width)."""
    model.eval()
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

    Returns
    -------
    curve : list of dict
        ``step``, ``loss`` (mean since the last point), ``validation_accuracy``.
    seconds : float
        Training time, interrupted attempts included up to their last checkpoint.

    Raises
    ------
    FetalkitError
        When the loss is no longer a number.
    """
    objective = objective or CrossEntropy(recipe.label_smoothing)
    parameters = [*model.parameters(), *objective.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    state = checkpoint.load() or {"step": 0, "curve": [], "seconds": 0.0, "loss": 0.0}
    if state["step"]:
        model.load_state_dict(state["model"])
        objective.load_state_dict(state["objective"])
        optimiser.load_state_dict(state["optimiser"])
    curve, loss_sum, first = state["curve"], state["loss"], state["step"]
    interval = max(1, steps // curve_points)
    started = time.monotonic() - state["seconds"]
    with Progress(label, steps, done=first) as progress, devices.reproducible():
        for step in range(first, steps):
            for group in optimiser.param_groups:
                group["lr"] = recipe.rate(step, steps)
            inputs, targets = feed.batch(step, recipe.batch_size, recipe.label_smoothing, device)
            model.train()
            loss = objective(model, inputs, targets, step, steps)
            if not torch.isfinite(loss):
                raise FetalkitError(
                    f"{label}: the loss is not a number at step {step + 1}; lower classify.learning_rate in params.yaml"
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            loss_sum += loss.item()
            progress.update()
            done = step + 1
            if done % interval == 0 or done == steps:
                point = {"step": done, "loss": loss_sum / (done - (curve[-1]["step"] if curve else 0))}
                if validation is not None:
                    correct = predict(model, validation.images, device).argmax(axis=1) == validation.labels
                    point["validation_accuracy"] = float(correct.mean())
                curve.append(point)
                loss_sum = 0.0
                progress.report(**{key: value for key, value in point.items() if key != "step"})
            if checkpoint.due(done) and done < steps:
                seconds = time.monotonic() - started
                checkpoint.save(
                    {
                        "step": done,
                        "curve": curve,
                        "seconds": seconds,
                        "loss": loss_sum,
                        "model": model.state_dict(),
                        "objective": objective.state_dict(),
                        "optimiser": optimiser.state_dict(),
                    }
                )
    return curve, time.monotonic() - started
