"""The answer of a study in words, computed from its numbers. It says nothing that the corrected test does not."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fetalkit.analysis.generator_quality import SPACE
from fetalkit.analysis.terms import CLAIMED, COLUMNS, MEAN, SIGNIFICANT, meaning

Entry = Mapping[Any, Any]
SUBJECT = "diffusion"  # the set and the arm that the claim is about
MEAN_OF = "the classifiers that have converged"
KNOWS = {
    "L0": "knowing the labelled images of the run alone",
    "L1": "knowing unlabelled train images too",
    "L2": "knowing images from elsewhere too",
    "L1+L2": "knowing unlabelled train images and images from elsewhere too",
}
NOT_NAMED = (
    "**No primary comparison was named before test patients were read, so this report confirms nothing: every gain in it is "
    "exploratory.**"
)


def opening(headline: Mapping[str, Any]) -> list[str]:
    """The answer: how good the generator was; each primary comparison, per classifier first; the best recipes; the claim.

    Parameters
    ----------
    headline
        As `fetalkit.analysis.summary.headline` returns it.
    """
    named = headline["primary"]
    ordered = [one for one in named if one["classifier"] != MEAN] + [one for one in named if one["classifier"] == MEAN]
    tested = [confirmed(one, len(named)) for one in ordered] or [NOT_NAMED]
    return [*generators(headline), *tested, *recipes(headline), claim(headline)]


def size(entry: Entry) -> str:
    """A gain with its interval."""
    return f"{entry['gain']:+.1f} points (95 % interval {entry['low']:+.1f} to {entry['high']:+.1f})"


def _interval(entry: Entry) -> str:
    return "–" if _missing(entry["low"]) else f"{entry['low']:+.1f} to {entry['high']:+.1f}"


def holds(entry: Entry) -> bool | None:
    """Whether a primary comparison is told from zero after correction; None where it was not measured."""
    return None if _missing(entry["p_holm"]) else bool(entry["p_holm"] < SIGNIFICANT)


def confirmed(entry: Entry, number: int) -> str:
    """What a primary comparison, one of `number`, says."""
    who = f"mean over {MEAN_OF}" if entry["classifier"] == MEAN else entry["classifier"]
    what = f"{who}, k = {entry['k']}: {entry['arm']} over {entry['control']} ({entry['level']})"
    if not entry["n_runs"]:
        return f"**{what}: not measured, since no classifier that trains both has converged.**"
    if holds(entry) is None:
        return f"**{what}: not measured, since a run failed.**"
    verdict = "not told from zero"
    if holds(entry):
        verdict = "a gain" if entry["gain"] > 0 else "a loss"
    late = "" if entry["converged"] else " This classifier has not converged."
    return (
        f"**{what}: {size(entry)}, {verdict} after correction for {number} comparison{'s' * (number > 1)} "
        f"(p = {p_text(entry['p_holm'])}, two-sided).** Such a study finds a true gain of "
        f"{entry['smallest_detectable_gain']:.1f} points 8 times in 10.{late}"
    )


def p_text(p: float) -> str:
    """A p-value that is never 0."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def generators(headline: Mapping[str, Any]) -> list[str]:
    """One sentence per synthetic set that the answer is about: how good its images were, next to real ones."""
    quality, arms = headline["generator"], [SUBJECT, *(one["arm"] for one in headline["primary"])]
    sets = [name for name in dict.fromkeys(arms) if name in quality] or list(quality)[:1]
    shots = dict.fromkeys(one["k"] for one in headline["primary"])
    return [_generator(name, quality[name], list(shots)) for name in sets]


def _generator(name: str, entry: Entry, shots: Sequence[str]) -> str:
    by_k = entry["by_k"]
    shown = [k for k in by_k if k in shots] or list(by_k)
    parts = []
    for k in shown:
        of, known = by_k[k], []
        if of["recognised"] is not None:
            known.append(
                f"{of['recognised']:.0%} recognised as what they were asked for{_beside(of, 'recognised', '.0%')}"
            )
        if of["fd"] is not None:
            known.append(f"Fréchet distance {of['fd']:.0f}{_beside(of, 'fd', '.0f')}")
        if of["near_copies"] is not None:
            known.append(f"{of['near_copies']:.1%} near-copies of train images")
        parts.append(f"at k = {k} {', '.join(known)}")
    learnt = ""
    if entry["cas_share"] is not None:
        learnt = (
            f" A classifier trained on them alone, at the largest k, is {entry['cas_share']:.0%} as accurate as one trained on "
            "real images."
        )
    return f"The images of *{name}*: {'; '.join(parts)} (in brackets: real images; distances in {SPACE}).{learnt}"


def _beside(of: Entry, name: str, form: str) -> str:
    real = of[f"{name}_real"]
    return "" if real is None else f" ({real:{form}})"


