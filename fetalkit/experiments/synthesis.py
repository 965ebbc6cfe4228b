"""One generator per cell (k, seed), and the synthetic sets drawn from it.

A generator sees the k-shot subset of its cell and nothing else: `fetalkit.data.study.Study.train` is its only source of images.
"""

import hashlib
import itertools
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fetalkit import generators
from fetalkit.config import arms, runs, variants
from fetalkit.config.params import Params
from fetalkit.config.variants import Variant
from fetalkit.data.study import Study, set_name
from fetalkit.metrics import memorisation
from fetalkit.utils import devices, parallel, paths
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing
from fetalkit.utils.progress import Progress
from fetalkit.utils.provenance import fingerprint
from fetalkit.utils.streams import rng


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


# Generators that begin with what another training has learnt -> the kind of generator that both are.
STARTED = {"diffusion-phantoms": "diffusion"}
START = "phantoms"


def kind(generator: str) -> str:
    """Kind of a generator: its class, and its sections in ``params.yaml``."""
    return STARTED.get(generator, generator)


def sampler(settings: Params, generator: str) -> dict[str, Any]:
    """How the images of a generator's sets are drawn; empty for one that has nothing to choose."""
    section = getattr(settings.synthesis, kind(arms.generator(generator)), None)
    return section.model_dump() if section else {}


def jobs(settings: Params) -> list[dict]:
    """Generators that the cells and the fidelity stage need: one per generator, k and seed."""
    wanted = {(arms.generator(name), k, seed) for name, k, seed in runs.sets(settings)}
    shots = list(map(str, settings.splits.shots))
    wanted |= set(itertools.product(settings.fidelity.generators, shots, settings.splits.seeds))
    order = sorted(wanted, key=lambda job: (job[0], shots.index(job[1]), job[2]))
    return [dict(generator=generator, k=k, seed=seed) for generator, k, seed in order]


def derived(settings: Params) -> list[dict]:
    """Sets that are made from those of a generator: one per name, k and seed."""
    return [dict(generator=name, k=k, seed=seed) for name, k, seed in runs.sets(settings) if name in arms.DERIVED]


def _run(function, cohort: str, settings: Params, work: list[dict], label: str = "") -> list:
    workers = devices.workers(settings.run.workers, devices.device(settings.run.device))
    return parallel.run(function, [dict(cohort=cohort, settings=settings, **job) for job in work], workers, label)


def train_all(cohort: str, settings: Params) -> list[Trained]:
    """Train all generators of the study, one process per core."""
    wanted = jobs(settings)
    if any(job["generator"] in STARTED for job in wanted):
        _run(train_start, cohort, settings, [{}])
    return _run(train, cohort, settings, wanted, "generators")


def train_start(cohort: str, settings: Params) -> Path:
    """Train a diffusion model on phantoms of the cohort's planes, for others to begin from; return its folder.

    It has seen no real image, so that it may be the beginning of a generator in any cell.
    """
    planes, size = settings.cohort.planes, settings.images.size
    labels = np.tile(np.arange(len(planes)), settings.start.images_per_plane)
    simulation = generators.create("simulation", n_classes=len(planes), planes=planes, size=size)
    images = simulation.sample(labels, seed=0, **sampler(settings, "simulation"))
    made = _untrained(settings, "diffusion", steps=settings.start.steps, snapshots=[])
    checkpoint = _checkpoint(cohort, settings, START, made, [0, _contents(images, labels)], "diffusion")
    made.fit(images, labels, seed=0, checkpoint=checkpoint, label="diffusion: start from phantoms")
    folder = paths.data(cohort, "generators", START)
    made.save(folder)
    return folder


def _untrained(settings: Params, name: str, **changes: Any) -> generators.Generator:
    section = getattr(settings, name, None)  # a generator that learns nothing has no section in params.yaml
    return generators.create(
        name,
        n_classes=len(settings.cohort.planes),
        planes=settings.cohort.planes,
        size=settings.images.size,
        device=settings.run.device,
        precision=settings.run.precision,
        **((section.model_dump() if section else {}) | changes),
    )


