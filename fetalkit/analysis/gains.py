"""What an arm gains over its controls, paired by seed and by test image.

A gain counts over the *better control*: whichever of ``real`` and ``real-long`` does better on validation patients at that k,
mean over classifiers and seeds. Test images have no part in that choice.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from fetalkit.analysis import data_efficiency, intervals, results
from fetalkit.analysis.results import Predictions
from fetalkit.analysis.terms import FEW, MEAN
from fetalkit.config import runs
from fetalkit.config.params import Params
from fetalkit.config.shots import EVERY

P_DIGITS = 5  # of p-values that are written; corrections take them as they are


def better_controls(table: pd.DataFrame, settings: Params) -> dict[str, str]:
    """k → the control that does better on validation patients; from the long table."""
    accuracy = results.mean(table[table.metric == "validation_accuracy"], ["k", "arm"]).fillna(-1.0)
    return {k: max(settings.controls, key=lambda control: accuracy[k, control]) for k in settings.splits.shots}


class Comparison:
    """Differences between arms and controls on the test set, and what they say.

    Parameters
    ----------
    predictions
        On the test set.
    better
        As `better_controls` returns it.
    """

    def __init__(self, predictions: Predictions, better: dict[str, str]):
        self.predictions, self.better, self.settings = predictions, better, predictions.study.params

    def classifiers(self, k: str, *used: str) -> list[str]:
        """Classifiers that have all arms `used` at `k`."""
        every = self.settings.classify.classifiers
        return [name for name in every if set(used) <= set(runs.arms_of(self.settings, name, k))]

    def arms(self, k: str) -> list[str]:
        """Arms of some classifier at `k`, controls left out."""
        every = {arm: 0 for name in self.settings.classify.classifiers for arm in runs.arms_of(self.settings, name, k)}
        return [arm for arm in every if not self.settings.arms[arm].control]

    def correct(self, arm: str, k: str, classifiers: Sequence[str]) -> np.ndarray:
        """Share of `classifiers` that are right, (seeds, test images)."""
        return np.mean([self.predictions.correct(arm, name, k) for name in classifiers], axis=0)

    def difference(self, arm: str, control: str, k: str, classifiers: Sequence[str]) -> np.ndarray:
        """`correct` of the arm minus that of the control."""
        return self.correct(arm, k, classifiers) - self.correct(control, k, classifiers)

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
    """Gains of every arm over both controls, per k, per classifier and for their mean.

    Returns
    -------
    pandas.DataFrame
        ``arm``, ``classifier`` (one of them, or `MEAN`), ``k``, ``control``, ``better_control`` (whether it is), ``gain``,
        ``low``, ``high`` (points, 95 %), ``p``; and for the mean of all classifiers ``p_permutation``, and over the better
        control ``p_holm``, which is corrected for the number of arms and k.
    """
    rows = []
    for k in compared.settings.splits.shots:
        for arm in compared.arms(k):
            for control in compared.settings.controls:
                names = compared.classifiers(k, arm)
                key = dict(arm=arm, k=k, control=control, better_control=control == compared.better[k])
                for name in names:
                    difference = compared.difference(arm, control, k, [name])
                    rows.append(key | {"classifier": name} | compared.gain(difference))
                difference = compared.difference(arm, control, k, names)
                second = {"classifier": MEAN, "p_permutation": compared.permutation(difference)}
                rows.append(key | second | compared.gain(difference))
    columns = ["arm", "classifier", "k", "control", "better_control", "gain", "low", "high", "p", "p_permutation"]
    gained = pd.DataFrame(rows, columns=columns)
    main = gained.better_control & (gained.classifier == MEAN)
    gained.loc[main, "p_holm"] = intervals.holm(gained.p[main].to_numpy())
    return gained.round({"p": P_DIGITS, "p_permutation": P_DIGITS, "p_holm": P_DIGITS})


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
        if arm in compared.arms(k):
            difference = compared.difference(arm, compared.better[k], k, compared.classifiers(k, arm))
            for group in dict.fromkeys(groups):
                images = np.flatnonzero(groups == group)
                if group:
                    rows.append({"k": k, of: group, "n": len(images)} | compared.gain(difference, images))
    return pd.DataFrame(rows, columns=["k", of, "n", "gain", "low", "high", "p"]).round({"p": P_DIGITS})


def headline(compared: Comparison) -> dict[str, dict]:
    """Gains at full data and with few images, mean over classifiers and k, and how many real images the pre-training replaces.

    Returns
    -------
    dict
        Arm → ``full`` and ``few_shot`` (k up to 50), each ``gain``, ``low``, ``high`` (points over the better control),
        ``p``, ``p_holm`` and ``n_runs``, or None where the study has no such runs; the same under ``over_real`` and
        ``over_real_long``, and, without ``p_holm``, under ``same_runs``, where only pairs of k and classifier count that all
        arms have; ``worth_factor`` with its interval. Holm's correction is over all arms and both columns.
    """
    shots, settings = compared.settings.splits.shots, compared.settings
    columns = {"full": [k for k in shots if k == EVERY], "few_shot": shots.upto(FEW)}
    named = [name for name, arm in settings.arms.items() if arm.headline]
    used = [arm for arm in named if any(arm in compared.arms(k) for k in shots)]
    over: dict[str, Callable[[str], str]] = {"": lambda k: compared.better[k]}
    over |= {f"over_{control.replace('-', '_')}": lambda k, control=control: control for control in settings.controls}
    gained: dict[str, dict] = {arm: {} for arm in used}
    for name, control in over.items():
        block = {
            (arm, column): _pooled(compared, arm, _having(compared, [arm], of), control)
            for arm in used
            for column, of in columns.items()
        }
        _correct(block)
        for (arm, column), entry in block.items():
            (gained[arm].setdefault(name, {}) if name else gained[arm])[column] = entry
    for column, of in columns.items():
        shared = _having(compared, used, of)
        for arm in used:
            entry = _pooled(compared, arm, shared, over[""])
            gained[arm].setdefault("same_runs", {})[column] = entry and _rounded(entry)
    return {arm: entry | replaced_images(compared, arm) for arm, entry in gained.items()}


def _correct(block: dict[tuple[str, str], dict | None]) -> None:
    """Add Holm's correction over all entries of a block, in place, and round what is to be written."""
    measured = {key: entry for key, entry in block.items() if entry}
    corrected = intervals.holm(np.array([entry["p"] for entry in measured.values()]))
    for (key, entry), p in zip(measured.items(), corrected, strict=True):
        block[key] = _rounded(entry) | {"p_holm": round(float(p), P_DIGITS)}


