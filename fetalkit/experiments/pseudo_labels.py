"""Pseudo-labels: classifiers of a run's subset name the planes of the train images whose labels the run may not see.

A generator learns from the subset and from the images that enough of these teachers agree on; of what it draws, those images
are kept in which they see the plane that was asked for [1]_. Teachers are stored with their generator.

References
----------
.. [1] You et al., Diffusion Models and Semi-Supervised Learners Benefit Mutually with Few Labels, NeurIPS 2023,
   arXiv 2302.10586.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from fetalkit.classifiers import trainer, weights
from fetalkit.classifiers.loader import Feed
from fetalkit.config import sets
from fetalkit.config.arms import REAL
from fetalkit.config.generation import Unlabelled
from fetalkit.config.params import Params
from fetalkit.config.runs import Run
from fetalkit.config.sections import Section
from fetalkit.data.images import Labelled
from fetalkit.data.study import Study, set_name
from fetalkit.experiments import building, drawing, engine
from fetalkit.experiments.engine import Phase, Trainee
from fetalkit.experiments.phase_cache import PhaseCache
from fetalkit.generators.base import Generator
from fetalkit.utils import devices, paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.streams import rng

FOLDER = "teachers"  # in that of a saved generator
NAMED = "pseudo_labels.csv"  # file in it: how many images the teachers have called each plane, by how many agreed
_ROUNDS, _MORE = 6, 4  # of drawing, and how many times as many as are lacking are drawn in all but the first


@dataclass(frozen=True)
class Teachers:
    """Classifiers that name the planes of images together.

    Attributes
    ----------
    networks
        On `device`.
    rule
        How many of them must agree.
    """

    networks: Sequence[nn.Module]
    rule: Unlabelled
    device: torch.device

    def named(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The plane that most of them see in uint8 images (n, side, side), and how many see it: int64 (n,) each."""
        if not len(images):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        called = np.stack([trainer.predict(of, images, self.device).argmax(axis=1) for of in self.networks])
        votes = np.stack([(called == plane).sum(axis=0) for plane in range(called.max() + 1)])
        return votes.argmax(axis=0), votes.max(axis=0)

    def see(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Whether enough of them see the planes `labels` (n,) in the images: bool (n,)."""
        planes, votes = self.named(images)
        return (planes == labels) & (votes >= self.rule.agreement)

    def save(self, folder: Path) -> None:
        """Write their weights to `folder`, which is made."""
        folder.mkdir()
        for number, network in enumerate(self.networks):
            weights.save(network, folder / f"{number}.safetensors")


@dataclass(frozen=True)
class Lesson:
    """What a generator learns from: labelled images, and those that teachers have named.

    Attributes
    ----------
    labelled
        The subset of the run.
    named
        Images beside it that enough teachers agree on, with the planes that they see.
    votes
        How many agree on each of these: int64 (n,).
    teachers
        Who has named them.
    counts
        ``plane``, ``agreeing`` (teachers) and ``images``, those included that too few agree on.
    """

    labelled: Labelled
    named: Labelled
    votes: np.ndarray
    teachers: Teachers
    counts: pd.DataFrame

    @property
    def distinct(self) -> Labelled:
        """Every image once, labelled ones first."""
        parts = self.labelled, self.named
        return Labelled(np.concatenate([of.images for of in parts]), np.concatenate([of.labels for of in parts]))

    @property
    def weighted(self) -> Labelled:
        """Every image as often as it counts: as often as teachers agree on it, and a labelled one as if all of them did."""
        all_of_them = np.full(len(self.labelled.labels), len(self.teachers.networks))
        rows = np.repeat(np.arange(len(self.distinct.labels)), np.concatenate([all_of_them, self.votes]))
        return Labelled(self.distinct.images[rows], self.distinct.labels[rows])

    def save(self, generator: Path) -> None:
        """Write teachers and counts to the folder of a saved generator."""
        self.teachers.save(generator / FOLDER)
        self.counts.to_csv(generator / FOLDER / NAMED, index=False)


def learn(study: Study, rule: Unlabelled, k: str, seed: int) -> Lesson:
    """Train the teachers on the subset (`k`, `seed`), or take the finished ones, and let them name all other train images.

    No label of these is read. A training that was interrupted goes on, and ends with the same bits.

    Raises
    ------
    FetalkitError
        When a loss is no longer a number, or nothing can be written.
    """
    data, images = study.train(k, seed), study.beside(k, seed)
    teachers = _trained(study, rule, k, seed, data)
    planes, votes = teachers.named(images)
    enough = votes >= rule.agreement
    names = np.array(study.planes)[planes]
    counts = pd.DataFrame({"plane": names, "agreeing": votes}).value_counts(sort=False).rename("images").reset_index()
    return Lesson(data, Labelled(images[enough], planes[enough]), votes[enough], teachers, counts)


def _trained(study: Study, rule: Unlabelled, k: str, seed: int, data: Labelled) -> Teachers:
    settings, device = study.params, devices.device(study.params.run.device)
    cache = PhaseCache(study.cohort, paths.work(study.cohort, "teachers"))
    networks = []
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
        )
        feed = Feed(data, len(study.planes), f"{seed}-teacher-{number}")
        engine.train(cache, trainee, [Phase(REAL, rule.steps, feed)])
        networks.append(trainee.model)
    return Teachers(networks, rule, device)


def follows_from(study: Study, rule: Unlabelled, k: str, seed: int) -> tuple[list[Any], list[str]]:
    """Settings, of JSON types, and digests of data that a generator follows from because it learns as `rule` says."""
    training, images = study.params.classify, study.beside(k, seed)
    recipe, spec = building.recipe(training, rule.classifier), training.classifiers[rule.classifier]
    digest = Labelled(images, np.zeros(0, np.int64)).digest()
    return [rule.model_dump(), asdict(recipe), spec.model_dump(mode="json")], [digest]


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


def draw(
    made: Generator, teachers: Teachers, name: str, planes: Sequence[str], each: int, seed: int, sampling: Section
) -> tuple[np.ndarray, np.ndarray]:
    """Draw `each` images of every plane in which the teachers see it; what they refuse is drawn anew.

    Parameters and returns are those of `fetalkit.experiments.drawing.draw`, and so are the images that are drawn first.

    Raises
    ------
    FetalkitError
        When some are lacking after several rounds.
    """
    images, labels = drawing.draw(made, name, planes, each, seed, sampling)
    right = teachers.see(images, labels)
    kept = [images[right & (labels == number)] for number in range(len(planes))]
    for again in range(1, _ROUNDS):
        for number, plane in enumerate(planes):
            if lacking := each - len(kept[number]):
                wanted = np.full(_MORE * lacking, number)
                more = made.sample(wanted, seed=rng(seed, plane, again).initial_seed(), sampling=sampling)
                kept[number] = np.concatenate([kept[number], more[teachers.see(more, wanted)][:lacking]])
    for plane, of in zip(planes, kept, strict=True):
        if len(of) < each:
            raise FetalkitError(
                f"{name}: only {len(of)} of {each} images drawn of {plane} are seen as it by {teachers.rule.agreement} of "
                f"{len(teachers.networks)} teachers; lower unlabelled.agreement of the generator, or train it longer"
            )
    return np.concatenate(kept), np.repeat(np.arange(len(planes)), each)


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
