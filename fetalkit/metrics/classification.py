"""Metrics of one run."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
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


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = 10) -> pd.DataFrame:
    """How often calls are right, by how sure the classifier is: the points of a reliability diagram.

    Parameters
    ----------
    probabilities
        (images, planes), rows sum to 1; those of several runs may stand below each other.
    labels
        (images,).
    bins
        Equally wide bins of the confidence, the highest probability of an image. Bins without images are left out.

    Returns
    -------
    pandas.DataFrame
        ``confidence`` and ``accuracy`` (means in the bin, 0-1), ``share`` of the images (0-1).

    References
    ----------
    Guo C, et al. On Calibration of Modern Neural Networks. ICML (2017), arXiv 1706.04599.
    """
    confidence = probabilities.max(axis=1)
    table = pd.DataFrame({"confidence": confidence, "accuracy": probabilities.argmax(axis=1) == labels})
    groups = table.groupby(np.minimum((confidence * bins).astype(int), bins - 1))
    return groups.mean().astype(float).assign(share=groups.size() / len(table)).reset_index(drop=True)
