"""Classifiers and training recipes as ``params.yaml`` asks for them."""

from dataclasses import fields

from fetalkit.classifiers import models
from fetalkit.classifiers.models import Normalised
from fetalkit.classifiers.trainer import Recipe
from fetalkit.config.params import Training


def recipe(training: Training, classifier: str) -> Recipe:
    """Recipe of one of the classifiers; some have a learning rate of their own."""
    shared = training.model_dump(include={field.name for field in fields(Recipe)})
    own = training.classifiers[classifier].learning_rate
    return Recipe(**shared | ({"learning_rate": own} if own else {}))


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
