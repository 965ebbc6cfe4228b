"""The runs of a transfer study (direction × method × classifier × seed): enumerated from the parameters, and trained."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fetalkit.classifiers import styles, trainer
from fetalkit.classifiers.loader import Feed
from fetalkit.classifiers.models import Normalised
from fetalkit.data.images import Labelled
from fetalkit.data.study import read_set
from fetalkit.experiments import building, engine
from fetalkit.experiments.engine import Phase, Trainee
from fetalkit.experiments.outcome import Outcome
from fetalkit.experiments.phase_cache import PhaseCache
from fetalkit.experiments.transfer import adabn, alignment, domains, methods, scales, sets
from fetalkit.experiments.transfer.domains import Material
from fetalkit.experiments.transfer.methods import CONTROL, JOINT, METHODS, PSEUDO, TARGET, Method
from fetalkit.experiments.transfer.settings import Transfer
from fetalkit.utils import devices, parallel

STAGE = "transfer"


@dataclass(frozen=True)
class TransferRun:
    """One training of a transfer study."""

    direction: str
    method: str
    classifier: str
    seed: int

    @property
    def name(self) -> str:
        """Unique name, fit for a file."""
        return "_".join([self.direction.replace(" ", "-"), self.method, self.classifier, f"seed{self.seed}"])


def all_runs(plan: Transfer) -> list[TransferRun]:
    """All runs, in the order direction, classifier, seed, method."""
    return [
        TransferRun(direction, method, classifier, seed)
        for direction in plan.directions
        for classifier in plan.training.classifiers
        for seed in plan.seeds
        for method in plan.methods_of(direction, classifier)
    ]


def train_all(study: str, plan: Transfer) -> list[Outcome]:
    """Train and apply every run, one process per core. A run that fails is among the outcomes, with its error.

    Each predicts the validation part of the source and the test part of the target.
    """
    workers = parallel.workers(plan.run)
    cache, runs = PhaseCache.of(study, STAGE), all_runs(plan)
    shared = dict(study=study, plan=plan, cache=cache)

    def attempted(some: list[TransferRun], label: str) -> dict[TransferRun, Outcome]:
        def failed(run: TransferRun, error: str) -> Outcome:
            return Outcome.failed(run, predicted(plan, run.direction), len(plan.planes), error)

        return engine.attempt(train_and_predict, some, shared, failed, workers=workers, label=label)

    # Runs share what the control and the generators make: these first, each once.
    first, left = _parted(runs, lambda run: run.method == CONTROL)
    later, plain = _parted(left, lambda run: METHODS[run.method].needs_control)
    outcomes = attempted([*first, *plain], "runs")
    one_each = list({_set_of(run): run for run in later if METHODS[run.method].pretraining}.values())
    # Two sets that differ in magnification alone are of one generator, which must not be trained twice side by side.
    magnified, own = _parted(one_each, lambda run: METHODS[run.method].magnified)
    made = []
    for some, label in ((own, "sets"), (magnified, "magnified sets")):
        made += parallel.attempt(synthetic_set, [{**shared, "run": run} for run in some], workers, label)
    outcomes |= attempted(later, "runs that need the control or synthetic images")
    cache.keep(outcomes.values())
    used = [attempt.result for attempt in made]
    sets.keep(study, sets.folder(study).glob("*") if None in used else used)
    return [outcomes[run] for run in runs]


def _parted(
    runs: list[TransferRun], chosen: Callable[[TransferRun], bool]
) -> tuple[list[TransferRun], list[TransferRun]]:
    return [run for run in runs if chosen(run)], [run for run in runs if not chosen(run)]


def predicted(plan: Transfer, direction: str) -> list[str]:
    """Ids of the images that a run predicts: validation images of the source, then test images of the target."""
    validation, test = domains.tested_rows(plan, plan.directions[direction])
    return [*validation.image_id, *test.image_id]


def train_and_predict(study: str, plan: Transfer, cache: PhaseCache, run: TransferRun) -> Outcome:
    """Train a run, or take what is finished, and predict validation images of the source and test images of the target."""
    method, device = METHODS[run.method], devices.device(plan.run.device)
    model, outcome, data = train(study, plan, cache, run)
    images = np.concatenate([data.validation.images, test_images(plan, run)])
    probabilities = predict(plan, method, model, images, device)
    return replace(outcome, image_ids=tuple(predicted(plan, run.direction)), probabilities=probabilities)


def test_images(plan: Transfer, run: TransferRun) -> np.ndarray:
    """Test images of the target as a run's classifier sees them, uint8 (n, size, size)."""
    images = domains.test(plan, plan.directions[run.direction])[0].images
    return domains.outlined(images) if METHODS[run.method].outline else images


def predict(plan: Transfer, method: Method, model: nn.Module, images: np.ndarray, device: torch.device) -> np.ndarray:
    """Class probabilities, float32 (n, planes), of uint8 (n, size, size): at one magnification or several."""
    if method.scales:
        return scales.predict(model, images, device, plan.scales)
    return trainer.predict(model, images, device)


def train(study: str, plan: Transfer, cache: PhaseCache, run: TransferRun) -> tuple[Normalised, Outcome, Material]:
    """Train a run, or take what is finished; also returns what it was allowed to see. Test images are not read.

    Raises
    ------
    FetalkitError
        When images are missing, a loss is not a number, or the method does not fit the classifier.
    """
    direction, method, device = plan.directions[run.direction], METHODS[run.method], devices.device(plan.run.device)
    data = domains.material(plan, direction, method.level, run.seed)
    data = data.outlined() if method.outline else data
    model = building.classifier(plan.training, run.classifier, len(plan.planes), plan.image_size, run.seed)
    trainee = Trainee(
        run=run,
        spec=plan.training.classifiers[run.classifier],
        model=building.placed(model, device),
        recipe=building.recipe(plan.training, run.classifier),
        planes=plan.planes,
        image_size=plan.image_size,
        validation=data.validation,
        device=device,
    )
    planned = methods.phases(method, *plan.training.steps(run.classifier))
    phases = [_phase(study, plan, cache, trainee, data, phase) for phase in planned]
    outcome = engine.train(cache, trainee, phases)
    if method.adabn:
        adabn.adapt(trainee.model, data.of_target()[0], device)
    return trainee.model, outcome, data


