"""Synthetic sets drawn from the generators of a study, and sets derived from these.

They are outputs that DVC versions, each with the fingerprint of what made it: what is there already is not drawn again.
"""

from pathlib import Path
from typing import Any

import numpy as np

from fetalkit import generators
from fetalkit.config import sets, variants
from fetalkit.config.consistency import drawn_with
from fetalkit.config.params import Params
from fetalkit.config.runs import generator_of, seen
from fetalkit.config.variants import Variant
from fetalkit.data.study import Study, set_name
from fetalkit.experiments import drawing, outputs, pseudo_labels, teachers
from fetalkit.experiments.outputs import FINGERPRINT
from fetalkit.generators.diffusion.generator import SNAPSHOTS
from fetalkit.metrics import memorisation
from fetalkit.utils import paths, provenance
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import made_by, replacing


def draw_all(cohort: str, settings: Params) -> dict[str, int]:
    """Draw and store the sets of all generators, their variants, and the derived sets; images per set."""
    each = settings.synthesis.images_per_plane
    own = [Variant(job["generator"], **job) for job in sets.jobs(settings)]
    own += sets.drawn_otherwise(settings)
    if own:
        names = dict.fromkeys(set_name(variant.generator, variant.k, variant.seed) for variant in own)
        made_by("04_generator", *(paths.data(cohort, "generators", name) for name in names))
    work = [dict(variant=variant, each=each) for variant in own]
    few = min(settings.fidelity.variant_images_per_plane, each)
    work += [dict(variant=variant, each=few) for variant in sets.drawable(settings, variants.all_variants(settings))]
    sizes = dict(outputs.in_parallel(draw, cohort, settings, work, "sets"))
    reduced = [job for job in sets.derived(settings) if settings.sets[job["generator"]].without]
    sizes |= dict(leave_out_copies(cohort, settings, **job) for job in reduced)
    outputs.remove_others(paths.data(cohort, "synthetic"), list(sizes))
    return sizes


def draw(cohort: str, settings: Params, variant: Variant, each: int, folder: Path | None = None) -> tuple[str, int]:
    """Draw one synthetic set and store it, or leave the equal one that is there; return its name and number of images.

    It goes to ``data/<cohort>/synthetic``, or to another `folder`.
    """
    name = set_name(variant.name, variant.k, variant.seed)
    saved = paths.data(cohort, "generators", set_name(variant.generator, variant.k, variant.seed))
    trained_by, where = outputs.fingerprint(saved), saved
    if variant.fraction < 1:
        where = saved / SNAPSHOTS / f"{100 * variant.fraction:.0f}"
    spec, planes = settings.generators[variant.generator], settings.cohort.planes
    options = drawn_with(spec.sampling, variant.options)
    about = [
        trained_by,
        variant.fraction,
        options.model_dump(mode="json"),
        each,
        variant.seed,
        list(planes),
    ]
    modules, rule = [spec.class_path.partition(":")[0], drawing.__name__], spec.unlabelled
    if rule:
        about.append(rule.model_dump())
        modules.append(pseudo_labels.__name__)
    print_of = provenance.fingerprint(modules, about)
    path = (folder or paths.data(cohort, "synthetic")) / f"{name}.npz"
    if not _is_by(path, print_of):
        made = generators.load(where, device=settings.run.device, precision=settings.run.precision)
        asked: Any = dict(name=name, planes=planes, each=each, seed=variant.seed, sampling=options)
        drawn = (
            pseudo_labels.draw(made, teachers.read(saved, settings, rule), **asked)
            if rule
            else drawing.draw(made, **asked)
        )
        _store(path, print_of, *drawn)
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
        study.train(seen(settings, generator, k), seed).images,
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
