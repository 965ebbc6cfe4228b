"""Metrics of the predictions of one run: each is one registered function.

A metric of one's own is a function in a module of one's own, which `load` imports::

    from fetalkit.metrics.classification import metric

    @metric("errors", title="errors (images)")
    def errors(probabilities, labels, planes):
        return float((probabilities.argmax(axis=1) != labels).sum())
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, roc_auc_score

from fetalkit.utils.errors import FetalkitError

CALIBRATION_BINS = 15

# Probabilities (images, planes), labels (images,) and names of the planes -> one number, or one per name, e.g. per plane.
Metric = Callable[[np.ndarray, np.ndarray, Sequence[str]], float | Mapping[str, float]]


@dataclass(frozen=True)
class _Registered:
    title: str
    function: Metric


_REGISTRY: dict[str, _Registered] = {}


def metric(name: str, title: str) -> Callable[[Metric], Metric]:
    """Decorator that registers a metric of predictions.

    Parameters
    ----------
    name
        Its name in the long table; a metric that returns a mapping gets a row ``name[key]`` for every key.
    title
        What figures and pages call it.

    Raises
    ------
    FetalkitError
        When another function has registered the name.
    """

    def register(function: Metric) -> Metric:
        known = _REGISTRY.get(name)
        # The same function once more, as when a module is loaded again, takes its own place.
        if known is not None and _origin(known.function) != _origin(function):
            raise FetalkitError(
                f"metric {name!r}: {_origin(function)} takes a name that {_origin(known.function)} has; choose another"
            )
        _REGISTRY[name] = _Registered(title, function)
        return function

    return register


def _origin(function: Metric) -> str:
    return f"{function.__module__}.{getattr(function, '__qualname__', function)}"


def registered() -> dict[str, str]:
    """Name → title of all metrics, in the order in which they were registered."""
    return {name: entry.title for name, entry in _REGISTRY.items()}


def titles(modules: Sequence[str] = ()) -> dict[str, str]:
    """As `registered`, once the modules that register further metrics are imported; raises as `load`."""
    load(modules)
    return registered()


def load(modules: Sequence[str]) -> None:
    """Import modules that register further metrics.

    Parameters
    ----------
    modules
        Names such as ``"package.module"``; ``metrics`` of ``params.yaml``.

    Raises
    ------
    FetalkitError
        When one cannot be imported, or registers a name twice.
    """
    for name in modules:
        try:
            importlib.import_module(name)
        except FetalkitError:
            raise
        except Exception as error:
            raise FetalkitError(
                f"metrics: {name} cannot be imported ({type(error).__name__}: {error}); "
                "install it, or correct its name in params.yaml"
            ) from error


def metrics(probabilities: np.ndarray, labels: np.ndarray, planes: Sequence[str]) -> dict[str, float]:
    """All registered metrics of one set of predictions.

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
        (expected calibration error, 15 bins) and ``recall[<plane>]``, all in [0, 1], and what else is registered. Averages
        are over the planes that occur in `labels`.

    Raises
    ------
    FetalkitError
        When a metric returns neither a number nor a mapping of numbers.
    """
    values: dict[str, float] = {}
    for name, entry in _REGISTRY.items():
        result = entry.function(probabilities, labels, planes)
        of = (
            {f"{name}[{key}]": value for key, value in result.items()}
            if isinstance(result, Mapping)
            else {name: result}
        )
        try:
            values |= {key: float(value) for key, value in of.items()}
        except (TypeError, ValueError):
            raise FetalkitError(
                f"metric {name!r}: {_origin(entry.function)} returned {result!r}; return a number, or name -> number"
            ) from None
    return values


@metric("accuracy", title="accuracy")
def accuracy(probabilities: np.ndarray, labels: np.ndarray, planes: Sequence[str]) -> float:
    """Share of the images that are called right, in [0, 1]."""
    return float(accuracy_score(labels, probabilities.argmax(axis=1)))


@metric("balanced_accuracy", title="balanced accuracy")
def balanced_accuracy(probabilities: np.ndarray, labels: np.ndarray, planes: Sequence[str]) -> float:
    """Mean recall of the planes that occur in `labels`, in [0, 1]."""
    return float(balanced_accuracy_score(labels, probabilities.argmax(axis=1)))


@metric("macro_f1", title="macro F1")
def macro_f1(probabilities: np.ndarray, labels: np.ndarray, planes: Sequence[str]) -> float:
    """Mean F1 score of the planes that occur in `labels`, in [0, 1]."""
    present = _present(labels, planes)
    undefined: Any = 0.0  # of a plane that is never called; the type of the parameter is that of its default
    return float(
        f1_score(labels, probabilities.argmax(axis=1), labels=present, average="macro", zero_division=undefined)
    )


@metric("macro_auroc", title="macro AUROC")
def macro_auroc(probabilities: np.ndarray, labels: np.ndarray, planes: Sequence[str]) -> float:
    """Mean area under the ROC curve of the planes that occur in `labels`, each against the rest; NaN if there is no rest."""
    areas = [
        roc_auc_score(labels == number, probabilities[:, number])
        for number in _present(labels, planes)
        if (labels != number).any()
    ]
    return float(np.mean(areas)) if areas else float("nan")


@metric("calibration_error", title="calibration error")
def calibration_error(probabilities: np.ndarray, labels: np.ndarray, planes: Sequence[str]) -> float:
    """Expected calibration error over 15 equal bins of the confidence, in [0, 1]."""
    # Here, not above: who only reads stored results need not wait for torch.
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    given, true = torch.from_numpy(probabilities), torch.from_numpy(labels)
    return float(multiclass_calibration_error(given, true, len(planes), n_bins=CALIBRATION_BINS))


@metric("recall", title="recall")
def recall(probabilities: np.ndarray, labels: np.ndarray, planes: Sequence[str]) -> dict[str, float]:
    """Share of the images of a plane that are called so, in [0, 1], for every plane that occurs in `labels`."""
    present = _present(labels, planes)
    called = probabilities.argmax(axis=1)
    return {planes[number]: float((called[labels == number] == number).mean()) for number in present}


def _present(labels: np.ndarray, planes: Sequence[str]) -> list[int]:
    """Numbers of the planes that occur in `labels`."""
    return [number for number in range(len(planes)) if (labels == number).any()]
