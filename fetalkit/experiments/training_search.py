"""The search for a training protocol: candidates that differ in some settings, judged on patients that no training sees.

Test images are not read. Generators and sets are those of the study, so its stages up to 05_synthesis must have run.
"""

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fetalkit.classifiers import trainer
from fetalkit.config.params import Params
from fetalkit.config.runs import Run, controls_of, generator_of, stored
from fetalkit.config.sections import validated
from fetalkit.config.variants import Variant
from fetalkit.data.study import Study, set_name
from fetalkit.experiments import classification, synthesis
from fetalkit.experiments.phase_cache import PhaseCache
from fetalkit.utils import devices, parallel, paths
from fetalkit.utils.errors import FetalkitError


def compare(
    cohort: str,
    settings: Params,
    candidates: Mapping[str, Mapping[str, Mapping[str, Any]]],
    *,
    arms: Sequence[str],
    classifiers: Sequence[str],
    shots: Sequence[str],
    seeds: Sequence[int],
) -> pd.DataFrame:
    """Train some arms under every candidate.

    Parameters
    ----------
    cohort, settings
        The study.
    candidates
        Name → section of the settings → what differs there. Synthetic sets are drawn for a candidate where ``synthesis`` or
        ``generators`` differ, or the study has none.
    arms, classifiers, shots, seeds
        Which runs.

    Returns
    -------
    pandas.DataFrame
        One row per training: ``candidate``, ``classifier``, ``k``, ``seed``, ``arm``, ``n`` images that are judged by
        (`fetalkit.data.study.Study.unseen`), ``accuracy`` on them (0-1), and ``seconds`` of training.

    Raises
    ------
    FetalkitError
        When a candidate names a setting that does not exist; or names the trainings that failed, after all others have
        finished.
    """
    workers, drawing, jobs = parallel.workers(settings.run), {}, []
    for name, changes in candidates.items():
        own = dict(cohort=cohort, settings=changed(settings, changes))
        for k, seed, arm in itertools.product(shots, seeds, arms):
            sets = _sets(cohort, settings, arm, changes, k, seed)
            drawing |= {(of, k, seed): dict(own, source=source, name=of, k=k, seed=seed) for source, of in sets.items()}
            jobs += [
                dict(own, sets=sets, candidate=name, run=Run(arm, classifier, k, seed)) for classifier in classifiers
            ]
    parallel.run(_draw, list(drawing.values()), workers, "sets")
    return pd.DataFrame(parallel.run(judged, jobs, workers, "trainings"))


def gains(rows: pd.DataFrame, settings: Params) -> pd.DataFrame:
    """What arms gain over the best control that knows no more, of those that were trained under the same candidate.

    Parameters
    ----------
    rows
        As `compare` returns them.
    settings
        With the arms.

    Returns
    -------
    pandas.DataFrame
        One row per candidate, classifier, k and arm, means over seeds: ``level``, ``accuracy`` (0-1), ``control`` (empty where
        there is none), ``gain`` over it (NaN there), and ``seconds`` of one training.
    """
    keys, found = ["candidate", "classifier", "k"], []
    means = rows.groupby([*keys, "arm"], sort=False)[["accuracy", "seconds"]].mean().reset_index()
    for key, group in means.groupby(keys, sort=False):
        reached = dict(zip(group.arm, group.accuracy, strict=True))
        for row in group.to_dict("records"):
            arm = settings.arms[row["arm"]]
            known = [name for name in controls_of(settings, row["arm"]) if name in reached]
            best = max(known, key=reached.__getitem__, default="")
            gain = row["accuracy"] - reached[best] if best else np.nan
            of = {name: row[name] for name in ("accuracy", "seconds")}
            found.append(
                dict(zip(keys, key, strict=True))
                | {"arm": row["arm"], "level": arm.level, "control": best, "gain": gain}
                | of
            )
    return pd.DataFrame(found)[[*keys, "arm", "level", "accuracy", "control", "gain", "seconds"]]


