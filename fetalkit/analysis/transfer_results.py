"""Tables of the transfer study: metrics of every run, and what each method gains over the control.

Levels stand apart in every table: a method that has seen images of the target, let alone labels, is no rival of one that has
not.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fetalkit.analysis import intervals, results
from fetalkit.analysis.gains import MEAN, P_DIGITS, points
from fetalkit.experiments.outcome import Outcome
from fetalkit.experiments.transfer import domains
from fetalkit.experiments.transfer.methods import CONTROL, METHODS, by_level
from fetalkit.experiments.transfer.settings import Transfer

KEYS = ["direction", "level", "method", "classifier", "seed"]


def long_table(plan: Transfer, outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """One row per run and metric, on test images of the target.

    ``validation_accuracy`` and its like are on validation images of the source. Every value of a run that failed is NaN.
    """
    tested = {name: domains.tested_rows(plan, direction) for name, direction in plan.directions.items()}
    rows = []
    for outcome in outcomes:
        run = outcome.run
        validation, test = tested[run.direction]
        values = results.values_of(outcome, plan.planes, test, validation, {})
        key = (run.direction, METHODS[run.method].level, run.method, run.classifier, run.seed)
        rows += [(*key, *item) for item in values.items()]
    return pd.DataFrame(rows, columns=[*KEYS, "metric", "value"])


class TransferComparison:
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
        self._tests = {name: domains.tested_rows(plan, direction)[1] for name, direction in plan.directions.items()}
        self._right = {}
        for outcome in outcomes:
            run = outcome.run
            right = results.correctness(outcome, self._tests[run.direction], plan.planes)
            self._right[run.direction, run.method, run.classifier, run.seed] = right

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
        control = self.correct(view, CONTROL, classifiers)[:, images]
        reached = intervals.accuracy(right, patients)
        values = {"accuracy": reached.estimate, "low": reached.low, "high": reached.high, "control": control.mean()}
        gained = {"gain": np.nan, "gain_low": np.nan, "gain_high": np.nan, "p": np.nan}
        if method != CONTROL:
            gained = dict(zip(gained, points(right - control, patients).values(), strict=True))
        return {name: round(float(value), 6) for name, value in values.items()} | gained


def gains(compared: TransferComparison) -> pd.DataFrame:
    """What every method gains in every view, per classifier and for their mean.

    Returns
    -------
    pandas.DataFrame
        ``view``, ``level``, ``method``, ``classifier`` (one of them, or `fetalkit.analysis.gains.MEAN`), the columns of
        `TransferComparison.gain`, and for the mean over classifiers ``p_holm``, corrected for all methods of the main views.
    """
    rows = []
    for view in compared.plan.views:
        for method in compared.methods(view):
            names = compared.classifiers(view, method)
            key = {"view": view, "level": METHODS[method].level, "method": method}
            for classifier, used in [(MEAN, names), *((name, [name]) for name in names)]:
                rows.append(key | {"classifier": classifier} | compared.gain(view, method, used))
    gained = pd.DataFrame(rows)
    main = (gained.classifier == MEAN) & gained["view"].isin(compared.plan.main_views)
    gained.loc[main, "p_holm"] = intervals.holm(gained.p[main].to_numpy())
    return gained.round({"p": P_DIGITS, "p_holm": P_DIGITS})


def by_group(compared: TransferComparison, view: str, of: str, classifier: str | None = None) -> pd.DataFrame:
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
        ``level``, ``method``, ``group``, ``n`` (images), columns of `TransferComparison.gain`; empty where `of` is unknown.
    """
    groups = compared.test(view)[of].to_numpy()
    rows = []
    for method in compared.methods(view):
        names = [name for name in compared.classifiers(view, method) if classifier in (None, name)]
        for group in sorted(set(groups) - {""}) if names else ():
            images = np.flatnonzero(groups == group)
            key = {"level": METHODS[method].level, "method": method, "group": group, "n": len(images)}
            rows.append(key | compared.gain(view, method, names, images))
    table = pd.DataFrame(rows)
    return table.round({"p": P_DIGITS}) if len(table) else table


def predictions(plan: Transfer, outcomes: Sequence[Outcome]) -> dict[str, np.ndarray]:
    """Arrays to be saved as npz: per run its probabilities, and per direction the ids of their images."""
    arrays = {outcome.run.name: outcome.probabilities.astype(np.float32) for outcome in outcomes}
    ids = {outcome.run.direction: np.array(outcome.image_ids) for outcome in outcomes}
    return arrays | {f"image_id of {direction}": of for direction, of in ids.items()}
