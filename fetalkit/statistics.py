"""Metrics of one run, and intervals that respect that images of one patient belong together."""

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, recall_score, roc_auc_score
from torchmetrics.functional.classification import multiclass_calibration_error

CALIBRATION_BINS = 15


def metrics(probabilities: np.ndarray, labels: np.ndarray, planes: Sequence[str]) -> dict[str, float]:
    """Metrics of one set of predictions, all in [0, 1].

    Parameters
    ----------
    probabilities
        (images, planes), rows sum to 1.
    labels
        (images,), positions in `planes`.
    planes
        Names of the classes.

    Returns
    -------
    dict
        ``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``macro_auroc`` (one against the rest), ``calibration_error``
        (expected calibration error, 15 bins) and ``recall[<plane>]``. Averages are over the planes that occur in `labels`.
    """
    classes = np.arange(len(planes))
    present = [number for number in classes if (labels == number).any()]
    predicted = probabilities.argmax(axis=1)
    recalls = recall_score(labels, predicted, labels=present, average=None, zero_division=0)
    auroc = [
        roc_auc_score(labels == number, probabilities[:, number]) for number in present if (labels != number).any()
    ]
    calibration = multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(labels), len(planes), n_bins=CALIBRATION_BINS
    )
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "balanced_accuracy": float(balanced_accuracy_score(labels, predicted)),
        "macro_f1": float(f1_score(labels, predicted, labels=present, average="macro", zero_division=0)),
        "macro_auroc": float(np.mean(auroc)) if auroc else float("nan"),
        "calibration_error": float(calibration),
        **{f"recall[{planes[number]}]": float(recall) for number, recall in zip(present, recalls, strict=True)},
    }


def bootstrap_mean(values: np.ndarray, patients: Sequence[str], resamples: int, seed: int) -> np.ndarray:
    """Bootstrap distribution of the mean of `values`, resampling patients and seeds with replacement.

    Parameters
    ----------
    values
        (seeds, images): e.g. 0/1 for wrong/right, or the difference of two arms in that.
    patients
        Patient of each image; all images of a patient are drawn together.
    resamples
        Number of resamples.
    seed
        Of the resampling.

    Returns
    -------
    ndarray
        (resamples,)

    References
    ----------
    Field CA, Welsh AH. Bootstrapping clustered data. J R Stat Soc B 69, 369-390 (2007).
    """
    values = np.atleast_2d(np.asarray(values, dtype=float))
    names, cluster = np.unique(np.asarray(patients), return_inverse=True)
    one_hot = np.zeros((values.shape[1], len(names)))
    one_hot[np.arange(values.shape[1]), cluster] = 1
    sums, sizes = values @ one_hot, one_hot.sum(axis=0)
    random = np.random.default_rng(seed)
    drawn = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    seeds = random.multinomial(len(values), np.full(len(values), 1 / len(values)), size=resamples) / len(values)
    return ((drawn @ sums.T) * seeds).sum(axis=1) / (drawn @ sizes)


def interval(distribution: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of a bootstrap distribution."""
    low, high = np.quantile(distribution, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