def recipes(headline: Mapping[str, Any]) -> list[str]:
    """One sentence per level: which recipe does best on validation patients, and whether it beats that level's best control."""
    sentences = []
    for entry in headline["best"]:
        what = (
            f"{entry['level']} ({KNOWS[entry['level']]}), {COLUMNS[entry['images']]}: of {entry['among']} "
            f"recipe{'s' * (entry['among'] > 1)} *{entry['arm']}* gains most on validation patients"
        )
        over = ", ".join(dict.fromkeys(entry["controls"].values())) if entry.get("controls") else ""
        if not over or _missing(entry.get("gain")):
            sentences.append(f"{what}; on test patients it was not measured, since a run failed.")
            continue
        sentences.append(
            f"{what}. Over the best control of its level ({over}): {size(entry)}, {_beats(entry, headline['primary'])}."
        )
    return sentences


def _beats(entry: Entry, named: Sequence[Entry]) -> str:
    """Whether primary comparisons say that a recipe beats its controls with these numbers of images."""
    mine = [one for one in named if one["arm"] == entry["arm"] and entry["controls"].get(one["k"]) == one["control"]]
    if not mine:
        return "which is exploratory: no comparison of the two was named beforehand"
    won = [f"{one['classifier']}, k = {one['k']}" for one in mine if holds(one) and one["gain"] > 0]
    if won:
        return f"and it beats this control in the primary comparisons {'; '.join(won)}"
    return (
        f"and in {'none of the' if len(mine) > 1 else 'the one'} primary comparison{'s' * (len(mine) > 1)} of the two "
        + ("does it beat the control" if len(mine) > 1 else "it does not beat the control")
    )


def claim(headline: Mapping[str, Any]) -> str:
    """What is claimed elsewhere, and what was measured over the control of that claim."""
    claimed, over = headline["claimed"], headline["arms"].get(SUBJECT, {}).get("over_real", {})
    measured = [
        f"{size(over[column])} at {name}"
        for column, name in COLUMNS.items()
        if over.get(column) and _known(over[column])
    ]
    return (
        "Claimed elsewhere, by a secondary summary and not by the paper, over *real*: "
        f"{claimed['full']:+.1f} points on average, {claimed['few_shot']:+.1f} with 50 or fewer images per class. "
        f"*{SUBJECT}* over *real* here: "
        f"{'; '.join(measured) or 'not measured'} (exploratory)."
    )


def _known(entry: Entry) -> bool:
    return not _missing(entry["gain"])


def _missing(value: float | None) -> bool:
    return value is None or math.isnan(value)


def primary_table(headline: Mapping[str, Any]) -> pd.DataFrame:
    """One row per primary comparison."""
    rows = [
        {
            "level": one["level"],
            "arm": one["arm"],
            "over": one["control"],
            "classifier": one["classifier"] + " (not converged)" * (not one["converged"]),
            "k": one["k"],
            "gain, points": one["gain"],
            "95 % interval": _interval(one),
            "p (Holm)": one["p_holm"],
            "smallest gain found 8 times in 10": one["smallest_detectable_gain"],
            "runs": one["n_runs"],
            "PFLOP per run": one["flops"] / 1e15,
        }
        for one in headline["primary"]
    ]
    return pd.DataFrame(rows)


def arms_table(headline: Mapping[str, Any]) -> pd.DataFrame:
    """One row per arm of the headline and number of images: measured beside claimed; exploratory."""
    rows = []
    for arm, of in headline["arms"].items():
        for column, name in COLUMNS.items():
            if entry := of.get(column):
                rows.append(
                    {
                        "level": of["level"],
                        "arm": arm,
                        "images": name,
                        "over": ", ".join(dict.fromkeys(entry["controls"].values())),
                        "gain, points": entry["gain"],
                        "95 % interval": _interval(entry),
                        "over real": _gain(of, "over_real", column),
                        "over real-long": _gain(of, "over_real_long", column),
                        "runs": entry["n_runs"],
                        "in the same runs": _gain(of, "same_runs", column),
                        "claimed over real": CLAIMED[column] if arm == SUBJECT else np.nan,
                    }
                )
    return pd.DataFrame(rows)


def _gain(of: Entry, kind: str, column: str) -> float:
    entry = of[kind].get(column) if kind in of else None
    return entry["gain"] if entry else np.nan


def each(gained: pd.DataFrame, arm: str) -> list[str]:
    """One sentence per k: the gain of `arm` over the better control, and where its interval lies."""
    rows = gained[gained.better_control & (gained.classifier == MEAN) & (gained.arm == arm)]
    return [
        f"{row['arm']}, k = {row['k']}: {size(row)} over {row['control']}, mean over classifiers - "
        f"{meaning(row['low'], row['high'])}."
        for row in rows.to_dict("records")
    ]


def replacement(arms: Mapping[str, Entry]) -> list[str]:
    """One sentence per arm of the headline: by which factor it multiplies the real images."""
    sentences = []
    for arm, of in arms.items():
        factor = of["worth_factor"]
        if factor is None:
            continue
        if np.isnan(factor):
            sentences.append(
                f"{arm}: by which factor it multiplies the real images could not be measured: a run failed."
            )
            continue
        bound = {"": "", "unclear": "about "}.get(of["worth_bound"], f"{of['worth_bound']} ")
        sentences.append(
            f"{arm}: as good as {bound}{factor:.2f} times the real images "
            f"(95 % interval {of['worth_low']:.2f} to {of['worth_high']:.2f}), geometric mean over all k but the largest."
        )
    return sentences