def _rounded(entry: dict) -> dict:
    return entry | {"p": round(entry["p"], P_DIGITS)}


def _having(compared: Comparison, used: Sequence[str], shots: Sequence[str]) -> dict[str, list[str]]:
    """k → the classifiers that have all arms `used` there; without those k where no classifier has."""
    having = {k: compared.classifiers(k, *used) for k in shots}
    return {k: names for k, names in having.items() if names}


def _pooled(compared: Comparison, arm: str, names: dict[str, list[str]], control: Callable[[str], str]) -> dict | None:
    """Gain over several k together, `names` being the classifiers at each; None if there are none."""
    if not names:
        return None
    difference = np.mean([compared.difference(arm, control(k), k, of) for k, of in names.items()], axis=0)
    n_runs = sum(map(len, names.values())) * len(compared.settings.splits.seeds)
    return compared.gain(difference) | {"n_runs": n_runs}


def numbers_of_images(compared: Comparison) -> dict[str, float]:
    """k → images per plane; for all images their mean over planes."""
    study, shots = compared.predictions.study, compared.settings.splits.shots
    numbers = {k: float(k) for k in shots if k != EVERY}
    if EVERY in shots:
        numbers[EVERY] = study.number_of_images(EVERY, compared.settings.splits.seeds[0]) / len(study.planes)
    return numbers


def replacement(compared: Comparison, arm: str) -> data_efficiency.ReplacementCurve | None:
    """By which factor the pre-training multiplies the real images, over the better control; None with fewer than two k."""
    shots = [k for k in compared.settings.splits.shots if arm in compared.arms(k)]
    if len(shots) < 2:
        return None
    report, names = compared.settings.report, {k: compared.classifiers(k, arm) for k in shots}
    return data_efficiency.replacement_curve(
        {k: compared.correct(compared.better[k], k, names[k]) for k in shots},
        {k: compared.correct(arm, k, names[k]) for k in shots},
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
