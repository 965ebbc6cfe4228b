"""The runs of the transfer study (direction × method × classifier × seed): enumerated from the parameters, and trained.

As in `classification`, a finished phase of training is stored on its own, so that methods that train alike share it.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fetalkit.classifiers import models, trainer
from fetalkit.classifiers.loader import Feed
from fetalkit.classifiers.trainer import Recipe
from fetalkit.config.runs import Outcome
from fetalkit.data.images import Labelled
from fetalkit.experiments import phase_cache
from fetalkit.experiments.transfer import adabn, adversary, alignment, domains, inputs, methods, scales, sets
from fetalkit.experiments.transfer.domains import Material
from fetalkit.experiments.transfer.methods import CONTROL, JOINT, METHODS, TARGET, Method, Phase
from fetalkit.experiments.transfer.settings import Transfer
from fetalkit.utils import devices, parallel, paths
from fetalkit.utils.provenance import fingerprint


@dataclass(frozen=True)
class Cell:
    """One run of the transfer study."""

    direction: str
    method: str
    classifier: str
    seed: int

    @property
    def name(self) -> str:
        """Unique name, fit for a file."""
        return "_".join([self.direction.replace(" ", "-"), self.method, self.classifier, f"seed{self.seed}"])


def cells(plan: Transfer) -> list[Cell]:
    """All runs, in the order direction, classifier, seed, method."""
    return [
        Cell(direction, method, classifier, seed)
        for direction in plan.directions
        for classifier in plan.training.classifiers
        for seed in plan.seeds
        for method in plan.methods_of(direction, classifier)
    ]


def run(folder: str, plan: Transfer) -> list[Outcome]:
    """Train and apply every run, one process per core. A run that fails is among the outcomes, with its error.

    Probabilities of an outcome are for the validation part of the source and then the test part of the target.
    """
    workers = devices.workers(plan.run.workers, devices.device(plan.run.device))
    # Runs share what the control and the generators make: these first, each once.
    first, left = _parted(cells(plan), lambda cell: cell.method == CONTROL)
    later, plain = _parted(left, lambda cell: bool(METHODS[cell.method].pretraining))
    found = _attempted(folder, plan, run_cell, [*first, *plain], workers, "runs")
    one_each = list({_set_of(cell): cell for cell in later}.values())
    # Two sets that differ in magnification alone are of one generator, which must not be trained twice side by side.
    magnified, own = _parted(one_each, lambda cell: METHODS[cell.method].magnified)
    _attempted(folder, plan, synthetic, own, workers, "sets")
    _attempted(folder, plan, synthetic, magnified, workers, "magnified sets")
    found |= _attempted(folder, plan, run_cell, later, workers, "runs that begin with synthetic images")
    return [found[cell].result or _failed(plan, cell, found[cell].error) for cell in cells(plan)]


def _parted(every: list[Cell], chosen) -> tuple[list[Cell], list[Cell]]:
    return [cell for cell in every if chosen(cell)], [cell for cell in every if not chosen(cell)]


def _attempted(folder: str, plan: Transfer, function, jobs: list[Cell], workers: int, label: str) -> dict:
    found = parallel.attempt(function, [dict(folder=folder, plan=plan, cell=cell) for cell in jobs], workers, label)
    return dict(zip(jobs, found, strict=True))


def _failed(plan: Transfer, cell: Cell, error: str) -> Outcome:
    direction = plan.directions[cell.direction]
    validation = domains.material(plan, direction, methods.NONE, cell.seed).validation
    size = len(validation.labels) + len(domains.test(plan, direction)[1])
    return Outcome(cell, np.full((size, len(plan.planes)), np.nan, np.float32), error=error)


def run_cell(folder: str, plan: Transfer, cell: Cell) -> Outcome:
    """Train a run, or take what is stored, and predict validation images of the source and test images of the target."""
    method, device = METHODS[cell.method], devices.device(plan.run.device)
    model, outcome, data = train_cell(folder, plan, cell)
    images = domains.test(plan, plan.directions[cell.direction])[0].images
    shown = [data.validation.images, domains.outlined(images) if method.outline else images]
    return replace(outcome, probabilities=predict(plan, method, model, np.concatenate(shown), device))


def predict(plan: Transfer, method: Method, model: nn.Module, images: np.ndarray, device: torch.device) -> np.ndarray:
    """Class probabilities, float32 (n, planes), of uint8 (n, size, size): at one magnification or several."""
    if method.scales:
        return scales.predict(model, images, device, plan.scales)
    return trainer.predict(model, images, device)


def train_cell(folder: str, plan: Transfer, cell: Cell) -> tuple[nn.Module, Outcome, Material]:
    """Train a run, or take what is stored; also returns what it was allowed to see. Test images are not read.

    Raises
    ------
    FetalkitError
        When images are missing, a loss is not a number, or the method does not fit the classifier.
    """
    direction, method, device = plan.directions[cell.direction], METHODS[cell.method], devices.device(plan.run.device)
    settings = plan.classifying(direction.source.cohort)
    spec, recipe = plan.training.classifiers[cell.classifier], trainer.recipe(settings, cell.classifier)
    data = domains.material(plan, direction, method.level, cell.seed)
    data = data.outlined() if method.outline else data
    model = models.of_study(settings, cell.classifier, cell.seed)
    model = model.to(device, memory_format=torch.channels_last)
    history = [asdict(recipe), spec.model_dump(), plan.planes, settings.images.size, cell.seed, device.type]
    history += [torch.__version__, phase_cache.digest(data.validation)]
    curve, budget, seconds = [], [], 0.0
    for number, phase in enumerate(methods.phases(method, *plan.training.steps(cell.classifier)), 1):
        feed = _feed(folder, plan, cell, data, phase)
        history = [*history, asdict(phase), feed.seed, feed.augmentation, feed.share]
        history += [phase_cache.digest(feed.data), phase_cache.digest(feed.beside)]
        objective, follows = _objective(plan, cell, data, phase, recipe, model, device)
        feed, style = _styled(plan, method, data, feed, phase)
        history += [*follows, *style]
        place = paths.work(folder, "phases", fingerprint(history, _code(method, phase, spec.pretrained)))
        label = f"{cell.name}: {phase.source}"
        record = phase_cache.train(
            place, model, feed, phase.steps, recipe, device=device, label=label, validation=data.validation,
            objective=objective,
        )  # fmt: skip
        curve += [{"phase": number, "source": phase.source, **point} for point in record["curve"]]
        budget.append({"source": phase.source, "steps": phase.steps, "alignment": phase.alignment})
        seconds += record["seconds"]
    if method.adabn:
        adabn.adapt(model, data.target, device)
    nothing = np.empty((0, len(plan.planes)), np.float32)
    return model, Outcome(cell, nothing, place / phase_cache.WEIGHTS, curve, budget, seconds), data


def synthetic(folder: str, plan: Transfer, cell: Cell) -> Labelled:
    """Synthetic set that a run begins with.

    Its generator is trained here: on the source with its labels, and for ``"target"`` on all images of the target that the
    level allows as well. Where their planes are not known, it is told those that the control of the same seed (the first
    classifier, on the source alone) believes in.
    """
    direction, method = plan.directions[cell.direction], METHODS[cell.method]
    settings = plan.cohorts[direction.source.cohort]
    steps, each = plan.generator.steps, plan.generator.images_per_plane
    magnifications = plan.generator.magnifications if method.magnified else ()
    data = domains.material(plan, direction, method.level, cell.seed)
    seen, places = sets.Seen(data.source.images, data.source.labels, data.source_places), data.source_places
    if method.pretraining == TARGET:
        planes, places = believed(folder, plan, cell, data), data.target_places
        seen = sets.Seen(
            np.concatenate([seen.images, data.target]),
            np.concatenate([seen.planes, planes]),
            np.concatenate([seen.places, places]),
        )
    label = f"generator {cell.direction}, {method.pretraining} seed={cell.seed}"
    made = sets.trained(folder, settings, seen, steps, cell.seed, label)
    numbers, planes = sets.wanted(seen.classes(), sorted(set(places)), each)
    return sets.drawn(folder, settings, made, numbers, planes, cell.seed, magnifications)


def believed(folder: str, plan: Transfer, cell: Cell, data: Material) -> np.ndarray:
    """Planes of the target's train images: known ones of those that are labelled, and what the control says of the others."""
    first = next(name for name in plan.training.classifiers if CONTROL in plan.methods_of(cell.direction, name))
    control = Cell(cell.direction, CONTROL, first, cell.seed)
    model, _, _ = train_cell(folder, plan, control)
    device = devices.device(plan.run.device)
    planes = predict(plan, METHODS[CONTROL], model, data.target, device).argmax(axis=1)
    if data.labelled is not None:
        planes[data.labelled_rows] = data.labelled.labels
    return planes


