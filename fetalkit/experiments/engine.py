"""One engine for all runs, within a cohort and between hospitals: phases one after the other, then predictions."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from fetalkit.classifiers import loader, own, trainer, weights
from fetalkit.classifiers.loader import Feed
from fetalkit.classifiers.models import Normalised
from fetalkit.classifiers.trainer import Recipe
from fetalkit.config.params import Classifier
from fetalkit.data.images import Labelled
from fetalkit.experiments.outcome import Outcome
from fetalkit.experiments.phase_cache import PhaseCache, finished
from fetalkit.utils import parallel, provenance
from fetalkit.utils.cluster import Cluster

R = TypeVar("R")
# What trains a phase; what it imports is found from it. Augmentations and pretrained weights are followed where they are used.
_TRAINING = ("fetalkit.classifiers.models", "fetalkit.classifiers.trainer", "fetalkit.classifiers.loader")


@dataclass(frozen=True)
class Phase:
    """Some steps of training, ready to be made.

    Attributes
    ----------
    source
        What the images are, for logs and tables.
    steps
        Number of optimiser steps.
    feed
        The images of the phase and what is done to them.
    batches
        What the training takes its batches from: the feed, or something around it.
    objective
        What is trained for; cross-entropy where it is None.
    initial
        Called before the phase is trained, to give the classifier other weights than those it has; None keeps them.
    statistics
        What the means and variances of batch normalisation are estimated from at its end; as training left them where None.
    noted
        Further columns of the table of budgets.
    settings, data, modules
        What the phase follows from beside its feed: settings, digests of data, and dotted names of modules.
    """

    source: str
    steps: int
    feed: Feed
    batches: Any = None
    objective: Callable[[Normalised], nn.Module] | None = None
    initial: Callable[[Normalised], None] | None = None
    statistics: Feed | None = None
    noted: Mapping[str, Any] = field(default_factory=dict)
    settings: Sequence[Any] = ()
    data: Sequence[str] = ()
    modules: Sequence[str] = ()

    def follows_from(self) -> tuple[list[Any], list[str], list[str]]:
        """Settings, digests of data and modules of the phase."""
        feed = self.feed
        settings = [self.source, self.steps, feed.seed, feed.augmentation, feed.mixing, feed.share, *self.settings]
        data = [part.digest() for part in (feed.data, feed.beside) if part is not None]
        if self.statistics is not None:
            settings += [self.statistics.seed, self.statistics.augmentation]
            data.append(self.statistics.data.digest())
        return settings, [*data, *self.data], [*loader.modules(feed), *self.modules]


@dataclass(frozen=True)
class Trainee:
    """What all phases of a run share.

    Attributes
    ----------
    run
        Which run; has a ``name`` and a ``seed``.
    spec
        The classifier as ``params.yaml`` has it.
    model
        The untrained classifier, on its device.
    recipe
        How it is trained.
    planes
        Names of the classes.
    image_size
        Side of the images, px.
    validation
        Images whose accuracy is recorded during training; None for none.
    device
        Where it is trained.
    precision
        Of its training.
    """

    run: Any
    spec: Classifier
    model: Normalised
    recipe: Recipe
    planes: Sequence[str]
    image_size: int
    validation: Labelled | None
    device: torch.device
    precision: torch.dtype = torch.float32


def train(cache: PhaseCache, trainee: Trainee, phases: Iterable[Phase]) -> Outcome:
    """Train the phases of a run, or take those that are finished; the outcome has no predictions yet.

    Raises
    ------
    FetalkitError
        When a loss is no longer a number, or nothing can be written.
    """
    phases = list(phases)
    trainings = fingerprints(trainee, phases)
    records = finished(cache, trainings)
    if records is not None:
        weights.load(trainee.model, cache.weights(trainings[-1]))
    else:
        records = [_record(cache, trainee, *one) for one in zip(trainings, phases, strict=True)]
    return replace(_outcome(trainee, phases, trainings, records), weights=cache.weights(trainings[-1]))


def train_and_predict(
    cache: PhaseCache, trainee: Trainee, phases: Iterable[Phase], images: np.ndarray, *, model: bool
) -> Outcome:
    """As `train`, with class probabilities of `images`, uint8 (n, height, width).

    Of a run that has predicted these images before, nothing more is needed, unless its `model` is: without, an outcome has no
    weights where they are not there.
    """
    phases = list(phases)
    trainings = fingerprints(trainee, phases)
    records, known = [cache.record(training) for training in trainings], cache.predictions(trainings[-1], images)
    found = [record for record in records if record is not None]
    path = cache.weights(trainings[-1])
    if known is not None and len(found) == len(records) and (path.exists() or not model):
        outcome = _outcome(trainee, phases, trainings, found)
        return replace(outcome, probabilities=known, weights=path if path.exists() else None)
    outcome = train(cache, trainee, phases)
    probabilities = trainer.predict(trainee.model, images, trainee.device)
    cache.keep_predictions(trainings[-1], images, probabilities)
    return replace(outcome, probabilities=probabilities)


def _outcome(
    trainee: Trainee, phases: Sequence[Phase], trainings: tuple[str, ...], records: Sequence[Mapping[str, Any]]
) -> Outcome:
    curve, budget = [], []
    for number, (phase, record) in enumerate(zip(phases, records, strict=True), 1):
        curve += [{"phase": number, "source": phase.source, **point} for point in record["curve"]]
        budget.append({"source": phase.source, "steps": phase.steps, **phase.noted})
    return Outcome(
        trainee.run,
        curve=curve,
        budget=budget,
        seconds=sum(record["seconds"] for record in records),
        trainings=trainings,
    )


def _record(cache: PhaseCache, trainee: Trainee, fingerprint: str, phase: Phase) -> dict[str, Any]:
    """Train a phase, or take it where it is finished; its record."""
    if phase.initial is not None and not cache.weights(fingerprint).exists():
        phase.initial(trainee.model)
    return cache.train(
        fingerprint, trainee.model, phase.batches or phase.feed, phase.steps, trainee.recipe, device=trainee.device,
        label=f"{trainee.run.name}: {phase.source}", validation=trainee.validation,
        objective=phase.objective(trainee.model) if phase.objective else None,
        precision=trainee.precision, statistics=phase.statistics,
    )  # fmt: skip


def fingerprints(trainee: Trainee, phases: Sequence[Phase]) -> tuple[str, ...]:
    """Fingerprint of the training of each phase: of all that it and those before it follow from."""
    spec = trainee.spec.model_dump(exclude={"everywhere"})  # where it is trained says nothing of how
    settings: list[Any] = [asdict(trainee.recipe), spec, list(trainee.planes), trainee.image_size]
    settings.append(trainee.run.seed)
    data = [trainee.validation.digest()] if trainee.validation else []
    modules = [*_TRAINING, *own.modules(trainee.spec.model)]
    made = []
    for phase in phases:
        more = phase.follows_from()
        settings, data, modules = [*settings, more[0]], [*data, *more[1]], [*modules, *more[2]]
        made.append(provenance.fingerprint(modules, settings, data))
    return tuple(made)


def attempt(
    function: Callable[..., Outcome],
    runs: Sequence[R],
    shared: Mapping[str, Any],
    failed: Callable[[R, str], Outcome],
    *,
    workers: int | Cluster,
    label: str,
) -> dict[R, Outcome]:
    """``function(run=run, **shared)`` for every run, one process per core; one that fails is among the outcomes.

    Parameters
    ----------
    function
        Makes the outcome of a run.
    runs
        In the order in which they begin.
    shared
        Further arguments.
    failed
        Makes the outcome of a run from the reason why it failed.
    workers, label
        As for `fetalkit.utils.parallel.attempt`.
    """
    attempts = parallel.attempt(function, [{**shared, "run": run} for run in runs], workers, label)
    return {
        run: made.result if made.result is not None else failed(run, made.error)
        for run, made in zip(runs, attempts, strict=True)
    }
