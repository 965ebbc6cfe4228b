"""What the study knows of a generator and its synthetic set: the contents of their cards."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fetalkit import cohorts, generators
from fetalkit.config import arms
from fetalkit.data.study import Study
from fetalkit.experiments import synthesis
from fetalkit.generators.diffusion import denoiser
from fetalkit.generators.gan import gan_networks
from fetalkit.reporting import cards
from fetalkit.utils import paths
from fetalkit.utils.files import replacing

FIDELITY = ("fd", "kid", "precision", "recall", "density", "coverage", "n")
MEMORISATION = ("share", "low", "high", "threshold", "n")
# What changes from run to run is not repeated in the cards of the report, which stay the same as long as the sets do.
RECORD = {"Time, device and versions": "[page 04_generator](../../04_generator.html) of the report, at its foot"}


def measured(study: Study, generator: str, k: str, seed: int) -> dict[str, Any] | None:
    """Figures of the fidelity stage for a card, of the very cell where there are any, else of its generator at the largest k.

    Returns
    -------
    dict or None
        As the `measures` of `fetalkit.reporting.cards.model_card`; None when nothing was measured.
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


def source(study: Study, generator: str, k: str, seed: int) -> cards.Source:
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
        phantoms=study.params.start.images_per_plane if generator in synthesis.STARTED else 0,
    )


def components(folder: Path) -> dict[str, str]:
    """Subfolders of a saved generator that are in the format of diffusers -> dotted name of the class that loads them."""
    found = {}
    for path in sorted(folder.glob("*/*config.json")):
        name = json.loads(path.read_text(encoding="utf-8")).get("_class_name")
        if name:
            own = [module.__name__ for module in (denoiser, gan_networks) if hasattr(module, name)]
            found[path.parent.name] = f"{own[0] if own else 'diffusers'}.{name}"
    return found


def origin(source: cards.Source) -> cards.Source:
    """The generator that a set was drawn from; a derived set has that of the set which it was made from."""
    return replace(source, generator=arms.generator(source.generator))


def saved(source: cards.Source) -> Path:
    """Folder of the trained generator that a set was drawn from."""
    return paths.data(source.cohort, "generators", origin(source).name)


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
            card = cards.dataset_card(about, counts, synthesis.sampler(study.params, generator), measures=measures)
            (place / "dataset.md").write_text(card, encoding="utf-8")
            if origin(about) == about and has_weights(saved(about)):
                settings = generators.read_card(saved(about))["settings"]
                card = cards.model_card(about, settings, RECORD, components(saved(about)), measures)
                (place / "generator.md").write_text(card, encoding="utf-8")
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.md"))
