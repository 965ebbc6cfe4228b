"""Training of the generators: one per subset (k, seed), and what some of them begin with.

A generator sees the k-shot subset of its run and nothing else: `fetalkit.data.study.Study.train` is its only source of
labelled images. Where its section says so, it also sees the other train images, without their labels. Trained generators are
outputs that DVC versions, each with the fingerprint of what made it: what is there already is not trained again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fetalkit import generators
from fetalkit.config import sets, variants
from fetalkit.config.generation import GeneratorSettings, Start
from fetalkit.config.params import Params
from fetalkit.config.sections import Section
from fetalkit.config.shots import EVERY
from fetalkit.data.images import Labelled
from fetalkit.data.study import Study, set_name
from fetalkit.experiments import outputs, pseudo_labels, stopping, teachers
from fetalkit.generators import Generator
from fetalkit.generators.card import read_record
from fetalkit.generators.diffusion.generator import SNAPSHOTS
from fetalkit.utils import paths, processes, provenance
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.files import replacing

START = "start"  # what a training began with, in the name of its folder
STATES = "stopping.csv"  # file of a saved generator with the states that stopping has chosen from


@dataclass(frozen=True)
class Trained:
    """A trained generator: which one, its loss per step, its training time in seconds, and what stopping has seen.

    `states` is what `fetalkit.experiments.stopping.stop` returns; empty where the end of the training is kept.
    """

    generator: str
    k: str
    seed: int
    losses: list[float]
    seconds: float
    states: pd.DataFrame

    @property
    def name(self) -> str:
        """Name of its folder and of its synthetic set."""
        return set_name(self.generator, self.k, self.seed)


def train_all(cohort: str, settings: Params) -> list[Trained]:
    """Train all generators of the study, one process per core; those that are there already are taken."""
    Study(cohort, settings).ready()
    wanted = sets.jobs(settings)
    names = dict.fromkeys(job["generator"] for job in wanted)
    started = [name for name in names if settings.generators[name].start]
    outputs.in_parallel(train_start, cohort, settings, [dict(generator=name) for name in started], trainings=True)
    trained = outputs.in_parallel(train, cohort, settings, wanted, "generators", trainings=True)
    outputs.remove_others(
        paths.data(cohort, "generators"), [*(item.name for item in trained), *(f"{name}-{START}" for name in started)]
    )
    return trained


def train_start(cohort: str, settings: Params, generator: str) -> None:
    """Train what a generator begins with: its network on phantoms, and on the cohort's train images without their planes.

    Which of them, its section says. It has seen no label of a real image, so that it may be the beginning of a generator in
    any run whose level of knowledge allows those images.
    """
    spec = settings.generators[generator]
    start = spec.start
    assert start is not None  # else there is nothing to begin with
    images, labels, domains = _start_images(cohort, settings, start)
    begun = spec.model_copy(update={"training": _shortened(spec.training, start.steps)})
    made, name = _untrained(settings, begun), f"{generator}-{START}"
    shared = outputs.sharing(settings, generator)
    print_of = _made_by(settings, begun, [0, start.model_dump()], [Labelled(images, labels).digest()])
    learn = partial(_prepared, images, labels, domains, f"{generator}: start")
    _kept(cohort, made, name, print_of, learn, shared)


def _start_images(cohort: str, settings: Params, start: Start) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, planes (-1: not known) and domains (0: the cohort, 1: phantoms) that a start learns from."""
    images, labels, domains = [], [], []
    if start.generator:
        phantoms, planes = settings.generators[start.generator], settings.cohort.planes
        labels.append(np.tile(np.arange(len(planes)), start.images_per_plane))
        images.append(_untrained(settings, phantoms).sample(labels[0], seed=0, sampling=phantoms.sampling))
        domains.append(np.ones_like(labels[0]))
    if start.unlabelled:
        study = Study(cohort, settings)
        images.append(study.store.images(study.part("train").image_id))
        labels.append(np.full(len(images[-1]), -1))
        domains.append(np.zeros_like(labels[-1]))
    return np.concatenate(images), np.concatenate(labels), np.concatenate(domains)


def _shortened(training: Section, steps: int) -> Section:
    """The same training for other steps, without the states on the way, which nobody asks for."""
    changes: dict[str, Any] = {"steps": steps}
    if "snapshots" in type(training).model_fields:
        changes["snapshots"] = ()
    return training.model_copy(update=changes)


def train(cohort: str, settings: Params, generator: str, k: str, seed: int) -> Trained:
    """Train one generator, or take the one that is there."""
    study, name = Study(cohort, settings), set_name(generator, k, seed)
    spec = planned(study, generator, k, seed)
    made, start = _untrained(settings, spec), None
    also, follows, modules = _follows_from(study, spec, k, seed)
    if spec.start:
        start = paths.data(cohort, "generators", f"{generator}-{START}")
        follows.insert(1, outputs.fingerprint(start))

    shared = outputs.sharing(settings, generator)
    print_of = _made_by(settings, spec, also, follows, modules)
    drawn = any((of.generator, of.k, of.seed) == (generator, k, seed) for of in variants.training_time(settings))
    learn = partial(_fitted, study, spec, k, seed, f"{generator} k={k} seed={seed}", start, drawn)
    folder, losses, seconds = _kept(cohort, made, name, print_of, learn, shared, (SNAPSHOTS,) if drawn else ())
    states = folder / STATES
    return Trained(generator, k, seed, losses, seconds, pd.read_csv(states) if states.exists() else pd.DataFrame())


