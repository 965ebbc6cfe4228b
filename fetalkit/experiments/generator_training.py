"""Training of the generators: one per subset (k, seed), and what some of them begin with.

A generator sees the k-shot subset of its run and nothing else: `fetalkit.data.study.Study.train` is its only source of
labelled images. Trained generators are outputs that DVC versions, each with the fingerprint of what made it: what is there
already is not trained again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fetalkit import generators
from fetalkit.config import sets
from fetalkit.config.generation import GeneratorSettings, Start
from fetalkit.config.params import Params
from fetalkit.config.sections import Section
from fetalkit.data.images import Labelled
from fetalkit.data.study import Study, set_name
from fetalkit.experiments import outputs
from fetalkit.generators import Generator
from fetalkit.generators.card import read_record
from fetalkit.utils import paths, provenance
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.files import replacing

START = "start"  # what a training began with, in the name of its folder


@dataclass(frozen=True)
class Trained:
    """A trained generator: which one, its loss per step and its training time in seconds."""

    generator: str
    k: str
    seed: int
    losses: list[float]
    seconds: float

    @property
    def name(self) -> str:
        """Name of its folder and of its synthetic set."""
        return set_name(self.generator, self.k, self.seed)


def train_all(cohort: str, settings: Params) -> list[Trained]:
    """Train all generators of the study, one process per core; those that are there already are taken."""
    wanted = sets.jobs(settings)
    names = dict.fromkeys(job["generator"] for job in wanted)
    started = [name for name in names if settings.generators[name].start]
    outputs.in_parallel(train_start, cohort, settings, [dict(generator=name) for name in started])
    trained = outputs.in_parallel(train, cohort, settings, wanted, "generators")
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
    print_of = _made_by(settings, begun, [0], [Labelled(images, labels).digest()])

    def learn(checkpoint: Checkpoint) -> None:
        made.pretrain(images, labels, domains, seed=0, checkpoint=checkpoint, label=f"{generator}: start")

    _kept(cohort, made, name, print_of, learn)


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
    data, name, spec = (
        Study(cohort, settings).train(k, seed),
        set_name(generator, k, seed),
        settings.generators[generator],
    )
    made, follows, start = _untrained(settings, spec), [data.digest()], None
    if spec.start:
        start = paths.data(cohort, "generators", f"{generator}-{START}")
        follows.append(outputs.fingerprint(start))

    def learn(checkpoint: Checkpoint) -> None:
        label = f"{generator} k={k} seed={seed}"
        made.fit(data.images, data.labels, seed=seed, checkpoint=checkpoint, label=label, start=start)

    losses, seconds = _kept(cohort, made, name, _made_by(settings, spec, [seed], follows), learn)
    return Trained(generator, k, seed, losses, seconds)


def _untrained(settings: Params, spec: GeneratorSettings) -> Generator:
    return generators.create(
        spec.class_path,
        settings.cohort.planes,
        settings.images.image_size,
        spec.training,
        device=settings.run.device,
        precision=settings.run.precision,
    )


def _kept(
    cohort: str, made: Generator, name: str, print_of: str, learn: Callable[[Checkpoint], None]
) -> tuple[list[float], float]:
    """Train `made` and keep it in ``data/<cohort>/generators``, unless the very same one is there; its losses and seconds."""
    folder = paths.data(cohort, "generators", name)
    if outputs.fingerprint(folder) != print_of:
        checkpoint = Checkpoint(paths.work(cohort, "generators", f"{name}.checkpoint"), print_of)
        learn(checkpoint)
        with replacing(folder) as temporary:
            made.save(temporary)
            (temporary / outputs.FINGERPRINT).write_text(print_of)
        checkpoint.clear()
    return read_record(folder)


def _made_by(settings: Params, spec: GeneratorSettings, follows: list, data: Sequence[str]) -> str:
    """Fingerprint of a training."""
    about = [
        spec.class_path,
        list(settings.cohort.planes),
        settings.images.image_size,
        spec.training.model_dump(mode="json"),
    ]
    return provenance.fingerprint(
        [spec.class_path.partition(":")[0]], [*about, *follows, *outputs.rounding(settings)], data
    )
