"""What a run costs, in floating-point operations: its classifier, its generator, and the images that this has drawn.

All of it follows from the parameters and the number of images of a subset, so that it is known before anything is trained.
Each kind of step is counted once, on a few random images, as it runs (`fetalkit.metrics.compute`), and multiplied.

Left out is what measures and does not train: accuracy on validation patients, features of images for stopping, predictions.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from fetalkit.classifiers import fixmatch
from fetalkit.config import arms, sets
from fetalkit.config.arms import OF_REAL_IMAGES, PSEUDO_LABELS, Phase
from fetalkit.config.generation import Unlabelled
from fetalkit.config.params import Params, Training
from fetalkit.config.runs import Run, generator_of, stored
from fetalkit.data.study import Study
from fetalkit.experiments import counting, generator_training
from fetalkit.experiments.outcome import Outcome


@dataclass(frozen=True)
class Cost:
    """Floating-point operations.

    Attributes
    ----------
    classifier
        Of the training of the classifier, and of others that name images for it.
    generator
        Of the training of the generator whose images or weights are used, with what it begins with and with its teachers.
    drawing
        Of those images.
    """

    classifier: int = 0
    generator: int = 0
    drawing: int = 0

    def columns(self) -> dict[str, int]:
        """As columns of the table of budgets."""
        parts = asdict(self) | {"total": self.classifier + self.generator + self.drawing}
        return {f"{name}_flops": value for name, value in parts.items()}


def of_run(study: Study, run: Run) -> dict[str, int]:
    """What a run costs from its first image to its trained classifier, however much of it other runs share.

    Returns
    -------
    dict
        ``classifier``, ``generator``, ``drawing`` and ``total``, floating-point operations: see `Cost`.
    """
    each = of_phases(study, run, planned(study, run))
    parts = {name: sum(getattr(cost, name) for cost in each) for name in asdict(Cost())}
    return parts | {"total": sum(parts.values())}


def noted(study: Study, outcome: Outcome) -> Outcome:
    """An outcome whose budget also tells what every phase cost; that of a run that failed has no phases."""
    if not outcome.budget:
        return outcome
    phases = planned(study, outcome.run)
    costs = of_phases(study, outcome.run, phases)
    return replace(
        outcome,
        budget=[
            row | {"images_seen": phase.steps * study.params.classify.batch_size * _seen(phase)} | cost.columns()
            for row, phase, cost in zip(outcome.budget, phases, costs, strict=True)
        ],
    )


def planned(study: Study, run: Run) -> tuple[Phase, ...]:
    """The phases of a run with their steps; what is to cost as much as another arm does so to the nearest step."""
    settings = study.params

    def equal(arm: str) -> int:
        cost = of_run(study, Run(arm, run.classifier, run.k, run.seed))
        return max(1, round(cost["total"] / of_step(settings, settings.classify, run.classifier)))

    return arms.phases(settings.arms[run.arm], *settings.classify.steps(run.classifier, run.k), equal)


def of_phases(study: Study, run: Run, phases: Sequence[Phase]) -> list[Cost]:
    """What every phase of a run costs: a generator, a set, and classifiers that name images with the first one they serve."""
    settings, paid, costs = study.params, set[tuple[str, ...]](), []
    per_step = of_step(settings, settings.classify, run.classifier)
    for phase in phases:
        classifier, generator, drawing = phase.steps * per_step * _passes(phase), 0, 0
        if phase.source == PSEUDO_LABELS and (PSEUDO_LABELS,) not in paid:
            classifier += of_teachers(settings, settings.classify.pseudo_labels)
            paid.add((PSEUDO_LABELS,))
        if phase.initial:
            generator += of_generator(study, phase.initial, run.k, run.seed)
            paid.add((phase.initial, run.k))
        for source in dict.fromkeys((phase.source, phase.synthetic)):
            if source in OF_REAL_IMAGES or not source:
                continue
            name, k = stored(settings, source, run.k)
            made = generator_of(settings, name)
            generator += 0 if (made, k) in paid else of_generator(study, made, k, run.seed)
            drawing += 0 if (made, k, name) in paid else of_set(settings, name)
            paid |= {(made, k), (made, k, name)}
        costs.append(Cost(round(classifier), generator, drawing))
    return costs


def _seen(phase: Phase) -> int:
    """Images, of labelled and unlabelled ones together, per image of a batch."""
    return 1 + (fixmatch.RATIO if phase.objective == "fixmatch" else 0)


def _passes(phase: Phase) -> float:
    """How often the classifier is run forward and backward per image of a batch.

    FixMatch learns from one view of its unlabelled images, and looks at the other one: a forward pass, a third of the work.
    """
    return 1 + (fixmatch.RATIO * 4 / 3 if phase.objective == "fixmatch" else 0)


def of_step(settings: Params, training: Training, classifier: str) -> int:
    """Operations of one step of training a classifier of a section, on a batch of its size."""
    spec, planes = training.classifiers[classifier], len(settings.cohort.planes)
    return training.batch_size * counting.classifier(spec, planes, settings.images.image_size)


def of_generator(study: Study, name: str, k: str, seed: int) -> int:
    """Operations of the training of a generator on a subset (k, seed), all of it even where an earlier state is kept.

    With it count what the training begins with, in full although several subsets share it; the images that stopping draws
    from every state; and the teachers of pseudo-labels. Interpolation and simulation train no network and cost 0.
    """
    settings = study.params
    spec = generator_training.planned(study, name, k, seed)
    planes, total = len(settings.cohort.planes), counting.training(settings, spec)
    if spec.start:
        total += counting.beginning(settings, spec, spec.start.steps)
        if spec.start.generator:
            other = settings.generators[spec.start.generator]
            total += spec.start.images_per_plane * planes * counting.image(settings, other, other.sampling)
    if spec.stopping:
        states: Any = spec.training
        images = (len(states.snapshots) + 1) * spec.stopping.images_per_plane * planes
        total += images * counting.image(settings, spec, spec.sampling)
    return round(total + of_teachers(settings, spec.unlabelled))


def of_teachers(settings: Params, rule: Unlabelled | None) -> int:
    """Operations of the training of the classifiers that name images; 0 where there are none."""
    return rule.teachers * rule.steps * of_step(settings, settings.classify, rule.classifier) if rule else 0


def of_set(settings: Params, name: str) -> int:
    """Operations of drawing a synthetic set by the network that draws; of what teachers refuse, the first round counts."""
    spec, planes = settings.generators[generator_of(settings, name)], len(settings.cohort.planes)
    return round(
        settings.synthesis.images_per_plane * planes * counting.image(settings, spec, sets.sampling(settings, name))
    )
