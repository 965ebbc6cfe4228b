"""Which method of a level one would have chosen, and what the knowledge of a level is worth.

A choice is made among methods that have the same classifiers, and so the same number of runs with the same seeds, and on
validation images of the source alone: test images of the target, and labels of it, have no part in it. That is all that one has
before the first image of the target is labelled; it is a poor guide where a method gives up accuracy in the source to
gain some in the target (as AdaBN does), and the table says what it led to.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from fetalkit.analysis import results
from fetalkit.analysis.gains import points
from fetalkit.analysis.terms import MEAN
from fetalkit.analysis.transfer_results import TransferComparison
from fetalkit.experiments.transfer.methods import BASELINES, CONTROL, LEVELS, METHODS

_GAINED = ["accuracy", "low", "high", "macro_f1", "baseline", "baseline_accuracy", "baseline_macro_f1"]
_GAINED += ["unaligned_accuracy", "gain", "gain_low", "gain_high"]


def choices(compared: TransferComparison, table: pd.DataFrame, gained: pd.DataFrame) -> pd.DataFrame:
    """The method with the highest validation accuracy at each level of each main view.

    Parameters
    ----------
    compared
        The runs.
    table
        As `fetalkit.analysis.transfer_results.long_table` returns it.
    gained
        As `fetalkit.analysis.transfer_results.gains` returns it.

    Returns
    -------
    pandas.DataFrame
        ``view``, ``level``, ``classifier`` (one of them; or `fetalkit.analysis.terms.MEAN`: among the methods that all
        classifiers of the level have), ``classifiers`` (names), ``among`` (the methods that were compared, the baseline of the
        level is one), ``failed`` (methods that cannot be chosen, since a run failed), ``method``, ``validation_accuracy`` (of
        the source, mean over seeds and classifiers, in [0, 1]), and columns of `gained`. Of equal methods the first of the
        level is taken, its baseline before all. No row where nothing was compared with the baseline.
    """
    validated = results.mean(table[table.metric == "validation_accuracy"], ["direction", "method", "classifier"])
    rows = []
    for view in compared.plan.main_views:
        for level in LEVELS:
            mine = [name for name in compared.methods(view) if METHODS[name].level == level]
            for classifier, used in _pools(compared, view, level, mine):
                among = [name for name in mine if set(used) <= set(compared.classifiers(view, name))]
                reached = {
                    name: np.mean(
                        [validated[direction, name, of] for direction in compared.plan.views[view] for of in used]
                    )
                    for name in among
                }
                if len(among) > 1:
                    key = {"view": view, "level": level, "classifier": classifier, "classifiers": ", ".join(used)}
                    rows.append(
                        key | _chosen(reached) | _numbers(compared, gained, view, _chosen(reached)["method"], key)
                    )
    columns = [
        "view",
        "level",
        "classifier",
        "classifiers",
        "among",
        "failed",
        "method",
        "validation_accuracy",
        *_GAINED,
    ]
    return pd.DataFrame(rows, columns=columns)


def _pools(compared: TransferComparison, view: str, level: str, methods: list[str]) -> list[tuple[str, list[str]]]:
    """Each classifier that has more than the baseline of a level by itself; before them, where there are several, all."""
    others = [name for name in methods if name != BASELINES[level]]
    having = {of: None for name in others for of in compared.classifiers(view, name)}
    every = [name for name in compared.plan.training.classifiers if name in having]
    return [(MEAN, every)] * (len(every) > 1) + [(name, [name]) for name in every]


def _chosen(reached: Mapping[str, Any]) -> dict:
    failed = [name for name, value in reached.items() if np.isnan(value)]
    measured = {name: round(float(value), 6) for name, value in reached.items() if name not in failed}
    method = max(measured, key=lambda name: measured[name]) if measured else ""
    return {
        "among": ", ".join(reached),
        "failed": ", ".join(failed),
        "method": method,
        "validation_accuracy": measured.get(method, np.nan),
    }


def _numbers(compared: TransferComparison, gained: pd.DataFrame, view: str, method: str, key: dict) -> dict:
    """Columns of `gained` of a method with the classifiers of the choice; the row may be the mean over these very ones."""
    same = (gained["view"] == view) & (gained.method == method) & (gained.classifiers == key["classifiers"])
    rows = gained[same & (gained.classifier.isin([MEAN, key["classifier"]]))]
    if method and rows.empty:  # the method has further classifiers: the mean over these alone is in no table
        used = key["classifiers"].split(", ")
        return {name: value for name, value in compared.gain(view, method, used).items() if name in _GAINED}
    return {name: rows[name].iloc[0] for name in _GAINED} if method else {}


def knowledge(compared: TransferComparison) -> pd.DataFrame:
    """What it is worth to know more of the target: the baselines of the levels side by side, with the same classifiers.

    Returns
    -------
    pandas.DataFrame
        Per main view and level: ``view``, ``level``, ``baseline``, ``classifiers`` (those that have the baselines of all levels
        in the view), ``accuracy``, ``low``, ``high`` (95 %), ``macro_f1`` in [0, 1]; ``unaligned_accuracy``; ``more``,
        ``more_low``, ``more_high`` (points over the level that knows nothing, 95 %), which are NaN at that level.
    """
    rows = []
    for view in compared.plan.main_views:
        there = [name for name in BASELINES.values() if name in compared.methods(view)]
        used = compared.classifiers(view, *there)
        patients = compared.test(view).group.to_numpy()
        for name in there if used else ():
            reached = compared.gain(view, name, used)
            more = {"more": np.nan, "more_low": np.nan, "more_high": np.nan}
            if name != CONTROL:
                difference = compared.correct(view, name, used) - compared.correct(view, CONTROL, used)
                more = dict(zip(more, points(difference, patients).values(), strict=False))
            key = {"view": view, "level": METHODS[name].level, "baseline": name, "classifiers": ", ".join(used)}
            rows.append(
                key | {of: reached[of] for of in ("accuracy", "low", "high", "macro_f1", "unaligned_accuracy")} | more
            )
    return pd.DataFrame(rows)
