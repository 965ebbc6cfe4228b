"""What this checkout has trained, by name, ready to be used: ``phantom/real_resnet10t-half_kall_seed0``, ``models/<name>``.

A classifier of a study is one of its runs on the most images, of the first seed: stage 07_classify keeps their weights.
"""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from fetalkit import cohorts, generators
from fetalkit.classifiers import novelty, saved, weights
from fetalkit.classifiers.novelty import TrainingSet
from fetalkit.classifiers.saved import Card, SavedClassifier
from fetalkit.config import listing, params, sets
from fetalkit.config.runs import Run, all_runs
from fetalkit.config.sections import Frame
from fetalkit.data.images import Labelled
from fetalkit.data.study import Study, set_name
from fetalkit.experiments import building
from fetalkit.generators.base import Generator
from fetalkit.generators.card import CARD
from fetalkit.utils import devices, paths
from fetalkit.utils.errors import FetalkitError

METRICS = ("accuracy", "balanced_accuracy", "macro_f1")
_SAME = 0.02  # difference of two validation accuracies that rounding on another machine can make


def classifiers(cohort: str) -> list[str]:
    """Names of the runs of a cohort whose weights are here, in the order of the parameters."""
    runs = all_runs(params.load(cohort))
    return [run.name for run in runs if _weights(cohort, run).exists()]


def generators_of(cohort: str) -> list[str]:
    """Names of the trained generators of a cohort that are here, in the order of the parameters."""
    names = [set_name(job["generator"], job["k"], job["seed"]) for job in sets.jobs(params.load(cohort))]
    return [name for name in names if (paths.data(cohort, "generators", name) / CARD).exists()]


def names(kind: str) -> list[str]:
    """All names of a `kind` (``"classifier"`` or ``"generator"``) that `classifier` or `generator` understands."""
    own = classifiers if kind == "classifier" else generators_of
    return [f"{cohort}/{name}" for cohort in _cohorts() for name in own(cohort)] + listing.released(kind)


def classifier(name: str | Path, device: str = "auto") -> SavedClassifier:
    """A trained classifier by its folder, as ``COHORT/RUN`` where this checkout has trained it, or by its name in ``models``.

    Raises
    ------
    FetalkitError
        When there is none, with names that are near; or when it is damaged or something else.
    """
    found = _located("classifier", str(name))
    return found if isinstance(found, SavedClassifier) else saved.load(found, device)


def generator(name: str | Path, device: str = "auto") -> tuple[Generator, dict[str, Any]]:
    """A trained generator by its folder, as ``COHORT/NAME``, or by its name in ``models``; and how its study draws from it.

    Raises
    ------
    FetalkitError
        As `classifier` does.
    """
    folder = _located("generator", str(name))
    if listing.saved_kind(folder) == "classifier":
        raise FetalkitError(f"{name}: a classifier, not a generator; `fetalkit predict` classifies with it")
    _check_card(folder)
    return generators.load(folder, device), _sampling(folder)


def _check_card(folder: Path) -> None:
    """Refuse a generator's card that somebody has edited, or another edition has written."""
    try:
        content = generators.read_card(folder)
    except RecursionError:
        raise FetalkitError(f"{folder / CARD}: damaged; export the generator again") from None
    right = {
        "class": isinstance(content["class"], str),
        "planes": isinstance(content["planes"], list) and all(isinstance(plane, str) for plane in content["planes"]),
        "image_size": isinstance(content["image_size"], int),
        "training": isinstance(content["training"], dict),
        "kind": content.get("kind", "generator") == "generator",
    }
    if wrong := [key for key, fits in right.items() if not fits]:
        value = content[wrong[0]]
        raise FetalkitError(f"{folder / CARD}: {wrong[0]} = {value!r} is not what a generator has; export it again")


def predict(name: str | Path, images: Path | str | Sequence[Path], frame: Frame | None = None) -> pd.DataFrame:
    """`SavedClassifier.predict` of the classifier of this name."""
    return classifier(name).predict(images, frame)


