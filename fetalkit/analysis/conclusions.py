"""What a report says below its first screen, computed from its numbers. It says nothing that the corrected test does not."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fetalkit.analysis import answer, wording
from fetalkit.analysis.answer import detectable, why_missing
from fetalkit.analysis.generator_quality import SPACE, grade
from fetalkit.analysis.terms import COLUMNS, MEAN, SUBJECT, meaning, outcome
from fetalkit.analysis.wording import missing, percent

Entry = Mapping[Any, Any]
MEAN_OF = "the classifiers that have converged"
KNOWS = {
    "L0": "knowing the labelled images of the run alone",
    "L1": "knowing unlabelled train images too",
    "L2": "knowing images from elsewhere too",
    "L1+L2": "knowing unlabelled train images and images from elsewhere too",
}
_SHOWN = {"gain": "a gain", "loss": "a loss", "neither": "not told from zero"}


def details(headline: Mapping[str, Any], tested: bool = True) -> list[str]:
    """Each primary comparison, per classifier first; how good each generator was; the best recipes; the claim.

    Parameters
    ----------
    headline
        As `fetalkit.analysis.summary.headline` returns it.
    tested
        Whether its numbers are of test patients, and not of those whom choices are made on.
    """
    named = headline["primary"]
    ordered = [one for one in named if one["classifier"] != MEAN] + [one for one in named if one["classifier"] == MEAN]
    first = [confirmed(one, len(named)) for one in ordered] if tested else [_waiting(len(named))] * bool(named)
    first = first or [answer.EXPLORATORY if tested else answer.NONE_NAMED]
    return [*first, *generators(headline), *recipes(headline, tested), claim(headline)]


def _waiting(number: int) -> str:
    which = "it shows" if number == 1 else "they show"
    return f"{wording.counted(number, 'primary comparison')} named; what {which}, test decides."


def confirmed(entry: Entry, number: int) -> str:
    """What a primary comparison, one of `number`, says."""
    who = f"mean over {MEAN_OF}" if entry["classifier"] == MEAN else entry["classifier"]
    what = f"{who}, k = {entry['k']}: {entry['arm']} over {entry['control']} ({entry['level']})"
    shown = outcome(entry)
    if shown == "not measured":
        return f"**{what}: not measured, since {why_missing(entry)}.**"
    late = "" if entry["converged"] else " This classifier has not converged."
    corrected = f" after correction for {number} comparisons" if number > 1 else ""
    found = f" Such a study {text}" if (text := detectable(entry)) else ""
    return (
        f"**{what}: {wording.gain(entry)}, {_SHOWN[shown]}{corrected} (p = {wording.p_value(entry['p_holm'])}, two-sided).**"
        f"{found}{late}"
    )


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
            word = f"{word}, " if (word := grade(of)) else ""
            share = _beside(of["recognised_real"], percent(of["recognised_real"], 0))
            known.append(f"{word}{percent(of['recognised'], 0)} recognised as what they were asked for{share}")
        if of["fd"] is not None:
            distance = _beside(of["fd_real"], wording.number(of["fd_real"], 0))
            known.append(f"Fréchet distance {wording.number(of['fd'], 0)}{distance}")
        if of["near_copies"] is not None:
            known.append(f"{percent(of['near_copies'])} near-copies of train images")
        parts.append(f"at k = {k}: {', '.join(known)}")
    learnt = ""
    if entry["cas_share"] is not None:
        learnt = (
            f" A classifier trained on them alone, at the largest k, reaches {percent(entry['cas_share'], 0)} of the "
            "accuracy of one trained on real images."
        )
    return f"The images of *{name}*: {'; '.join(parts)} (in brackets: real images; distances in {SPACE}).{learnt}"


def _beside(real: float | None, text: str) -> str:
    return "" if real is None else f" ({text})"


def recipes(headline: Mapping[str, Any], tested: bool = True) -> list[str]:
    """One sentence per level: which recipe does best on validation patients, and whether it beats that level's best control."""
    sentences = []
    for entry in headline["best"]:
        among = entry["among"]
        first = f"of {among} recipes *{entry['arm']}* does best, and stands"
        if among == 1:
            first = f"*{entry['arm']}* is the only recipe, and stands"
        what = (
            f"{entry['level']} ({KNOWS[entry['level']]}), {COLUMNS[entry['images']]}: {first} on "
            f"validation patients, in the seeds that both have, at {wording.points(entry['validation_gain'])} against the best "
            "control of its level"
        )
        over = wording.listed(dict.fromkeys(entry["controls"].values())) if entry.get("controls") else ""
        if not tested:
            sentences.append(f"{what}; what it does on others is not known yet.")
            continue
        if not over or missing(entry.get("gain")):
            sentences.append(f"{what}; on test patients it was not measured, since a run failed.")
            continue
        sentences.append(
            f"{what} ({over}). On test patients: {wording.gain(entry)}, {_beats(entry, headline['primary'])}."
        )
    return sentences


def _beats(entry: Entry, named: Sequence[Entry]) -> str:
    """Whether primary comparisons say that a recipe beats its controls with these numbers of images."""
    mine = [one for one in named if one["arm"] == entry["arm"] and entry["controls"].get(one["k"]) == one["control"]]
    if not mine:
        return "which is exploratory: no comparison of the two was named beforehand"
    said = []
    for kind, words in (("gain", "it beats this control"), ("loss", "it falls behind this control")):
        if names := [f"{one['classifier']}, k = {one['k']}" for one in mine if outcome(one) == kind]:
            said.append(
                f"{words} in {'a ' * (len(names) == 1)}primary comparison{'s' * (len(names) > 1)} ({'; '.join(names)})"
            )
    if not said and {outcome(one) for one in mine} == {"not measured"}:
        return "and what was named beforehand of the two was not measured"
    if said:
        return f"and {' and '.join(said)}"
    which = (
        "no primary comparison of the two tells" if len(mine) > 1 else "the primary comparison of the two does not tell"
    )
    return f"and {which} it from zero"


