"""Pseudo-labels: classifiers of a run's subset name the planes of the train images whose labels the run may not see.

A generator learns from the subset and from the images that enough of these teachers agree on; of what it draws, those images
are kept in which they see the plane that was asked for [1]_. Teachers are stored with their generator;
`fetalkit.experiments.teachers` trains them.

References
----------
.. [1] You et al., Diffusion Models and Semi-Supervised Learners Benefit Mutually with Few Labels, NeurIPS 2023,
   arXiv 2302.10586.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from fetalkit.classifiers import trainer, weights
from fetalkit.config.generation import Unlabelled
from fetalkit.config.sections import Section
from fetalkit.data.images import Labelled
from fetalkit.experiments import drawing
from fetalkit.generators.base import Generator
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

    def save(self, folder: Path) -> None:
        """Write teachers and counts to the `folder` of a saved generator."""
        self.teachers.save(folder / FOLDER)
        self.counts.to_csv(folder / FOLDER / NAMED, index=False)


def lesson(labelled: Labelled, images: np.ndarray, teachers: Teachers, planes: Sequence[str]) -> Lesson:
    """Let teachers name images, uint8 (n, side, side), beside the `labelled` ones; `planes` are the names of the classes."""
    labels, votes = teachers.named(images)
    enough = votes >= teachers.rule.agreement
    names = np.array(planes)[labels]
    counts = pd.DataFrame({"plane": names, "agreeing": votes}).value_counts(sort=False).rename("images").reset_index()
    return Lesson(labelled, Labelled(images[enough], labels[enough]), votes[enough], teachers, counts)


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
