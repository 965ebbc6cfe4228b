"""One generator per cell (k, seed), and the synthetic set drawn from it.

A generator sees the k-shot subset of its cell and nothing else: `fetalkit.study.Study.train` is its only source of images.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fetalkit import arms, batches, devices, generators, parallel, paths
from fetalkit.checkpoints import Checkpoint, fingerprint, replacing, rng
from fetalkit.params import Params
from fetalkit.progress import Progress
from fetalkit.study import Study, set_name


@dataclass(frozen=True)
class Trained:
    """A trained generator: which one, its loss per step and its training time in seconds."""

    generator: str
    k: str
    seed: int
    losses: list[float]
    seconds: float

    @property
    def name(self) -> str:
        """Name of its folder and of its synthetic set."""
        return set_name(self.generator, self.k, self.seed)


def jobs(settings: Params) -> list[dict]:
    """Generators that the arms of the study need: one per generator, k and seed."""
    return [
        dict(generator=generator, k=str(k), seed=seed)
        for generator in arms.sources(settings.classify.arms)
        for k in settings.splits.shots
        for seed in settings.splits.seeds
    ]


def run(function, cohort: str, settings: Params) -> list:
    """Apply `train` or `sample` of this module to all generators of the study, one process per core."""
    workers = devices.workers(settings.run.workers, devices.device(settings.run.device))
    return parallel.run(function, [dict(cohort=cohort, settings=settings, **job) for job in jobs(settings)], workers)


def train(cohort: str, settings: Params, generator: str, k: str, seed: int) -> Trained:
    """Train one generator, or take the one that an earlier, interrupted execution of the stage has finished."""
    study = Study(cohort, settings)
    data = study.train(k, seed)
    made = generators.create(
        generator,
        n_classes=len(study.planes),
        planes=study.planes,
        size=settings.images.size,
        device=settings.run.device,
        **getattr(settings, generator).model_dump(),
    )
    name = set_name(generator, k, seed)
    code = [Path(batches.__file__), *sorted(Path(generators.__file__).parent.glob("*.py"))]
    contents = hashlib.sha256(data.images.tobytes() + data.labels.tobytes()).hexdigest()
    history = [made.describe(), seed, contents, made.device.type, torch.__version__]
    checkpoint = Checkpoint(paths.work(cohort, "generators", f"{name}.checkpoint"), fingerprint(history, code))
    made.fit(data.images, data.labels, seed=seed, checkpoint=checkpoint, label=f"{generator} k={k} seed={seed}")
    made.save(paths.data(cohort, "generators", name))
    return Trained(generator, k, seed, made.losses, made.seconds)


def sample(cohort: str, settings: Params, generator: str, k: str, seed: int) -> str:
    """Draw the synthetic set of one generator and store it; return its name."""
    name = set_name(generator, k, seed)
    made = generators.load(paths.data(cohort, "generators", name), device=settings.run.device)
    options = getattr(settings.synthesis, generator).model_dump()
    planes, each = settings.cohort.planes, settings.synthesis.images_per_plane
    parts = []
    with Progress(f"{name}: draw", len(planes) * each, unit="image") as progress:
        for number, plane in enumerate(planes):
            parts.append(made.sample(np.full(each, number), seed=rng(seed, plane).initial_seed(), **options))
            progress.update(each)
            progress.report()
    labels = np.repeat(np.arange(len(planes)), each)
    with replacing(paths.data(cohort, "synthetic", f"{name}.npz")) as temporary:
        np.savez_compressed(temporary, images=np.concatenate(parts), labels=labels)
    return name