def changed(settings: Params, changes: Mapping[str, Any]) -> Params:
    """Settings with other values in some sections; values that are sections, or named sections, are changed likewise.

    The whole is checked anew, as ``params.yaml`` is.

    Raises
    ------
    FetalkitError
        When there is no such setting, or a value is not allowed.
    """

    def merged(section: Any, values: Mapping[str, Any], name: str) -> Any:
        known = section if isinstance(section, Mapping) else type(section).model_fields
        if unknown := set(values) - set(known):
            raise FetalkitError(f"{name}: no setting {', '.join(sorted(unknown))}; correct the candidate")
        of = section if isinstance(section, Mapping) else dict(section)
        new = {
            key: merged(of[key], value, key) if isinstance(value, Mapping) else value for key, value in values.items()
        }
        return {**section, **new} if isinstance(section, Mapping) else section.model_copy(update=new)

    made = merged(settings, changes, "settings")
    content = made.model_dump(by_alias=True, warnings=False)
    # Of which class the section of the cohort is, only the section itself tells.
    cohort = validated(type(made.cohort), content["cohort"], "", "candidate.cohort")
    return validated(Params, content | {"cohort": cohort}, "", "candidate")


def _sets(cohort: str, settings: Params, arm: str, changes: Mapping[str, Any], k: str, seed: int) -> dict[str, str]:
    """Sets that `arm` trains on → names of the search's own, where the study has none or the candidate draws differently."""
    drawing = {key: changes[key] for key in ("synthesis", "generators") if key in changes}
    digest = hashlib.sha256(json.dumps(drawing, sort_keys=True).encode()).hexdigest()[:8]

    def own(source: str) -> bool:
        name, of = stored(settings, source, k)
        return bool(drawing) or not paths.data(cohort, "synthetic", f"{set_name(name, of, seed)}.npz").exists()

    return {source: f"{source}-search-{digest}" for source in settings.arms[arm].sources if own(source)}


def _folder(cohort: str) -> Path:
    """Where the sets of candidates are kept: no stage of the study may find them among its own."""
    return paths.work(cohort, "search", "synthetic")


def _draw(cohort: str, settings: Params, source: str, name: str, k: str, seed: int) -> None:
    options = settings.sets[source].sampling if source in settings.sets else {}
    variant = Variant(name, generator_of(settings, source), stored(settings, source, k)[1], seed, options)
    synthesis.draw(cohort, settings, variant, settings.synthesis.images_per_plane, _folder(cohort))


def judged(cohort: str, settings: Params, sets: Mapping[str, str], run: Run, candidate: str) -> dict[str, Any]:
    """Train a run, with the sets of a candidate where it has any, and judge it by patients that it has not seen.

    Returns
    -------
    dict
        ``candidate``, ``classifier``, ``k``, ``seed``, ``arm``, ``n`` images, ``accuracy`` (0-1) and ``seconds`` of training.
    """
    # What the study has trained is taken; what is trained here is kept apart from its outputs.
    cache = PhaseCache(cohort, paths.work(cohort, "search", "trainings"), PhaseCache.of(cohort, "search").shared)
    instead = {
        source: _folder(cohort) / f"{set_name(name, stored(settings, source, run.k)[1], run.seed)}.npz"
        for source, name in sets.items()
    }
    model, outcome = classification.train(cohort, settings, cache, run, instead)
    unseen = Study(cohort, settings).unseen(run.k, run.seed)
    called = trainer.predict(model, unseen.images, devices.device(settings.run.device)).argmax(axis=1)
    return {
        "candidate": candidate,
        "classifier": run.classifier,
        "k": run.k,
        "seed": run.seed,
        "arm": run.arm,
        "n": len(called),
        "accuracy": (called == unseen.labels).mean(),
        "seconds": outcome.seconds,
    }
