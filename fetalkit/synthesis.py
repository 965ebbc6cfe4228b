"""One generator per cell (k, seed), and the synthetic sets drawn from it.

A generator sees the k-shot subset of its cell and nothing else: `fetalkit.study.Study.train` is its only source of images.
"""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fetalkit import arms, batches, devices, generators, memorisation, parallel, paths, variants
from fetalkit.checkpoints import Checkpoint, fingerprint, replacing, rng
from fetalkit.errors import FetalkitError
from fetalkit.params import Params
from fetalkit.progress import Progress
from fetalkit.study import Study, set_name
from fetalkit.variants import Variant

# What a trained generator follows from, beside its data and settings.
CODE = [Path(batches.__file__), *sorted(Path(generators.__file__).parent.glob("*.py"))]


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
    """Generators that the arms and the fidelity stage need: one per generator, k and seed."""
    wanted = sorted({*arms.generators(settings.classify.arms), *settings.fidelity.generators})
    return [
        dict(generator=generator, k=str(k), seed=seed)
        for generator in wanted
        for k in settings.splits.shots
        for seed in settings.splits.seeds
    ]


def _run(function, cohort: str, settings: Params, work: list[dict]) -> list:
    workers = devices.workers(settings.run.workers, devices.device(settings.run.device))
    return parallel.run(function, [dict(cohort=cohort, settings=settings, **job) for job in work], workers)


def train_all(cohort: str, settings: Params) -> list[Trained]:
    """Train all generators of the study, one process per core."""
    return _run(train, cohort, settings, jobs(settings))


def train(cohort: str, settings: Params, generator: str, k: str, seed: int) -> Trained:
    """Train one generator, or take the one that an earlier, interrupted execution of the stage has finished."""
    study = Study(cohort, settings)
    data = study.train(k, seed)
    section = getattr(settings, generator, None)  # a generator that learns nothing has no section in params.yaml
    made = generators.create(
        generator,
        n_classes=len(study.planes),
        planes=study.planes,
        size=settings.images.size,
        device=settings.run.device,
        precision=settings.run.precision,
        **(section.model_dump() if section else {}),
    )
    name = set_name(generator, k, seed)
    contents = hashlib.sha256(data.images.tobytes() + data.labels.tobytes()).hexdigest()
    device = devices.device(settings.run.device)
    history = [made.describe(), seed, contents, device.type, torch.__version__]
    history.append(str(devices.precision(settings.run.precision, device)))
    checkpoint = Checkpoint(paths.work(cohort, "generators", f"{name}.checkpoint"), fingerprint(history, CODE))
    made.fit(data.images, data.labels, seed=seed, checkpoint=checkpoint, label=f"{generator} k={k} seed={seed}")
    made.save(paths.data(cohort, "generators", name))
    return Trained(generator, k, seed, made.losses, made.seconds)


def draw_all(cohort: str, settings: Params) -> dict[str, int]:
    """Draw and store the sets of all generators, their variants, and the derived sets; images per set."""
    each = settings.synthesis.images_per_plane
    own = [Variant(job["generator"], **job) for job in jobs(settings)]
    work = [dict(variant=variant, each=each) for variant in own]
    few = min(settings.fidelity.variant_images_per_plane, each)
    work += [dict(variant=variant, each=few) for variant in _drawable(settings, own)]
    sizes = dict(_run(draw, cohort, settings, work))
    for name in arms.derived(settings.classify.arms):
        for variant in own:
            if variant.generator == arms.DERIVED[name]:
                sizes |= dict([leave_out_copies(cohort, settings, name, variant)])
    return sizes


def _drawable(settings: Params, own: list[Variant]) -> list[Variant]:
    """Variants whose generator the study has."""
    trained = {variant.generator for variant in own}
    return [variant for variant in variants.all_variants(settings) if variant.generator in trained]


def draw(cohort: str, settings: Params, variant: Variant, each: int) -> tuple[str, int]:
    """Draw one synthetic set and store it, or take an equal one drawn earlier; return its name and size."""
    name = set_name(variant.name, variant.k, variant.seed)
    folder = paths.data(cohort, "generators", set_name(variant.generator, variant.k, variant.seed))
    if variant.fraction < 1:
        folder = folder / "snapshots" / f"{100 * variant.fraction:.0f}"
    options = getattr(settings.synthesis, variant.generator).model_dump() | variant.options
    made = generators.load(folder, device=settings.run.device, precision=settings.run.precision)
    device = devices.device(settings.run.device)
    history = [options, each, variant.seed, settings.cohort.planes, device.type, torch.__version__]
    history.append(str(devices.precision(settings.run.precision, device)))
    weights = sorted(folder.glob("*/*.safetensors"))
    path = paths.work(cohort, "synthetic", f"{fingerprint(history, [folder / 'fetalkit.json', *weights, *CODE])}.npz")
    if not path.exists():
        _store(path, *_drawn(made, name, settings.cohort.planes, each, variant.seed, options))
    with replacing(paths.data(cohort, "synthetic", f"{name}.npz")) as temporary:
        shutil.copyfile(path, temporary)
    return name, each * len(settings.cohort.planes)


def _drawn(
    made: generators.Generator, name: str, planes: list[str], each: int, seed: int, options: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    parts = []
    with Progress(f"{name}: draw", len(planes) * each, unit="image") as progress:
        for number, plane in enumerate(planes):
            parts.append(made.sample(np.full(each, number), seed=rng(seed, plane).initial_seed(), **options))
            progress.update(each)
            progress.report()
    return np.concatenate(parts), np.repeat(np.arange(len(planes)), each)


def leave_out_copies(cohort: str, settings: Params, name: str, variant: Variant) -> tuple[str, int]:
    """Store a set without near-copies of the images that its generator has seen; return its name and size.

    What counts as near is told by validation images, never by test images.

    Raises
    ------
    FetalkitError
        When no image of a plane is left.
    """
    study = Study(cohort, settings)
    drawn = study.synthetic(variant.generator, variant.k, variant.seed)
    copies = memorisation.near_copies(
        drawn.images,
        study.train(variant.k, variant.seed).images,
        study.labelled(study.part("validation")).images,
        settings.fidelity.near_copy_quantile,
    )
    left = np.bincount(drawn.labels[~copies], minlength=len(study.planes))
    if not left.all():
        raise FetalkitError(
            f"{variant.generator}, k = {variant.k}, seed = {variant.seed}: every synthetic image of "
            f"{study.planes[int(left.argmin())]} is a near-copy; lower diffusion.steps, or drop the arm {name}"
        )
    stored = set_name(name, variant.k, variant.seed)
    _store(paths.data(cohort, "synthetic", f"{stored}.npz"), drawn.images[~copies], drawn.labels[~copies])
    return stored, int(left.sum())


def _store(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    with replacing(path) as temporary:
        np.savez_compressed(temporary, images=images, labels=labels)
