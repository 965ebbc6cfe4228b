"""Teachers of pseudo-labels: classifiers that a run trains on its labelled images, by the recipe of the study."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fetalkit.classifiers import trainer, weights
from fetalkit.classifiers.loader import Feed
from fetalkit.config import sets
from fetalkit.config.arms import REAL
from fetalkit.config.generation import Unlabelled
from fetalkit.config.params import Params
from fetalkit.config.runs import Run
from fetalkit.data.images import Labelled
from fetalkit.data.study import Study, set_name
from fetalkit.experiments import building, engine
from fetalkit.experiments.engine import Phase, Trainee
from fetalkit.experiments.phase_cache import PhaseCache
from fetalkit.experiments.pseudo_labels import FOLDER, NAMED, Teachers
from fetalkit.utils import devices, paths
from fetalkit.utils.streams import rng


def train(study: Study, rule: Unlabelled, k: str, seed: int, cache: PhaseCache | None = None) -> Teachers:
    """Train the teachers on the subset (`k`, `seed`), or take the finished ones.

    A training that was interrupted goes on, and ends with the same bits. `cache` is where finished ones are kept, beside the
    outputs of the study where it is None.

    Raises
    ------
    FetalkitError
        When a loss is no longer a number, or nothing can be written.
    """
    cache, networks = cache or PhaseCache(study.cohort, paths.work(study.cohort, "teachers")), []
    for trainee, phase in _trainings(study, rule, k, seed):
        engine.train(cache, trainee, [phase])
        networks.append(trainee.model)
    return Teachers(networks, rule, devices.device(study.params.run.device))


def follows_from(study: Study, rule: Unlabelled, k: str, seed: int) -> tuple[list[Any], list[str]]:
    """Settings, of JSON types, and digests of data that a generator follows from because it learns as `rule` says."""
    prints = fingerprints(study, rule, k, seed)
    beside = Labelled(study.beside(k, seed), np.zeros(0, np.int64)).digest()
    return [rule.model_dump(), prints], [beside]


def fingerprints(study: Study, rule: Unlabelled, k: str, seed: int) -> list[str]:
    """Of the trainings of the teachers, without training them."""
    return [engine.fingerprints(trainee, [phase])[0] for trainee, phase in _trainings(study, rule, k, seed)]


def _trainings(study: Study, rule: Unlabelled, k: str, seed: int) -> Iterator[tuple[Trainee, Phase]]:
    """What each teacher is, untrained, and how it is trained: on the subset alone, however many there are."""
    settings, device, data = study.params, devices.device(study.params.run.device), study.train(k, seed)
    for number in range(rule.teachers):
        # Batches and random weights of their own: neither those of another teacher, nor those of any run of the study.
        own = rng(seed, "teacher", number).initial_seed()
        model = building.classifier(
            settings.classify, rule.classifier, len(study.planes), settings.images.image_size, own
        )
        trainee = Trainee(
            run=Run(f"teacher-{number}", rule.classifier, k, seed),
            spec=settings.classify.classifiers[rule.classifier],
            model=building.placed(model, device),
            recipe=building.recipe(settings.classify, rule.classifier),
            planes=study.planes,
            image_size=settings.images.image_size,
            validation=None,  # not even looked at
            device=device,
            precision=building.precision(settings.classify, rule.classifier, settings.run),
        )
        yield trainee, Phase(REAL, rule.steps, Feed(data, len(study.planes), f"{seed}-teacher-{number}"))


def read(generator: Path, settings: Params, rule: Unlabelled) -> Teachers:
    """The teachers of a saved generator.

    Raises
    ------
    FetalkitError
        When one is missing or damaged.
    """
    device, networks = devices.device(settings.run.device), []
    for number in range(rule.teachers):
        model = building.classifier(
            settings.classify, rule.classifier, len(settings.cohort.planes), settings.images.image_size, number
        )
        weights.load(model, generator / FOLDER / f"{number}.safetensors")
        networks.append(building.placed(model, device))
    return Teachers(networks, rule, device)


def quality(study: Study) -> pd.DataFrame:
    """How good the pseudo-labels of the trained generators are, as far as validation patients can tell; read afterwards.

    Returns
    -------
    pandas.DataFrame
        A row per generator with teachers: ``generator``, ``k``, ``seed``, ``images`` (without labels), ``kept`` (share of them
        that enough teachers agree on), and of validation images ``validation_kept`` (that share), ``teacher`` (accuracy of
        one teacher, mean) and ``agreed`` (accuracy of the planes that enough agree on); shares in [0, 1]. Empty without any.
    """
    rows = study.part("validation")
    validation = study.labelled(rows[rows.dropped == ""])
    found = []
    for job in sets.jobs(study.params):
        rule = study.params.generators[job["generator"]].unlabelled
        if rule is None:
            continue
        folder = paths.data(study.cohort, "generators", set_name(**job))
        teachers, counts = read(folder, study.params, rule), pd.read_csv(folder / FOLDER / NAMED)
        enough = counts.images[counts.agreeing >= rule.agreement].sum()
        planes, votes = teachers.named(validation.images)
        kept, right = votes >= rule.agreement, planes == validation.labels
        alone = [
            trainer.predict(of, validation.images, teachers.device).argmax(axis=1) == validation.labels
            for of in teachers.networks
        ]
        found.append(
            job
            | {
                "images": int(counts.images.sum()),
                "kept": float(enough / max(1, counts.images.sum())),
                "validation_kept": float(kept.mean()),
                "teacher": float(np.mean(alone)),
                "agreed": float(right[kept].mean()) if kept.any() else float("nan"),
            }
        )
    return pd.DataFrame(found)