def _set_of(cell: Cell) -> tuple:
    """Equal for runs that begin with the same set."""
    method = METHODS[cell.method]
    level = method.level if method.pretraining == TARGET else ""
    return cell.direction, cell.seed, method.pretraining, level, method.magnified


def _feed(folder: str, plan: Transfer, cell: Cell, data: Material, phase: Phase) -> Feed:
    """Labelled images of a phase; all methods see those of the source in the same order, which makes comparisons paired."""
    method, seed = METHODS[cell.method], f"{cell.seed}-{phase.source}"
    beside, share = None, 0.0
    if phase.source == "synthetic":
        labelled = synthetic(folder, plan, cell)
    elif method.images == JOINT:
        labelled, beside, share = data.source, data.labelled, plan.joint_share
    else:
        labelled = data.labelled if method.images == TARGET else data.source
    return Feed(labelled, len(plan.planes), seed, method.augmentation, beside=beside, share=share)


def _styled(plan: Transfer, method: Method, data: Material, feed: Feed, phase: Phase) -> tuple[Feed, list]:
    """The feed in the target's style where the method wants that, and what that adds to the fingerprint."""
    if not method.style or phase.source != "real":
        return feed, []
    follows = [method.style, plan.style_share, _digest(data.target)]
    return inputs.Styled(feed, method.style, data.target, plan.style_share), follows


