"""The search for a generator: candidates that differ in some settings, compared after equal processor time.

Train patients teach, validation patients judge; test images are not read. One candidate takes one core.
"""

import json
import time
from typing import Any

import numpy as np
import pandas as pd
import torch

from fetalkit.config.params import Params
from fetalkit.data.images import Labelled
from fetalkit.data.study import Study
from fetalkit.experiments import cas
from fetalkit.generators.diffusion.generator import DiffusionGenerator
from fetalkit.metrics import distances, memorisation, precision_recall
from fetalkit.metrics.features import imagenet
from fetalkit.utils import devices, parallel, paths
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.files import replacing
from fetalkit.utils.provenance import fingerprint

# Noise levels at which the denoiser is judged, for images of standard deviation 0.5.
LEVELS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
SUBJECT = "diffusion"  # the generator of the cohort that candidates depart from
_TRIAL = 30  # steps that tell a candidate's speed


def candidates(settings: Params) -> dict[str, dict[str, Any]]:
    """The second round of the search: each candidate departs in one thing from the settings in ``params.yaml``."""
    training: Any = settings.generators[SUBJECT].training
    return {
        "as in params.yaml": {},
        "images never moved": {"augment": 0.0},
        "images always moved": {"augment": 1.0},
        "coarser: unshuffle 4": {"unshuffle": 4, "channels": [64, 128], "attention": [False, True]},
        "finer: no unshuffle": {
            "unshuffle": 1,
            "channels": [16, 32, 64, 128],
            "attention": [False, False, False, True],
        },
        "wider": {"channels": [32, 96, 192]},
        "two blocks": {"blocks": 2},
        "batches of 4": {"batch_size": 4},
        "batches of 16": {"batch_size": 16},
        "half the learning rate": {"learning_rate": training.learning_rate / 2},
        "no guidance": {"sampler": {"guidance": 1.0}},
        "guidance 2.5": {"sampler": {"guidance": 2.5}},
        "guidance at all noise levels": {"sampler": {"guidance_interval": [0.0, 100.0]}},
        "18 sampler steps": {"sampler": {"steps": 18}},
        "36 sampler steps": {"sampler": {"steps": 36}},
    }


def compare(
    cohort: str, settings: Params, candidates: dict[str, dict[str, Any]], *, minutes: float, each: int, steps: int
) -> pd.DataFrame:
    """Train every candidate for equal processor time and judge it.

    Parameters
    ----------
    cohort, settings
        The study, of which the images and splits must have been made.
    candidates
        Name → what differs from the training of ``generators.diffusion`` (and, under ``sampler``, from its sampling).
    minutes
        Processor time of each training; the number of steps follows from the candidate's speed.
    each
        Images per plane that are drawn.
    steps
        Training steps of the classifier for the classification accuracy score.

    Returns
    -------
    pandas.DataFrame
        ``candidate``, ``steps``, ``images_per_second``, ``parameters``, ``error@<sigma>`` (mean squared error of denoised
        validation images in the range [-1, 1]), ``fd``, ``kid``, ``precision``, ``recall`` (ImageNet features, against
        validation images), ``cas``, ``near_copies``, ``sampling_seconds`` (processor time).
    """
    workers = devices.workers(settings.run.workers, torch.device("cpu"))
    jobs: list[dict[str, Any]] = [
        dict(cohort=cohort, settings=settings, name=name, changes=changes, minutes=minutes)
        for name, changes in candidates.items()
    ]
    # Candidates that differ in the sampler alone share one training; it must not run twice at one time.
    alike = {json.dumps(_training(settings, job["changes"]), sort_keys=True): job for job in reversed(jobs)}
    parallel.run(train, list(alike.values()), workers)
    return pd.DataFrame(parallel.run(judge, [job | dict(each=each, steps=steps) for job in jobs], workers))


def _training(settings: Params, changes: dict[str, Any]) -> dict[str, Any]:
    """Settings of a candidate's training."""
    training: Any = settings.generators[SUBJECT].training
    base = training.model_dump() | {"guide_steps": 0, "snapshots": list(training.early)}
    return base | {key: value for key, value in changes.items() if key != "sampler"}


