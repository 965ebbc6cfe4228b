"""Accuracies with their intervals (`fetalkit.analysis.intervals`), as figures draw them: by arm, k, place and confidence.

What rests on fewer than `FEWEST` images is left out, and said to be: its intervals reach from nothing to all.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from fetalkit.analysis import intervals
from fetalkit.analysis.gains import Comparison
from fetalkit.analysis.results import Predictions
from fetalkit.config import runs
from fetalkit.config.runs import Run

FEWEST = 20  # images that a part of a figure rests on at least
_NUMBERS = ["accuracy", "low", "high"]


def of_arms(predictions: Predictions, table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of every arm, classifier and k, mean over its seeds.

    Parameters
    ----------
    predictions
        Of the study.
    table
        The long table, which says what there is.

    Returns
    -------
    pandas.DataFrame
        ``arm``, ``classifier``, ``k``, ``accuracy``, ``low``, ``high`` (0-1); NaN where a run failed.
    """
    patients, rows = predictions.test.group.to_numpy(), []
    for key, part in table.groupby(["arm", "classifier", "k"], sort=False):
        arm, classifier, k = cast(tuple[str, str, str], key)
        correct = predictions.correct(arm, classifier, k, sorted(set(part.seed)))
        rows.append({"arm": arm, "classifier": classifier, "k": k} | _span(correct, patients))
    return pd.DataFrame(rows, columns=["arm", "classifier", "k", *_NUMBERS])


def against_k(compared: Comparison, arms: Sequence[str]) -> pd.DataFrame:
    """Accuracy of some arms at every k, mean over classifiers and seeds: those that all these arms have there.

    Returns
    -------
    pandas.DataFrame
        ``arm``, ``k``, ``accuracy``, ``low``, ``high`` (0-1). A k at which no converged classifier has all of the arms that are
        trained there is left out: means over different classifiers would not be comparable.
    """
    rows = []
    for k in compared.settings.splits.shots:
        here = [arm for arm in arms if compared.classifiers(k, arm)]
        rows += [{"arm": arm, "k": k} | span for arm, span in _spans(compared, here, k).items()]
    order = {arm: place for place, arm in enumerate(arms)}
    return pd.DataFrame(rows, columns=["arm", "k", *_NUMBERS]).sort_values(
        "arm", key=lambda c: c.map(order), kind="stable"
    )


def at_every_k(compared: Comparison) -> list[str]:
    """Arms that some converged classifier has at every k, in the order of params.yaml."""
    arms = list(compared.settings.arms)
    shots = [k for k in compared.settings.splits.shots if any(compared.classifiers(k, arm) for arm in arms)]
    return [arm for arm in arms if shots and all(compared.classifiers(k, arm) for k in shots)]


def confusion(predictions: Predictions, arm: str, classifier: str, k: str) -> np.ndarray | None:
    """Numbers of calls (planes, planes), true plane by predicted plane, over all seeds; None where a run failed."""
    settings, planes = predictions.study.params, len(predictions.study.planes)
    seeds = runs.seeds_of(settings, arm, classifier, k)
    called = np.concatenate([predictions.probabilities(Run(arm, classifier, k, seed)) for seed in seeds])
    if np.isnan(called).any():
        return None
    true = np.tile(predictions.labels, len(seeds))
    return confusion_matrix(true, called.argmax(axis=1), labels=range(planes))


def by_place(compared: Comparison, arms: Sequence[str], k: str, of: str) -> pd.DataFrame:
    """Accuracy of some arms in every centre, machine or plane, mean over the classifiers and seeds that all of them have.

    Parameters
    ----------
    of
        ``"plane"``, ``"centre"`` or ``"machine"``.

    Returns
    -------
    pandas.DataFrame
        `of`, ``arm``, ``n`` (images), ``accuracy``, ``low``, ``high`` (0-1).
    """
    groups = compared.predictions.test[of].to_numpy()
    names = compared.predictions.study.planes if of == "plane" else sorted(set(groups))
    rows = []
    for group in (name for name in names if name):
        images = np.flatnonzero(groups == group)
        if len(images):
            spans = _spans(compared, arms, k, images)
            rows += [{of: group, "arm": arm, "n": len(images)} | span for arm, span in spans.items()]
    return pd.DataFrame(rows, columns=[of, "arm", "n", *_NUMBERS])


def reliability(
    probabilities: np.ndarray, labels: np.ndarray, patients: Sequence[str] | np.ndarray, bins: int = 10
) -> pd.DataFrame:
    """How often calls are right, by how sure the classifier is.

    Parameters
    ----------
    probabilities
        (seeds, images, planes).
    labels, patients
        (images,).
    bins
        Equally wide bins of the confidence, the highest probability of an image.

    Returns
    -------
    pandas.DataFrame
        ``confidence`` and ``accuracy`` (means in the bin), ``low`` and ``high`` (95 % interval over patients, of these runs),
        ``share`` of all calls (0-1), ``n`` calls. Bins of fewer than `FEWEST` calls, or of one patient, are left out.
    """
    confidence = probabilities.max(axis=2).ravel()
    right = (probabilities.argmax(axis=2) == labels).ravel().astype(float)
    whose = np.tile(np.asarray(patients), len(probabilities))
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = []
    for number in range(bins):
        inside = bin_of == number
        if inside.sum() < FEWEST or len(set(whose[inside])) < 2:
            continue
        span = _span(right[None, inside], whose[inside])
        rows.append({"confidence": confidence[inside].mean(), **span, "share": inside.mean(), "n": int(inside.sum())})
    return pd.DataFrame(rows, columns=["confidence", *_NUMBERS, "share", "n"])


def large_enough(part: pd.DataFrame, of: str) -> tuple[pd.DataFrame, str]:
    """Rows of groups of at least `FEWEST` images, and a sentence on those left out: empty if there are none."""
    small = part[part.n < FEWEST].drop_duplicates(of)
    named = ", ".join(f"{row[of]} (n = {row['n']})" for row in small.to_dict("records"))
    sentence = f"Left out, with fewer than {FEWEST} images: {named}." if named else ""
    return part[part.n >= FEWEST], sentence


def _spans(
    compared: Comparison, arms: Sequence[str], k: str, images: np.ndarray | slice = slice(None)
) -> dict[str, dict[str, float]]:
    """Arm → accuracy with its interval, over the classifiers and seeds that all arms have at k; empty if there are none."""
    names = compared.classifiers(k, *arms) if arms else []
    seeds = compared.seeds(k, names, *arms) if names else []
    if not seeds:
        return {}
    patients = compared.predictions.test.group.to_numpy()[images]
    return {arm: _span(compared.correct(arm, k, names, seeds)[:, images], patients) for arm in arms}


def _span(correct: np.ndarray, patients: np.ndarray) -> dict[str, float]:
    interval = intervals.accuracy(correct, patients)
    return {"accuracy": interval.estimate, "low": interval.low, "high": interval.high}
