"""What an arm gains over its controls, paired by seed and by test image.

A gain counts over the *better control*: whichever of ``real`` and ``real-long`` does better on validation patients at that k,
mean over classifiers and seeds. Test images have no part in that choice.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from fetalkit.analysis import data_efficiency, intervals, results
from fetalkit.analysis.results import Predictions
from fetalkit.config import arms, runs
from fetalkit.config.params import Params

MEAN = "mean of all"  # classifiers
# Arms of the headline, and the largest k that counts as few.
HEADLINE = ("diffusion", "gan", "interpolation", "mixup", "simulation")
FEW = 50


def better_controls(table: pd.DataFrame, settings: Params) -> dict[str, str]:
    """k → the control that does better on validation patients; from the long table."""
    found = results.mean(table[table.metric == "validation_accuracy"], ["k", "arm"]).fillna(-1.0)
    used = [control for control in arms.CONTROLS if control in settings.classify.arms]
    return {str(k): max(used, key=lambda control: found[str(k), control]) for k in settings.splits.shots}


class Comparison:
    """Differences between arms and controls on the test set, and what they say.

    Parameters
    ----------
    found
        Predictions on the test set.
    better
        As `better_controls` returns it.
    """

    def __init__(self, found: Predictions, better: dict[str, str]):
        self.found, self.better, self.settings = found, better, found.study.params

    def classifiers(self, k: str, *used: str) -> list[str]:
        """Classifiers that have all arms `used` at `k`."""
        every = self.settings.classify.classifiers
        return [name for name in every if set(used) <= set(runs.arms_of(self.settings, name, k))]

    def arms(self, k: str) -> list[str]:
        """Arms of some classifier at `k`, controls left out."""
        every = {arm: 0 for name in self.settings.classify.classifiers for arm in runs.arms_of(self.settings, name, k)}
        return [arm for arm in every if arm not in arms.CONTROLS]

    def correct(self, arm: str, k: str, classifiers: Sequence[str]) -> np.ndarray:
        """Share of `classifiers` that are right, (seeds, test images)."""
        return np.mean([self.found.correct(arm, name, k) for name in classifiers], axis=0)

    def difference(self, arm: str, control: str, k: str, classifiers: Sequence[str]) -> np.ndarray:
        """`correct` of the arm minus that of the control."""
        return self.correct(arm, k, classifiers) - self.correct(control, k, classifiers)

    def gain(self, differences: np.ndarray, images: np.ndarray | slice = slice(None)) -> dict[str, float]:
        """``gain``, ``low``, ``high`` in percentage points and ``p``, of some of the test images."""
        found = intervals.gain(differences[:, images], self.found.test.group.to_numpy()[images])
        points = {"gain": found.estimate, "low": found.low, "high": found.high}
        return {name: round(100 * value, 3) for name, value in points.items()} | {"p": round(found.p, 5)}

    def permutation(self, differences: np.ndarray) -> float:
        """p-value of the permutation test: a second opinion on that of `gain`."""
        report = self.settings.report
        patients = self.found.test.group.to_numpy()
        p = intervals.sign_flip(
            differences, patients, permutations=report.bootstrap_resamples, seed=report.bootstrap_seed
        )
        return round(p, 5)


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
    for k in map(str, compared.settings.splits.shots):
        for arm in compared.arms(k):
            for control in arms.CONTROLS:
                if control not in compared.settings.classify.arms:
                    continue
                names = compared.classifiers(k, arm)
                key = dict(arm=arm, k=k, control=control, better_control=control == compared.better[k])
                for name in names:
                    difference = compared.difference(arm, control, k, [name])
                    rows.append(key | {"classifier": name} | compared.gain(difference))
                difference = compared.difference(arm, control, k, names)
                second = {"classifier": MEAN, "p_permutation": compared.permutation(difference)}
                rows.append(key | second | compared.gain(difference))
    columns = ["arm", "classifier", "k", "control", "better_control", "gain", "low", "high", "p", "p_permutation"]
    found = pd.DataFrame(rows, columns=columns)
    main = found.better_control & (found.classifier == MEAN)
    found.loc[main, "p_holm"] = intervals.holm(found.p[main].to_numpy()).round(5)
    return found


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
    groups = compared.found.test[of].to_numpy()
    rows = []
    for k in map(str, compared.settings.splits.shots):
        if arm in compared.arms(k):
            difference = compared.difference(arm, compared.better[k], k, compared.classifiers(k, arm))
            for group in dict.fromkeys(groups):
                images = np.flatnonzero(groups == group)
                if group:
                    rows.append({"k": k, of: group, "n": len(images)} | compared.gain(difference, images))
    return pd.DataFrame(rows, columns=["k", of, "n", "gain", "low", "high", "p"])


def headline(compared: Comparison) -> dict[str, dict]:
    """Gains at full data and with few images, mean over classifiers and k, and what the pre-training is worth.

    Returns
    -------
    dict
        Arm → ``full`` and ``few_shot`` (k up to 50), each ``gain``, ``low``, ``high`` (points over the better control),
        ``p``, ``p_holm`` and ``n_cells``, or None where the study has no such cells; the same under ``over_real`` and
        ``over_real_long``, and, without ``p_holm``, under ``same_cells``, where only cells (k, classifier) count that all
        arms have; ``worth_factor`` with its interval. Holm's correction is over all arms and both columns.
    """
    shots = [str(k) for k in compared.settings.splits.shots]
    columns = {
        "full": [k for k in shots if k == arms.EVERY],
        "few_shot": [k for k in shots if k != arms.EVERY and int(k) <= FEW],
    }
    used = [arm for arm in HEADLINE if any(arm in compared.arms(k) for k in shots)]
    over = {"": lambda k: compared.better[k]}
    over |= {
        f"over_{c.replace('-', '_')}": lambda k, c=c: c for c in arms.CONTROLS if c in compared.settings.classify.arms
    }
    found: dict[str, dict] = {arm: {} for arm in used}
    for name, control in over.items():
        block = {
            (arm, column): _pooled(compared, arm, _cells(compared, [arm], of), control)
            for arm in used
            for column, of in columns.items()
        }
        measured = [key for key in block if block[key]]
        for key, p in zip(measured, intervals.holm(np.array([block[key]["p"] for key in measured])), strict=True):
            block[key]["p_holm"] = round(float(p), 5)
        for (arm, column), entry in block.items():
            (found[arm].setdefault(name, {}) if name else found[arm])[column] = entry
    for column, of in columns.items():
        shared = _cells(compared, used, of)
        for arm in used:
            found[arm].setdefault("same_cells", {})[column] = _pooled(compared, arm, shared, over[""])
    return {arm: entry | worth_of(compared, arm) for arm, entry in found.items()}


def _cells(compared: Comparison, used: Sequence[str], shots: Sequence[str]) -> dict[str, list[str]]:
    """k → the classifiers that have all arms `used` there; without those k where no classifier has."""
    found = {k: compared.classifiers(k, *used) for k in shots}
    return {k: names for k, names in found.items() if names}


def _pooled(compared: Comparison, arm: str, names: dict[str, list[str]], control: Callable[[str], str]) -> dict | None:
    """Gain over several k together, `names` being the classifiers at each; None if there are none."""
    if not names:
        return None
    difference = np.mean([compared.difference(arm, control(k), k, of) for k, of in names.items()], axis=0)
    n_cells = sum(map(len, names.values())) * len(compared.settings.splits.seeds)
    return compared.gain(difference) | {"n_cells": n_cells}


def numbers_of_images(compared: Comparison) -> dict[str, float]:
    """k → images per plane; for all images their mean over planes."""
    study = compared.found.study
    every = len(study.train(arms.EVERY, study.params.splits.seeds[0]).labels) / len(study.planes)
    return {str(k): every if k == arms.EVERY else float(k) for k in study.params.splits.shots}


def replacement(compared: Comparison, arm: str) -> data_efficiency.Worth | None:
    """By which factor the pre-training multiplies the real images, over the better control; None with fewer than two k."""
    shots = [str(k) for k in compared.settings.splits.shots if arm in compared.arms(str(k))]
    if len(shots) < 2:
        return None
    report, names = compared.settings.report, {k: compared.classifiers(k, arm) for k in shots}
    return data_efficiency.worth(
        {k: compared.correct(compared.better[k], k, names[k]) for k in shots},
        {k: compared.correct(arm, k, names[k]) for k in shots},
        numbers_of_images(compared),
        compared.found.test.group.to_numpy(),
        resamples=report.bootstrap_resamples,
        seed=report.bootstrap_seed,
    )


def worth_of(compared: Comparison, arm: str) -> dict[str, float | str | None]:
    """The overall factor of `replacement`: ``worth_factor``, ``worth_low``, ``worth_high`` (95 %), ``worth_bound``."""
    found = replacement(compared, arm)
    if found is None:
        return {"worth_factor": None, "worth_low": None, "worth_high": None, "worth_bound": ""}
    numbers = {"worth_factor": found.factor, "worth_low": found.low, "worth_high": found.high}
    return {name: round(value, 4) for name, value in numbers.items()} | {"worth_bound": found.bound}
