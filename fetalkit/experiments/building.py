"""Classifiers and training recipes as ``params.yaml`` asks for them."""

from dataclasses import fields
from typing import Any, TypeVar

import torch
from torch import nn

from fetalkit.classifiers import gradcam, models, own
from fetalkit.classifiers.models import Normalised
from fetalkit.classifiers.trainer import Recipe
from fetalkit.config.machine import Machine
from fetalkit.config.params import Training
from fetalkit.utils import devices

M = TypeVar("M", bound=nn.Module)


def recipe(training: Training, classifier: str) -> Recipe:
    """Recipe of one of the classifiers; some have a learning rate of their own."""
    values: dict[str, Any] = training.model_dump(include={field.name for field in fields(Recipe)})
    if own := training.classifiers[classifier].learning_rate:
        values["learning_rate"] = own
    return Recipe(**values)


def precision(training: Training, classifier: str, run: Machine) -> torch.dtype:
    """What one of the classifiers is trained in: the run's precision if it may be reduced, else float32."""
    if not training.classifiers[classifier].reduced_precision:
        return torch.float32
    return devices.precision(run.precision, devices.device(run.device))


def classifier(training: Training, name: str, n_classes: int, image_size: int, seed: int) -> Normalised:
    """One of the classifiers, on the CPU, with initial weights that follow from `seed`.

    Raises
    ------
    FetalkitError
        As `fetalkit.classifiers.models.create` does.
    """
    spec = training.classifiers[name]
    return models.create(
        own.known(spec.model),
        spec.arguments,
        n_classes,
        image_size,
        seed,
        weights=spec.pretrained,
        input_size=spec.input_size,
    )


def without_gradcam(training: Training, image_size: int) -> list[str]:
    """Classifiers that no Grad-CAM can be made of, as their features are no maps: known before they are trained."""
    made = {
        name: models.create(own.known(spec.model), spec.arguments, 2, image_size, 0, input_size=spec.input_size)
        for name, spec in training.classifiers.items()
    }
    return [name for name, model in made.items() if not gradcam.has_map(model, image_size)]


def placed(model: M, device: torch.device) -> M:
    """`model` on a device, its channels last in memory, where convolutions are faster."""
    return model.to(device).to(memory_format=torch.channels_last)
