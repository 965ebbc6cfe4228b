"""The long table of metrics, and stored predictions. A run that failed is NaN in both, and so is every mean over it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fetalkit.config.runs import Cell, Outcome
from fetalkit.data.study import Study
from fetalkit.metrics.classification import metrics

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
    Every value of a run that failed is NaN.
    """
    validation, test = study.part("validation"), study.part("test")
    rows = []
    for outcome in outcomes:
        on_validation, on_test = np.split(np.nan_to_num(outcome.probabilities), [len(validation)])
        values = metrics(on_test[TEST_SETS[""](test)], study.labels(test[TEST_SETS[""](test)]), study.planes)
        for name in ("official", "unlinked"):
            used = TEST_SETS[name](test).to_numpy()
            found = metrics(on_test[used], study.labels(test[used]), study.planes)
            values |= {f"{metric}_{name}": found[metric] for metric in SUMMARISED}
        found = metrics(on_validation, study.labels(validation), study.planes)
        values |= {f"validation_{metric}": found[metric] for metric in SUMMARISED}
        used = test[TEST_SETS[""](test)]
        right = on_test[test.index.get_indexer(used.index)].argmax(axis=1) == study.labels(used)
        values |= by_place(used, right)
        if outcome.error:
            values = dict.fromkeys(values, np.nan)
        cell = outcome.cell
        rows += [(study.cohort, cell.arm, cell.classifier, cell.k, cell.seed, *item) for item in values.items()]
    return pd.DataFrame(rows, columns=["cohort", *KEYS, "metric", "value"])


def by_place(rows: pd.DataFrame, right: np.ndarray) -> dict[str, float]:
    """``accuracy[<place>]`` of every centre and every machine that is known; `right` (images,) tells which calls were right."""
    return {
        f"accuracy[{place}]": float(right[rows[column] == place].mean())
        for column in ("centre", "machine")
        for place in sorted(set(rows[column]))
        if place
    }


def mean(table: pd.DataFrame, keys: list[str]) -> pd.Series:
    """Mean of ``value`` by `keys`, in the order of the table; NaN where one of the values is."""
    return table.groupby(keys, sort=False).value.agg(lambda values: values.mean(skipna=False))


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
        """0/1, or NaN where a run failed, (seeds, test images), in the order of ``splits.seeds``."""
        rows = []
        for seed in self.study.params.splits.seeds:
            probabilities = self.probabilities(Cell(arm, classifier, k, seed))
            right = (probabilities.argmax(axis=1) == self.labels).astype(float)
            rows.append(np.where(np.isnan(probabilities).any(axis=1), np.nan, right))
        return np.stack(rows)
