"""Contents of ``summary.json`` and ``metrics.json``: the study in numbers."""

import math
from typing import Any, cast

import pandas as pd

from fetalkit import cohorts
from fetalkit.analysis import gains, intervals, recipes, results
from fetalkit.analysis.gains import Comparison
from fetalkit.analysis.results import SUMMARISED, Predictions
from fetalkit.analysis.terms import CLAIMED
from fetalkit.cohorts.audit import duplicate_counts
from fetalkit.config.params import Params

SIMULATED = "phantom"  # the kind of cohort whose real images are simulated


def simulated(cohort: str, settings: Params) -> bool:
    """Whether the real images of a cohort are simulated too."""
    return (settings.cohort.kind or cohort) == SIMULATED


def headline(
    compared: Comparison, table: pd.DataFrame, named: list[dict[str, Any]], quality: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """The answer in numbers, for `fetalkit.analysis.conclusions` and ``summary.json``.

    Parameters
    ----------
    compared
        Of the study.
    table
        The long table.
    named
        As `fetalkit.analysis.primary.compared` returns it.
    quality
        As `fetalkit.analysis.generator_quality.quality` returns it.

    Returns
    -------
    dict
        ``primary`` (`named`), ``generator`` (`quality`), ``best`` (as `fetalkit.analysis.recipes.best` returns it), ``claimed``
        elsewhere, and ``arms`` (as `fetalkit.analysis.gains.by_arm` returns it).
    """
    return {
        "primary": named,
        "generator": quality,
        "best": recipes.best(compared, table),
        "claimed": CLAIMED,
        "arms": gains.by_arm(compared),
    }


def summary(
    compared: Comparison, table: pd.DataFrame, pairs: pd.DataFrame, gained: pd.DataFrame, headline: dict
) -> dict:
    """Contents of ``summary.json``, apart from the time that the run took.

    Parameters
    ----------
    compared
        Of the study.
    table
        The long table.
    pairs
        Duplicates, as the audit lists them.
    gained, headline
        As `fetalkit.analysis.primary.with_corrected` and `headline` return them.

    Returns
    -------
    dict
        JSON types; None stands for what could not be measured, e.g. because a run failed.
    """
    predictions, study = compared.predictions, compared.predictions.study
    splits, seeds = study.table, list(study.params.splits.seeds)
    sizes, patients = {}, {}
    for part in ("train", "validation", "test"):
        rows = splits[(splits.part == part) & (splits.dropped == "")]
        sizes[f"n_{part}"], patients[f"patients_{part}"] = len(rows), rows.patient.nunique()
    official = splits.groupby("official_split").image_id.size()
    return plain(
        {
            "cohort": study.cohort,
            "title": cohorts.load(study.cohort, study.params.cohort).title,
            "simulated": simulated(study.cohort, study.params),
            "image_size": study.params.images.image_size,
            "planes": study.planes,
            **sizes,
            **{f"n_{side}_official": int(official[side]) for side in ("train", "test")},
            **patients,
            "duplicates": duplicate_counts(pairs) | {"dropped_from_test": int((splits.dropped != "").sum())},
            "seeds": seeds,
            "tested_on": study.tested_on,
            "shots": list(study.params.splits.shots),
            "budget": study.params.classify.model_dump(include={"pretrain_steps", "train_steps", "batch_size"}),
            "headline": headline,
            "unconverged": [{"classifier": name, "k": k} for name, k in sorted(compared.unconverged)],
            "failed_runs": failed(table),
            "arms": _by_arm(predictions, table),
            "gains": gained.to_dict("records"),
        }
    )


def failed(table: pd.DataFrame) -> list[str]:
    """Names of the runs that failed, from the long table."""
    rows = table[(table.metric == "accuracy") & table.value.isna()]
    return [f"{row.arm}_{row.classifier}_k{row.k}_seed{row.seed}" for row in rows.itertuples()]


def _by_arm(predictions: Predictions, table: pd.DataFrame) -> dict:
    nested: dict = {}
    for key, rows in table.groupby(["arm", "classifier", "k"], sort=False):
        arm, classifier, k = cast(tuple[str, str, str], key)
        entry = nested.setdefault(arm, {}).setdefault(classifier, {}).setdefault(k, {})
        for metric in (*SUMMARISED, *(f"{metric}_official" for metric in SUMMARISED)):
            values = rows[rows.metric == metric].sort_values("seed")
            entry[metric] = {
                "mean": round(float(values.value.mean(skipna=False)), 6),
                "per_seed": {str(seed): round(value, 6) for seed, value in zip(values.seed, values.value, strict=True)},
            }
        correct = predictions.correct(arm, classifier, k, sorted(set(rows.seed)))
        spread = intervals.accuracy(correct, predictions.test.group.to_numpy())
        entry["accuracy"] |= {"low": round(spread.low, 6), "high": round(spread.high, 6)}
    return nested


def metrics(table: pd.DataFrame, gained: pd.DataFrame, named: list[dict[str, Any]]) -> dict:
    """Few numbers for ``dvc metrics``: mean accuracy per arm and k, gain over the better control, and primary comparisons.

    Parameters
    ----------
    table
        The long table, of the classifiers that have converged.
    gained
        As `fetalkit.analysis.gains.table` returns it.
    named
        As `fetalkit.analysis.primary.compared` returns it.
    """
    mean = results.mean(table[table.metric == "accuracy"], ["arm", "k"]).round(4)
    numbers: dict[str, dict] = {"accuracy": {}, "gain": {}}
    for key, value in mean.items():
        arm, k = cast(tuple[str, str], key)
        numbers["accuracy"].setdefault(arm, {})[k] = float(value)
    for row in gained[gained.better_control & (gained.classifier == gains.MEAN)].itertuples():
        numbers["gain"].setdefault(row.arm, {})[row.k] = row.gain
    for entry in named:
        key = f"{entry['arm']} over {entry['control']}, {entry['classifier']}, k={entry['k']}"
        numbers.setdefault("primary", {})[key] = {"gain": entry["gain"], "p_holm": entry["p_holm"]}
    return plain(numbers)


def plain(value: Any) -> Any:
    """The same with None for NaN, which JSON lacks."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
