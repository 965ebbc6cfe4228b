"""Synthetic sets of a transfer study: a diffusion model that is told plane and place, and images of the places wanted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fetalkit import generators
from fetalkit.config.params import GeneratorSettings, Params
from fetalkit.config.sections import Section
from fetalkit.data.images import Labelled
from fetalkit.experiments import outputs
from fetalkit.experiments.transfer import magnified
from fetalkit.experiments.transfer.methods import SUBJECT
from fetalkit.utils import paths, provenance
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.files import replacing
from fetalkit.utils.streams import rng


@dataclass(frozen=True)
class Seen:
    """What a generator learns from.

    Attributes
    ----------
    images
        uint8 (n, size, size).
    planes
        Plane of each, as a class number or, where that is not known, as a guess; (n,).
    places
        Place of each, (n,).
    """

    images: np.ndarray
    planes: np.ndarray
    places: np.ndarray

    def classes(self) -> list[tuple[int, str]]:
        """Pairs of plane and place that occur, sorted: the classes of the generator."""
        return sorted(set(zip(self.planes.tolist(), self.places.tolist(), strict=True)))


def wanted_classes(
    classes: Sequence[tuple[int, str]], places: Sequence[str], each: int
) -> tuple[np.ndarray, np.ndarray]:
    """Which classes to draw, so that there are `each` images of every plane, spread evenly over `places`.

    Parameters
    ----------
    classes
        As `Seen.classes` returns them.
    places
        Those wanted. Of a plane that occurs in none of them, images of all places are taken.
    each
        Images per plane.

    Returns
    -------
    numbers, planes : ndarray, int64 (planes * each,)
        Class and plane of every image.
    """
    numbers = []
    for plane in sorted({plane for plane, _ in classes}):
        mine = [number for number, (of, _) in enumerate(classes) if of == plane]
        local = [number for number in mine if classes[number][1] in set(places)]
        numbers.append(np.resize(local or mine, each))
    numbers = np.concatenate(numbers)
    return numbers, np.array([classes[number][0] for number in numbers])


@dataclass(frozen=True)
class Wanted:
    """Images that are to be drawn.

    Attributes
    ----------
    numbers, planes
        Class of the generator (a pair of plane and place), and plane, of every image, (n,).
    magnifications
        Draw at these, by turns; none: as the images are.
    """

    numbers: np.ndarray
    planes: np.ndarray
    magnifications: Sequence[float] = ()


def stored(study: str, settings: Params, seen: Seen, drawing: Wanted, steps: int, seed: int, label: str) -> Path:
    """File of a synthetic set of a diffusion model that learns from `seen`; it is made where there is none yet.

    The model is the cohort's generator `SUBJECT` but for its steps. It has one class per pair of plane and place
    (`Seen.classes`), so that what it learns of a place it can show with every plane.

    Parameters
    ----------
    study
        Folder name of the transfer study.
    settings
        Of the source cohort.
    seen
        What the generator learns from.
    drawing
        What is drawn.
    steps, seed
        Of the training; the seed is that of the images too.
    label
        Name in logs and messages.

    Raises
    ------
    FetalkitError
        As `fetalkit.generators.base.Generator.fit` and `fetalkit.experiments.transfer.magnified.sample` do.
    """
    spec, classes = settings.generators[SUBJECT], seen.classes()
    labels = np.array([classes.index(pair) for pair in zip(seen.planes.tolist(), seen.places.tolist(), strict=True)])
    made = generators.create(
        spec.class_path,
        [f"{settings.cohort.planes[plane]}, {place}" for plane, place in classes],
        settings.images.image_size,
        spec.training.model_copy(update=_changes(spec, steps)),
        device=settings.run.device,
        precision=settings.run.precision,
    )
    about = [made.describe(), seed]
    modules, data = [spec.class_path.partition(":")[0]], [Labelled(seen.images, labels).digest()]
    trained_by = provenance.fingerprint(modules, about, data)
    about += [spec.sampling.model_dump(mode="json"), drawing.numbers.tolist(), list(drawing.magnifications)]
    modules += [magnified.__name__] if drawing.magnifications else []
    path = folder(study) / f"{provenance.fingerprint(modules, about, data)}.npz"
    if not path.exists():
        # A finished training stays in its checkpoint, from which a repeated one returns at once: sets may share it.
        text = outputs.with_rounding(trained_by, made)
        checkpoint = Checkpoint(paths.work(study, "generators", f"{trained_by}.checkpoint"), text)
        made.fit(seen.images, labels, seed=seed, checkpoint=checkpoint, label=label)
        _write(path, made, drawing, spec.sampling, seed)
    return path


def keep(study: str, used: Iterable[Path]) -> None:
    """Leave the sets that are `used` and no others, so that the folder follows from the parameters alone."""
    folder(study).mkdir(parents=True, exist_ok=True)  # an output of the stage, also of a study without sets
    for path in set(folder(study).glob("*")) - set(used):
        path.unlink()


def folder(study: str) -> Path:
    """Where the sets of a transfer study are kept, an output of its stage."""
    return paths.data(study, "transfer_sets")


def _changes(spec: GeneratorSettings, steps: int) -> dict[str, Any]:
    """How the training of the study's generators departs from that of the cohort's."""
    changes: dict[str, Any] = {"steps": steps, "snapshots": getattr(spec.training, "early", ())}
    if getattr(spec.sampling, "guidance_kind", "") != "classifier":
        changes["guide_steps"] = 0
    return {name: value for name, value in changes.items() if name in type(spec.training).model_fields}


def _write(path: Path, made: generators.Generator, drawing: Wanted, sampling: Section, seed: int) -> None:
    options = {"seed": rng(seed, "transfer").initial_seed(), "sampling": sampling}
    images = (
        magnified.sample(made, drawing.numbers, drawing.magnifications, **options)
        if drawing.magnifications
        else made.sample(drawing.numbers, **options)
    )
    with replacing(path) as temporary:
        np.savez_compressed(temporary, images=images, labels=drawing.planes)
