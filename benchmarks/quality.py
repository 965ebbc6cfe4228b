"""What a classifier learns from generated images alone, after equal minutes: our generator, the reference recipe, real images.

All are trained on the full train part of spain (FETALKIT_MIRROR, see README) and judged on its validation patients: the
classification accuracy score (CAS). Each generator gets the processor time of MINUTES on two cores, in one thread: the two
are trained side by side, as the study trains its generators, and other work on the machine takes nothing away from them.
The parts are kept in ``work/bench`` and taken from there, so that this, which takes an hour and a half, can be stopped and
started again.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from common import record
from joblib import Parallel, delayed
from reference import Reference
from safetensors import safe_open
from safetensors.torch import load_model, save_model

from fetalkit import generators
from fetalkit.config import params
from fetalkit.data.images import Labelled
from fetalkit.data.study import Study
from fetalkit.experiments import cas
from fetalkit.metrics import memorisation
from fetalkit.utils import paths
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.files import replacing

EACH, STEPS, SEEDS = 250, 500, (0, 1, 2)
CORES = 2  # whose time a generator gets
TRIAL = 200  # steps that tell our generator's speed


def kept(folder: Path, name: str, make) -> dict[str, np.ndarray]:
    """Arrays of an earlier, interrupted run of this script, or those that `make` makes now."""
    path = folder / f"{name}.npz"
    if not path.exists():
        arrays = make()
        with replacing(path) as temporary:
            np.savez_compressed(temporary, **arrays)
    with np.load(path) as content:
        return dict(content)


def ours(folder: Path, settings, data: Labelled, seconds: float) -> None:
    """Train our generator for that much processor time: its speed, measured first, sets the number of steps."""
    torch.set_num_threads(1)
    if (folder / "ours.json").exists():
        return
    spec = settings.generators["diffusion"]
    about = settings.cohort.planes, settings.images.image_size

    def untrained(steps: int) -> generators.Generator:
        few = {"guide_steps": 0, "snapshots": spec.training.early, "steps": steps}
        training = spec.training.model_copy(update=few)
        return generators.create(spec.class_path, *about, training, device="cpu")

    plan = folder / "ours.steps"
    if not plan.exists():
        trial = untrained(TRIAL)
        began = time.process_time()
        trial.fit(data.images, data.labels, seed=0)
        plan.write_text(str(int(TRIAL * seconds / (time.process_time() - began))))
    steps = int(plan.read_text())
    made = untrained(steps)
    made.fit(data.images, data.labels, seed=0, checkpoint=Checkpoint(folder / "ours.checkpoint", str(steps)))
    made.save(folder / "ours")
    (folder / "ours.json").write_text(json.dumps({"steps": steps}))


def reference(folder: Path, data: Labelled, seconds: float) -> None:
    """Train the reference recipe for that much processor time."""
    torch.set_num_threads(1)
    if (folder / "reference.safetensors").exists():
        return
    rival = Reference(data.images, data.labels)
    steps = rival.train(seconds)
    with replacing(folder / "reference.safetensors") as temporary:
        save_model(rival.unet, temporary, {"steps": str(steps)})


def side_by_side(pool: Parallel, sample: Callable, labels: np.ndarray) -> np.ndarray:
    """What `sample`, called with labels and a seed, draws in one process per core."""
    parts = np.array_split(labels, os.cpu_count())
    return np.concatenate(pool(delayed(sample)(part, number) for number, part in enumerate(parts)))


def drawn_by_reference(folder: Path, data: Labelled, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Images of the trained reference recipe."""
    with safe_open(folder / "reference.safetensors", "pt") as stored:
        steps = int(stored.metadata()["steps"])
    with Parallel(n_jobs=os.cpu_count()) as pool:
        images = side_by_side(pool, partial(_sample_reference, folder, data), labels)
    return {"images": images, "labels": labels, "steps": np.array(steps)}


def _sample_reference(folder: Path, data: Labelled, labels: np.ndarray, seed: int) -> np.ndarray:
    torch.set_num_threads(1)
    rival = Reference(data.images, data.labels)
    load_model(rival.unet, folder / "reference.safetensors")
    return rival.sample(labels, seed=seed)


