"""The phases of an arm with their images: what a run trains on, how it is drawn, and what is trained for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from fetalkit.classifiers import balanced, fixmatch, loader, mixture, styles
from fetalkit.classifiers.loader import Feed
from fetalkit.classifiers.models import Normalised
from fetalkit.classifiers.trainer import Recipe
from fetalkit.config import arms, params
from fetalkit.config.arms import OTHER_COHORT, PSEUDO_LABELS, REAL
from fetalkit.config.runs import Run, stored
from fetalkit.config.shots import EVERY
from fetalkit.data.images import Labelled
from fetalkit.data.study import Study, read_set
from fetalkit.experiments import initial_weights, pseudo_labels, teachers
from fetalkit.experiments.engine import Phase
from fetalkit.experiments.phase_cache import PhaseCache


@dataclass(frozen=True)
class Material:
    """What a run may train on.

    Attributes
    ----------
    study, run
        Whose images, and which run.
    cache
        Where trained classifiers are kept that name images.
    recipe
        How the run is trained.
    instead
        Name of a synthetic set → file of the set that takes its place.
    """

    study: Study
    run: Run
    cache: PhaseCache
    recipe: Recipe
    instead: Mapping[str, Path] = field(default_factory=dict)

    def phases(self, planned: Sequence[arms.Phase]) -> list[Phase]:
        """The phases of an arm. After the last one, batch normalisation is estimated from real images where it has seen any."""
        made = [self._phase(phase) for phase in planned]
        made[0] = self._begun(made[0], planned[0].initial)
        if not any(phase.source in (REAL, PSEUDO_LABELS) for phase in planned):
            return made
        return [*made[:-1], replace(made[-1], statistics=self._feed(self._real, "statistics"))]

    def teachers(self, planned: Sequence[arms.Phase]) -> tuple[str, ...]:
        """Fingerprints of the trainings of the classifiers that name images for these phases."""
        rule = self.study.params.classify.pseudo_labels
        if rule is None or not any(phase.source == PSEUDO_LABELS for phase in planned):
            return ()
        return tuple(teachers.fingerprints(self.study, rule, self.run.k, self.run.seed))

    @property
    def _real(self) -> Labelled:
        return self.study.train(self.run.k, self.run.seed)

    def _phase(self, phase: arms.Phase) -> Phase:
        """One phase. Arms of one run see the real images in the same order, which makes their comparison paired."""
        data = self._images(phase.source)
        data = evened(data) if phase.oversampled else data
        beside = self._images(phase.synthetic) if phase.synthetic else None
        feed = Feed(
            data,
            len(self.study.planes),
            f"{self.run.seed}-{phase.source}",
            phase.augmentation,
            phase.mixing,
            beside,
            phase.share,
        )
        made = Phase(phase.source, phase.steps, feed, noted={"images": len(data.labels)})
        if phase.style:
            made = self._in_style(made, phase.style)
        if phase.weight:
            return self._mixture(made, phase.weight)
        if phase.objective == "fixmatch":
            return self._fixmatch(made)
        return self._balanced(made) if phase.objective == "balanced-softmax" else made

    def _begun(self, phase: Phase, initial: str) -> Phase:
        begins = initial_weights.of_run(self.study, self.run, initial, self._real)
        return replace(phase, initial=begins[0], **_more(phase, begins[1])) if begins else phase

    def _images(self, source: str) -> Labelled:
        study, run = self.study, self.run
        if source == REAL:
            return self._real
        if source == PSEUDO_LABELS:
            return self._named()
        if source == OTHER_COHORT:
            return self._of_other_cohort()
        name, k = stored(study.params, source, run.k)
        if name in self.instead:
            return read_set(self.instead[name], study.params.images.image_size)
        return study.synthetic(name, k, run.seed)

    def _named(self) -> Labelled:
        """The run's images, and the other train images as classifiers name them that were trained on the run's images."""
        rule = self.study.params.classify.pseudo_labels
        assert rule is not None  # parameters have been checked
        k, seed = self.run.k, self.run.seed
        named_by = teachers.train(self.study, rule, k, seed, self.cache)
        return pseudo_labels.lesson(self._real, self.study.beside(k, seed), named_by, self.study.planes).weighted

    def _of_other_cohort(self) -> Labelled:
        """All train images of the cohort that the section ``classify`` names."""
        name = self.study.params.classify.other_cohort
        assert name is not None  # likewise
        return Study(name, params.load(name)).train(EVERY, self.run.seed)

    def _feed(self, data: Labelled, key: str) -> Feed:
        return Feed(data, len(self.study.planes), f"{self.run.seed}-{key}")

    def _in_style(self, phase: Phase, style: str) -> Phase:
        return replace(
            phase,
            batches=styles.Styled(phase.feed, style, self._real.images, share=1.0),
            **_more(phase, ["style", style], styles.__name__, data=self._real),
        )

    def _mixture(self, phase: Phase, weight: float) -> Phase:
        synthetic = phase.feed.drawn_beside(self.recipe.batch_size)

        def objective(model: Normalised) -> nn.Module:
            return mixture.Mixture(synthetic, weight, self.recipe.label_smoothing)

        return replace(
            phase,
            objective=objective,
            settings=[*phase.settings, "mixture", weight],
            modules=[*phase.modules, mixture.__name__],
        )

    def _fixmatch(self, phase: Phase) -> Phase:
        others = self.study.beside(self.run.k, self.run.seed)
        unlabelled = self._feed(Labelled(others, np.zeros(len(others), np.int64)), "unlabelled")

        def objective(model: Normalised) -> nn.Module:
            return fixmatch.FixMatch(model, unlabelled)

        modules = [fixmatch.__name__, *loader.modules(replace(unlabelled, augmentation=fixmatch.STRONG))]
        return replace(
            phase,
            objective=objective,
            noted={"images": phase.noted["images"] + len(others)},
            **_more(phase, ["fixmatch", unlabelled.seed], *modules, data=unlabelled.data),
        )

    def _balanced(self, phase: Phase) -> Phase:
        counts = np.bincount(phase.feed.data.labels, minlength=len(self.study.planes)).tolist()

        def objective(model: Normalised) -> nn.Module:
            return balanced.BalancedSoftmax(counts, self.recipe.label_smoothing)

        return replace(
            phase,
            objective=objective,
            settings=[*phase.settings, "balanced-softmax"],
            modules=[*phase.modules, balanced.__name__],
        )


def evened(data: Labelled) -> Labelled:
    """`data` with images of rarer planes repeated, in their order, until every plane has as many as the most frequent one."""
    counts = np.bincount(data.labels)
    rows = [np.resize(np.flatnonzero(data.labels == plane), counts.max()) for plane in np.flatnonzero(counts)]
    return Labelled(data.images[np.concatenate(rows)], data.labels[np.concatenate(rows)])


def _more(phase: Phase, settings: list[Any], *modules: str, data: Labelled | None = None) -> dict[str, Any]:
    """Fields of `phase` that say what it follows from, with some more."""
    return {
        "settings": [*phase.settings, *settings],
        "data": [*phase.data, *([data.digest()] if data else [])],
        "modules": [*phase.modules, *modules],
    }
