"""One generator per subset (k, seed), and the synthetic sets drawn from it.

A generator sees the k-shot subset of its run and nothing else: `fetalkit.data.study.Study.train` is its only source of images.
Trained generators and drawn sets are outputs that DVC versions, each with the fingerprint of what made it: what is there
already is not made again.
"""

import itertools
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fetalkit import generators
from fetalkit.config import variants
from fetalkit.config.consistency import drawn_with
from fetalkit.config.params import GeneratorSettings, Params
from fetalkit.config.runs import generator_of, stored_sets
from fetalkit.config.sections import Section
from fetalkit.config.variants import Variant
from fetalkit.data.images import Labelled
from fetalkit.data.study import Study, set_name
from fetalkit.experiments import drawing
from fetalkit.generators import Generator
from fetalkit.generators.card import read_record
from fetalkit.metrics import memorisation
from fetalkit.utils import devices, parallel, paths, provenance
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing

FINGERPRINT = "made_by"  # file of a saved generator, and array of a stored set, that says what made it
START = "start"  # what a training began with, in the name of its folder


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
    """Generators that the runs and the fidelity stage need: one per generator, k and seed."""
    wanted = {(generator_of(settings, name), k, seed) for name, k, seed in stored_sets(settings)}
    shots = list(settings.splits.shots)
    wanted |= set(itertools.product(settings.fidelity.generators, shots, settings.splits.seeds))
    order = sorted(wanted, key=lambda job: (job[0], shots.index(job[1]), job[2]))
    return [dict(generator=generator, k=k, seed=seed) for generator, k, seed in order]


def derived(settings: Params) -> list[dict]:
    """Sets that are made from those of a generator: one per name, k and seed."""
    return [dict(generator=name, k=k, seed=seed) for name, k, seed in stored_sets(settings) if name in settings.sets]


def drawn_otherwise(settings: Params) -> list[Variant]:
    """Those of the derived sets that are drawn anew, with other options."""
    return [
        Variant(job["generator"], of.generator, job["k"], job["seed"], of.sampling)
        for job in derived(settings)
        if (of := settings.sets[job["generator"]]).sampling
    ]


def drawable(settings: Params, wanted: Iterable[Variant]) -> list[Variant]:
    """Those variants whose generator the study trains."""
    trained = {(job["generator"], job["k"], job["seed"]) for job in jobs(settings)}
    return [variant for variant in wanted if (variant.generator, variant.k, variant.seed) in trained]


def sampling(settings: Params, name: str) -> Section:
    """How the images of a generator's sets are drawn, or those of a set that is derived from them."""
    options = settings.sets[name].sampling if name in settings.sets else {}
    return drawn_with(settings.generators[generator_of(settings, name)].sampling, options)


def _run(function, cohort: str, settings: Params, work: list[dict], label: str = "") -> list:
    workers = devices.workers(settings.run.workers, devices.device(settings.run.device))
    return parallel.run(function, [dict(cohort=cohort, settings=settings, **job) for job in work], workers, label)


def train_all(cohort: str, settings: Params) -> list[Trained]:
    """Train all generators of the study, one process per core; those that are there already are taken."""
    wanted = jobs(settings)
    names = dict.fromkeys(job["generator"] for job in wanted)
    started = [name for name in names if settings.generators[name].start]
    _run(train_start, cohort, settings, [dict(generator=name) for name in started])
    trained = _run(train, cohort, settings, wanted, "generators")
    _remove_others(
        paths.data(cohort, "generators"), [*(item.name for item in trained), *(f"{name}-{START}" for name in started)]
    )
    return trained


