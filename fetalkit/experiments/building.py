"""Classifiers and training recipes as ``params.yaml`` asks for them."""

from dataclasses import fields
from typing import Any, TypeVar

import torch
from torch import nn

from fetalkit.classifiers import models
from fetalkit.classifiers.models import Normalised
from fetalkit.classifiers.trainer import Recipe
from fetalkit.config.params import Training

M = TypeVar("M", bound=nn.Module)


def recipe(training: Training, classifier: str) -> Recipe:
    """Recipe of one of the classifiers; some have a learning rate of their own."""
    values: dict[str, Any] = training.model_dump(include={field.name for field in fields(Recipe)})
    if own := training.classifiers[classifier].learning_rate:
        values["learning_rate"] = own
    return Recipe(**values)


def classifier(training: Training, name: str, n_classes: int, image_size: int, seed: int) -> Normalised:
    """One of the classifiers, on the CPU, with initial weights that follow from `seed`.

    Raises
    ------
    FetalkitError
        As `fetalkit.classifiers.models.create` does.
    """
    spec = training.classifiers[name]
    return models.create(
        spec.model,
        spec.arguments,
        n_classes,
        image_size,
        seed,
        weights=spec.pretrained,
        input_size=spec.input_size,
    )


def placed(model: M, device: torch.device) -> M:
    """`model` on a device, its channels last in memory, where convolutions are faster."""
    return model.to(device).to(memory_format=torch.channels_last)
