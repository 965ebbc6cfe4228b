"""The long table of metrics, and stored predictions. A run that failed is NaN in both, and so is every mean over it."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fetalkit.config.runs import Run
from fetalkit.data.study import Study
from fetalkit.experiments.outcome import Outcome
from fetalkit.metrics import classification
from fetalkit.utils.files import made_by

KEYS = ["arm", "classifier", "k", "seed"]
# Test sets by name: how rows of the test part are chosen. The first is the one that the study reports.
TEST_SETS = {
    "": lambda rows: rows.dropped == "",
    "official": lambda rows: rows.dropped.notna(),
    "unlinked": lambda rows: (rows.dropped == "") & ~rows.linked,
}
NOT_TESTED = (
    "**No test patient has been looked at** (`classify.tested_on: validation`). The numbers below are of the validation "
    "patients, whom choices are made on: they tell where the study stands, and are no result."
)
SUMMARISED = ("accuracy", "balanced_accuracy")


def values_of(
    outcome: Outcome,
    planes: Sequence[str],
    test: pd.DataFrame,
    validation: pd.DataFrame,
    others: Mapping[str, pd.DataFrame],
) -> dict[str, float]:
    """All values of one run; every one is NaN if it has failed.

    Parameters
    ----------
    outcome
        The run with its predictions.
    planes
        Names of the classes.
    test, validation
        Rows (``image_id``, ``plane``, ``centre``, ``machine``) of the images that the metrics are of.
    others
        Name → rows of further sets of test images, whose accuracies are added as ``accuracy_<name>``.
    """
    values = _metrics(outcome, test, planes)
    for name, rows in others.items():
        values |= {f"{metric}_{name}": value for metric, value in _summarised(outcome, rows, planes).items()}
    values |= {f"validation_{metric}": value for metric, value in _summarised(outcome, validation, planes).items()}
    values |= by_place(test, outcome.of(list(test.image_id)).argmax(axis=1) == labels_of(test, planes))
    return dict.fromkeys(values, np.nan) if outcome.error else values


def _metrics(outcome: Outcome, rows: pd.DataFrame, planes: Sequence[str]) -> dict[str, float]:
    probabilities = np.nan_to_num(outcome.of(list(rows.image_id)))
    with warnings.catch_warnings():
        # Not every set of images has every plane, which the metrics allow for.
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
        return classification.metrics(probabilities, labels_of(rows, planes), planes)


def _summarised(outcome: Outcome, rows: pd.DataFrame, planes: Sequence[str]) -> dict[str, float]:
    values = _metrics(outcome, rows, planes)
    return {metric: values[metric] for metric in SUMMARISED}


def labels_of(rows: pd.DataFrame, planes: Sequence[str]) -> np.ndarray:
    """Class numbers, int64, of rows of a table: positions of their planes in `planes`."""
    return rows.plane.map(list(planes).index).to_numpy(np.int64)


def by_place(rows: pd.DataFrame, right: np.ndarray) -> dict[str, float]:
    """``accuracy[<place>]`` of every centre and every machine that is known; `right` (images,) tells which calls were right."""
    return {
        f"accuracy[{place}]": float(right[rows[column] == place].mean())
        for column in ("centre", "machine")
        for place in sorted(set(rows[column]))
        if place
    }


def long_table(study: Study, outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """One row per arm, classifier, k, seed and metric.

    ``accuracy`` and its like are on the de-duplicated test set; ``accuracy_official`` on the whole official one,
    ``accuracy_unlinked`` without patients who share an image with a train patient, ``validation_accuracy`` on validation.
    Every value of a run that failed is NaN.
    """
    classification.load(study.params.metrics)
    validation, part = study.part("validation"), study.tested
    sets = {name: part[chosen(part)] for name, chosen in TEST_SETS.items()}
    test = sets.pop("")
    rows = []
    for outcome in outcomes:
        values, run = values_of(outcome, study.planes, test, validation, sets), outcome.run
        rows += [(study.cohort, run.arm, run.classifier, run.k, run.seed, *item) for item in values.items()]
    return pd.DataFrame(rows, columns=["cohort", *KEYS, "metric", "value"])


def read(path: Path) -> pd.DataFrame:
    """A stored long table: names as text, values that are missing as NaN."""
    text = ("cohort", "arm", "classifier", "k", "metric")
    made_by("07_classify", path)
    return pd.read_csv(path, dtype=dict.fromkeys(text, str), keep_default_na=False, na_values={"value": [""]})


def mean(table: pd.DataFrame, keys: list[str]) -> pd.Series:
    """Mean of ``value`` by `keys`, in their order, rounded as in all tables; NaN where one of the values is."""
    return table.groupby(keys, sort=False).value.agg(lambda values: values.mean(skipna=False)).round(6)


def correctness(outcome: Outcome, rows: pd.DataFrame, planes: Sequence[str]) -> np.ndarray:
    """0/1, or NaN where the run failed, for each of the images of `rows`."""
    probabilities = outcome.of(list(rows.image_id))
    right = (probabilities.argmax(axis=1) == labels_of(rows, planes)).astype(float)
    return np.where(np.isnan(probabilities).any(axis=1), np.nan, right)


def predictions(outcomes: Sequence[Outcome]) -> dict[str, np.ndarray]:
    """Arrays to be saved as npz: ``probabilities`` (runs, images, planes), ``image_id`` and the keys of the runs."""
    return {
        "probabilities": np.stack([outcome.probabilities for outcome in outcomes]).astype(np.float32),
        "image_id": np.array(outcomes[0].image_ids),
        **{key: np.array([getattr(outcome.run, key) for outcome in outcomes]) for key in KEYS},
    }


class Predictions:
    """Stored predictions on the de-duplicated test set.

    Parameters
    ----------
    study
        Of the same cohort.
    arrays
        As `predictions` returns them.
    """

    def __init__(self, study: Study, arrays: Mapping[str, np.ndarray]):
        part, image_ids = study.tested, tuple(map(str, arrays["image_id"]))
        self.study, self.test = study, part[TEST_SETS[""](part)]
        self.labels = study.labels(self.test)
        keys = zip(*(arrays[key] for key in KEYS), strict=True)
        runs = [Run(str(arm), str(classifier), str(k), int(seed)) for arm, classifier, k, seed in keys]
        self._outcomes = {
            run: Outcome(run, image_ids, probabilities)
            for run, probabilities in zip(runs, arrays["probabilities"], strict=True)
        }

    def probabilities(self, run: Run) -> np.ndarray:
        """(test images, planes) of one run."""
        return self._outcomes[run].of(list(self.test.image_id))

    def correct(self, arm: str, classifier: str, k: str, seeds: Sequence[int]) -> np.ndarray:
        """0/1, or NaN where a run failed, (seeds, test images)."""
        outcomes = [self._outcomes[Run(arm, classifier, k, seed)] for seed in seeds]
        return np.stack([correctness(outcome, self.test, self.study.planes) for outcome in outcomes])
