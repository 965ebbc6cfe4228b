"""The best recipe at each level of knowledge: the arm that gains most over its better control on validation patients."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fetalkit.analysis import gains
from fetalkit.analysis.gains import Comparison
from fetalkit.analysis.terms import COLUMNS
from fetalkit.config import runs


def best(compared: Comparison, table: pd.DataFrame) -> list[dict[str, Any]]:
    """The best recipe of every level, with few images and with all.

    Parameters
    ----------
    compared
        Of the study.
    table
        The long table, which has the accuracies on validation patients that decide.

    Returns
    -------
    list of dict
        ``level``, ``images`` (``"full"`` or ``"few_shot"``), ``arm``, ``among`` (number of arms it was chosen from),
        ``validation_gain`` (points) and, of test patients, ``gain``, ``low``, ``high`` (points over the better control), ``p``
        (not corrected), ``n_runs`` and ``controls`` (by k). Neither controls nor arms whose generator has seen more than its
        run may are recipes.
    """
    validation = table[table.metric == "validation_accuracy"].set_index(["arm", "classifier", "k", "seed"]).value
    settings = compared.settings
    recipes = {
        name: arm.level
        for name, arm in settings.arms.items()
        if not arm.control and not any(runs.leaks(settings, source) for source in arm.sources)
    }
    found = []
    for level in sorted(set(recipes.values())):
        for column in COLUMNS:
            reached = {
                arm: value
                for arm in recipes
                if recipes[arm] == level and not np.isnan(value := _gain(compared, validation, arm, column))
            }
            if reached:
                arm = max(reached, key=lambda arm: reached[arm])
                about = {"level": level, "images": column, "arm": arm, "among": len(reached)}
                measured = gains.pooled(compared, arm, gains.shots_of(compared, column))
                found.append(about | {"validation_gain": round(100 * reached[arm], 3)} | (measured or {}))
    return found


def _gain(compared: Comparison, validation: pd.Series, arm: str, column: str) -> float:
    """Mean gain of an arm over its better controls on validation patients, over k, classifiers and seeds; NaN without runs."""
    means = []
    for k in gains.shots_of(compared, column):
        names = compared.classifiers(k, arm)
        control = compared.better(arm, k, names) if names else None
        if control:
            seeds = compared.seeds(k, names, arm, control)
            pairs = [(_of(validation, arm, name, k, seeds), _of(validation, control, name, k, seeds)) for name in names]
            means.append(np.mean([own - other for own, other in pairs]))
    return float(np.mean(means)) if means else np.nan


def _of(validation: pd.Series, arm: str, classifier: str, k: str, seeds: Sequence[int]) -> np.ndarray:
    return np.array([validation[arm, classifier, k, seed] for seed in seeds])