def planned(study: Study, generator: str, k: str, seed: int) -> GeneratorSettings:
    """Section of a generator with the steps that its training on a subset takes."""
    spec = study.params.generators[generator]
    if not spec.budget:
        return spec
    given: Any = spec.training
    images = study.number_of_images(EVERY if spec.unlabelled else k, seed)
    steps = spec.budget.steps(images, given.batch_size, given.steps)
    return spec.model_copy(update={"training": given.model_copy(update={"steps": steps})})


def _follows_from(study: Study, spec: GeneratorSettings, k: str, seed: int) -> tuple[list[Any], list[str], list[str]]:
    """Settings, digests of data and modules that a generator of a subset follows from beside its class and training."""
    also: list[Any] = [seed]
    follows, modules = [study.train(k, seed).digest()], []
    if spec.stopping:
        quantile = study.params.fidelity.near_copy_quantile
        also += [spec.stopping.model_dump(), spec.sampling.model_dump(mode="json"), quantile]
        follows.append(study.labelled(study.part("validation")).digest())
        modules.append(stopping.__name__)
    if spec.unlabelled:
        more = teachers.follows_from(study, spec.unlabelled, k, seed)
        also, follows = [*also, *more[0]], [*follows, *more[1]]
        modules.append(pseudo_labels.__name__)
    return also, follows, modules


def _prepared(
    images: np.ndarray, labels: np.ndarray, domains: np.ndarray, label: str, made: Generator, checkpoint: Checkpoint
) -> list["Beside"]:
    made.pretrain(images, labels, domains, seed=0, checkpoint=checkpoint, label=label)
    return []


def _fitted(
    study: Study,
    spec: GeneratorSettings,
    k: str,
    seed: int,
    label: str,
    start: Path | None,
    snapshots: bool,
    made: Any,
    checkpoint: Checkpoint,
) -> list["Beside"]:
    """Train `made`; what is to be kept beside it: its teachers, and the states that stopping has chosen from.

    Its `snapshots` are not, if nothing will be drawn from them: they are as large as itself.
    """
    data = learnt = study.train(k, seed)
    kept: list[Beside] = []
    if spec.unlabelled:
        named_by = teachers.train(study, spec.unlabelled, k, seed)
        lesson = pseudo_labels.lesson(data, study.beside(k, seed), named_by, study.planes)
        data, learnt, kept = lesson.distinct, lesson.weighted, [lesson.save]
    made.fit(learnt.images, learnt.labels, seed=seed, checkpoint=checkpoint, label=label, start=start)
    if spec.stopping and processes.index() == 0:  # the first of several processes chooses, since it writes
        quantile, validation = study.params.fidelity.near_copy_quantile, study.labelled(study.part("validation"))
        states = stopping.stop(made, data, validation, seed, spec.sampling, spec.stopping, quantile)
        kept.append(partial(_save_states, states))
    if not snapshots and hasattr(made, "snapshots"):
        made.snapshots = {}
    return kept


def _save_states(states: pd.DataFrame, folder: Path) -> None:
    states.round(9).to_csv(folder / STATES, index=False)


def _untrained(settings: Params, spec: GeneratorSettings) -> Generator:
    return generators.create(
        spec.class_path,
        settings.cohort.planes,
        settings.images.image_size,
        spec.training,
        device=settings.run.device,
        precision=settings.run.precision,
    )


Beside = Callable[[Path], None]  # writes something into the folder of a saved generator
Learn = Callable[[Generator, Checkpoint], list[Beside]]


def _kept(
    cohort: str,
    made: Generator,
    name: str,
    print_of: str,
    learn: Learn,
    shared: int,
    needed: Sequence[str] = (),
) -> tuple[Path, list[float], float]:
    """Train `made` and keep it in ``data/<cohort>/generators``, unless the very same one is there with the `needed` folders.

    One that another machine has trained is taken; what that machine has left unfinished is not gone on with.

    Returns its folder, losses and seconds. `learn` trains it, in as many processes as are to share the training, and returns
    what is to be kept beside it.
    """
    folder = paths.data(cohort, "generators", name)
    if outputs.made_by(folder) != print_of or not all((folder / part).exists() for part in needed):
        text = outputs.with_rounding(print_of, made, shared)
        checkpoint = Checkpoint(paths.work(cohort, "generators", f"{name}.checkpoint"), text)
        processes.together(shared, made.device, _learnt, made, folder, text, checkpoint, learn)
    return folder, *read_record(folder)


def _learnt(made: Generator, folder: Path, text: str, checkpoint: Checkpoint, learn: Learn) -> None:
    """The work of each process that shares a training; the first one writes."""
    beside = learn(made, checkpoint)
    if processes.index() == 0:
        with replacing(folder) as temporary:
            made.save(temporary)
            for write in beside:
                write(temporary)
            (temporary / outputs.FINGERPRINT).write_text(text)
        checkpoint.clear()


def _made_by(
    settings: Params,
    spec: GeneratorSettings,
    also: list,
    data: Sequence[str],
    modules: Sequence[str] = (),
) -> str:
    """Fingerprint of a training; `also` are settings and `modules` is code that it follows from beside those of its class."""
    about = [
        spec.class_path,
        list(settings.cohort.planes),
        settings.images.image_size,
        spec.training.model_dump(mode="json"),
    ]
    return provenance.fingerprint([spec.class_path.partition(":")[0], *modules], [*about, *also], data)
