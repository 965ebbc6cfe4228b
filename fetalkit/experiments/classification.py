"""The runs of one cohort's study: arm × classifier × k × seed."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from fetalkit.config import params
from fetalkit.config.params import Params
from fetalkit.config.runs import Run, all_runs, begun_with, stored_sets
from fetalkit.data.study import Study, set_name
from fetalkit.experiments import building, compute, engine, leaks
from fetalkit.experiments.arm_phases import Material
from fetalkit.experiments.engine import Phase, Trainee
from fetalkit.experiments.outcome import Outcome
from fetalkit.experiments.phase_cache import PhaseCache
from fetalkit.utils import devices, parallel, paths
from fetalkit.utils.files import made_by, replacing

STAGE = "classify"


def train_all(cohort: str, settings: Params) -> list[Outcome]:
    """Train and apply every run, one process per core. A run that fails is among the outcomes, with its error."""
    study, runs = Study(cohort, settings), all_runs(settings)
    study.ready(stored_sets(settings))
    if begun := begun_with(settings):
        made_by("04_generator", *(paths.data(cohort, "generators", set_name(*one)) for one in begun))
    if other := settings.classify.other_cohort:
        leaks.check({cohort: settings, other: params.load(other)})
    image_ids = study.predicted
    cache = PhaseCache.of(cohort, STAGE)
    outcomes = engine.attempt(
        train_and_predict,
        _most_phases_first(settings, runs),
        dict(cohort=cohort, settings=settings, cache=cache),
        lambda run, error: Outcome.failed(run, image_ids, len(study.planes), error),
        workers=parallel.workers(settings.run),
        label="runs",
    )
    made = [outcomes[run] if _is_model(settings, run) else replace(outcomes[run], weights=None) for run in runs]
    cache.keep(made)
    return [compute.noted(study, outcome) for outcome in made]


def _is_model(settings: Params, run: Run) -> bool:
    """Whether the weights of a run are kept: of the first seed, trained on the most images.

    While test is not to be read yet, those of every run: the very classifiers that choices rest on are to predict it.
    """
    largest = (run.k, run.seed) == (settings.splits.shots.largest, settings.splits.seeds[0])
    return largest or settings.classify.tested_on == "validation"


def _most_phases_first(settings: Params, runs: Sequence[Run]) -> list[Run]:
    """One arm after the other, so that workers seldom wait for a phase that two arms share."""
    return sorted(runs, key=lambda run: -len(settings.arms[run.arm].phases))


def train_and_predict(cohort: str, settings: Params, cache: PhaseCache, run: Run) -> Outcome:
    """Train the phases of a run, or take the finished ones, and predict validation and test images (`Study.predicted`)."""
    study = Study(cohort, settings)
    trainee, phases, teachers = _prepared(study, cache, run)
    image_ids = study.predicted
    images = study.store.images(image_ids)
    outcome = engine.train_and_predict(cache, trainee, phases, images, model=_is_model(settings, run))
    return replace(outcome, image_ids=tuple(image_ids), teachers=teachers)


def train(
    cohort: str, settings: Params, cache: PhaseCache, run: Run, instead: Mapping[str, Path] | None = None
) -> tuple[nn.Module, Outcome]:
    """Train the phases of a run, or take the finished ones. Test images are not read: there are no predictions yet.

    `instead`: name of a synthetic set → file of the set that takes its place.
    """
    trainee, phases, teachers = _prepared(Study(cohort, settings), cache, run, instead)
    return trainee.model, replace(engine.train(cache, trainee, phases), teachers=teachers)


def _prepared(
    study: Study, cache: PhaseCache, run: Run, instead: Mapping[str, Path] | None = None
) -> tuple[Trainee, list[Phase], tuple[str, ...]]:
    """The untrained classifier of a run, its phases, and fingerprints of the classifiers that name images for it."""
    settings = study.params
    device, size = devices.device(settings.run.device), settings.images.image_size
    model = building.classifier(settings.classify, run.classifier, len(study.planes), size, run.seed)
    recipe = building.recipe(settings.classify, run.classifier)
    trainee = Trainee(
        run=run,
        spec=settings.classify.classifiers[run.classifier],
        model=building.placed(model, device),
        recipe=recipe,
        planes=study.planes,
        image_size=size,
        validation=study.labelled(study.part("validation")),
        device=device,
        precision=building.precision(settings.classify, run.classifier, settings.run),
    )
    planned = compute.planned(study, run)
    material = Material(study, run, cache, recipe, instead or {})
    return trainee, material.phases(planned), material.teachers(planned)


def keep_weights(cohort: str, outcomes: Sequence[Outcome]) -> None:
    """Copy the weights of the runs that have some left to ``data/<cohort>/models``, one file each."""
    with replacing(paths.data(cohort, "models")) as temporary:
        temporary.mkdir()
        for outcome in outcomes:
            if outcome.weights is not None:
                shutil.copyfile(outcome.weights, temporary / f"{outcome.run.name}.safetensors")
