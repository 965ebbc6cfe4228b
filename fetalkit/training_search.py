"""The search for a training protocol: candidates that differ in some settings, judged on validation patients.

Test images are not read. Synthetic sets are those of the study, so its stages up to 05_synthesis must have run.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch

from fetalkit import arms, devices, grid, parallel
from fetalkit.cells import Cell
from fetalkit.params import Params


def compare(
    cohort: str,
    settings: Params,
    candidates: dict[str, dict[str, Any]],
    *,
    classifiers: Sequence[str],
    shots: Sequence[str],
    seeds: Sequence[int],
    subject: str = "diffusion",
) -> pd.DataFrame:
    """Train controls and `subject` under every candidate.

    Parameters
    ----------
    cohort, settings
        The study.
    candidates
        Name → what differs from ``classify`` in the settings.
    classifiers, shots, seeds
        The cells.
    subject
        Arm that is to gain over the controls.

    Returns
    -------
    pandas.DataFrame
        One row per candidate, classifier, k and seed: validation accuracy of both controls and of `subject` (0-1), its
        ``gain`` over the better one of the two mean controls at that classifier and k, and ``seconds`` of training.

    Raises
    ------
    FetalkitError
        Names the trainings that failed, after all others have finished.
    """
    workers = devices.workers(settings.run.workers, torch.device("cpu"))
    used = (*arms.CONTROLS, subject)
    jobs = [
        dict(cohort=cohort, settings=_changed(settings, changes), cell=Cell(arm, classifier, k, seed), candidate=name)
        for name, changes in candidates.items()
        for classifier in classifiers
        for k in shots
        for seed in seeds
        for arm in used
    ]
    rows = pd.DataFrame(parallel.run(_judged, jobs, workers, "trainings"))
    keys = ["candidate", "classifier", "k"]
    table = rows.pivot_table("accuracy", [*keys, "seed"], "arm", sort=False)[list(used)]
    table["seconds"] = rows.groupby([*keys, "seed"], sort=False).seconds.sum()
    better = table.groupby(keys, sort=False)[list(arms.CONTROLS)].transform("mean").idxmax(axis=1)
    table["gain"] = table[subject] - [table.loc[index, control] for index, control in better.items()]
    return table.reset_index()


def _changed(settings: Params, changes: dict[str, Any]) -> Params:
    return settings.model_copy(update={"classify": settings.classify.model_copy(update=changes)})


def _judged(cohort: str, settings: Params, cell: Cell, candidate: str) -> dict[str, Any]:
    _, outcome = grid.train_cell(cohort, settings, cell)
    return {
        "candidate": candidate,
        "classifier": cell.classifier,
        "k": cell.k,
        "seed": cell.seed,
        "arm": cell.arm,
        "accuracy": outcome.curve[-1]["validation_accuracy"],
        "seconds": outcome.seconds,
    }