def _remove_others(folder: Path, names: Sequence[str]) -> None:
    """Leave in an output folder what the parameters ask for and no more, so that it follows from them alone."""
    for entry in folder.iterdir():
        if entry.name.removesuffix(".npz") not in names:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def train_start(cohort: str, settings: Params, generator: str) -> None:
    """Train what a generator begins with: its network on phantoms of the cohort's planes.

    It has seen no real image, so that it may be the beginning of a generator in any run.
    """
    spec, planes = settings.generators[generator], settings.cohort.planes
    start = spec.start
    assert start is not None  # else there is nothing to begin with
    labels = np.tile(np.arange(len(planes)), start.images_per_plane)
    phantoms = settings.generators[start.generator]
    images = _untrained(settings, phantoms).sample(labels, seed=0, sampling=phantoms.sampling)
    begun = spec.model_copy(update={"training": _shortened(spec.training, start.steps)})
    made = _untrained(settings, begun)
    print_of = _made_by(settings, begun, [0], [Labelled(images, labels).digest()])
    _fit(
        cohort,
        made,
        f"{generator}-{START}",
        print_of,
        images,
        labels,
        seed=0,
        label=f"{generator}: start from phantoms",
    )


def _shortened(training: Section, steps: int) -> Section:
    """The same training for other steps, without the states on the way, which nobody asks for."""
    changes: dict[str, Any] = {"steps": steps}
    if "snapshots" in type(training).model_fields:
        changes["snapshots"] = ()
    return training.model_copy(update=changes)


def train(cohort: str, settings: Params, generator: str, k: str, seed: int) -> Trained:
    """Train one generator, or take the one that is there."""
    data, name, spec = (
        Study(cohort, settings).train(k, seed),
        set_name(generator, k, seed),
        settings.generators[generator],
    )
    made, follows, options = _untrained(settings, spec), [data.digest()], {}
    if spec.start:
        options["start"] = paths.data(cohort, "generators", f"{generator}-{START}")
        follows.append((options["start"] / FINGERPRINT).read_text())
    print_of = _made_by(settings, spec, [seed], follows)
    label = f"{generator} k={k} seed={seed}"
    losses, seconds = _fit(cohort, made, name, print_of, data.images, data.labels, seed=seed, label=label, **options)
    return Trained(generator, k, seed, losses, seconds)


def _untrained(settings: Params, spec: GeneratorSettings) -> Generator:
    return generators.create(
        spec.class_path,
        settings.cohort.planes,
        settings.images.image_size,
        spec.training,
        device=settings.run.device,
        precision=settings.run.precision,
    )


def _fit(
    cohort: str, made: Generator, name: str, print_of: str, images: np.ndarray, labels: np.ndarray, **options: Any
) -> tuple[list[float], float]:
    """Train `made` and keep it in ``data/<cohort>/generators``, unless the very same one is there; its losses and seconds."""
    folder = paths.data(cohort, "generators", name)
    if _read_print(folder / FINGERPRINT) != print_of:
        checkpoint = Checkpoint(paths.work(cohort, "generators", f"{name}.checkpoint"), print_of)
        made.fit(images, labels, checkpoint=checkpoint, **options)
        with replacing(folder) as temporary:
            made.save(temporary)
            (temporary / FINGERPRINT).write_text(print_of)
        checkpoint.clear()
    return read_record(folder)


