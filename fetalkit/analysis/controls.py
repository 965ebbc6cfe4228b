"""Which controls an arm is compared with, and which is the better one: named beforehand or chosen on validation, never test."""

from collections.abc import Sequence

import pandas as pd

from fetalkit.config import runs
from fetalkit.config.params import Params


def having(settings: Params, k: str, *arms: str) -> list[str]:
    """Classifiers that train all of these arms at k, with at least one seed in common."""
    every = settings.classify.classifiers
    trained = [name for name in every if set(arms) <= set(runs.arms_of(settings, name, k))]
    return [name for name in trained if seeds(settings, k, [name], *arms)]


def seeds(settings: Params, k: str, classifiers: Sequence[str], *arms: str) -> list[int]:
    """Seeds that all of these arms and classifiers have at k, ascending: what is compared is paired by them."""
    sets = [set(runs.seeds_of(settings, arm, name, k)) for arm in arms for name in classifiers]
    return sorted(set.intersection(*sets)) if sets else []


def better(table: pd.DataFrame, settings: Params, arm: str, k: str, classifiers: Sequence[str]) -> str | None:
    """The control that primary comparisons name, or else that which does best on validation patients.

    The latter is a mean over these classifiers and the seeds shared with the arm.

    Parameters
    ----------
    table
        The long table.
    settings
        Of the study.
    arm, k, classifiers
        What is to be compared.

    Returns
    -------
    str or None
        One of `fetalkit.config.runs.controls_of` that all these classifiers train at k; one of which a run failed comes last.
        None if there is none.
    """
    rows = table[(table.metric == "validation_accuracy") & (table.k == k) & table.classifier.isin(classifiers)]
    reached: dict[str, float] = {}
    for control in runs.controls_of(settings, arm):
        if set(classifiers) <= set(having(settings, k, arm, control)):
            shared = seeds(settings, k, classifiers, arm, control)
            accuracy = rows.value[(rows.arm == control) & rows.seed.isin(shared)].mean(skipna=False)
            if shared:
                reached[control] = -1.0 if pd.isna(accuracy) else float(accuracy)
    named = {of.control for of in settings.report.comparisons if (of.arm, of.k) == (arm, k)} & set(reached)
    if len(named) == 1:
        return named.pop()
    return max(reached, key=lambda control: reached[control]) if reached else None
