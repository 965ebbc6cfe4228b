"""Floating-point operations of an image or a step of a classifier or generator, counted on a few random images as it runs.

A training is counted for few steps on small batches. What any other length and batch costs follows, since operations are
linear in the number of steps and in that of the images of a batch.
"""

import json
import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch

from fetalkit import generators
from fetalkit.classifiers import models, own
from fetalkit.classifiers.trainer import CrossEntropy
from fetalkit.config.generation import GeneratorSettings
from fetalkit.config.params import Classifier, Params
from fetalkit.config.sections import Section
from fetalkit.generators import Generator
from fetalkit.metrics.compute import flops
from fetalkit.utils import progress

BATCH, SHORT = 4, 2  # images and steps of the smallest training that is counted


def classifier(spec: Classifier, n_classes: int, image_size: int) -> int:
    """Operations per image of a training step, forward and backward; pretrained weights cost what random ones do."""
    return _of_classifier(spec.model_dump_json(), n_classes, image_size)


@cache
def _of_classifier(spec: str, n_classes: int, image_size: int) -> int:
    given = Classifier.model_validate_json(spec)
    name = own.known(given.model)
    model = models.create(name, given.arguments, n_classes, image_size, 0, input_size=given.input_size)
    images, labels = torch.zeros(BATCH, 1, image_size, image_size), torch.zeros(BATCH, dtype=torch.int64)
    return flops(lambda: CrossEntropy()(model, images, labels, 0, 1).backward()) // BATCH


def training(settings: Params, spec: GeneratorSettings) -> float:
    """Operations of the training of a generator, optimiser included; 0 for classes of the project that train no network.

    A class whose ``training`` has no ``steps`` and ``batch_size`` is taken to cost what it does on a few images.
    """
    given: Any = spec.training
    if not _has_steps(given):
        return _of_training(_key(settings, spec), begins=False)
    return _linear(settings, spec, given.steps, begins=False)


def beginning(settings: Params, spec: GeneratorSettings, steps: int) -> float:
    """Operations of so many steps of what a generator's training begins with; no guide is trained there."""
    return _linear(settings, spec, steps, begins=True)


def image(settings: Params, spec: GeneratorSettings, sampling: Section) -> float:
    """Operations per image that a trained generator draws, with all that guides it."""
    key = _key(settings, spec, SHORT, BATCH) if _has_steps(spec.training) else _key(settings, spec)
    return _of_image(key, sampling.model_dump_json())


class _Extra(NamedTuple):
    """What a training does beside its steps: steps of a network that guides, or a penalty every few steps.

    Attributes
    ----------
    setting, short
        Name of the setting that asks for it, and its value in a short training.
    times_short, times
        How often it is done then, and in the whole training.
    """

    setting: str
    short: float
    times_short: int
    times: int


def _extra(given: Any) -> _Extra | None:
    """What a section ``training`` asks for, if anything."""
    if guide_steps := getattr(given, "guide_steps", 0):
        return _Extra("guide_steps", SHORT, SHORT, guide_steps)
    if penalty := getattr(given, "penalty", 0):
        return _Extra("penalty", penalty, *(math.ceil(steps / given.penalty_every) for steps in (SHORT, given.steps)))
    return None


def _linear(settings: Params, spec: GeneratorSettings, steps: int, begins: bool) -> float:
    """Operations of a training of so many steps, on batches of the size that it has."""
    given: Any = spec.training
    extra, counted = None if begins else _extra(given), []
    for batch in (BATCH, 2 * BATCH):
        short, longer = (_of_training(_key(settings, spec, n, batch, False), begins) for n in (SHORT, SHORT + 1))
        total = short + (steps - SHORT) * (longer - short)
        if extra:
            more = _of_training(_key(settings, spec, SHORT, batch), begins) - short
            total += more / extra.times_short * extra.times
        counted.append(total)
    return counted[0] + (counted[1] - counted[0]) * (given.batch_size - BATCH) / BATCH


@cache
def _of_image(key: str, sampling: str) -> float:
    made = _from(key)
    _learnt(made, False)
    planes = np.arange(made.n_classes)
    with progress.unseen():
        return flops(lambda: made.sample(planes, seed=0, sampling=json.loads(sampling))) / len(planes)


@cache
def _of_training(key: str, begins: bool) -> int:
    made = _from(key)
    return flops(lambda: _learnt(made, begins))


def _has_steps(given: Section) -> bool:
    return {"steps", "batch_size"} <= set(type(given).model_fields)


def _key(
    settings: Params, spec: GeneratorSettings, steps: int = 0, batch_size: int = 0, with_extra: bool = True
) -> str:
    """All that an untrained generator follows from, as text; with `steps`, of one that is trained in a moment."""
    given, changes = spec.training.model_dump(mode="json"), {}
    if steps:
        changes = {"steps": steps, "batch_size": batch_size}
        # Of the states on the way, only the first one is ever drawn from.
        changes |= {"snapshots": sorted(given["snapshots"])[:1]} if "snapshots" in given else {}
        extra = _extra(spec.training)
        changes |= {extra.setting: extra.short if with_extra else 0} if extra else {}
    return json.dumps([spec.class_path, settings.cohort.planes, settings.images.image_size, given | changes])


def _from(key: str) -> Generator:
    return generators.create(*json.loads(key), device="cpu", precision="float32")


def _learnt(made: Generator, begins: bool) -> None:
    """Train a generator on random images."""
    labels = np.arange(2 * made.n_classes) % made.n_classes
    shape = (len(labels), made.image_size, made.image_size)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    with progress.unseen():
        if begins:
            made.pretrain(images, labels, np.zeros_like(labels), seed=0)
        else:
            made.fit(images, labels, seed=0)