def synthetic_set(study: str, plan: Transfer, cache: PhaseCache, run: TransferRun) -> Path:
    """File of the synthetic set that a run begins with.

    Its generator is trained here: on the source with its labels, and for ``"target"`` on all images of the target that the
    level allows as well. Where their planes are not known, it is told those that the control of the same seed (the first
    classifier, on the source alone) believes in.
    """
    direction, method = plan.directions[run.direction], METHODS[run.method]
    settings = plan.cohorts[direction.source.cohort]
    data = domains.material(plan, direction, method.level, run.seed)
    seen, places = sets.Seen(data.source.images, data.source.labels, data.source_places), data.source_places
    if method.pretraining == TARGET:
        # One set for all classifiers.
        first = next(name for name in plan.training.classifiers if CONTROL in plan.methods_of(run.direction, name))
        planes, (target, places) = believed(study, plan, cache, replace(run, classifier=first), data), data.of_target()
        seen = sets.Seen(
            np.concatenate([seen.images, target]),
            np.concatenate([seen.planes, planes]),
            np.concatenate([seen.places, places]),
        )
    numbers, planes = sets.wanted_classes(seen.classes(), sorted(set(places)), plan.generator.images_per_plane)
    drawing = sets.Wanted(numbers, planes, plan.generator.magnifications if method.magnified else ())
    label = f"generator {run.direction}, {method.pretraining} seed={run.seed}"
    return sets.stored(study, settings, seen, drawing, plan.generator.steps, run.seed, label)


def believed(study: str, plan: Transfer, cache: PhaseCache, run: TransferRun, data: Material) -> np.ndarray:
    """Planes of the target's train images: known ones of those that are labelled, and what the control says of the others.

    The control has the classifier and the seed of `run`.
    """
    model, _, _ = train(study, plan, cache, replace(run, method=CONTROL))
    device = devices.device(plan.run.device)
    planes = predict(plan, METHODS[CONTROL], model, data.of_target()[0], device).argmax(axis=1)
    if data.labelled is not None:
        planes[data.labelled_rows] = data.labelled.labels
    return planes


def _set_of(run: TransferRun) -> tuple:
    """Equal for runs that begin with the same set."""
    method = METHODS[run.method]
    level = method.level if method.pretraining == TARGET else ""
    return run.direction, run.seed, method.pretraining, level, method.magnified


def _phase(
    study: str, plan: Transfer, cache: PhaseCache, trainee: Trainee, data: Material, phase: methods.Phase
) -> Phase:
    """A phase with its images; all methods see those of the source in the same order, which makes comparisons paired."""
    run, method = trainee.run, METHODS[trainee.run.method]
    beside, share = None, 0.0
    if phase.source == "synthetic":
        labelled = read_set(synthetic_set(study, plan, cache, run), plan.image_size)
    elif method.images == JOINT:
        labelled, beside, share = data.source, data.labelled, plan.joint_share
    elif method.images == PSEUDO:
        called = Labelled(data.of_target()[0], believed(study, plan, cache, run, data))
        labelled, beside, share = data.source, called, plan.joint_share
    else:
        labelled = data.of_labelled() if method.images == TARGET else data.source
    feed = Feed(
        labelled, len(plan.planes), f"{run.seed}-{phase.source}", method.augmentation, beside=beside, share=share
    )
    made = Phase(phase.source, phase.steps, feed, noted={"alignment": phase.alignment})
    if method.style and phase.source == "real":
        made = _in_style(plan, method, data, made)
    return _aligned(plan, trainee, data, made, phase.alignment) if phase.alignment else made


def _in_style(plan: Transfer, method: Method, data: Material, phase: Phase) -> Phase:
    """The phase with images in the target's style."""
    target, _ = data.of_target()
    return replace(
        phase,
        batches=styles.Styled(phase.feed, method.style, target, plan.style_share),
        settings=[*phase.settings, method.style, plan.style_share],
        data=[*phase.data, _digest(target)],
        modules=[*phase.modules, styles.__name__],
    )


def _aligned(plan: Transfer, trainee: Trainee, data: Material, phase: Phase, kind: str) -> Phase:
    """The phase with an alignment: synthetic images to real ones of the source, or images of the source to the target's."""
    run, recipe = trainee.run, trainee.recipe
    images = data.source.images if phase.source == "synthetic" else data.of_target()[0]
    blank = Labelled(images, np.zeros(len(images), np.int64))
    others = Feed(blank, len(plan.planes), f"{run.seed}-aligned", METHODS[run.method].augmentation)
    weight = getattr(plan.weights, kind)

    def objective(model: Normalised) -> nn.Module:
        return alignment.Aligned(
            kind, others, weight, recipe.label_smoothing, recipe.batch_size, trainee.device,
            features=model.n_features, seed=run.seed,
        )  # fmt: skip

    return replace(
        phase,
        objective=objective,
        settings=[*phase.settings, kind, weight],
        data=[*phase.data, _digest(images)],
        modules=[*phase.modules, alignment.__name__],
    )


def _digest(images: np.ndarray) -> str:
    return Labelled(images, np.zeros(0, np.int64)).digest()