def _checkpoint(cohort: str, settings: Params, name: str, made, follows: list, of: str) -> Checkpoint:
    """Where the state of a training is kept, under the fingerprint of all that it follows from."""
    history = [made.describe(), *follows, *_rounding(settings)]
    return Checkpoint(paths.work(cohort, "generators", f"{name}.checkpoint"), fingerprint(history, generators.code(of)))


def _rounding(settings: Params) -> list[str]:
    device = devices.device(settings.run.device)
    return devices.rounding(device, devices.precision(settings.run.precision, device))


def _contents(images: np.ndarray, labels: np.ndarray) -> str:
    return hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()


def train(cohort: str, settings: Params, generator: str, k: str, seed: int) -> Trained:
    """Train one generator, or take the one that an earlier, interrupted execution of the stage has finished."""
    data, name = Study(cohort, settings).train(k, seed), set_name(generator, k, seed)
    made = _untrained(settings, kind(generator))
    follows, options = [seed, _contents(data.images, data.labels)], {}
    if generator in STARTED:
        options["start"] = paths.data(cohort, "generators", START)
        follows.append(fingerprint("", _weights(options["start"])))
    checkpoint = _checkpoint(cohort, settings, name, made, follows, kind(generator))
    label = f"{generator} k={k} seed={seed}"
    made.fit(data.images, data.labels, seed=seed, checkpoint=checkpoint, label=label, **options)
    made.save(paths.data(cohort, "generators", name))
    return Trained(generator, k, seed, made.losses, made.seconds)


def draw_all(cohort: str, settings: Params) -> dict[str, int]:
    """Draw and store the sets of all generators, their variants, and the derived sets; images per set."""
    each = settings.synthesis.images_per_plane
    own = [Variant(job["generator"], **job) for job in jobs(settings)]
    work = [dict(variant=variant, each=each) for variant in own]
    few = min(settings.fidelity.variant_images_per_plane, each)
    work += [dict(variant=variant, each=few) for variant in _drawable(settings, own)]
    sizes = dict(_run(draw, cohort, settings, work, "sets"))
    sizes |= dict(leave_out_copies(cohort, settings, **job) for job in derived(settings))
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
    options = sampler(settings, variant.generator) | variant.options
    made = generators.load(folder, device=settings.run.device, precision=settings.run.precision)
    history = [options, each, variant.seed, settings.cohort.planes, *_rounding(settings)]
    follows = [folder / "fetalkit.json", *_weights(folder), *generators.code(kind(variant.generator))]
    path = paths.work(cohort, "synthetic", f"{fingerprint(history, follows)}.npz")
    if not path.exists():
        _store(path, *_drawn(made, name, settings.cohort.planes, each, variant.seed, options))
    with replacing(paths.data(cohort, "synthetic", f"{name}.npz")) as temporary:
        shutil.copyfile(path, temporary)
    return name, each * len(settings.cohort.planes)


def _weights(folder: Path) -> list[Path]:
    """Weights of a saved generator."""
    return sorted(folder.glob("*/*.safetensors"))


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


def leave_out_copies(cohort: str, settings: Params, generator: str, k: str, seed: int) -> tuple[str, int]:
    """Store a set without near-copies of the images that its generator has seen; return its name and size.

    What counts as near is told by validation images, never by test images.

    Raises
    ------
    FetalkitError
        When no image of a plane is left.
    """
    study = Study(cohort, settings)
    drawn = study.synthetic(arms.generator(generator), k, seed)
    copies = memorisation.near_copies(
        drawn.images,
        study.train(k, seed).images,
        study.labelled(study.part("validation")).images,
        settings.fidelity.near_copy_quantile,
    )
    left = np.bincount(drawn.labels[~copies], minlength=len(study.planes))
    if not left.all():
        raise FetalkitError(
            f"{arms.generator(generator)}, k = {k}, seed = {seed}: every synthetic image of "
            f"{study.planes[int(left.argmin())]} is a near-copy; lower diffusion.steps, or drop the arm {generator}"
        )
    stored = set_name(generator, k, seed)
    _store(paths.data(cohort, "synthetic", f"{stored}.npz"), drawn.images[~copies], drawn.labels[~copies])
    return stored, int(left.sum())


def _store(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    with replacing(path) as temporary:
        np.savez_compressed(temporary, images=images, labels=labels)
