"""Hand a trained generator and its synthetic set to others: ``python -m fetalkit.reporting.export COHORT NAME FOLDER``.

``FOLDER/generator/`` and ``FOLDER/images/`` are made as repositories of the Hugging Face Hub are: a card (README.md) beside
the weights, and an image folder [1]_ with ``train/metadata.csv``. Real images are never exported.

References
----------
.. [1] https://huggingface.co/docs/datasets/image_dataset#imagefolder
"""

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from fetalkit import cohorts, generators, runner
from fetalkit.config import params, variants
from fetalkit.data.study import Study
from fetalkit.experiments import synthesis
from fetalkit.generators.smote import IMAGES
from fetalkit.reporting import card_contents, cards
from fetalkit.reporting.card_contents import measured
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing

NAME = re.compile(r"(?P<generator>.+)-k(?P<k>all|\d+)-seed(?P<seed>\d+)")
TRAINED_BY = "04_generator"


def export(cohort: str, name: str, folder: Path) -> None:
    """Write generator and synthetic set `name` of `cohort` to `folder`, all or nothing.

    Parameters
    ----------
    cohort
        Name of the cohort.
    name
        Of the generator and its set, e.g. ``"diffusion-kall-seed0"``.
    folder
        New or empty. ``generator/`` gets a card where it holds weights.

    Raises
    ------
    FetalkitError
        When the cohort or the name is unknown, a file of the study is missing, the generator holds training images, or
        `folder` is not empty or cannot be written.
    """
    cohorts.load(cohort)
    settings = params.load(cohort)
    made = _sets(cohort, settings)
    if name not in made:
        there = f"there are: {', '.join(made)}" if made else "there is none yet; run 05_synthesis first"
        raise FetalkitError(f"{cohort}: no synthetic set is called {name!r}; {there}")
    folder = Path(folder).resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FetalkitError(f"{folder}: is there already and not an empty folder; name a new one")
    generator, k, seed = NAME.fullmatch(name).groups()
    study = Study(cohort, settings)
    source = card_contents.source(study, generator, k, int(seed))
    if (card_contents.saved(source) / IMAGES).exists():
        raise FetalkitError(f"{cohort}: {name} holds its training images, which are never exported; name another set")
    with replacing(folder) as temporary:
        temporary.mkdir()
        _write_generator(study, source, temporary / "generator")
        _write_images(study, source, temporary / "images")


def _sets(cohort: str, settings: params.Params) -> list[str]:
    """Names of the sets that are there, without the small variants, which no arm trains on."""
    found = {path.stem: NAME.fullmatch(path.stem) for path in paths.data(cohort, "synthetic").glob("*.npz")}
    small = {each.name for each in variants.all_variants(settings)}
    return sorted(name for name, parts in found.items() if parts and parts["generator"] not in small)


def _write_generator(study: Study, source: cards.Source, folder: Path) -> None:
    about, saved = card_contents.origin(source), card_contents.saved(source)
    settings = generators.read_card(saved)["settings"]
    # Weights from the course of the training are for the study of memorisation.
    shutil.copytree(saved, folder, ignore=shutil.ignore_patterns("snapshots"))
    if card_contents.has_weights(folder):
        measures = measured(study, about.generator, about.k, about.seed)
        card = cards.model_card(about, settings, _training(about), card_contents.components(folder), measures)
        (folder / "README.md").write_text(card, encoding="utf-8")


def _training(source: cards.Source) -> dict[str, Any]:
    """What the study has kept of the training; what it has not is left out."""
    known: dict[str, Any] = {}
    timings = paths.data(source.cohort, "timings", "generators.csv")
    if timings.exists():
        seconds = pd.read_csv(timings).set_index("run").seconds
        if source.name in seconds:
            known["Training time"] = f"{seconds[source.name]:.0f} s"
    with suppress(FetalkitError):
        run = runner.record(paths.executed(source.cohort, TRAINED_BY))
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
    real = {image.tobytes() for image in study.store}
    rows = []
    for number, (image, label) in enumerate(zip(drawn.images, drawn.labels, strict=True)):
        if image.tobytes() in real:
            continue
        plane = study.planes[label]
        file = f"{plane.lower().replace(' ', '-')}/{number:05d}.png"
        (folder / "train" / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / "train" / file)
        rows.append((file, plane, int(label), source.generator, source.k, source.seed, number))
    columns = ["file_name", "plane", "label", "generator", "k", "seed", "number"]
    table = pd.DataFrame(rows, columns=columns)
    (folder / "train").mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "train" / "metadata.csv", index=False, lineterminator="\n")
    counts = {plane: int((table.plane == plane).sum()) for plane in study.planes}
    measures = measured(study, source.generator, source.k, source.seed)
    options = synthesis.sampler(study.params, source.generator)
    card = cards.dataset_card(source, counts, options, len(drawn.images) - len(rows), measures)
    (folder / "README.md").write_text(card, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Export what the command line names; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m fetalkit.reporting.export", description=export.__doc__.splitlines()[0]
    )
    parser.add_argument("cohort")
    parser.add_argument("name", help="of the generator and its set, e.g. diffusion-kall-seed0")
    parser.add_argument("folder", type=Path, help="new or empty")
    given = parser.parse_args(arguments)
    try:
        export(given.cohort, given.name, given.folder)
    except FetalkitError as error:
        print(f"fetalkit: export: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
