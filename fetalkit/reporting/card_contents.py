"""What the study knows of a generator and its synthetic set: the contents of their cards."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fetalkit import cohorts, generators
from fetalkit.config import sets
from fetalkit.config.runs import generator_of
from fetalkit.data.study import Study
from fetalkit.reporting import cards
from fetalkit.utils import paths, provenance
from fetalkit.utils.files import replacing

FIDELITY = ("fd", "kid", "precision", "recall", "density", "coverage", "n")
MEMORISATION = ("share", "low", "high", "threshold", "n")
# What changes from run to run is not repeated in the cards of the report, which stay the same as long as the sets do.
RECORD = {"Time, device and versions": "[page 04_generator](../../04_generator.html) of the report, at its foot"}


def measured(study: Study, generator: str, k: str, seed: int) -> dict[str, Any] | None:
    """Figures of the fidelity stage for a card: of the very set where there are any, else of its generator at the largest k.

    Returns
    -------
    dict or None
        As the `measures` of `fetalkit.reporting.cards.model_card`; None when nothing was measured.
    """
    measures = _of_set(study, generator, k, seed)
    if not measures and k == study.params.splits.shots.largest:
        measures = _of_generator(study, generator, k)
    return measures or None


def _of_set(study: Study, generator: str, k: str, seed: int) -> dict[str, Any]:
    path = paths.data(study.cohort, "fidelity", "sets.csv")
    if not path.exists():
        return {}
    table = pd.read_csv(path, dtype={"k": str})
    table = table[(table.generator == generator) & (table.k == k) & (table.seed == seed)]
    rows = table.rename(columns={"n": "n_fidelity"}).to_dict("records")
    fidelity = {row["feature_space"]: _figures(row, FIDELITY, n="n_fidelity") for row in rows}
    # The same in every row of the set: memorisation is not a matter of the feature space.
    memorisation = _figures(rows[0], MEMORISATION, n="n_memorisation") if rows else {}
    return _complete(fidelity, memorisation, "this very set")


def _of_generator(study: Study, generator: str, k: str) -> dict[str, Any]:
    path = paths.data(study.cohort, "fidelity", "fidelity.json")
    if not path.exists():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    others = {"recognised", "recognised_by_k", "cas_share"}
    by_space = {space: by_set.get(generator, {}) for space, by_set in content.items() if space not in others}
    memorisation = _figures(by_space.pop("memorisation", {}), MEMORISATION)
    fidelity = {space: _figures(row, FIDELITY) for space, row in by_space.items()}
    return _complete(fidelity, memorisation, f"{generator} at k = {k}, not necessarily of this seed")


def _figures(row: Mapping[Any, Any], names: Sequence[str], n: str = "n") -> dict[str, Any]:
    """Figures `names` that are in `row` and are numbers; the count stands there as `n`, and is a whole number."""
    keys = {name: n if name == "n" else name for name in names}
    figures = {name: row[key] for name, key in keys.items() if pd.notna(row.get(key))}
    return {name: int(value) if name == "n" else float(value) for name, value in figures.items()}


def _complete(fidelity: dict[str, dict], memorisation: dict, of: str) -> dict[str, Any]:
    """Figures as a card needs them: no empty feature space, no share without its interval; nothing where nothing is left."""
    measures: dict[str, Any] = {"fidelity": {space: row for space, row in fidelity.items() if row}}
    if len(memorisation) == len(MEMORISATION):
        measures["memorisation"] = memorisation
    return measures | {"of": of} if any(measures.values()) else {}


def source(study: Study, generator: str, k: str, seed: int) -> cards.Source:
    """The generator of a set, what it is, and what it has seen."""
    about, settings = cohorts.load(study.cohort, study.params.cohort), study.params
    made_by = settings.generators[generator_of(settings, generator)]
    shots = study.shots[(study.shots.k == k) & (study.shots.seed == seed)]
    if not generators.find(made_by.class_path).sees_images:
        shots = shots.iloc[:0]
    counts = shots.plane.value_counts()
    derived = settings.sets.get(generator)
    shown, changed = study.all_train if made_by.sees_all else set(shots.image_id), ""
    if derived and derived.without:
        changed = "; near-copies of the images that it has seen were left out"
    elif derived and derived.sampling:
        changed = f"; drawn with {', '.join(f'{key} = {value}' for key, value in derived.sampling.items())}"
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
        patients=study.table[study.table.image_id.isin(shown)].patient.nunique(),
        image_size=settings.images.image_size,
        phantoms=made_by.start.images_per_plane if made_by.start else 0,
        kind=_kind(study, generator_of(settings, generator), k, seed) + changed,
    )


def _kind(study: Study, generator: str, k: str, seed: int) -> str:
    """What a generator is, and how many images it has seen beside its subset."""
    made_by = study.params.generators[generator]
    others = len(study.all_train) - study.number_of_images(k, seed) if made_by.sees_all else 0
    return made_by.title + (f"; besides, it has seen {others} train images without their labels" if others else "")


def components(folder: Path) -> dict[str, str]:
    """Subfolders of a saved generator that are in the format of diffusers -> dotted name of the class that loads them.

    A class that diffusers does not have is one that the module of the generator's own class defines or imports.
    """
    home = sys.modules[generators.find(generators.read_card(folder)["class"]).__module__]
    imported = provenance.imports(Path(str(home.__file__)))
    classes = {}
    for path in sorted(folder.glob("*/*config.json")):
        if name := json.loads(path.read_text(encoding="utf-8")).get("_class_name"):
            known = [f"{home.__name__}.{name}"] if hasattr(home, name) else []
            known += [of for of in imported if of.endswith(f".{name}")]
            classes[path.parent.name] = known[-1] if known else f"diffusers.{name}"
    return classes


def origin(study: Study, source: cards.Source) -> cards.Source:
    """The generator that a set was drawn from; a derived set has that of the set which it was made from."""
    name = generator_of(study.params, source.generator)
    return replace(source, generator=name, kind=_kind(study, name, source.k, source.seed))


def saved(source: cards.Source) -> Path:
    """Folder of a trained generator."""
    return paths.data(source.cohort, "generators", source.name)


def options(study: Study, generator: str) -> dict[str, Any]:
    """How the images of a generator's sets are drawn, as their card says it."""
    return sets.sampling(study.params, generator).model_dump()


