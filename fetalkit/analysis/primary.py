"""The comparisons that were named before test was read: each with its gain, its one corrected p, and the study's power."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fetalkit.analysis import intervals, power
from fetalkit.analysis.gains import P_DIGITS, Comparison
from fetalkit.analysis.terms import MEAN, PAPERS, SIGNIFICANT, SUBJECT
from fetalkit.config import runs
from fetalkit.config.params import Params
from fetalkit.config.runs import Run

Cost = Callable[[Run], float]  # floating-point operations of a run: of its generator, of drawing and of the classifier
_KEYS = ["arm", "control", "classifier", "k"]


def compared(comparison: Comparison, cost: Cost) -> list[dict[str, Any]]:
    """Every primary comparison, in the order of ``report.comparisons``.

    Parameters
    ----------
    comparison
        Of the study.
    cost
        As `costs` returns it.

    Returns
    -------
    list of dict
        ``level``, ``arm``, ``control``, ``classifier`` (`MEAN`: those that have converged and train both), ``k``; ``gain`` of
        the arm over the control, ``low``, ``high`` (points, 95 %), two-sided ``p``, and ``p_holm``, corrected for the number of
        primary comparisons; ``accuracy``, ``accuracy_control`` and ``accuracy_real`` (of the arm, of the control and of the
        paper's control with the same classifiers and seeds, 0-1); ``n_runs`` (pairs) of ``n_seeds``, ``flops`` (mean over the
        runs of the arm), ``converged``, ``sets`` (synthetic ones that the arm trains on), ``diffusion`` (whether a diffusion
        model has drawn one of them, or lends its weights), and ``smallest_detectable_gain`` (points): the smallest true gain
        that such a study would tell from zero 8 times in 10. What could not be measured is NaN, and counts in the correction
        all the same.
    """
    named = comparison.settings.report.comparisons
    entries = [_entry(comparison, one, len(named), cost) for one in named]
    p = np.array([entry["p"] for entry in entries], dtype=float)
    # What was named and not measured counts too: otherwise a gap would make the others look surer.
    corrected = np.where(np.isnan(p), np.nan, intervals.holm(np.nan_to_num(p, nan=1.0)))
    return [
        entry | {"p": round(entry["p"], P_DIGITS), "p_holm": round(float(of_all), P_DIGITS)}
        for entry, of_all in zip(entries, corrected, strict=True)
    ]


def _entry(comparison: Comparison, named: Any, number: int, cost: Cost) -> dict[str, Any]:
    names = [named.classifier]
    if named.classifier == MEAN:
        names = comparison.classifiers(named.k, named.arm, named.control)
    seeds = comparison.seeds(named.k, names, named.arm, named.control)
    about = {
        "level": comparison.settings.arms[named.arm].level,
        "arm": named.arm,
        "control": named.control,
        "classifier": named.classifier,
        "k": named.k,
        "converged": bool(names) and all(comparison.converged(name, named.k) for name in names),
        "n_runs": len(names) * len(seeds),
        "n_seeds": len(seeds),
        "sets": comparison.settings.arms[named.arm].sources,
        "diffusion": of_diffusion(comparison.settings, named.arm),
    }
    if not seeds:
        missing = ("gain", "low", "high", "p", "smallest_detectable_gain", "flops")
        return about | dict.fromkeys((*missing, "accuracy", "accuracy_control", "accuracy_real"), float("nan"))
    difference = comparison.difference(named.arm, named.control, named.k, names, seeds)
    parts = intervals.parts(difference, comparison.predictions.test.group.to_numpy())
    detectable = power.smallest_gain(parts, SIGNIFICANT / number)
    costs = [cost(Run(named.arm, name, named.k, seed)) for name in names for seed in seeds]
    reached = {
        "accuracy": comparison.accuracy(named.arm, named.k, names, seeds),
        "accuracy_control": comparison.accuracy(named.control, named.k, names, seeds),
        "accuracy_real": comparison.accuracy(PAPERS, named.k, names, seeds),
    }
    sure = {"smallest_detectable_gain": round(100 * detectable, 3), "flops": float(np.mean(costs))}
    return about | reached | comparison.gain(difference) | sure


def of_diffusion(settings: Params, arm: str) -> bool:
    """Whether an arm trains on what a diffusion model has drawn, or begins with its weights; by the names of generators."""
    own = settings.arms[arm]
    used = [runs.generator_of(settings, source) for source in (*own.sources, own.initial) if source]
    return any(name.startswith(SUBJECT) for name in used)


def costs(budgets: pd.DataFrame) -> Cost:
    """What every run costs all in all, from the table of budgets; NaN for runs that are not in it, since they failed."""
    total = budgets.groupby(["arm", "classifier", "k", "seed"]).total_flops.sum()
    return lambda run: float(total.get((run.arm, run.classifier, run.k, run.seed), np.nan))


def with_corrected(gained: pd.DataFrame, entries: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The table of gains with ``p_holm``: that of the primary comparisons; all other rows have none.

    Where a comparison has one classifier alone, the mean over classifiers is this very comparison, and has its p.
    """
    corrected = pd.DataFrame(entries, columns=[*_KEYS, "p_holm"])
    each = gained[gained.classifier != MEAN]
    alone = each.drop_duplicates([*_KEYS]).groupby(["arm", "control", "k"]).filter(lambda rows: len(rows) == 1)
    as_mean = corrected.merge(alone[_KEYS], on=_KEYS).assign(classifier=MEAN)
    corrected = pd.concat([corrected, as_mean]).drop_duplicates(_KEYS)
    return gained.merge(corrected.astype({"p_holm": float}), how="left", on=_KEYS, validate="many_to_one")
