"""Tables of the study: the long table of metrics, and the summary with its intervals."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fetalkit import arms
from fetalkit.audit import duplicate_counts
from fetalkit.cells import Cell, Outcome
from fetalkit.statistics import bootstrap_mean, interval, metrics
from fetalkit.study import Study

KEYS = ["arm", "classifier", "k", "seed"]
# Test sets by name: how rows of the test part are chosen. The first is the one that the study reports.
TEST_SETS = {
    "": lambda rows: rows.dropped == "",
    "official": lambda rows: rows.dropped.notna(),
    "unlinked": lambda rows: (rows.dropped == "") & ~rows.linked,
}
SUMMARISED = ("accuracy", "balanced_accuracy")


def long_table(study: Study, outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """One row per arm, classifier, k, seed and metric.

    ``accuracy`` and its like are on the de-duplicated test set; ``accuracy_official`` on the whole official one,
    ``accuracy_unlinked`` without patients who share an image with a train patient, ``validation_accuracy`` on validation.
    """
    validation, test = study.part("validation"), study.part("test")
    rows = []
    for outcome in outcomes:
        on_validation, on_test = np.split(outcome.probabilities, [len(validation)])
        values = metrics(on_test[TEST_SETS[""](test)], study.labels(test[TEST_SETS[""](test)]), study.planes)
        for name in ("official", "unlinked"):
            used = TEST_SETS[name](test).to_numpy()
            found = metrics(on_test[used], study.labels(test[used]), study.planes)
            values |= {f"{metric}_{name}": found[metric] for metric in SUMMARISED}
        found = metrics(on_validation, study.labels(validation), study.planes)
        values |= {f"validation_{metric}": found[metric] for metric in SUMMARISED}
        for column in ("centre", "machine"):
            for place, group in test[TEST_SETS[""](test)].groupby(column):
                if place:
                    at = test.index.get_indexer(group.index)
                    right = on_test[at].argmax(axis=1) == study.labels(group)
                    values[f"accuracy[{place}]"] = float(right.mean())
        cell = outcome.cell
        rows += [(study.cohort, cell.arm, cell.classifier, cell.k, cell.seed, *item) for item in values.items()]
    return pd.DataFrame(rows, columns=["cohort", *KEYS, "metric", "value"])


def predictions(outcomes: Sequence[Outcome]) -> dict[str, np.ndarray]:
    """Arrays of all predictions: ``probabilities`` (cells, images, planes) and the keys of the cells, to be saved as npz."""
    return {
        "probabilities": np.stack([outcome.probabilities for outcome in outcomes]).astype(np.float32),
        **{key: np.array([getattr(outcome.cell, key) for outcome in outcomes]) for key in KEYS},
    }


class Predictions:
    """Correctness of stored predictions on the de-duplicated test set.

    Parameters
    ----------
    study
        Of the same cohort.
    arrays
        As `predictions` returns them.
    """

    def __init__(self, study: Study, arrays: dict[str, np.ndarray]):
        validation, test = study.part("validation"), study.part("test")
        self.study = study
        self.test = test[TEST_SETS[""](test)]
        self._columns = len(validation) + test.index.get_indexer(self.test.index)
        self.labels = study.labels(self.test)
        cells = zip(*(arrays[key] for key in KEYS), strict=True)
        self._rows = {
            Cell(str(arm), str(name), str(k), int(seed)): row for row, (arm, name, k, seed) in enumerate(cells)
        }
        self._probabilities = arrays["probabilities"]

    def probabilities(self, cell: Cell) -> np.ndarray:
        """(test images, planes) of one cell."""
        return self._probabilities[self._rows[cell], self._columns]

    def correct(self, arm: str, classifier: str, k: str) -> np.ndarray:
        """0/1, (seeds, test images), in the order of ``splits.seeds``."""
        cells = [Cell(arm, classifier, k, seed) for seed in self.study.params.splits.seeds]
        return np.stack([self.probabilities(cell).argmax(axis=1) == self.labels for cell in cells]).astype(float)


def gains(found: Predictions, table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy gained over both controls, in points, paired by seed and test image; 95 % intervals over patients and seeds.

    Parameters
    ----------
    found
        Predictions on the test set.
    table
        The long table, for the validation accuracy that decides which control is the better one.

    Returns
    -------
    pandas.DataFrame
        ``arm``, ``classifier`` (one of them, or ``mean of all``), ``k``, ``control``, ``better_control`` (whether this
        control does better on validation patients), ``gain``, ``low``, ``high``.
    """
    settings = found.study.params
    classifiers = list(settings.classify.classifiers)
    used = [arm for arm in settings.classify.arms if arm not in arms.CONTROLS]
    controls = [arm for arm in arms.CONTROLS if arm in settings.classify.arms]
    validation = table[table.metric == "validation_accuracy"].groupby(["k", "arm"]).value.mean()
    rows = []
    for k in map(str, settings.splits.shots):
        better = max(controls, key=lambda control: validation[k, control])
        for arm in used:
            for control in controls:
                each = {name: found.correct(arm, name, k) - found.correct(control, name, k) for name in classifiers}
                for name, difference in {**each, "mean of all": np.mean(list(each.values()), axis=0)}.items():
                    rows.append((arm, name, k, control, control == better, *_points(found, difference)))
    columns = ["arm", "classifier", "k", "control", "better_control", "gain", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def _points(found: Predictions, values: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % interval in percentage points."""
    report = found.study.params.report
    spread = bootstrap_mean(values, found.test.group, report.bootstrap_resamples, report.bootstrap_seed)
    return tuple(round(100 * number, 3) for number in (values.mean(), *interval(spread)))


def summary(found: Predictions, table: pd.DataFrame, pairs: pd.DataFrame, gained: pd.DataFrame) -> dict:
    """Contents of ``summary.json``, apart from the time that the run took."""
    study = found.study
    splits, seeds = study.table, list(study.params.splits.seeds)
    sizes, patients = {}, {}
    for part in ("train", "validation", "test"):
        rows = splits[(splits.part == part) & (splits.dropped == "")]
        sizes[f"n_{part}"], patients[f"patients_{part}"] = len(rows), rows.patient.nunique()
    official = splits.groupby("official_split").image_id.size()
    return {
        "cohort": study.cohort,
        "planes": study.planes,
        **sizes,
        **{f"n_{side}_official": int(official[side]) for side in ("train", "test")},
        **patients,
        "duplicates": duplicate_counts(pairs) | {"dropped_from_test": int((splits.dropped != "").sum())},
        "seeds": seeds,
        "shots": [str(k) for k in study.params.splits.shots],
        "budget": study.params.classify.model_dump(include={"pretrain_steps", "train_steps", "batch_size"}),
        "arms": _by_arm(found, table),
        "gains": gained.to_dict("records"),
    }


def _by_arm(found: Predictions, table: pd.DataFrame) -> dict:
    nested: dict = {}
    for (arm, classifier, k), rows in table.groupby(["arm", "classifier", "k"], sort=False):
        entry = nested.setdefault(arm, {}).setdefault(classifier, {}).setdefault(k, {})
        for metric in (*SUMMARISED, *(f"{metric}_official" for metric in SUMMARISED)):
            values = rows[rows.metric == metric].sort_values("seed")
            entry[metric] = {
                "mean": round(float(values.value.mean()), 6),
                "per_seed": {str(seed): round(value, 6) for seed, value in zip(values.seed, values.value, strict=True)},
            }
        _, low, high = _points(found, found.correct(arm, classifier, k))
        entry["accuracy"] |= {"low": round(low / 100, 6), "high": round(high / 100, 6)}
    return nested


def verdict(gained: pd.DataFrame) -> list[str]:
    """One sentence per arm and k: the gain over the better control, and whether its interval excludes zero."""
    sentences = []
    for row in gained[gained.better_control & (gained.classifier == "mean of all")].itertuples():
        size = f"{row.gain:+.1f} points (95 % interval {row.low:+.1f} to {row.high:+.1f})"
        if row.low > 0:
            meaning = "a gain that chance alone is unlikely to give"
        elif row.high < 0:
            meaning = "a loss that chance alone is unlikely to give"
        else:
            meaning = "not distinguishable from no effect"
        sentences.append(f"{row.arm}, k = {row.k}: {size} over {row.control}, mean over classifiers - {meaning}.")
    return sentences


def headline(table: pd.DataFrame, gained: pd.DataFrame) -> dict:
    """Few numbers for ``dvc metrics``: mean accuracy per arm and k, and the gain over the better control."""
    mean = table[table.metric == "accuracy"].groupby(["arm", "k"], sort=False).value.mean().round(4)
    numbers = {"accuracy": {}, "gain": {}}
    for (arm, k), value in mean.items():
        numbers["accuracy"].setdefault(arm, {})[k] = float(value)
    for row in gained[gained.better_control & (gained.classifier == "mean of all")].itertuples():
        numbers["gain"].setdefault(row.arm, {})[row.k] = row.gain
    return numbers
