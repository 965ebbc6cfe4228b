"""Hand a trained generator and its synthetic set to others: ``python -m fetalkit.export COHORT NAME FOLDER``.

``FOLDER/generator/`` and ``FOLDER/images/`` are made as repositories of the Hugging Face Hub are: a card (README.md) beside
the weights, and an image folder [1]_ with ``train/metadata.csv``. Real images are never exported.

References
----------
.. [1] https://huggingface.co/docs/datasets/image_dataset#imagefolder
"""

import argparse
import json
import re
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from fetalkit import cards, cohorts, generators, notebooks, params, paths
from fetalkit.checkpoints import replacing
from fetalkit.errors import FetalkitError
from fetalkit.study import Study

NAME = re.compile(r"(?P<generator>.+)-k(?P<k>all|\d+)-seed(?P<seed>\d+)")
TRAINED_BY = "04_generator"
FIDELITY = ("fd", "kid", "precision", "recall", "density", "coverage", "n")
MEMORISATION = ("share", "low", "high", "threshold", "n")


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
        When the cohort or the name is unknown, a file of the study is missing, or `folder` is not empty or cannot be written.
    """
    cohorts.load(cohort)
    made = sorted(path.stem for path in paths.data(cohort, "synthetic").glob("*.npz") if NAME.fullmatch(path.stem))
    if name not in made:
        there = f"there are: {', '.join(made)}" if made else "there is none yet; run 05_synthesis first"
        raise FetalkitError(f"{cohort}: no synthetic set is called {name!r}; {there}")
    folder = Path(folder).resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FetalkitError(f"{folder}: is there already and not an empty folder; name a new one")
    generator, k, seed = NAME.fullmatch(name).groups()
    study = Study(cohort, params.load(cohort))
    source = _source(study, generator, k, int(seed))
    measures = measured(study, generator, k, int(seed))
    with replacing(folder) as temporary:
        temporary.mkdir()
        _write_generator(source, measures, temporary / "generator")
        _write_images(study, source, measures, temporary / "images")


def measured(study: Study, generator: str, k: str, seed: int) -> dict[str, Any] | None:
    """Figures of the fidelity stage for a card, of the very cell where there are any, else of its generator at the largest k.

    Returns
    -------
    dict or None
        As the `measures` of `fetalkit.cards.model_card`; None when nothing was measured.
    """
    folder = paths.data(study.cohort, "fidelity")
    found: dict[str, Any] = {}
    if (folder / "cells.csv").exists():
        table = pd.read_csv(folder / "cells.csv", dtype={"k": str})
        table = table[(table.generator == generator) & (table.k == k) & (table.seed == seed)]
        rows = table.rename(columns={"n": "n_fidelity"}).to_dict("records")
        fidelity = {row["feature_space"]: _figures(row, FIDELITY, n="n_fidelity") for row in rows}
        # The same in every row of the cell: memorisation is not a matter of the feature space.
        memorisation = _figures(rows[0], MEMORISATION, n="n_memorisation") if rows else {}
        found = _complete(fidelity, memorisation, "this very set")
    if not found and k == str(study.params.splits.shots[-1]) and (folder / "fidelity.json").exists():
        content = json.loads((folder / "fidelity.json").read_text(encoding="utf-8"))
        by_space = {space: by_generator.get(generator, {}) for space, by_generator in content.items()}
        memorisation = _figures(by_space.pop("memorisation", {}), MEMORISATION)
        fidelity = {space: _figures(row, FIDELITY) for space, row in by_space.items()}
        found = _complete(fidelity, memorisation, f"{generator} at k = {k}, not necessarily of this seed")
    return found or None


def _figures(row: dict[str, Any], names: Sequence[str], n: str = "n") -> dict[str, Any]:
    """Figures `names` that are in `row` and are numbers; the count stands there as `n`, and is a whole number."""
    keys = {name: n if name == "n" else name for name in names}
    figures = {name: row[key] for name, key in keys.items() if pd.notna(row.get(key))}
    return {name: int(value) if name == "n" else float(value) for name, value in figures.items()}


def _complete(fidelity: dict[str, dict], memorisation: dict, of: str) -> dict[str, Any]:
    """Figures as a card needs them: no empty feature space, no share without its interval; nothing where nothing is left."""
    found: dict[str, Any] = {"fidelity": {space: row for space, row in fidelity.items() if row}}
    if len(memorisation) == len(MEMORISATION):
        found["memorisation"] = memorisation
    return found | {"of": of} if any(found.values()) else {}


def _source(study: Study, generator: str, k: str, seed: int) -> cards.Source:
    about = cohorts.load(study.cohort)
    shots = study.shots[(study.shots.k == k) & (study.shots.seed == seed)]
    if generator == "simulation":
        shots = shots.iloc[:0]
    counts = shots.plane.value_counts()
    return cards.Source(
        cohort=study.cohort,
        title=about.title,
        citation=about.citation,
        licence=about.licence,
        generator=generator,
        k=k,
        seed=seed,
        planes=tuple(study.planes),
        seen={plane: int(counts[plane]) for plane in study.planes if plane in counts},
        patients=study.table[study.table.image_id.isin(set(shots.image_id))].patient.nunique(),
        size=study.params.images.size,
    )


def _write_generator(source: cards.Source, measures: dict | None, folder: Path) -> None:
    saved = paths.data(source.cohort, "generators", source.name)
    settings = generators.read_card(saved)["settings"]
    shutil.copytree(saved, folder)
    if any(folder.rglob("*.safetensors")):
        card = cards.model_card(source, settings, _training(source), _components(folder), measures)
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
        run = notebooks.record(paths.executed(source.cohort, TRAINED_BY))
        known["Device"] = run["gpu"] or f"{run['cpu']}, one thread"
        known["Stage started"] = run["started"]
        known["Commit"] = run["commit"]
        known["Versions"] = ", ".join(
            [f"Python {run['python']}", *(f"{library} {version}" for library, version in run["versions"].items())]
        )
    return {label: value for label, value in known.items() if value}


def _components(folder: Path) -> dict[str, str]:
    """Subfolders that diffusers can load -> their class."""
    found = {}
    for path in sorted(folder.glob("*/*config.json")):
        name = json.loads(path.read_text(encoding="utf-8")).get("_class_name")
        if name:
            found[path.parent.name] = name
    return found


def _write_images(study: Study, source: cards.Source, measures: dict | None, folder: Path) -> None:
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
    settings = getattr(study.params.synthesis, source.generator, None)
    options = settings.model_dump() if settings else {}
    card = cards.dataset_card(source, counts, options, len(drawn.images) - len(rows), measures)
    (folder / "README.md").write_text(card, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Export what the command line names; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m fetalkit.export", description=export.__doc__.splitlines()[0])
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
