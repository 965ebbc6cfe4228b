"""Hand a trained generator with its synthetic set, or a trained classifier, to others: ``fetalkit export COHORT NAME FOLDER``.

A classifier becomes `FOLDER` itself, as `fetalkit.classifiers.saved` reads it, with a card (README.md). Of a generator,
``FOLDER/generator/`` and ``FOLDER/images/`` are made as repositories of the Hugging Face Hub are: a card (README.md) beside
the weights, and an image folder [1]_ with ``train/metadata.csv``. Real images are never exported.

References
----------
.. [1] https://huggingface.co/docs/datasets/image_dataset#imagefolder
"""

import difflib
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from fetalkit import generators
from fetalkit.classifiers.saved import SavedClassifier
from fetalkit.config import params, privacy, variants
from fetalkit.data.study import Study
from fetalkit.experiments import pseudo_labels, trained
from fetalkit.generators.card import read_record
from fetalkit.generators.smote import IMAGES
from fetalkit.reporting import card_contents, cards
from fetalkit.reporting.drawings import file_name
from fetalkit.runner.records import record
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import refuse_unwritable, replacing

NAME = re.compile(r"(?P<generator>.+)-k(?P<k>all|\d+)-seed(?P<seed>\d+)")
UNTRACKED = ("data", "work", "reports-private")  # folders that git ignores
TRAINED_BY = "04_generator"
_SHOWN = 10  # names that a message lists


def export(cohort: str, name: str, folder: Path) -> None:
    """Write generator and synthetic set, or classifier, `name` of `cohort` to `folder`, all or nothing.

    Parameters
    ----------
    cohort
        Name of the cohort.
    name
        Of the generator and its set, e.g. ``"diffusion-kall-seed0"``, or of the run of a classifier, e.g.
        ``"real_resnet10t-half_kall_seed0"``.
    folder
        New or empty. ``generator/`` gets a card where it holds weights.

    Raises
    ------
    FetalkitError
        When the cohort or the name is unknown, a file of the study is missing, the generator holds training images, or
        `folder` is not empty, cannot be written, or is one that git versions and the cohort is private.
    """
    settings = params.load(cohort)
    made, runs = _sets(cohort, settings), trained.classifiers(cohort)
    if name not in made and name not in runs:
        raise FetalkitError(f"{cohort}: no synthetic set or classifier is called {name!r}; {_there(name, made, runs)}")
    folder = target(cohort, folder)
    if name in runs:
        _write_classifier(trained.of_run(cohort, name), folder)
        return
    generator, k, seed = made[name]
    study = Study(cohort, settings)
    source = card_contents.source(study, generator, k, seed)
    origin = card_contents.origin(study, source)
    if (card_contents.saved(origin) / IMAGES).exists():
        raise FetalkitError(f"{cohort}: {name} holds its training images, which are never exported; name another set")
    with replacing(folder) as temporary:
        temporary.mkdir()
        _write_generator(study, origin, temporary / "generator")
        _write_images(study, source, temporary / "images")


def target(cohort: str, folder: Path) -> Path:
    """Folder that something of a cohort may be written to, absolute.

    Raises
    ------
    FetalkitError
        When it is not empty, cannot be written, or is one that git versions and the cohort is private.
    """
    folder = Path(folder).resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FetalkitError(f"{folder}: is there already and not an empty folder; name a new one")
    if folder.is_relative_to(paths.ROOT) and not privacy.public(cohort):
        inside = folder.relative_to(paths.ROOT).parts
        if not inside or inside[0] not in UNTRACKED:
            raise FetalkitError(
                f"{folder}: git would version it, and {cohort} is not public; name a folder outside of the project, or in work/"
            )
    refuse_unwritable(folder)
    return folder


def _there(name: str, made: Iterable[str], runs: Iterable[str]) -> str:
    """Names of the kind that was asked for, those near it first."""
    kind = runs if "_" in name else made
    there = sorted(kind, key=lambda other: -difflib.SequenceMatcher(None, name, other).ratio())
    if not there:
        return f"there is none yet; run {'07_classify' if kind is runs else '05_synthesis'} first"
    more = len(there) - _SHOWN
    return f"there are: {', '.join(there[:_SHOWN])}" + (f" and {more} more" if more > 0 else "")


def _write_classifier(classifier: SavedClassifier, folder: Path) -> None:
    with replacing(folder) as temporary:
        classifier.save(temporary)
        (temporary / "README.md").write_text(
            cards.classifier_card(classifier.card.model_dump(mode="json")), encoding="utf-8"
        )


def _sets(cohort: str, settings: params.Params) -> dict[str, tuple[str, str, int]]:
    """Name -> generator, k and seed of the sets that are there, without the small variants, which no arm trains on."""
    small = {each.name for each in variants.all_variants(settings)}
    sets = {}
    for path in sorted(paths.data(cohort, "synthetic").glob("*.npz")):
        if (parts := NAME.fullmatch(path.stem)) and parts["generator"] not in small:
            sets[path.stem] = (parts["generator"], parts["k"], int(parts["seed"]))
    return sets


def _write_generator(study: Study, source: cards.Source, folder: Path) -> None:
    saved = card_contents.saved(source)
    settings = generators.read_card(saved)["training"]
    # Weights from the course of the training are for the study of memorisation, and teachers for its own sets.
    shutil.copytree(saved, folder, ignore=shutil.ignore_patterns("snapshots", pseudo_labels.FOLDER))
    if card_contents.has_weights(folder):
        measures = card_contents.measured(study, source.generator, source.k, source.seed)
        card = cards.model_card(source, settings, training(source), card_contents.components(folder), measures)
        (folder / "README.md").write_text(card, encoding="utf-8")


def training(source: cards.Source) -> dict[str, Any]:
    """What the study has kept of the training; what it has not is left out."""
    known: dict[str, Any] = {}
    with suppress(FetalkitError):
        _, seconds = read_record(card_contents.saved(source))
        known["Training time"] = f"{seconds:.0f} s"
    with suppress(FetalkitError):
        run = record(paths.executed(source.cohort, TRAINED_BY))
        known["Device"] = run["gpu"] or f"{run['cpu']}, one thread"
        known["Stage started"] = run["started"]
        known["Commit"] = run["commit"]
        known["Versions"] = ", ".join(
            [f"Python {run['python']}", *(f"{library} {version}" for library, version in run["versions"].items())]
        )
    return {label: value for label, value in known.items() if value}


def _write_images(study: Study, source: cards.Source, folder: Path) -> None:
    drawn = study.synthetic(source.generator, source.k, source.seed)
    # A generator can have learned an image by heart: what equals a real image is one.
    real = {image.tobytes() for image in study.store.pixels}
    rows = []
    for number, (image, label) in enumerate(zip(drawn.images, drawn.labels, strict=True)):
        if image.tobytes() in real:
            continue
        plane = study.planes[label]
        file = f"{file_name(plane)}/{number:05d}.png"
        (folder / "train" / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / "train" / file)
        rows.append((file, plane, int(label), source.generator, source.k, source.seed, number))
    columns = ["file_name", "plane", "label", "generator", "k", "seed", "number"]
    table = pd.DataFrame(rows, columns=columns)
    (folder / "train").mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "train" / "metadata.csv", index=False, lineterminator="\n")
    counts = {plane: int((table.plane == plane).sum()) for plane in study.planes}
    measures = card_contents.measured(study, source.generator, source.k, source.seed)
    options = card_contents.options(study, source.generator)
    card = cards.dataset_card(source, counts, options, len(drawn.images) - len(rows), measures)
    (folder / "README.md").write_text(card, encoding="utf-8")