def claim(headline: Mapping[str, Any]) -> str:
    """What is claimed elsewhere, and what was measured over the control of that claim."""
    claimed, over = headline["claimed"], headline["arms"].get(SUBJECT, {}).get("over_real", {})
    measured = [
        f"{wording.gain(over[column])} at {name}"
        for column, name in COLUMNS.items()
        if over.get(column) and not missing(over[column]["gain"])
    ]
    return (
        "Claimed elsewhere, by a secondary summary and not by the paper, over *real*: "
        f"{wording.points(claimed['full'])} on average, {wording.points(claimed['few_shot'])} with 50 or fewer images per "
        f"class. *{SUBJECT}* over *real* here: "
        f"{'; '.join(measured) or 'not measured'} (exploratory)."
    )


def primary_table(headline: Mapping[str, Any]) -> pd.DataFrame:
    """One row per primary comparison."""
    rows = [
        {
            "comparison": f"{one['arm']} over {one['control']}",
            "level": one["level"],
            "classifier": one["classifier"] + " (not converged)" * (not one["converged"]),
            "k": one["k"],
            "accuracy": one["accuracy"],
            "control's accuracy": one["accuracy_control"],
            "gain, points (95 % interval)": _with_interval(one),
            "p (Holm)": one["p_holm"],
            "smallest gain found 8 times in 10": one["smallest_detectable_gain"],
            "runs": one["n_runs"],
            "TFLOP per run": one["flops"] / 1e12,
        }
        for one in headline["primary"]
    ]
    return pd.DataFrame(rows)


def _with_interval(entry: Entry) -> str:
    gain = wording.number(entry["gain"], sign=True)
    return gain if missing(entry["low"]) else f"{gain} ({wording.span(entry['low'], entry['high'])})"


def arms_table(headline: Mapping[str, Any]) -> pd.DataFrame:
    """One row per arm of the headline and number of images; exploratory."""
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
                        "95 % interval": wording.span(entry["low"], entry["high"]),
                        "over real": _gain(of, "over_real", column),
                        "over real-long": _gain(of, "over_real_long", column),
                        "runs": entry["n_runs"],
                        "in the same runs": _gain(of, "same_runs", column),
                    }
                )
    return pd.DataFrame(rows)


def _gain(of: Entry, kind: str, column: str) -> float:
    entry = of[kind].get(column) if kind in of else None
    return entry["gain"] if entry else np.nan


def each(gained: pd.DataFrame, arm: str) -> list[str]:
    """One sentence per k: the gain of `arm` over the better control, and where its interval lies; not corrected."""
    rows = gained[gained.better_control & (gained.classifier == MEAN) & (gained.arm == arm)]
    return [
        f"{row['arm']}, k = {row['k']}: {wording.gain(row)} over {row['control']}, mean over classifiers: "
        f"{meaning(row['low'], row['high'])}, not corrected."
        for row in rows.to_dict("records")
    ]


def replacement(arms: Mapping[str, Entry]) -> list[str]:
    """One sentence per arm of the headline: by which factor it multiplies the real images."""
    return [_replaces(arm, of) for arm, of in arms.items() if of["worth_factor"] is not None]


def factors(arms: Mapping[str, Entry]) -> dict[str, str]:
    """Arm → by which factor it multiplies the real images, for the legend of a figure; those that have one."""
    signs = {"at most": "≤ ", "at least": "≥ "}
    return {
        arm: f"{signs.get(of['worth_bound'], '')}{wording.number(of['worth_factor'], 2)}"
        for arm, of in arms.items()
        if of["worth_factor"] is not None and not missing(of["worth_factor"])
    }


def _replaces(arm: str, of: Entry) -> str:
    factor, low, high, bound = (of[f"worth_{name}"] for name in ("factor", "low", "high", "bound"))
    if missing(factor):
        return f"{arm}: by which factor it multiplies the real images could not be measured: a run failed."
    if bound and _same(low, high):
        # Every resample ends at the edge of what was measured, so that there is no interval, and no factor.
        side = {"at least": "above", "at most": "below"}.get(bound, "outside")
        return f"{arm}: no factor can be given, since its accuracy lies {side} all that the better control reaches at any k."
    edges = {"at most": (low, "fewer", "fewer", f"up to {wording.number(high, 2)}")}
    edges |= {"at least": (high, "more", "more", f"down to {wording.number(low, 2)}")}
    edge, beyond, fewer, reach = edges.get(bound, (None, "", "", ""))
    if edge is not None and _same(factor, edge):
        return (
            f"{arm}: as good as {wording.number(factor, 2)} times the real images or {beyond}, since the better control was "
            f"trained with no {fewer} images; the 95{wording.SPACE}% interval reaches {reach} times. Geometric mean over all k "
            "but the largest."
        )
    about = {"": "", "unclear": "about "}.get(bound, f"{bound} ")
    return (
        f"{arm}: as good as {about}{wording.number(factor, 2)} times the real images "
        f"(95{wording.SPACE}% interval {wording.number(low, 2)} to {wording.number(high, 2)}), geometric mean over all k "
        "but the largest."
    )


def _same(low: float, high: float) -> bool:
    """Whether two ends of an interval are written alike."""
    return wording.number(low, 2) == wording.number(high, 2)