def _read_print(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _made_by(settings: Params, spec: GeneratorSettings, follows: list, data: Sequence[str]) -> str:
    """Fingerprint of a training."""
    about = [
        spec.class_path,
        list(settings.cohort.planes),
        settings.images.image_size,
        spec.training.model_dump(mode="json"),
    ]
    return provenance.fingerprint([spec.class_path.partition(":")[0]], [*about, *follows, *_rounding(settings)], data)


def _rounding(settings: Params) -> list[str]:
    device = devices.device(settings.run.device)
    return devices.rounding(device, devices.precision(settings.run.precision, device))


def draw_all(cohort: str, settings: Params) -> dict[str, int]:
    """Draw and store the sets of all generators, their variants, and the derived sets; images per set."""
    each = settings.synthesis.images_per_plane
    own = [Variant(job["generator"], **job) for job in jobs(settings)]
    own += drawn_otherwise(settings)
    work = [dict(variant=variant, each=each) for variant in own]
    few = min(settings.fidelity.variant_images_per_plane, each)
    work += [dict(variant=variant, each=few) for variant in drawable(settings, variants.all_variants(settings))]
    sizes = dict(_run(draw, cohort, settings, work, "sets"))
    reduced = [job for job in derived(settings) if settings.sets[job["generator"]].without]
    sizes |= dict(leave_out_copies(cohort, settings, **job) for job in reduced)
    _remove_others(paths.data(cohort, "synthetic"), list(sizes))
    return sizes


def draw(cohort: str, settings: Params, variant: Variant, each: int, folder: Path | None = None) -> tuple[str, int]:
    """Draw one synthetic set and store it, or leave the equal one that is there; return its name and number of images.

    It goes to ``data/<cohort>/synthetic``, or to another `folder`.
    """
    name = set_name(variant.name, variant.k, variant.seed)
    saved = paths.data(cohort, "generators", set_name(variant.generator, variant.k, variant.seed))
    trained_by, where = _read_print(saved / FINGERPRINT), saved
    if variant.fraction < 1:
        where = saved / "snapshots" / f"{100 * variant.fraction:.0f}"
    spec, planes = settings.generators[variant.generator], settings.cohort.planes
    options = drawn_with(spec.sampling, variant.options)
    about = [
        trained_by,
        variant.fraction,
        options.model_dump(mode="json"),
        each,
        variant.seed,
        list(planes),
        *_rounding(settings),
    ]
    print_of = provenance.fingerprint([spec.class_path.partition(":")[0], drawing.__name__], about)
    path = (folder or paths.data(cohort, "synthetic")) / f"{name}.npz"
    if not _is_by(path, print_of):
        made = generators.load(where, device=settings.run.device, precision=settings.run.precision)
        _store(path, print_of, *drawing.draw(made, name, planes, each, variant.seed, options))
    return name, each * len(planes)


def _is_by(path: Path, print_of: str) -> bool:
    """Whether the set at `path` has this fingerprint."""
    if not path.exists():
        return False
    try:
        with np.load(path, allow_pickle=False) as content:
            return FINGERPRINT in content and str(content[FINGERPRINT]) == print_of
    except (OSError, ValueError):
        return False


def leave_out_copies(cohort: str, settings: Params, generator: str, k: str, seed: int) -> tuple[str, int]:
    """Store a set without near-copies of the images that its generator has seen; return its name and number of images.

    What counts as near is told by validation images, never by test images.

    Raises
    ------
    FetalkitError
        When no image of a plane is left.
    """
    study, origin = Study(cohort, settings), generator_of(settings, generator)
    drawn = study.synthetic(origin, k, seed)
    copies = memorisation.near_copies(
        drawn.images,
        study.train(k, seed).images,
        study.labelled(study.part("validation")).images,
        settings.fidelity.near_copy_quantile,
    )
    left = np.bincount(drawn.labels[~copies], minlength=len(study.planes))
    if not left.all():
        raise FetalkitError(
            f"{origin}, k = {k}, seed = {seed}: every synthetic image of {study.planes[int(left.argmin())]} is a near-copy; "
            f"lower generators.{origin}.training.steps, or drop the arms that use {generator}"
        )
    stored = set_name(generator, k, seed)
    path = paths.data(cohort, "synthetic", f"{stored}.npz")
    _store(path, "", drawn.images[~copies], drawn.labels[~copies])
    return stored, int(left.sum())


def _store(path: Path, print_of: str, images: np.ndarray, labels: np.ndarray) -> None:
    with replacing(path) as temporary:
        arrays: dict[str, Any] = {"images": images, "labels": labels, FINGERPRINT: np.array(print_of)}
        np.savez_compressed(temporary, **arrays)
