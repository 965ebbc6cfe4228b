"""Tables of the transfer study: metrics of every run, and what each method gains over the baseline of its level.

Levels stand apart in every table: a method that has seen images of the target, let alone labels, is no rival of one that has
not. So a gain is over `fetalkit.experiments.transfer.methods.BASELINES` at the method's own level, with the same classifiers,
seeds and test images, and what the control reaches stands in the same row.

**The one family of tests.** Gains of the methods that params.yaml names as ``primary``, mean over the classifiers that have the
method, in each of the main views: these comparisons have a p, which `gains` corrects for their number (Holm). Every other gain
is exploratory and has an interval alone.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

from fetalkit.analysis import intervals, results
from fetalkit.analysis.gains import P_DIGITS, points
from fetalkit.analysis.terms import MEAN
from fetalkit.experiments.outcome import Outcome
from fetalkit.experiments.transfer import domains
from fetalkit.experiments.transfer.methods import CONTROL, METHODS, baseline, by_level
from fetalkit.experiments.transfer.settings import Transfer
from fetalkit.metrics import classification

KEYS = ["direction", "level", "method", "classifier", "seed"]
SETS = "source", "target"  # whose images are predicted: validation images of the one, test images of the other
Images = np.ndarray | slice
ALL_IMAGES = slice(None)


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
    """What each method calls the test images, paired by seed and image.

    Parameters
    ----------
    plan
        The study.
    outcomes
        Of all its runs.
    """

    def __init__(self, plan: Transfer, outcomes: Sequence[Outcome]):
        self.plan = plan
        tested = {name: domains.tested_rows(plan, direction) for name, direction in plan.directions.items()}
        self._rows = {of: {name: rows[part] for name, rows in tested.items()} for part, of in enumerate(SETS)}
        self._probabilities = {}
        for outcome, of in product(outcomes, SETS):
            run = outcome.run
            ids = list(self._rows[of][run.direction].image_id)
            self._probabilities[of, run.direction, run.method, run.classifier, run.seed] = outcome.of(ids)

    def test(self, view: str, of: str = "target") -> pd.DataFrame:
        """Rows of the test images of a view; or, of ``"source"``, of the validation images of its sources."""
        return pd.concat([self._rows[of][direction] for direction in self.plan.views[view]])

    def methods(self, view: str) -> list[str]:
        """Methods that some classifier has in every direction of a view, those first that know least of the target."""
        every = [method for of in self.plan.blocks for method in of.methods]
        return by_level([method for method in dict.fromkeys(every) if self.classifiers(view, method)])

    def classifiers(self, view: str, *methods: str) -> list[str]:
        """Classifiers that have all of `methods` in every direction of a view."""
        return [
            name
            for name in self.plan.training.classifiers
            if all(set(methods) <= set(self.plan.methods_of(direction, name)) for direction in self.plan.views[view])
        ]

    def probabilities(self, view: str, method: str, classifier: str, seed: int, of: str = "target") -> np.ndarray:
        """Of the rows of `test`, (images, planes); NaN where a run failed."""
        views = self.plan.views
        return np.concatenate([self._probabilities[of, name, method, classifier, seed] for name in views[view]])

    def correct(self, view: str, method: str, classifiers: Sequence[str]) -> np.ndarray:
        """Share of `classifiers` that are right, (seeds, test images); NaN where a run failed."""
        labels = results.labels_of(self.test(view), self.plan.planes)
        shares = []
        for seed in self.plan.seeds:
            each = [self.probabilities(view, method, name, seed) for name in classifiers]
            right = [np.where(np.isnan(of).any(axis=1), np.nan, of.argmax(axis=1) == labels) for of in each]
            shares.append(np.mean(right, axis=0))
        return np.stack(shares)

    def macro_f1(self, view: str, method: str, classifiers: Sequence[str], images: Images = ALL_IMAGES) -> float:
        """Macro F1 of some test images of a view, mean over classifiers and seeds, in [0, 1]; NaN where a run failed."""
        labels, values = results.labels_of(self.test(view), self.plan.planes)[images], []
        for name, seed in product(classifiers, self.plan.seeds):
            of = self.probabilities(view, method, name, seed)[images]
            failed = np.isnan(of).any()
            values.append(np.nan if failed else classification.macro_f1(of, labels, self.plan.planes))
        return float(np.mean(values))

    def gain(self, view: str, method: str, classifiers: Sequence[str], images: Images = ALL_IMAGES) -> dict:
        """What a method reaches with some classifiers, and what it gains over the baseline of its level with the same ones.

        Returns
        -------
        dict
            ``accuracy``, ``low``, ``high`` (95 %) and ``macro_f1``; ``baseline`` (its name), ``baseline_accuracy`` and
            ``baseline_macro_f1``; ``unaligned_accuracy``; all in [0, 1]. ``gain``, ``gain_low``, ``gain_high`` (points, 95 %)
            and ``p``, which are NaN for a baseline.
        """
        other, patients = baseline(method), self.test(view).group.to_numpy()[images]
        right, beside, control = (self.correct(view, name, classifiers)[:, images] for name in (method, other, CONTROL))
        reached = intervals.accuracy(right, patients)
        numbers = {"accuracy": reached.estimate, "low": reached.low, "high": reached.high}
        numbers["macro_f1"] = self.macro_f1(view, method, classifiers, images)
        numbers["baseline_accuracy"] = beside.mean()
        numbers["baseline_macro_f1"] = self.macro_f1(view, other, classifiers, images)
        numbers["unaligned_accuracy"] = control.mean()
        gained = {"gain": np.nan, "gain_low": np.nan, "gain_high": np.nan, "p": np.nan}
        if method != other:
            gained = dict(zip(gained, points(right - beside, patients).values(), strict=True))
        return {"baseline": other} | {name: round(float(value), 6) for name, value in numbers.items()} | gained


def gains(compared: TransferComparison) -> pd.DataFrame:
    """What every method gains in every view, per classifier and for their mean.

    Returns
    -------
    pandas.DataFrame
        ``view``, ``level``, ``method``, ``classifier`` (one of them, or `fetalkit.analysis.gains.MEAN`), ``classifiers`` (names
        of those that it is a mean of), ``n_runs`` (of the method), the columns of `TransferComparison.gain`, and ``primary``
        (whether the row is in the family of tests). ``p`` and ``p_holm`` are of primary rows alone.
    """
    plan, rows = compared.plan, []
    for view in plan.views:
        for method in compared.methods(view):
            names = compared.classifiers(view, method)
            key = {"view": view, "level": METHODS[method].level, "method": method}
            for classifier, used in [(MEAN, names), *((name, [name]) for name in names)]:
                n_runs = len(plan.views[view]) * len(used) * len(plan.seeds)
                mine = key | {"classifier": classifier, "classifiers": ", ".join(used), "n_runs": n_runs}
                rows.append(mine | compared.gain(view, method, used))
    gained = pd.DataFrame(rows)
    main = (gained.classifier == MEAN) & gained["view"].isin(plan.main_views)
    gained["primary"] = main & gained.method.isin(plan.primary)
    gained.loc[~gained.primary, "p"] = np.nan
    # What was named and not measured counts too: otherwise a gap would make the others look surer.
    gained["p_holm"] = intervals.holm(gained.p.where(gained.p.notna() | ~gained.primary, 1.0).to_numpy())
    gained.loc[gained.p.isna(), "p_holm"] = np.nan
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
        ``level``, ``method``, ``classifiers``, ``group``, ``n`` (images), ``patients``, columns of `TransferComparison.gain`
        but p, and of planes but F1, which is no number of one plane's images; empty where `of` is unknown.
    """
    test, rows = compared.test(view), []
    groups = test[of].to_numpy()
    for method in compared.methods(view):
        names = [name for name in compared.classifiers(view, method) if classifier in (None, name)]
        for group in sorted(set(groups) - {""}) if names else ():
            images = np.flatnonzero(groups == group)
            key = {"level": METHODS[method].level, "method": method, "classifiers": ", ".join(names), "group": group}
            key |= {"n": len(images), "patients": test.group.iloc[images].nunique()}
            rows.append(key | compared.gain(view, method, names, images))
    dropped = ["p", "macro_f1", "baseline_macro_f1"] if of == "plane" else ["p"]
    return pd.DataFrame(rows).drop(columns=dropped, errors="ignore")


def groups(compared: TransferComparison) -> dict[str, dict[str, pd.DataFrame]]:
    """`by_group` of all main views: ``"centre"``, ``"machine"`` and ``"plane"`` → view → table."""
    views = compared.plan.main_views
    return {of: {view: by_group(compared, view, of) for view in views} for of in ("centre", "machine", "plane")}


def several(part: pd.DataFrame) -> bool:
    """Whether a table of `by_group` has more than one group."""
    return len(part) > 0 and part.group.nunique() > 1


def predictions(plan: Transfer, outcomes: Sequence[Outcome]) -> dict[str, np.ndarray]:
    """Arrays to be saved as npz: per run its probabilities, and per direction the ids of their images."""
    arrays = {outcome.run.name: outcome.probabilities.astype(np.float32) for outcome in outcomes}
    ids = {outcome.run.direction: np.array(outcome.image_ids) for outcome in outcomes}
    return arrays | {f"image_id of {direction}": of for direction, of in ids.items()}
