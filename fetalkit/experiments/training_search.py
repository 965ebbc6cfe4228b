"""The search for a training protocol: candidates that differ in some settings, judged on patients that no training sees.

Test images are not read. Generators and sets are those of the study, so its stages up to 05_synthesis must have run.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fetalkit.classifiers import trainer
from fetalkit.config.params import Params
from fetalkit.config.runs import Run
from fetalkit.config.sections import validated
from fetalkit.config.shots import StepsOfShots
from fetalkit.config.variants import Variant
from fetalkit.data.study import Study, set_name
from fetalkit.experiments import classification, synthesis
from fetalkit.experiments.phase_cache import PhaseCache
from fetalkit.utils import devices, parallel, paths
from fetalkit.utils.errors import FetalkitError


def candidates(settings: Params, wanted: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """Candidates that depart in one thing from `settings`, and those settings themselves.

    Parameters
    ----------
    settings
        What the candidates depart from.
    wanted
        ``protocols`` (of training classifiers), ``drawings`` (from generators), or names of single candidates.

    Returns
    -------
    dict
        As `compare` takes them.

    Raises
    ------
    FetalkitError
        When there is no such candidate.
    """
    budget, drawn = settings.classify, settings.synthesis.images_per_plane
    p, n, rate = budget.pretrain_steps, budget.train_steps, budget.learning_rate
    protocols = {
        "half of N": {"classify": {"train_steps": _times(n, 0.5)}},
        "twice N": {"classify": {"train_steps": _times(n, 2)}},
        "half of P": {"classify": {"pretrain_steps": _times(p, 0.5)}},
        "twice P": {"classify": {"pretrain_steps": _times(p, 2)}},
        "a third of the learning rate": {"classify": {"learning_rate": rate / 3}},
        "three times the learning rate": {"classify": {"learning_rate": 3 * rate}},
        "label smoothing 0.1": {"classify": {"label_smoothing": 0.1}},
    }
    drawings = {
        "guidance 1": {"generators": {"diffusion": {"sampling": {"guidance": 1.0}}}},
        "guidance 3": {"generators": {"diffusion": {"sampling": {"guidance": 3.0}}}},
        "a third of the synthetic images": {"synthesis": {"images_per_plane": drawn // 3}},
        "three times the synthetic images": {"synthesis": {"images_per_plane": 3 * drawn}},
    }
    if unknown := set(wanted) - {"protocols", "drawings", *protocols, *drawings}:
        raise FetalkitError(
            f"no candidate {', '.join(sorted(unknown))}; choose protocols, drawings, {', '.join([*protocols, *drawings])}"
        )
    chosen: dict[str, dict[str, Any]] = {"as in params.yaml": {}}
    for part, members in (("protocols", protocols), ("drawings", drawings)):
        chosen |= {name: changes for name, changes in members.items() if {part, name} & set(wanted)}
    return chosen


def _times(steps: StepsOfShots, factor: float) -> StepsOfShots:
    """A budget, or that of every k, times `factor`."""
    if isinstance(steps, dict):
        return {k: max(1, round(of * factor)) for k, of in steps.items()}
    return max(1, round(steps * factor))


def compare(
    cohort: str,
    settings: Params,
    candidates: Mapping[str, Mapping[str, Mapping[str, Any]]],
    *,
    subject: str,
    classifiers: Sequence[str],
    shots: Sequence[str],
    seeds: Sequence[int],
) -> pd.DataFrame:
    """Train controls and `subject` under every candidate.

    Parameters
    ----------
    cohort, settings
        The study.
    candidates
        Name → section of the settings → what differs there. Where ``synthesis`` or ``generators`` differ, sets are drawn
        for the candidate.
    subject
        Arm that is to gain over the controls.
    classifiers, shots, seeds
        Which runs.

    Returns
    -------
    pandas.DataFrame
        One row per candidate, classifier, k and seed: ``n`` images that are judged by (`fetalkit.data.study.Study.unseen`), the
        accuracy on them of both controls and of `subject` (0-1), its ``gain`` over the better one of the two mean controls at
        that classifier and k, and ``seconds`` of training.

    Raises
    ------
    FetalkitError
        When a candidate names a setting that does not exist; or names the trainings that failed, after all others have
        finished.
    """
    workers = parallel.workers(settings.run)
    controls = settings.controls
    used = (*controls, subject)
    own = {name: dict(cohort=cohort, settings=changed(settings, of)) for name, of in candidates.items()}
    drawing = {name: _sets(settings, subject, of) for name, of in candidates.items()}
    subsets = [(k, seed) for k in shots for seed in seeds]
    drawn = [
        dict(own[name], sets=sets, k=k, seed=seed) for name, sets in drawing.items() if sets for k, seed in subsets
    ]
    parallel.run(_draw, drawn, workers, "sets")
    jobs = [
        dict(own[name], sets=drawing[name], candidate=name, run=Run(arm, classifier, k, seed))
        for name in candidates
        for classifier in classifiers
        for k, seed in subsets
        for arm in used
    ]
    return _gains(pd.DataFrame(parallel.run(judged, jobs, workers, "trainings")), controls, subject)


def _gains(rows: pd.DataFrame, controls: list[str], subject: str) -> pd.DataFrame:
    """The table of `compare` from one row per training."""
    keys = ["candidate", "classifier", "k"]
    table = rows.pivot_table("accuracy", [*keys, "seed"], "arm", sort=False)[[*controls, subject]]
    for name, total in {"n": "first", "seconds": "sum"}.items():
        table[name] = rows.groupby([*keys, "seed"], sort=False)[name].agg(total)
    better = table.groupby(keys, sort=False)[controls].transform("mean").idxmax(axis=1)
    reached = [table[control].loc[index] for index, control in zip(better.index, better, strict=True)]
    table["gain"] = table[subject] - np.array(reached)
    return table.reset_index()


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


def _sets(settings: Params, subject: str, changes: Mapping[str, Any]) -> dict[str, str]:
    """Sets that `subject` trains on -> names of the candidate's own ones, where it draws differently."""
    drawing = {key: changes[key] for key in ("synthesis", "generators") if key in changes}
    if not drawing:
        return {}
    digest = hashlib.sha256(json.dumps(drawing, sort_keys=True).encode()).hexdigest()[:8]
    return {name: f"{name}-search-{digest}" for name in settings.arms[subject].sources}


def _folder(cohort: str) -> Path:
    """Where the sets of candidates are kept: no stage of the study may find them among its own."""
    return paths.work(cohort, "search", "synthetic")


def _draw(cohort: str, settings: Params, sets: Mapping[str, str], k: str, seed: int) -> None:
    for generator, name in sets.items():
        variant = Variant(name, generator, k, seed)
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
    instead = {source: _folder(cohort) / f"{set_name(name, run.k, run.seed)}.npz" for source, name in sets.items()}
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