def _objective(
    plan: Transfer, cell: Cell, data: Material, phase: Phase, recipe: Recipe, model: nn.Module, device: torch.device
) -> tuple[nn.Module | None, list]:
    """What a phase with an alignment is trained for (None: cross-entropy), and what that adds to the fingerprint."""
    if not phase.alignment:
        return None, []
    # Synthetic images are drawn towards real ones of the source, images of the source towards those of the target.
    images = data.source.images if phase.source == "synthetic" else data.target
    blank = Labelled(images, np.zeros(len(images), np.int64))
    others = Feed(blank, len(plan.planes), f"{cell.seed}-aligned", METHODS[cell.method].augmentation)
    weight = getattr(plan.weights, phase.alignment)
    objective = alignment.Aligned(
        phase.alignment, others, weight, recipe.label_smoothing, recipe.batch_size, device,
        features=model.network.get_classifier().in_features, seed=cell.seed,
    )  # fmt: skip
    return objective, [weight, _digest(images)]


def _digest(images: np.ndarray) -> str:
    return phase_cache.digest(Labelled(images, np.zeros(0, np.int64)))


def _code(method: Method, phase: Phase, weights: bool) -> list[Path]:
    used = [alignment, adversary] if phase.alignment else []
    used += [inputs] if method.style else []
    return [*phase_cache.code(method.augmentation, weights=weights), *(Path(module.__file__) for module in used)]
