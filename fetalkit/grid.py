"""The grid of runs (arm × classifier × k × seed): enumerated from the parameters, never from what lies on disk.

A finished training phase is stored on its own, under the fingerprint of all that went into it. A killed grid goes on where
it stood, arms that share their first phase share its weights, and a new arm, k or seed computes only what is new.
"""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from fetalkit import arms, augment, batches, classifiers, devices, images, parallel, params, paths, training
from fetalkit.checkpoints import Checkpoint, fingerprint, replacing
from fetalkit.study import Study

_CODE = [Path(module.__file__) for module in (augment, batches, classifiers, training)]


@dataclass(frozen=True)
class Cell:
    """One run of the study."""

    arm: str
    classifier: str
    k: str
    seed: int

    @property
    def name(self) -> str:
        """Unique name, fit for a file."""
        return f"{self.arm}_{self.classifier}_k{self.k}_seed{self.seed}"


@dataclass(frozen=True)
class Outcome:
    """What a cell leaves behind.

    Attributes
    ----------
    cell
        Which one.
    weights
        Safetensors file of the trained classifier.
    probabilities
        Float32 (images, planes), for the validation images and then the test images of the study, in table order.
    curve
        Points of the learning curve with ``phase`` and ``source``.
    budget
        Steps and number of images per phase.
    seconds
        Training time of all phases; a phase that arms share counts for each of them.
    """

    cell: Cell
    weights: Path
    probabilities: np.ndarray
    curve: list[dict]
    budget: list[dict]
    seconds: float


def cells(settings: params.Params) -> list[Cell]:
    """All cells, in the order classifier, k, seed, arm."""
    return [
        Cell(arm, classifier, str(k), seed)
        for classifier in settings.classify.classifiers
        for k in settings.splits.shots
        for seed in settings.splits.seeds
        for arm in settings.classify.arms
    ]


def run(cohort: str, settings: params.Params) -> list[Outcome]:
    """Train and apply every cell; one process per core.

    Raises
    ------
    FetalkitError
        Lists the cells that failed, after all the others have been finished and stored.
    """
    workers = devices.workers(settings.run.workers, devices.device(settings.run.device))
    jobs = [dict(cohort=cohort, settings=settings, cell=cell) for cell in _most_phases_first(cells(settings))]
    outcomes = {outcome.cell: outcome for outcome in parallel.run(run_cell, jobs, workers)}
    return [outcomes[cell] for cell in cells(settings)]


def keep_weights(cohort: str, outcomes: list[Outcome]) -> None:
    """Copy the weights of all runs to the versioned data, one safetensors file per cell."""
    for outcome in outcomes:
        with replacing(paths.data(cohort, "models", f"{outcome.cell.name}.safetensors")) as temporary:
            shutil.copyfile(outcome.weights, temporary)


def _most_phases_first(jobs: list[Cell]) -> list[Cell]:
    """One arm after the other, so that workers do not train at the same time a phase that two arms share."""
    return sorted(jobs, key=lambda cell: -len(arms.ARMS[cell.arm]))


def run_cell(cohort: str, settings: params.Params, cell: Cell) -> Outcome:
    """Train the phases of one cell, or take those that are stored, and predict validation and test images."""
    study, device = Study(cohort, settings), devices.device(settings.run.device)
    spec = settings.classify.classifiers[cell.classifier]
    model = classifiers.create(spec.model, spec.arguments, len(study.planes), settings.images.size, cell.seed)
    model = model.to(device, memory_format=torch.channels_last)
    recipe = training.Recipe(
        **settings.classify.model_dump(include=set(training.Recipe.__dataclass_fields__)),
    )
    validation = study.labelled(study.part("validation"))
    history = [asdict(recipe), spec.model_dump(), study.planes, settings.images.size, cell.seed, device.type]
    history += [torch.__version__, _digest(validation)]
    curve, budget, seconds = [], [], 0.0
    for number, phase in enumerate(
        arms.phases(cell.arm, settings.classify.pretrain_steps, settings.classify.train_steps)
    ):
        data = (
            study.train(cell.k, cell.seed)
            if phase.source == "real"
            else study.synthetic(phase.source, cell.k, cell.seed)
        )
        history = [*history, asdict(phase), _digest(data)]
        folder = paths.work(cohort, "phases", fingerprint(history, _CODE))
        _train_phase(folder, model, data, phase, recipe, cell, device, validation)
        model.load_state_dict(load_file(folder / "weights.safetensors"))
        record = json.loads((folder / "phase.json").read_text())
        curve += [{"phase": number + 1, "source": phase.source, **point} for point in record["curve"]]
        budget.append({"source": phase.source, "steps": phase.steps, "images": len(data.labels)})
        seconds += record["seconds"]
    shown = np.concatenate([validation.images, study.labelled(study.part("test")).images])
    probabilities = training.predict(model, shown, device)
    return Outcome(cell, folder / "weights.safetensors", probabilities, curve, budget, seconds)


def _train_phase(folder, model, data, phase, recipe, cell, device, validation) -> None:
    if folder.exists():
        return
    checkpoint = Checkpoint(folder.with_suffix(".checkpoint"), folder.name)
    curve, seconds = training.fit(
        model,
        data,
        phase.steps,
        recipe,
        # Arms of one cell see the real images in the same order, which makes their comparison a paired one.
        seed=f"{cell.seed}-{phase.source}",
        device=device,
        checkpoint=checkpoint,
        label=f"{cell.arm} {cell.classifier} k={cell.k} seed={cell.seed}: {phase.source}",
        validation=validation,
    )
    with replacing(folder) as temporary:
        temporary.mkdir()
        save_file(
            {name: tensor.contiguous() for name, tensor in model.state_dict().items()},
            temporary / "weights.safetensors",
        )
        (temporary / "phase.json").write_text(json.dumps({"curve": curve, "seconds": round(seconds, 2)}))
    checkpoint.clear()


def _digest(data: images.Labelled) -> str:
    return hashlib.sha256(np.ascontiguousarray(data.images).tobytes() + data.labels.tobytes()).hexdigest()
