"""The search for a training protocol: candidates that differ in some settings, judged on patients that no training sees.

Test images are not read. Generators and sets are those of the study, so its stages up to 05_synthesis must have run.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch

from fetalkit.classifiers import trainer
from fetalkit.config import arms
from fetalkit.config.params import Params
from fetalkit.config.runs import Cell
from fetalkit.config.variants import Variant
from fetalkit.data.study import Study
from fetalkit.experiments import classification, synthesis
from fetalkit.utils import devices, parallel
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
        "half of N": {"train_steps": n // 2},
        "twice N": {"train_steps": 2 * n},
        "half of P": {"pretrain_steps": p // 2},
        "twice P": {"pretrain_steps": 2 * p},
        "a third of the learning rate": {"learning_rate": rate / 3},
        "three times the learning rate": {"learning_rate": 3 * rate},
        "label smoothing 0.1": {"label_smoothing": 0.1},
    }
    drawings = {
        "guidance 1": {"diffusion": {"guidance": 1.0}},
        "guidance 3": {"diffusion": {"guidance": 3.0}},
        "a third of the synthetic images": {"images_per_plane": drawn // 3},
        "three times the synthetic images": {"images_per_plane": 3 * drawn},
    }
    if unknown := set(wanted) - {"protocols", "drawings", *protocols, *drawings}:
        raise FetalkitError(
            f"no candidate {', '.join(sorted(unknown))}; choose protocols, drawings, {', '.join([*protocols, *drawings])}"
        )
    chosen = {"as in params.yaml": {}}
    for part, section, found in (("protocols", "classify", protocols), ("drawings", "synthesis", drawings)):
        chosen |= {name: {section: changes} for name, changes in found.items() if {part, name} & set(wanted)}
    return chosen


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
        Name → section of the settings → what differs there. Where ``synthesis`` differs, sets are drawn for the candidate.
    subject
        Arm that is to gain over the controls.
    classifiers, shots, seeds
        The cells.

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
    workers = devices.workers(settings.run.workers, torch.device("cpu"))
    used = (*arms.CONTROLS, subject)
    own = {name: dict(cohort=cohort, settings=_changed(settings, of)) for name, of in candidates.items()}
    sets = {name: _sets(subject, of) for name, of in candidates.items()}
    cells = [(k, seed) for k in shots for seed in seeds]
    drawn = [dict(own[name], sets=of, k=k, seed=seed) for name, of in sets.items() if of for k, seed in cells]
    parallel.run(_draw, drawn, workers, "sets")
    jobs = [
        dict(own[name], sets=sets[name], candidate=name, cell=Cell(arm, classifier, k, seed))
        for name in candidates
        for classifier in classifiers
        for k, seed in cells
        for arm in used
    ]
    rows = pd.DataFrame(parallel.run(_judged, jobs, workers, "trainings"))
    keys = ["candidate", "classifier", "k"]
    table = rows.pivot_table("accuracy", [*keys, "seed"], "arm", sort=False)[list(used)]
    for name, total in {"n": "first", "seconds": "sum"}.items():
        table[name] = rows.groupby([*keys, "seed"], sort=False)[name].agg(total)
    better = table.groupby(keys, sort=False)[list(arms.CONTROLS)].transform("mean").idxmax(axis=1)
    table["gain"] = table[subject] - [table.loc[index, control] for index, control in better.items()]
    return table.reset_index()


def _changed(settings: Params, changes: Mapping[str, Mapping[str, Any]]) -> Params:
    """Settings with other values in some sections; values that are sections themselves are changed likewise."""

    def merged(section, values):
        if unknown := set(values) - set(type(section).model_fields):
            raise FetalkitError(
                f"{type(section).__name__}: no setting {', '.join(sorted(unknown))}; correct the candidate"
            )
        inner = {key: merged(getattr(section, key), of) for key, of in values.items() if isinstance(of, Mapping)}
        return section.model_copy(update={**values, **inner})

    return merged(settings, changes)


def _sets(subject: str, changes: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Sets that `subject` trains on -> names of the candidate's own ones, where it draws differently."""
    if "synthesis" not in changes:
        return {}
    digest = hashlib.sha256(json.dumps(changes["synthesis"], sort_keys=True).encode()).hexdigest()[:8]
    return {name: f"{name}-search-{digest}" for name, _ in arms.synthetic(subject, "")}


def _draw(cohort: str, settings: Params, sets: Mapping[str, str], k: str, seed: int) -> None:
    for generator, name in sets.items():
        synthesis.draw(cohort, settings, Variant(name, generator, k, seed), settings.synthesis.images_per_plane)


def _judged(cohort: str, settings: Params, sets: Mapping[str, str], cell: Cell, candidate: str) -> dict[str, Any]:
    model, outcome = classification.train_cell(cohort, settings, cell, sets)
    unseen = Study(cohort, settings).unseen(cell.k, cell.seed)
    called = trainer.predict(model, unseen.images, devices.device(settings.run.device)).argmax(axis=1)
    return {
        "candidate": candidate,
        "classifier": cell.classifier,
        "k": cell.k,
        "seed": cell.seed,
        "arm": cell.arm,
        "n": len(called),
        "accuracy": (called == unseen.labels).mean(),
        "seconds": outcome.seconds,
    }