def draw(name: str | Path, plane: str, count: int, seed: int = 0, **sampling: Any) -> np.ndarray:
    """Images of a plane, uint8 (count, size, size), from the generator of this name.

    Parameters
    ----------
    name
        As for `generator`.
    plane
        One of its planes, whatever the case of its letters.
    count
        Number of images.
    seed
        Image `i` depends on it, on `i` and the plane alone.
    sampling
        What differs from how the study of the generator draws, e.g. ``guidance=1.5``.

    Raises
    ------
    FetalkitError
        When there is no such generator or plane, or an option is not known or not allowed.
    """
    made, usual = generator(name)
    label = plane_number(made.planes, plane)
    return made.sample(np.full(count, label), seed=seed, sampling=usual | sampling)


def plane_number(planes: Sequence[str], plane: str) -> int:
    """Position of a plane by its name, whatever the case of its letters.

    Raises
    ------
    FetalkitError
        Names the planes there are, those of near names first.
    """
    folded = [name.casefold() for name in planes]
    if plane.casefold() in folded:
        return folded.index(plane.casefold())
    order = sorted(planes, key=lambda name: -_likeness(plane, name))
    raise FetalkitError(f"plane {plane!r} is none of the generator's; there are: {', '.join(order)}")


def _likeness(given: str, name: str) -> float:
    """How near a name is to what was given: as a whole, or to one of its words."""
    given = given.casefold()
    return max(
        difflib.SequenceMatcher(None, given, part).ratio() for part in (name.casefold(), *name.casefold().split())
    )


def _cohorts() -> list[str]:
    return params.names() if paths.PARAMS.exists() else []


def _weights(cohort: str, run: Run) -> Path:
    return paths.data(cohort, "models", f"{run.name}.safetensors")


def _located(kind: str, name: str) -> Any:
    """Folder of what `name` means; of a study's run the classifier itself."""
    if Path(name).is_dir():
        return Path(name)
    cohort, _, own = name.partition("/")
    if own and cohort in _cohorts():
        own = own.rstrip("/")
        if kind == "generator" and own in generators_of(cohort):
            return paths.data(cohort, "generators", own)
        if kind == "classifier" and own.replace("/", "_") in classifiers(cohort):
            return of_run(cohort, own.replace("/", "_"))
    if name in listing.released(kind):
        return paths.released(name)
    raise FetalkitError(f"{name}: {_advice(kind, name)}")


def _advice(kind: str, name: str) -> str:
    there = names(kind)
    if not there:
        return (
            f"no such folder, and no {kind} has been trained in this checkout; name an exported one, or run the study"
        )
    near = difflib.get_close_matches(name, there, n=3, cutoff=0.3) or there[:3]
    near += [other for other in listing.released(kind) if other not in near]
    more = len(there) - len(near)
    return f"no such folder, and no trained {kind} of this name; there are {', '.join(near)}" + (
        f" and {more} more" if more > 0 else ""
    )


def _sampling(folder: Path) -> dict[str, Any]:
    """How the study of a generator draws from it, or what the card of a released one says; else as its class does."""
    for cohort in _cohorts():
        if folder.resolve().parent == paths.data(cohort, "generators").resolve():
            settings = params.load(cohort)
            for job in sets.jobs(settings):
                if set_name(job["generator"], job["k"], job["seed"]) == folder.name:
                    return settings.generators[job["generator"]].sampling.model_dump()
    usual = generators.read_card(folder).get("sampling", {})
    if not isinstance(usual, dict):
        raise FetalkitError(f"{folder / CARD}: sampling = {usual!r}: must be a mapping of options; drop it or mend it")
    return usual


