"""What an arm gains over the controls that know no more than it does, paired by seed and by test image.

Per classifier, and for their mean over those that have converged. A gain counts over the *better control*, which was named
beforehand or is chosen by validation patients (`fetalkit.analysis.controls`). All of this is exploratory, with intervals and
uncorrected p, but for the comparisons that were named beforehand (`fetalkit.analysis.primary`).
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from fetalkit.analysis import controls, data_efficiency, intervals
from fetalkit.analysis.results import Predictions
from fetalkit.analysis.terms import COLUMNS, FEW, MEAN, PAPERS
from fetalkit.config import runs
from fetalkit.config.shots import EVERY

P_DIGITS = 5  # of p-values that are written; corrections take them as they are
_KEYS = ["arm", "level", "classifier", "converged", "k", "control", "better_control", "n_runs"]
_TABLE = [*_KEYS, "gain", "low", "high", "p", "p_permutation"]


class Comparison:
    """Differences between arms and controls on the test set, and what they say.

    Parameters
    ----------
    predictions
        On the test set.
    table
        The long table, of the same study.
    unconverged
        Pairs of classifier and k that no mean contains; see `fetalkit.analysis.convergence`.
    """

    def __init__(
        self, predictions: Predictions, table: pd.DataFrame, unconverged: frozenset[tuple[str, str]] = frozenset()
    ):
        self.predictions, self.settings, self.unconverged = predictions, predictions.study.params, unconverged
        self._better: Callable[..., str | None] = cache(
            lambda arm, k, classifiers: controls.better(table, self.settings, arm, k, classifiers)
        )

    def classifiers(self, k: str, *used: str) -> list[str]:
        """Classifiers that have converged at `k` and train all arms `used` there."""
        return [name for name in controls.having(self.settings, k, *used) if self.converged(name, k)]

    def converged(self, classifier: str, k: str) -> bool:
        """Whether means contain this classifier at `k`."""
        return (classifier, k) not in self.unconverged

    def arms(self, k: str) -> list[str]:
        """Arms of some classifier at `k` that may be compared with some control there."""
        every = {arm: 0 for name in self.settings.classify.classifiers for arm in runs.arms_of(self.settings, name, k)}
        return [arm for arm in every if self.controls(arm, k)]

    def controls(self, arm: str, k: str) -> list[str]:
        """Controls that know no more than `arm`, and that some classifier trains beside it at `k`."""
        return [name for name in runs.controls_of(self.settings, arm) if controls.having(self.settings, k, arm, name)]

    def better(self, arm: str, k: str, classifiers: Sequence[str]) -> str | None:
        """See `fetalkit.analysis.controls.better`."""
        return self._better(arm, k, tuple(classifiers))

    def seeds(self, k: str, classifiers: Sequence[str], *used: str) -> list[int]:
        """See `fetalkit.analysis.controls.seeds`."""
        return controls.seeds(self.settings, k, classifiers, *used)

    def correct(self, arm: str, k: str, classifiers: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
        """Share of `classifiers` that are right, (seeds, test images)."""
        return np.mean([self.predictions.correct(arm, name, k, seeds) for name in classifiers], axis=0)

    def difference(
        self, arm: str, control: str, k: str, classifiers: Sequence[str], seeds: Sequence[int] | None = None
    ) -> np.ndarray:
        """`correct` of the arm minus that of the control, of the seeds that both have."""
        shared = self.seeds(k, classifiers, arm, control) if seeds is None else seeds
        return self.correct(arm, k, classifiers, shared) - self.correct(control, k, classifiers, shared)

    def accuracy(self, arm: str, k: str, classifiers: Sequence[str], seeds: Sequence[int]) -> float:
        """Mean of `correct`; NaN where the arm lacks one of these runs."""
        if not set(seeds) <= set(self.seeds(k, classifiers, arm)) or arm not in self.settings.arms:
            return float("nan")
        return round(float(self.correct(arm, k, classifiers, seeds).mean()), 6)

    def gain(self, differences: np.ndarray, images: np.ndarray | slice = slice(None)) -> dict[str, float]:
        """As `points`, of some of the test images."""
        return points(differences[:, images], self.predictions.test.group.to_numpy()[images])

    def permutation(self, differences: np.ndarray) -> float:
        """p-value of the permutation test: a second opinion on that of `gain`."""
        report = self.settings.report
        patients = self.predictions.test.group.to_numpy()
        return intervals.sign_flip(
            differences, patients, permutations=report.bootstrap_resamples, seed=report.bootstrap_seed
        )


def points(differences: np.ndarray, patients: Sequence[str]) -> dict[str, float]:
    """``gain``, ``low``, ``high`` in percentage points, and ``p`` as it is, of paired differences (seeds, images)."""
    gain = intervals.gain(differences, patients)
    numbers = {"gain": gain.estimate, "low": gain.low, "high": gain.high}
    return {name: round(100 * value, 3) for name, value in numbers.items()} | {"p": gain.p}


def table(compared: Comparison) -> pd.DataFrame:
    """Gains of every arm over every control that it is compared with, per k, per classifier and for their mean.

    Returns
    -------
    pandas.DataFrame
        ``arm``, ``level``, ``classifier`` (one of them, or `MEAN`: those that have converged and train both), ``converged``,
        ``k``, ``control``, ``better_control`` (whether it is), ``n_runs`` (pairs of them), ``gain``, ``low``, ``high`` (points,
        95 %), ``p``, which is not corrected; and over the better control of the mean ``p_permutation``.
    """
    rows = []
    for k in compared.settings.splits.shots:
        for arm in compared.arms(k):
            for control in compared.controls(arm, k):
                key = dict(arm=arm, level=compared.settings.arms[arm].level, k=k, control=control)
                for name in controls.having(compared.settings, k, arm, control):
                    own = {"classifier": name, "converged": compared.converged(name, k)}
                    rows.append(key | own | _row(compared, arm, control, k, [name], [name]))
                if (names := compared.classifiers(k, arm, control)) and compared.seeds(k, names, arm, control):
                    every = compared.classifiers(k, arm)
                    mean = {"classifier": MEAN, "converged": True}
                    rows.append(key | mean | _row(compared, arm, control, k, names, every))
    return pd.DataFrame(rows, columns=_TABLE).round({"p": P_DIGITS, "p_permutation": P_DIGITS})


def _row(
    compared: Comparison, arm: str, control: str, k: str, names: Sequence[str], every: Sequence[str]
) -> dict[str, Any]:
    """A gain of these classifiers, and whether the control is the better one of `every` classifier that the arm has."""
    difference = compared.difference(arm, control, k, names)
    better = control == compared.better(arm, k, every)
    row = {"better_control": better, "n_runs": len(names) * len(difference)} | compared.gain(difference)
    return row | ({"p_permutation": compared.permutation(difference)} if better else {})


def by_group(compared: Comparison, arm: str, of: str) -> pd.DataFrame:
    """Gain of `arm` over the better control in parts of the test set, mean over classifiers.

    Parameters
    ----------
    of
        ``"plane"``, ``"centre"`` or ``"machine"``.

    Returns
    -------
    pandas.DataFrame
        ``k``, the column `of`, ``n`` (images), ``gain``, ``low``, ``high`` (points), ``p``; empty if there is no such part.
    """
    groups = compared.predictions.test[of].to_numpy()
    rows = []
    for k in compared.settings.splits.shots:
        names = compared.classifiers(k, arm)
        if names and (control := compared.better(arm, k, names)):
            difference = compared.difference(arm, control, k, names)
            for group in dict.fromkeys(groups):
                images = np.flatnonzero(groups == group)
                if group:
                    rows.append({"k": k, of: group, "n": len(images)} | compared.gain(difference, images))
    return pd.DataFrame(rows, columns=["k", of, "n", "gain", "low", "high", "p"]).round({"p": P_DIGITS})


Classifiers = dict[str, list[str]]  # by k


def by_arm(compared: Comparison) -> dict[str, dict]:
    """Gains at full data and with few images, mean over classifiers and k, and how many real images the pre-training replaces.

    Returns
    -------
    dict
        Arm that is marked ``headline`` → ``level``; ``full`` and ``few_shot`` (k up to 50), each ``gain``, ``low``, ``high``
        (points over the better control), ``p`` (not corrected), ``accuracy`` and ``accuracy_control`` (0-1), ``n_runs`` and
        ``controls`` (by k), or None where the study has no such runs; the same under ``over_real``, of the runs that have it
        beside the arm, and under ``over_`` and each control that every run has; and under ``same_runs``, where only pairs of k
        and classifier count that all arms have; ``worth_factor`` with its interval.
    """
    shots, settings = compared.settings.splits.shots, compared.settings
    named = [name for name, arm in settings.arms.items() if arm.headline]
    used = [arm for arm in named if any(arm in compared.arms(k) and compared.classifiers(k, arm) for k in shots)]
    gained: dict[str, dict] = {arm: {"level": settings.arms[arm].level} for arm in used}
    for column in COLUMNS:
        of = shots_of(compared, column)
        shared = _having(compared, used, of)
        for arm in used:
            gained[arm][column] = pooled(compared, arm, of)
            for control in runs.controls_of(settings, arm):
                if control == PAPERS or control in settings.controls:
                    over = gained[arm].setdefault(f"over_{control.replace('-', '_')}", {})
                    over[column] = _pooled(compared, arm, _having(compared, [arm, control], of), control)
            gained[arm].setdefault("same_runs", {})[column] = _pooled(compared, arm, shared)
    return {arm: entry | replaced_images(compared, arm) for arm, entry in gained.items()}


def shots_of(compared: Comparison, column: str) -> list[str]:
    """The k of a column: ``"full"``, all images, or ``"few_shot"``, at most `FEW` of each plane."""
    shots = compared.settings.splits.shots
    return shots.upto(FEW) if column == "few_shot" else [k for k in shots if k == EVERY]


def pooled(compared: Comparison, arm: str, shots: Sequence[str]) -> dict | None:
    """Gain of an arm over the better controls at several k together, as in an entry of `by_arm`."""
    return _pooled(compared, arm, _having(compared, [arm], shots))


def _having(compared: Comparison, used: Sequence[str], shots: Sequence[str]) -> Classifiers:
    """k → the classifiers that have all arms `used` there; without those k where no classifier has."""
    having = {k: compared.classifiers(k, *used) for k in shots}
    return {k: names for k, names in having.items() if names}


def _over(compared: Comparison, arm: str, names: Classifiers) -> dict[str, str]:
    """k → the better control, of those k that have one."""
    over = {k: compared.better(arm, k, of) for k, of in names.items()}
    return {k: control for k, control in over.items() if control}


def _shared(compared: Comparison, arm: str, names: Classifiers, over: dict[str, str]) -> list[int]:
    """Seeds that arm and controls have at every k."""
    sets = [set(compared.seeds(k, names[k], arm, control)) for k, control in over.items()]
    return sorted(set.intersection(*sets)) if sets else []


def _pooled(compared: Comparison, arm: str, names: Classifiers, control: str | None = None) -> dict | None:
    """Gain over several k together, over `control` or the better one at each; None if there are no pairs of runs."""
    over = dict.fromkeys(names, control) if control else _over(compared, arm, names)
    if not (seeds := _shared(compared, arm, names, over)):
        return None
    difference = np.mean([compared.difference(arm, of, k, names[k], seeds) for k, of in over.items()], axis=0)
    entry = compared.gain(difference)
    reached = {
        "accuracy": _rounded_mean([compared.accuracy(arm, k, names[k], seeds) for k in over]),
        "accuracy_control": _rounded_mean([compared.accuracy(of, k, names[k], seeds) for k, of in over.items()]),
    }
    n_runs = sum(len(names[k]) for k in over) * len(seeds)
    return entry | {"p": round(entry["p"], P_DIGITS)} | reached | {"n_runs": n_runs, "controls": over}


def _rounded_mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 6)


def numbers_of_images(compared: Comparison) -> dict[str, float]:
    """k → images per plane; for all images their mean over planes."""
    study, shots = compared.predictions.study, compared.settings.splits.shots
    numbers = {k: float(k) for k in shots if k != EVERY}
    if EVERY in shots:
        numbers[EVERY] = study.number_of_images(EVERY, compared.settings.splits.seeds[0]) / len(study.planes)
    return numbers


def replacement(compared: Comparison, arm: str) -> data_efficiency.ReplacementCurve | None:
    """By which factor the pre-training multiplies the real images, over the better control; None with fewer than two k."""
    names = _having(compared, [arm], compared.settings.splits.shots)
    over = _over(compared, arm, names)
    seeds = _shared(compared, arm, names, over)
    if len(over) < 2 or not seeds:
        return None
    report = compared.settings.report
    return data_efficiency.replacement_curve(
        {k: compared.correct(control, k, names[k], seeds) for k, control in over.items()},
        {k: compared.correct(arm, k, names[k], seeds) for k in over},
        numbers_of_images(compared),
        compared.predictions.test.group.to_numpy(),
        resamples=report.bootstrap_resamples,
        seed=report.bootstrap_seed,
    )


def replaced_images(compared: Comparison, arm: str) -> dict[str, float | str | None]:
    """The overall factor of `replacement`: ``worth_factor``, ``worth_low``, ``worth_high`` (95 %), ``worth_bound``."""
    curve = replacement(compared, arm)
    if curve is None:
        return {"worth_factor": None, "worth_low": None, "worth_high": None, "worth_bound": ""}
    return {
        "worth_factor": round(curve.factor, 4),
        "worth_low": round(curve.low, 4),
        "worth_high": round(curve.high, 4),
        "worth_bound": curve.bound,
    }
