"""Which classifiers have converged: a rule on validation patients, fixed before any test patient was read.

At each k, a classifier has converged when two things hold of the control that trains longest, `real-long` where there is one.
Its validation accuracy, mean over seeds and over the points of the learning curve in the last fifth of its steps, has risen by
less than ``report.converged_within`` (0.01) against the fifth before; and it is less than ``report.converged_near`` (0.1) below
that of the classifier that does best at this k. The others are shown apart, and no mean contains them.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from fetalkit.analysis import wording
from fetalkit.config.params import Params
from fetalkit.utils.files import made_by

CONTROL = "real-long"
COLUMNS = ["classifier", "k", "accuracy", "rise", "below_best", "converged"]


def read(path: Path) -> pd.DataFrame:
    """Stored learning curves; names as text."""
    made_by("07_classify", path)
    text = ("arm", "classifier", "k")
    return pd.read_csv(path, dtype=dict.fromkeys(text, str), keep_default_na=False, na_values=[""])


def control_of(settings: Params) -> str:
    """The control whose curves are judged: `CONTROL`, or where no run has it the last of those that every run has."""
    return CONTROL if CONTROL in settings.controls else settings.controls[-1]


def judged(curves: pd.DataFrame, settings: Params) -> pd.DataFrame:
    """One row per classifier and k.

    Parameters
    ----------
    curves
        ``arm``, ``classifier``, ``k``, ``seed``, ``total_step`` and ``validation_accuracy`` (0-1), one row per run and point.
    settings
        Of the study.

    Returns
    -------
    pandas.DataFrame
        ``accuracy`` (of the last fifth), ``rise`` and ``below_best``, all in 0-1, and ``converged``. Where a run of the control
        has failed they are NaN, and the classifier stays where it is, in means that are then missing too.
    """
    of_control = curves[curves.arm == control_of(settings)]
    rows = []
    for k in settings.splits.shots:
        for classifier in settings.classify.classifiers:
            points = of_control[(of_control.classifier == classifier) & (of_control.k == k)]
            last, before = (_mean(points, *ends) for ends in ((0.8, 1.0), (0.6, 0.8)))
            rows.append({"classifier": classifier, "k": k, "accuracy": last, "rise": last - before})
    table = pd.DataFrame(rows, columns=COLUMNS[:4])
    table["below_best"] = table.groupby("k", sort=False).accuracy.transform("max") - table.accuracy
    report = settings.report
    table["converged"] = ~((table.rise >= report.converged_within) | (table.below_best >= report.converged_near))
    return table


def _mean(points: pd.DataFrame, after: float, until: float) -> float:
    """Validation accuracy of the points between two shares of the steps, mean over seeds; NaN where one is."""
    share = points.total_step / points.total_step.max()
    of_seeds = points[(share > after) & (share <= until) | points.validation_accuracy.isna()].groupby("seed")
    means = of_seeds.validation_accuracy.agg(lambda values: values.mean(skipna=False))
    return float(means.mean(skipna=False)) if len(means) else np.nan


def unconverged(table: pd.DataFrame) -> frozenset[tuple[str, str]]:
    """Pairs of classifier and k that have not converged, of what `judged` returns."""
    return frozenset(table.loc[~table.converged, ["classifier", "k"]].itertuples(index=False, name=None))


def only(table: pd.DataFrame, without: Iterable[tuple[str, str]]) -> pd.DataFrame:
    """Rows of a table with the columns ``classifier`` and ``k``, but for those of `without`."""
    pairs = pd.MultiIndex.from_frame(table[["classifier", "k"]])
    return table[~pairs.isin(list(without))] if (without := frozenset(without)) else table


def sentences(table: pd.DataFrame, settings: Params) -> list[str]:
    """Which classifiers have not converged, and what that means; or that all have."""
    late = table[~table.converged]
    rule = (
        f"(judged by {control_of(settings)}, whose validation accuracy over the last fifth of its steps has to have risen by "
        f"less than {wording.points(100 * settings.report.converged_within).lstrip('+')} against the fifth before"
    )
    if table.classifier.nunique() > 1:
        near = wording.points(100 * settings.report.converged_near).lstrip("+")
        rule += f", and to be less than {near} below that of the best classifier"
    rule += (
        "; an arm that pre-trains takes fewer steps on real images, and may still rise: its curve stands on page 07)"
    )
    unknown = table[table.rise.isna() | table.below_best.isna()]
    gaps = []
    if len(unknown):
        names = wording.listed(f"{row['classifier']} at k = {row['k']}" for row in unknown.to_dict("records"))
        gaps = [f"Whether {names} has converged could not be judged, since a run of {control_of(settings)} failed."]
    if late.empty:
        others = "All other classifiers" if gaps else "All classifiers"
        return [f"{others} have converged at every k {rule}.", *gaps] if len(unknown) < len(table) else gaps
    named = "; ".join(
        f"{row['classifier']} at k = {row['k']} (rise {wording.number(100 * row['rise'], sign=True)}, "
        f"{wording.number(100 * row['below_best'])} below the best)"
        for row in late.to_dict("records")
    )
    return [f"**Not converged within their steps, so shown apart and in no mean:** {named} {rule}.", *gaps]
