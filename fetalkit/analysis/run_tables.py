"""What the page of the classifiers shows beside accuracies: budgets, learning curves, reliability, training times."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fetalkit.analysis import results
from fetalkit.analysis.accuracies import reliability
from fetalkit.config import runs
from fetalkit.config.params import Params, Training
from fetalkit.data.study import Study
from fetalkit.experiments.outcome import Outcome

METRICS = {  # and which value of each is the best
    "accuracy": "highest",
    "balanced_accuracy": "highest",
    "macro_f1": "highest",
    "macro_auroc": "highest",
    "calibration_error": "lowest",
    "validation_accuracy": "highest",
}
MAY_KNOW = {  # what the training of an arm of each level sees; see docs/protocol.md
    "L0": "the run's labelled images",
    "L1": "also the other train images, without labels",
    "L2": "also phantoms or another cohort",
    "L1+L2": "also these train images, and phantoms or another cohort",
}
_NO_CURVE = {"phase": 1, "step": 0, "validation_accuracy": np.nan}  # of a run that failed


def classifiers(training: Training) -> pd.DataFrame:
    """Every classifier with its step budget: ``classifier``, ``timm model``, ``begins with``, ``P``, ``N``."""
    rows = []
    for name, spec in training.classifiers.items():
        begins = "ImageNet" if spec.pretrained else "random weights"
        rows.append((name, spec.model, begins, *training.steps(name)))
    return pd.DataFrame(rows, columns=["classifier", "timm model", "begins with", "P", "N"])


def arms(settings: Params) -> pd.DataFrame:
    """Every arm of a study: ``arm``, ``what it is``, ``its training knows``, and whether it is a ``control`` of other arms."""
    named = [(name, settings.arms[name]) for name in dict.fromkeys(run.arm for run in runs.all_runs(settings))]
    rows = [(name, arm.title, MAY_KNOW[arm.level], "yes" if arm.control else "") for name, arm in named]
    return pd.DataFrame(rows, columns=["arm", "what it is", "its training knows", "control"])


def spent(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """A row per run and phase: what `fetalkit.experiments.engine` notes of it, ``phase`` from 1."""
    return pd.DataFrame(
        [
            {**vars(outcome.run), "phase": number, **phase}
            for outcome in outcomes
            for number, phase in enumerate(outcome.budget, 1)
        ]
    )


def phases(budgets: pd.DataFrame) -> pd.DataFrame:
    """Phases of every arm with the first classifier and the first seed, of a table as `spent` makes it."""
    first = budgets[(budgets.classifier == budgets.classifier[0]) & (budgets.seed == budgets.seed.min())]
    return first[["k", "arm", "phase", "source", "steps", "images", "images_seen"]]


def learning_curves(outcomes: Sequence[Outcome], training: Training) -> pd.DataFrame:
    """Points of all learning curves; ``total_step`` counts on from the first phase to the second."""
    curves = pd.DataFrame(
        [{**vars(outcome.run), **point} for outcome in outcomes for point in outcome.curve or [_NO_CURVE]]
    )
    before = curves.classifier.map({name: training.steps(name)[0] for name in training.classifiers})
    curves["total_step"] = curves.step + np.where(curves.phase == 2, before, 0)
    return curves


def metric_means(table: pd.DataFrame) -> pd.DataFrame:
    """`METRICS` of every ``classifier``, ``k`` and ``arm``, mean over seeds, of a long table of results."""
    keys = ["classifier", "k", "arm"]
    mean = results.mean(table[table.metric.isin(METRICS)], [*keys, "metric"]).unstack("metric")
    return pd.DataFrame(mean)[[*METRICS]].reset_index()


def reliability_of_arms(
    study: Study, outcomes: Sequence[Outcome], classifier: str, k: str
) -> dict[str, pd.DataFrame | None]:
    """Arm → `fetalkit.analysis.accuracies.reliability` of a classifier, all seeds; None where a run has failed."""
    test = study.tested[results.TEST_SETS[""](study.tested)]
    labels, bins = study.labels(test), {}
    for arm in runs.at_every_k(study.params):
        seeds = [of for of in outcomes if (of.run.arm, of.run.classifier, of.run.k) == (arm, classifier, k)]
        failed = any(of.error for of in seeds)
        called = np.stack([of.of(test.image_id) for of in seeds])
        bins[arm] = None if failed else reliability(called, labels, test.group.to_numpy())
    return bins


def times(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Training time of every run: ``run``, ``seconds``."""
    return pd.DataFrame([{"run": outcome.run.name, "seconds": outcome.seconds} for outcome in outcomes])
