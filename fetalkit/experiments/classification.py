"""Training of all cells of the study."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace

import numpy as np
import torch
from torch import nn

from fetalkit.classifiers import models, trainer
from fetalkit.classifiers.loader import Feed
from fetalkit.config import arms
from fetalkit.config.params import Params
from fetalkit.config.runs import Cell, Outcome, cells
from fetalkit.data import images
from fetalkit.data.study import Study
from fetalkit.experiments import phase_cache
from fetalkit.utils import devices, parallel, paths
from fetalkit.utils.files import replacing
from fetalkit.utils.provenance import fingerprint


def run(cohort: str, settings: Params) -> list[Outcome]:
    """Train and apply every cell, one process per core. A cell that fails is among the outcomes, with its error."""
    workers = devices.workers(settings.run.workers, devices.device(settings.run.device))
    wanted = _most_phases_first(cells(settings))
    jobs = [dict(cohort=cohort, settings=settings, cell=cell) for cell in wanted]
    study = Study(cohort, settings)
    nothing = np.full((len(study.part("validation")) + len(study.part("test")), len(study.planes)), np.nan, np.float32)
    outcomes = {
        cell: found.result or Outcome(cell, nothing, error=found.error)
        for cell, found in zip(wanted, parallel.attempt(run_cell, jobs, workers, "cells"), strict=True)
    }
    return [outcomes[cell] for cell in cells(settings)]


def keep_weights(cohort: str, outcomes: list[Outcome]) -> None:
    """Copy the weights of the first seed's runs to the versioned data, one safetensors file per cell that did not fail."""
    first = min(outcome.cell.seed for outcome in outcomes)
    for outcome in outcomes:
        if outcome.weights is None or outcome.cell.seed != first:
            continue
        with replacing(paths.data(cohort, "models", f"{outcome.cell.name}.safetensors")) as temporary:
            shutil.copyfile(outcome.weights, temporary)


def _most_phases_first(jobs: list[Cell]) -> list[Cell]:
    """One arm after the other, so that workers do not train at the same time a phase that two arms share."""
    return sorted(jobs, key=lambda cell: -len(arms.ARMS[cell.arm]))


def run_cell(cohort: str, settings: Params, cell: Cell) -> Outcome:
    """Train the phases of one cell, or take those that are stored, and predict validation and test images."""
    study, device = Study(cohort, settings), devices.device(settings.run.device)
    model, outcome = train_cell(cohort, settings, cell)
    shown = np.concatenate([study.labelled(study.part(part)).images for part in ("validation", "test")])
    return replace(outcome, probabilities=trainer.predict(model, shown, device))


def train_cell(
    cohort: str, settings: Params, cell: Cell, instead: Mapping[str, str] | None = None
) -> tuple[nn.Module, Outcome]:
    """Train the phases of one cell, or take those that are stored. Test images are not read: there are no predictions yet.

    `instead` names synthetic sets that take the place of others.
    """
    study, device = Study(cohort, settings), devices.device(settings.run.device)
    spec, recipe = settings.classify.classifiers[cell.classifier], trainer.recipe(settings, cell.classifier)
    model = models.of_study(settings, cell.classifier, cell.seed)
    model = model.to(device, memory_format=torch.channels_last)
    validation = study.labelled(study.part("validation"))
    history = [asdict(recipe), spec.model_dump(), study.planes, settings.images.size, cell.seed, device.type]
    history += [torch.__version__, phase_cache.digest(validation)]
    curve, budget, seconds = [], [], 0.0
    for number, phase in enumerate(arms.phases(cell.arm, *settings.classify.steps(cell.classifier))):
        feed = _feed(study, cell, phase, instead or {})
        history = [*history, asdict(phase), phase_cache.digest(feed.data), phase_cache.digest(feed.beside)]
        code = phase_cache.code(phase.augmentation, phase.mixing, spec.pretrained)
        folder = paths.work(cohort, "phases", fingerprint(history, code))
        label = f"{cell.arm} {cell.classifier} k={cell.k} seed={cell.seed}: {phase.source}"
        record = phase_cache.train(
            folder, model, feed, phase.steps, recipe, device=device, label=label, validation=validation
        )
        curve += [{"phase": number + 1, "source": phase.source, **point} for point in record["curve"]]
        budget.append({"source": phase.source, "steps": phase.steps, "images": len(feed.data.labels)})
        seconds += record["seconds"]
    nothing = np.empty((0, len(study.planes)), np.float32)
    return model, Outcome(cell, nothing, folder / phase_cache.WEIGHTS, curve, budget, seconds)


def _feed(study: Study, cell: Cell, phase: arms.Phase, instead: Mapping[str, str]) -> Feed:
    """Images of a phase. Arms of one cell see the real ones in the same order, which makes their comparison a paired one."""

    def synthetic(source: str) -> images.Labelled:
        name, k = arms.stored(source, cell.k)
        return study.synthetic(instead.get(name, name), k, cell.seed)

    data = study.train(cell.k, cell.seed) if phase.source == "real" else synthetic(phase.source)
    beside = synthetic(phase.synthetic) if phase.synthetic else None
    seed = f"{cell.seed}-{phase.source}"
    return Feed(data, len(study.planes), seed, phase.augmentation, phase.mixing, beside, phase.share)
