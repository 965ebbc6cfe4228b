"""Training of all cells of the study.

A finished training phase is stored on its own, under the fingerprint of all that went into it. A killed grid goes on where
it stood, arms that share their first phase share its weights, and a new arm, k or seed computes only what is new.
"""

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from fetalkit import arms, augment, batches, classifiers, devices, images, parallel, paths, training
from fetalkit.cells import Cell, Outcome, cells
from fetalkit.checkpoints import Checkpoint, fingerprint, replacing
from fetalkit.params import Params
from fetalkit.study import Study

_CODE = [Path(module.__file__) for module in (augment, batches, classifiers, training)]


def run(cohort: str, settings: Params) -> list[Outcome]:
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


def run_cell(cohort: str, settings: Params, cell: Cell) -> Outcome:
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