def has_weights(folder: Path) -> bool:
    """Whether something was learned that a card has to tell of."""
    return any(folder.rglob("*.safetensors"))


def write(study: Study, names: Iterable[tuple[str, str, int]], folder: Path) -> list[str]:
    """Write the cards of sets and generators to ``folder/<name of the set>/dataset.md`` and ``generator.md``, all or nothing.

    Parameters
    ----------
    study
        With all sets; what the fidelity stage has measured is read from its tables.
    names
        Generator, k and seed of every set. Generators without weights have no card; that of a derived set is its origin's.
    folder
        Replaced as a whole.

    Returns
    -------
    list of str
        The files, relative to `folder`.

    Raises
    ------
    FetalkitError
        When a set or a generator is missing, or a file cannot be written.
    """
    with replacing(folder) as temporary:
        for generator, k, seed in names:
            about, measures = source(study, generator, k, seed), measured(study, generator, k, seed)
            place = temporary / about.name
            place.mkdir(parents=True)
            drawn = np.bincount(study.synthetic(generator, k, seed).labels, minlength=len(study.planes))
            counts = dict(zip(study.planes, drawn.tolist(), strict=True))
            card = cards.dataset_card(about, counts, options(study, generator), measures=measures)
            (place / "dataset.md").write_text(card, encoding="utf-8")
            if generator in study.params.generators and has_weights(saved(about)):
                settings = generators.read_card(saved(about))["training"]
                card = cards.model_card(about, settings, RECORD, components(saved(about)), measures)
                (place / "generator.md").write_text(card, encoding="utf-8")
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.md"))
