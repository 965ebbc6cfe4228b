"""Synthetic sets of the transfer study: a diffusion model that is told plane and place, and images of the places wanted."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fetalkit import generators
from fetalkit.config.params import Params
from fetalkit.data.images import Labelled
from fetalkit.experiments.transfer import magnified
from fetalkit.utils import devices, paths
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.files import replacing
from fetalkit.utils.provenance import fingerprint
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


def wanted(classes: Sequence[tuple[int, str]], places: Sequence[str], each: int) -> tuple[np.ndarray, np.ndarray]:
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


def trained(folder: str, settings: Params, seen: Seen, steps: int, seed: int, label: str) -> generators.Generator:
    """Train a diffusion model, or take the one that is stored in ``work/<folder>/``.

    The model is that of the cohort's section ``diffusion`` but for its steps. It has one class per pair of plane and place
    (`Seen.classes`), so that what it learns of a place it can show with every plane.

    Parameters
    ----------
    folder
        Of the study.
    settings
        Of the source cohort.
    seen
        What the generator learns from.
    steps, seed
        Of the training.
    label
        Name in logs and messages.

    Raises
    ------
    FetalkitError
        As `fetalkit.generators.diffusion.generator.DiffusionGenerator.fit` does.
    """
    classes = seen.classes()
    labels = np.array([classes.index(pair) for pair in zip(seen.planes.tolist(), seen.places.tolist(), strict=True)])
    made = _untrained(settings, classes, steps)
    contents = hashlib.sha256(seen.images.tobytes() + labels.tobytes()).hexdigest()
    history = [made.describe(), contents, seed, *devices.rounding(made.device, made.precision)]
    name = fingerprint(history, generators.code("diffusion"))
    # A finished training stays in its checkpoint, from which a repeated one returns at once.
    checkpoint = Checkpoint(paths.work(folder, "generators", f"{name}.checkpoint"), name)
    made.fit(seen.images, labels, seed=seed, checkpoint=checkpoint, label=label)
    return made


def drawn(
    folder: str,
    settings: Params,
    made: generators.Generator,
    numbers: np.ndarray,
    planes: np.ndarray,
    seed: int,
    magnifications: Sequence[float] = (),
) -> Labelled:
    """Draw images from a trained generator as ``synthesis`` says, or take the set that is stored in ``work/<folder>/``.

    Parameters
    ----------
    folder, settings
        As for `trained`.
    made
        The generator.
    numbers, planes
        Its class, and the plane, of every image that is wanted; see `wanted`.
    seed
        Of the images.
    magnifications
        Draw at these, by turns; none: as the images are.

    Raises
    ------
    FetalkitError
        As `fetalkit.experiments.transfer.magnified.sample` does.
    """
    options = settings.synthesis.diffusion.model_dump()
    weights = hashlib.sha256(b"".join(value.cpu().numpy().tobytes() for value in made.denoiser.state_dict().values()))
    history = [
        made.describe(),
        weights.hexdigest(),
        options,
        numbers.tolist(),
        list(magnifications),
        seed,
        *devices.rounding(made.device, made.precision),
    ]
    code = [*generators.code("diffusion"), *([Path(magnified.__file__)] if magnifications else [])]
    path = paths.work(folder, "synthetic", f"{fingerprint(history, code)}.npz")
    if not path.exists():
        options["seed"] = rng(seed, "transfer").initial_seed()
        images = (
            magnified.sample(made, numbers, magnifications, **options)
            if magnifications
            else made.sample(numbers, **options)
        )
        with replacing(path) as temporary:
            np.savez_compressed(temporary, images=images, labels=planes)
    with np.load(path, allow_pickle=False) as content:
        return Labelled(content["images"], content["labels"])


def _untrained(settings: Params, classes: Sequence[tuple[int, str]], steps: int) -> generators.Generator:
    own: dict[str, Any] = {"steps": steps, "snapshots": []}
    if settings.synthesis.diffusion.guidance_kind != "classifier":
        own["guide_steps"] = 0
    return generators.create(
        "diffusion",
        n_classes=len(classes),
        planes=[f"{settings.cohort.planes[plane]}, {place}" for plane, place in classes],
        size=settings.images.size,
        device=settings.run.device,
        precision=settings.run.precision,
        **settings.diffusion.model_dump() | own,
    )