def judge(
    cohort: str, settings: Params, name: str, changes: dict[str, Any], minutes: float, each: int, steps: int
) -> dict[str, Any]:
    """One row of `compare`; taken from ``work/`` where it has been measured already."""
    study = Study(cohort, settings)
    seen, validation = study.labelled(study.part("train")), study.labelled(study.part("validation"))
    sampling = settings.generators[SUBJECT].sampling.model_copy(update=changes.get("sampler", {}))
    key = _key(study, settings, changes, minutes)
    judged_by = [key, sampling.model_dump(mode="json"), each, steps, settings.classify.model_dump(mode="json")]
    path = paths.work(cohort, "search", f"{fingerprint([__name__], judged_by)}.json")
    if path.exists():
        return {"candidate": name, **json.loads(path.read_text())}
    made = train(cohort, settings, name, changes, minutes)
    assert made.denoiser is not None  # it has been trained
    row: dict[str, Any] = {
        "steps": made.training.steps,
        "images_per_second": round(made.training.steps * made.training.batch_size / made.seconds, 1),
        "parameters": sum(parameter.numel() for parameter in made.denoiser.parameters()),
    }
    for sigma in LEVELS:
        row[f"error@{sigma:g}"] = round(made.denoising_error(validation.images, validation.labels, sigma, seed=0), 5)
    labels = np.tile(np.arange(len(study.planes)), each)
    began = time.process_time()
    images = made.sample(labels, seed=0, sampling=sampling)
    row["sampling_seconds"] = round(time.process_time() - began, 1)
    row |= _fidelity(images, labels, seen, validation)
    options: dict[str, Any] = dict(label=f"{name}: CAS", device="cpu")  # as all here, whose budget is processor time
    accuracy = cas.score(Labelled(images, labels), validation, settings, steps=steps, seed=0, **options)
    row["cas"] = round(accuracy, 4)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(row))
    return {"candidate": name, **row}


def _key(study: Study, settings: Params, changes: dict[str, Any], minutes: float) -> str:
    data = study.labelled(study.part("train"))
    about = [_training(settings, changes), minutes, study.planes, settings.images.image_size]
    return fingerprint([DiffusionGenerator.__module__], about, [data.digest()])


def train(cohort: str, settings: Params, name: str, changes: dict[str, Any], minutes: float) -> DiffusionGenerator:
    """Train a candidate on one core, or take the one that has been trained already."""
    study = Study(cohort, settings)
    data, key = study.labelled(study.part("train")), _key(study, settings, changes, minutes)
    training, place = _training(settings, changes), dict(device="cpu", precision=settings.run.precision)
    plan = paths.work(cohort, "search", f"{key}.steps")
    if not plan.exists():  # measured once: a run that is resumed must keep its length
        trial = DiffusionGenerator(study.planes, settings.images.image_size, training | {"steps": _TRIAL}, **place)
        began = time.process_time()
        trial.fit(data.images, data.labels, seed=0, label=f"{name}: trial")
        with replacing(plan) as temporary:
            temporary.write_text(str(max(_TRIAL, int(_TRIAL * 60 * minutes / (time.process_time() - began)))))
    training["steps"] = int(plan.read_text())
    made = DiffusionGenerator(study.planes, settings.images.image_size, training, **place)
    made.fit(data.images, data.labels, seed=0, checkpoint=Checkpoint(plan.with_suffix(".checkpoint"), key), label=name)
    return made


def _fidelity(images: np.ndarray, labels: np.ndarray, seen: Labelled, validation: Labelled) -> dict[str, float]:
    """Distances to validation images, as many of each plane on either side, and the share of near-copies."""
    counts = np.bincount(validation.labels)
    rows = np.concatenate([np.flatnonzero(labels == plane)[:count] for plane, count in enumerate(counts)])
    space = imagenet("cpu")
    real, drawn = space.features(validation.images), space.features(images[rows])
    scores = precision_recall.scores(real, drawn)
    unseen = memorisation.nearest_images(validation.images, seen.images).distance
    copies = memorisation.nearest_images(images, seen.images).distance < memorisation.threshold(unseen)
    return {
        "fd": round(distances.frechet(real, drawn), 2),
        "kid": round(distances.kernel(real, drawn), 5),
        "precision": round(scores["precision"], 3),
        "recall": round(scores["recall"], 3),
        "near_copies": round(float(copies.mean()), 4),
    }