def drawn_by_ours(folder: Path, labels: np.ndarray, sampling: dict) -> dict[str, np.ndarray]:
    """Images of our generator, and the seconds that drawing took, imports left out."""
    with Parallel(n_jobs=os.cpu_count()) as pool:
        side_by_side(pool, partial(_sample_ours, folder, sampling | {"steps": 2}), labels[: 2 * os.cpu_count()])
        began = time.perf_counter()
        images = side_by_side(pool, partial(_sample_ours, folder, sampling), labels)
        seconds = time.perf_counter() - began
    return {"images": images, "labels": labels, "seconds": np.array(seconds)}


def _sample_ours(folder: Path, sampling: dict, labels: np.ndarray, seed: int) -> np.ndarray:
    torch.set_num_threads(1)
    return generators.load(folder, device="cpu").sample(labels, seed=seed, sampling=sampling)


def _set(drawn: dict[str, np.ndarray]) -> Labelled:
    return Labelled(drawn["images"], drawn["labels"])


def _score(data: Labelled, validation: Labelled, settings, seed: int) -> float:
    torch.set_num_threads(1)
    return cas.score(data, validation, settings, steps=STEPS, seed=seed)


def _scores(sets: dict[str, Labelled], validation: Labelled, settings) -> dict[str, float]:
    """Mean accuracy over seeds of classifiers trained on each of the sets."""
    scores = Parallel(n_jobs=os.cpu_count())(
        delayed(_score)(images, validation, settings, seed) for images in sets.values() for seed in SEEDS
    )
    means = np.reshape(scores, (len(sets), len(SEEDS))).mean(axis=1)
    return {name: round(float(mean), 4) for name, mean in zip(sets, means, strict=True)}


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    arguments = parser.parse_args()
    settings = params.load("spain")
    study = Study("spain", settings)
    data, validation = study.labelled(study.part("train")), study.labelled(study.part("validation"))
    folder = paths.work("bench", f"quality-{arguments.minutes:g}")
    folder.mkdir(parents=True, exist_ok=True)
    labels = np.tile(np.arange(len(study.planes)), EACH)
    seconds = 60 * arguments.minutes * CORES
    Parallel(n_jobs=os.cpu_count())(
        [delayed(ours)(folder, settings, data, seconds), delayed(reference)(folder, data, seconds)]
    )
    sampler = settings.generators["diffusion"].sampling.model_dump(mode="json")
    fast = kept(folder, "fast", lambda: drawn_by_ours(folder / "ours", labels, sampler))
    rival = kept(folder, "reference", lambda: drawn_by_reference(folder, data, labels))
    scores = _scores({"real": data, "ours": _set(fast), "reference": _set(rival)}, validation, settings)
    limit = memorisation.threshold(memorisation.nearest_images(validation.images, data.images).distance)
    copies = memorisation.nearest_images(fast["images"], data.images).distance
    measured = {
        "minutes": arguments.minutes,
        "of_cores": CORES,
        "cores": os.cpu_count(),
        "train_images": len(data.labels),
        "validation_images": len(validation.labels),
        "classifier_steps": STEPS,
        "classifier_seeds": len(SEEDS),
        "cas": scores,
        "ours_share_of_real": round(scores["ours"] / scores["real"], 4),
        "ours_above_reference": round(scores["ours"] - scores["reference"], 4),
        "near_copies": memorisation.share(copies, limit),
        **json.loads((folder / "ours.json").read_text()),
        "reference_steps": int(rival["steps"]),
        "sampling": {"images": len(labels), "seconds": round(float(fast["seconds"]), 1), **sampler},
    }
    record("quality", measured)
    # The long sampler takes ten minutes: it comes last, and is added to a record that is complete without it.
    slow = kept(folder, "slow", lambda: drawn_by_ours(folder / "ours", labels, sampler | {"steps": 250}))
    scores |= _scores({"ours_250_steps": _set(slow)}, validation, settings)
    record("quality", measured)


if __name__ == "__main__":
    main()
