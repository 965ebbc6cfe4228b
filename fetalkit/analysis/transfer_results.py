"""Tables of the transfer study: metrics of every run, and what each method gains over the control.

Levels stand apart in every table: a method that has seen images of the target, let alone labels, is no rival of one that has
not.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from fetalkit.analysis import intervals
from fetalkit.analysis.gains import MEAN
from fetalkit.analysis.results import SUMMARISED, by_place
from fetalkit.config.runs import Outcome
from fetalkit.experiments.transfer import domains
from fetalkit.experiments.transfer.methods import CONTROL, METHODS, NONE, by_level
from fetalkit.experiments.transfer.settings import Transfer
from fetalkit.metrics.classification import metrics

KEYS = ["direction", "level", "method", "classifier", "seed"]


def long_table(plan: Transfer, outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """One row per run and metric, on test images of the target.

    ``validation_accuracy`` and its like are on validation images of the source. Every value of a run that failed is NaN.
    """
    shown = {
        name: (domains.material(plan, direction, NONE, plan.seeds[0]).validation, *domains.test(plan, direction))
        for name, direction in plan.directions.items()
    }
    rows = []
    for outcome in outcomes:
        cell = outcome.cell
        validation, data, table = shown[cell.direction]
        on_validation, on_test = np.split(np.nan_to_num(outcome.probabilities), [len(validation.labels)])
        with warnings.catch_warnings():
            # Not every place has every plane, which the metrics allow for.
            warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
            found = metrics(on_validation, validation.labels, plan.planes)
            values = metrics(on_test, data.labels, plan.planes)
        values |= by_place(table, on_test.argmax(axis=1) == data.labels)
        values |= {f"validation_{metric}": found[metric] for metric in SUMMARISED}
        if outcome.error:
            values = dict.fromkeys(values, np.nan)
        key = (cell.direction, METHODS[cell.method].level, cell.method, cell.classifier, cell.seed)
        rows += [(*key, *item) for item in values.items()]
    return pd.DataFrame(rows, columns=[*KEYS, "metric", "value"])


class Compared:
    """Which test images each method gets right, paired by seed and image.

    Parameters
    ----------
    plan
        The study.
    outcomes
        Of all its runs.
    """

    def __init__(self, plan: Transfer, outcomes: Sequence[Outcome]):
        self.plan = plan
        shown = {name: domains.test(plan, direction) for name, direction in plan.directions.items()}
        self._tests = {name: table for name, (_, table) in shown.items()}
        self._right = {}
        for outcome in outcomes:
            cell, labels = outcome.cell, shown[outcome.cell.direction][0].labels
            on_test = outcome.probabilities[len(outcome.probabilities) - len(labels) :]
            right = np.where(np.isnan(on_test).any(axis=1), np.nan, on_test.argmax(axis=1) == labels)
            self._right[cell.direction, cell.method, cell.classifier, cell.seed] = right

    def test(self, view: str) -> pd.DataFrame:
        """Rows of the test images of a view."""
        return pd.concat([self._tests[direction] for direction in self.plan.views[view]])

    def methods(self, view: str) -> list[str]:
        """Methods that some classifier has in every direction of a view, those first that know least of the target."""
        every = [method for of in self.plan.blocks for method in of.methods]
        return by_level([method for method in dict.fromkeys(every) if self.classifiers(view, method)])

    def classifiers(self, view: str, method: str) -> list[str]:
        """Classifiers that have a method in every direction of a view."""
        return [
            name
            for name in self.plan.training.classifiers
            if all(method in self.plan.methods_of(direction, name) for direction in self.plan.views[view])
        ]

    def correct(self, view: str, method: str, classifiers: Sequence[str]) -> np.ndarray:
        """Share of `classifiers` that are right, (seeds, test images); NaN where a run failed."""
        return np.stack(
            [
                np.concatenate(
                    [
                        np.mean([self._right[direction, method, name, seed] for name in classifiers], axis=0)
                        for direction in self.plan.views[view]
                    ]
                )
                for seed in self.plan.seeds
            ]
        )

    def gain(
        self, view: str, method: str, classifiers: Sequence[str], images: np.ndarray | slice = slice(None)
    ) -> dict:
        """What a method reaches with some classifiers, and what it gains over the control with the same ones.

        Returns
        -------
        dict
            ``accuracy``, ``low``, ``high`` (0-1, 95 %); ``control`` (0-1), accuracy of the control; ``gain``, ``gain_low``,
            ``gain_high`` (points, 95 %) and ``p``, which are NaN for the control itself.
        """
        patients = self.test(view).group.to_numpy()[images]
        right = self.correct(view, method, classifiers)[:, images]
        reached = intervals.accuracy(right, patients)
        control = self.correct(view, CONTROL, classifiers)[:, images]
        found = {"accuracy": reached.estimate, "low": reached.low, "high": reached.high, "control": control.mean()}
        gained = {"gain": np.nan, "gain_low": np.nan, "gain_high": np.nan, "p": np.nan}
        if method != CONTROL:
            over = intervals.gain(right - control, patients)
            points = (round(100 * value, 3) for value in (over.estimate, over.low, over.high))
            gained = dict(zip(gained, (*points, round(over.p, 5)), strict=True))
        return {name: round(float(value), 6) for name, value in found.items()} | gained


def gains(compared: Compared) -> pd.DataFrame:
    """What every method gains in every view, per classifier and for their mean.

    Returns
    -------
    pandas.DataFrame
        ``view``, ``level``, ``method``, ``classifier`` (one of them, or `fetalkit.analysis.gains.MEAN`), the columns of
        `Compared.gain`, and for the mean over classifiers ``p_holm``, corrected for all methods of the main views.
    """
    rows = []
    for view in compared.plan.views:
        for method in compared.methods(view):
            names = compared.classifiers(view, method)
            key = {"view": view, "level": METHODS[method].level, "method": method}
            for classifier, used in [(MEAN, names), *((name, [name]) for name in names)]:
                rows.append(key | {"classifier": classifier} | compared.gain(view, method, used))
    found = pd.DataFrame(rows)
    main = (found.classifier == MEAN) & found["view"].isin(compared.plan.main_views)
    found.loc[main, "p_holm"] = intervals.holm(found.p[main].to_numpy()).round(5)
    return found


def by_group(compared: Compared, view: str, of: str, classifier: str | None = None) -> pd.DataFrame:
    """Accuracy and gain of every method in parts of a view's test images.

    Parameters
    ----------
    of
        ``"plane"``, ``"centre"`` or ``"machine"``.
    classifier
        Of this one alone; by default the mean over all that have the method, which may be others for another method.

    Returns
    -------
    pandas.DataFrame
        ``level``, ``method``, ``group``, ``n`` (images), and what `Compared.gain` returns; empty where `of` is not known.
    """
    groups = compared.test(view)[of].to_numpy()
    rows = []
    for method in compared.methods(view):
        names = [name for name in compared.classifiers(view, method) if classifier in (None, name)]
        for group in sorted(set(groups) - {""}) if names else ():
            images = np.flatnonzero(groups == group)
            key = {"level": METHODS[method].level, "method": method, "group": group, "n": len(images)}
            rows.append(key | compared.gain(view, method, names, images))
    return pd.DataFrame(rows)


def predictions(outcomes: Sequence[Outcome]) -> dict[str, np.ndarray]:
    """Name of the run → its probabilities, to be saved as npz."""
    return {outcome.cell.name: outcome.probabilities.astype(np.float32) for outcome in outcomes}