def of_run(cohort: str, name: str) -> SavedClassifier:
    """A run of a study as a classifier that can be saved: its weights, statistics of its train images, and its card.

    Parameters
    ----------
    cohort
        Of the study, whose images and splits must be here.
    name
        Of the run, as in `classifiers`.

    Raises
    ------
    FetalkitError
        When there is no such run, an earlier stage is missing, or the weights are not those that the results tell of.
    """
    settings = params.load(cohort)
    run = next((run for run in all_runs(settings) if run.name == name and _weights(cohort, run).exists()), None)
    if run is None:
        raise FetalkitError(f"{cohort}/{name}: {_advice('classifier', f'{cohort}/{name}')}")
    study, device = Study(cohort, settings), devices.device(settings.run.device)
    spec, size = settings.classify.classifiers[run.classifier], settings.images.image_size
    model = building.classifier(settings.classify, run.classifier, len(study.planes), size, run.seed)
    weights.load(model, _weights(cohort, run))
    model = model.to(device).eval()
    seen, held_out = study.train(run.k, run.seed), study.labelled(study.part("validation"))
    held_out_features = saved.features_of(model, held_out.images, device)
    training_set = TrainingSet.of(saved.features_of(model, seen.images, device), seen.labels, held_out_features)
    called = _called(model, held_out_features, device)
    card = Card(
        kind="classifier",
        model=spec.model,
        arguments=spec.arguments,
        mean=model.mean,
        std=model.std,
        input_size=model.input_size,
        planes=study.planes,
        image_size=size,
        frame=settings.cohort.frame,
        trained_on=_trained_on(study, run),
        measured=_measured(study, run, held_out, called),
        warning={
            "method": novelty.METHOD,
            "quantile": novelty.QUANTILE,
            "threshold": training_set.threshold,
            "validation_images": len(held_out.labels),
        },
    )
    return SavedClassifier(model, training_set, card, device)


@torch.inference_mode()
def _called(model: Any, features: np.ndarray, device: torch.device) -> np.ndarray:
    return model.classify(torch.from_numpy(features).to(device)).argmax(dim=1).cpu().numpy()


def _trained_on(study: Study, run: Run) -> dict[str, Any]:
    """Numbers alone: no image and no patient is named."""
    about, table = cohorts.load(study.cohort, study.params.cohort), study.table
    chosen = study.shots[(study.shots.k == run.k) & (study.shots.seed == run.seed)]
    counts = chosen.plane.value_counts()
    return {
        "cohort": study.cohort,
        "title": about.title,
        "citation": about.citation,
        "licence": about.licence,
        "arm": run.arm,
        "arm_title": study.params.arms[run.arm].title,
        "classifier": run.classifier,
        "k": run.k,
        "seed": run.seed,
        "images": {plane: int(counts.get(plane, 0)) for plane in study.planes},
        "patients": int(table[table.image_id.isin(set(chosen.image_id))].patient.nunique()),
    }


def _measured(study: Study, run: Run, held_out: Labelled, called: np.ndarray) -> dict[str, dict[str, float]]:
    """Accuracy on validation patients, as measured here, and on test patients where the study's results have it."""
    here = float((called == held_out.labels).mean())
    measured = {"validation": {"accuracy": round(here, 4)}}
    path = paths.data(study.cohort, "classify", "results.csv")
    if not path.exists():
        return measured
    table = pd.read_csv(path, dtype={"k": str})
    own = table[
        (table.arm == run.arm) & (table.classifier == run.classifier) & (table.k == run.k) & (table.seed == run.seed)
    ].set_index("metric")["value"]
    then = own.get("validation_accuracy", np.nan)
    if abs(then - here) > _SAME:
        raise FetalkitError(
            f"{study.cohort}/{run.name}: its accuracy on validation images is {here:.3f}, but {then:.3f} in {path}: "
            "parameters or images have changed since it was trained; run 07_classify again"
        )
    if study.tested_on == "test":
        measured["test"] = {name: round(float(own[name]), 4) for name in METRICS if np.isfinite(own.get(name, np.nan))}
    return measured
