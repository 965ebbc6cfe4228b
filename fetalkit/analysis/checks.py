"""Pass or fail: what has to hold of a run for its report to be believed, each checked on the tables of this very run.

A check that has nothing to look at is neither passed nor failed. The limits are fixed here, for all studies.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fetalkit.analysis.generator_quality import FAIR
from fetalkit.analysis.terms import outcome
from fetalkit.analysis.wording import counted, gain, listed, number, p_value, percent
from fetalkit.config import arms, runs
from fetalkit.config.params import Params
from fetalkit.config.shots import EVERY

MOST_COPIES = (
    0.05  # share of near-copies in a synthetic set; what unseen real images have is fidelity.near_copy_quantile
)
LEAST_RECOGNISED = FAIR  # of the share of real test images that is recognised
REPRODUCED = "Reproduction verified"
VERIFIED = "verified.json"  # in work/<study>: what `fetalkit verify` has found


@dataclass(frozen=True)
class Check:
    """A line of the list.

    Attributes
    ----------
    name
        What has to hold.
    passed
        None where there was nothing to check.
    said
        What was found, with its number.
    page
        Page of the report with the evidence; empty where there is none.
    """

    name: str
    passed: bool | None
    said: str
    page: str = ""


def splits_disjoint(table: pd.DataFrame) -> Check:
    """No patient in two parts; `table` as `fetalkit.data.splits.split` makes it."""
    used = table[table.dropped == ""]
    spread = used.groupby("patient").part.nunique()
    amount, parts = int((spread > 1).sum()), used.groupby("part").patient.nunique()
    each = listed(f"{parts[part]} {part}" for part in ("train", "validation", "test") if part in parts)
    said = f"{amount} of {counted(len(spread), 'patient')} in more than one part ({each})"
    if linked := int(used.linked.sum()):
        said += f"; {counted(linked, 'test image')} of patients who share another picture with a train patient are kept"
    return Check("Splits disjoint by patient", not amount, said, "03_splits.html")


def splits_of(tables: Mapping[str, pd.DataFrame]) -> Check:
    """The same for several cohorts: cohort → its splits."""
    each = {name: splits_disjoint(table) for name, table in tables.items()}
    said = "; ".join(f"{name}: {one.said}" for name, one in each.items())
    return Check("Splits disjoint by patient", all(one.passed for one in each.values()), said)


def duplicates_handled(table: pd.DataFrame, pairs: pd.DataFrame) -> Check:
    """No picture in two parts, nor twice in test; `pairs` as `fetalkit.cohorts.audit.duplicates` lists them."""
    part = dict(table.loc[table.dropped == "", ["image_id", "part"]].itertuples(index=False, name=None))
    both = [(part[a], part[b]) for a, b in zip(pairs.image_a, pairs.image_b, strict=True) if a in part and b in part]
    left = sum(a != b or a == "test" for a, b in both)
    said = (
        f"{counted(len(pairs), 'pair')} of equal or nearly equal images found, {left} of them left across two parts or "
        f"within test; {counted(int((table.dropped != '').sum()), 'image')} dropped"
    )
    return Check("Duplicates handled", not left, said, "01_cohort.html")


def pictures_apart(compared: int) -> Check:
    """No picture in two cohorts: of so many images that `fetalkit.experiments.leaks.check` has compared; it stops at one."""
    said = f"{counted(compared, 'image')} compared by file, perceptual hash and correlation, 0 pairs found"
    return Check(
        "No picture in two cohorts", True if compared else None, said if compared else "there is one cohort alone"
    )


def no_leak(settings: Params, table: pd.DataFrame, shots: pd.DataFrame, predicted: Collection[str]) -> Check:
    """What every run and its generator may see lies in train, and shares no patient and no image with what they are judged by.

    Parameters
    ----------
    settings
        Of the study.
    table, shots
        Splits and subsets of this run.
    predicted
        Names of the images that the runs were asked about.
    """
    used = table[table.dropped == ""].set_index("image_id")
    given = {(run.k, run.seed) for run in runs.all_runs(settings)}
    rows = shots[[pair in given for pair in zip(shots.k, shots.seed, strict=True)]]
    absent = {pair for pair in given - set(zip(rows.k, rows.seed, strict=True)) if pair[0] != EVERY}
    seen, judged = set(rows.image_id), set(used.index[used.part != "train"]) | set(predicted)
    outside = seen - set(used.index[used.part == "train"])
    patients = set(used.patient[used.index.isin(seen)]) & set(used.patient[used.part != "train"])
    said = (
        f"{counted(len(given), 'subset')} for runs and generators, {counted(len(seen), 'image')}: {len(outside)} of them "
        f"from outside train, {len(seen & judged)} among the images that runs are judged by, "
        f"{counted(len(patients), 'patient')} shared"
    )
    if absent:
        said += f"; {counted(len(absent), 'subset')} not recorded"
    shown = sorted({run.arm for run in runs.all_runs(settings) if _leaks(settings, run.arm)})
    if shown:
        said += f". {listed(shown)} sees all train images on purpose, and is no result"
    return Check("No leak", not (outside or patients or absent or seen & judged), said, "03_splits.html")


def _leaks(settings: Params, arm: str) -> bool:
    return any(runs.leaks(settings, source) for source in settings.arms[arm].sources)


def budgets_kept(settings: Params, budgets: pd.DataFrame, curves: pd.DataFrame, failed: Collection[str]) -> Check:
    """Every run that finished has spent the steps that its arm plans, by the table of budgets and by its learning curve."""
    spent: dict[Any, pd.DataFrame] = dict(iter(budgets.groupby(["arm", "classifier", "k", "seed"], sort=False)))
    ends = curves.groupby(["arm", "classifier", "k", "seed"]).total_step.max()
    finished = [run for run in runs.all_runs(settings) if run.name not in failed]
    wrong = []
    for run in finished:
        key = (run.arm, run.classifier, run.k, run.seed)
        steps = [int(count) for count in spent[key].steps] if key in spent else []
        if steps != _planned(settings, run, spent) or (key in ends.index and int(ends[key]) != sum(steps)):
            wrong.append(run.name)
    named = f"; not {listed(wrong[:3])}" + f" and {len(wrong) - 3} more" * (len(wrong) > 3) if wrong else ""
    kept = len(finished) - len(wrong)
    said = f"{kept} of {counted(len(finished), 'run')} that finished spent the steps planned{named}"
    return Check("Budgets kept", not wrong if finished else None, said, "07_classify.html")


def _planned(settings: Params, run: runs.Run, spent: Mapping[tuple, pd.DataFrame]) -> list[int]:
    def equal(arm: str) -> int:
        own, other = (spent.get((name, run.classifier, run.k, run.seed)) for name in (run.arm, arm))
        if own is None or other is None:
            return -1
        return max(1, round(other.total_flops.sum() / (own.classifier_flops.sum() / own.steps.sum())))

    budget = settings.classify.steps(run.classifier, run.k)
    return [phase.steps for phase in arms.phases(settings.arms[run.arm], *budget, equal)]


def runs_finished(number_of_runs: int, failed: Sequence[str], page: str = "07_classify.html") -> Check:
    """No run failed."""
    named = f": {listed(failed[:3])}" + f" and {len(failed) - 3} more" * (len(failed) > 3) if failed else ""
    return Check("Runs finished", not failed, f"{len(failed)} of {counted(number_of_runs, 'run')} failed{named}", page)


def few_copies(quality: Mapping[str, Mapping[str, Any]], sets: Iterable[str]) -> Check:
    """Near-copies below the limit in all of `sets`; `quality` as `fetalkit.analysis.generator_quality.quality` returns it."""
    found = _measured(quality, sets, "near_copies")
    name = f"Near-copies below {percent(MOST_COPIES, 0)} in images of diffusion models"
    if not found:
        return Check(name, None, "not measured")
    (worst, k), share = max(found.items(), key=lambda item: item[1])
    return Check(
        name,
        share < MOST_COPIES,
        f"at most {percent(share)} by pixels, in {worst} at k = {k}, mean over seeds",
        "06_fidelity.html",
    )


def recognised(quality: Mapping[str, Mapping[str, Any]], sets: Iterable[str]) -> Check:
    """The planes of all of `sets` are recognised nearly as often as those of real test images."""
    own = _measured(quality, sets, "recognised")
    found = {
        at: share / real for at, share in own.items() if (real := quality[at[0]]["by_k"][at[1]]["recognised_real"])
    }
    name = f"Generator recognised at least {number(LEAST_RECOGNISED)} times as often as real images"
    if not found:
        return Check(name, None, "not measured")
    (worst, k), part = min(found.items(), key=lambda item: item[1])
    real = quality[worst]["by_k"][k]["recognised_real"]
    said = f"{number(part, 2)} times at the k where it is least: {percent(own[worst, k], 0)} of {worst} at k = {k}, "
    said += f"{percent(real, 0)} of real images, all planes together"
    return Check(name, part >= LEAST_RECOGNISED, said, "06_fidelity.html")


def _measured(quality: Mapping[str, Mapping[str, Any]], sets: Iterable[str], what: str) -> dict[tuple[str, str], float]:
    """(set, k) → number, where it was measured."""
    every = {(name, k): entry[what] for name in sets if name in quality for k, entry in quality[name]["by_k"].items()}
    return {at: value for at, value in every.items() if value is not None}


def positive_control(named: Sequence[Mapping[str, Any]], arm: str) -> list[Check]:
    """The arm that has to gain, of the primary comparisons, does; no check where it is in none of them."""
    found = []
    for entry in named:
        if entry["arm"] == arm:
            shown = outcome(entry)
            said = (
                f"{gain(entry)} over {entry['control']} at k = {entry['k']}, p = {p_value(entry['p_holm'])} (corrected)"
            )
            passed = None if shown == "not measured" else shown == "gain"
            found.append(Check(f"Positive control ahead ({arm})", passed, "a run failed" if passed is None else said))
    return found


def reproduced(record: Path, results: Path) -> Check:
    """What `fetalkit verify` found of these very results.

    Parameters
    ----------
    record
        Where it leaves its finding; a finding of other results does not count.
    results
        Table of results of this run.
    """
    name = REPRODUCED
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        if found["results"] != digest(results):
            return Check(name, None, "not checked in this run: what was verified are other results")
        said = f"{found['within']} of {counted(found['tables'], 'table')} within tolerance of what is published"
        said += ", and no conclusion changes" if found["conclusions_hold"] else ", but a conclusion changes"
        return Check(name, found["within"] == found["tables"] and found["conclusions_hold"], said)
    except (OSError, ValueError, KeyError, TypeError):
        return Check(name, None, "not checked in this run; `fetalkit verify` does")


def not_reproduced_yet() -> Check:
    """Of results that are published in place of others: that they differ from those is no failed reproduction of them."""
    return Check(REPRODUCED, None, "these results are new; no other run has been held against them yet")


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
