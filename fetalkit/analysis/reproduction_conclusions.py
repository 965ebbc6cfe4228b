"""What a study concludes, as short statements that can be held against those of another run."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from fetalkit.analysis.published import current
from fetalkit.analysis.terms import COLUMNS, MEAN, SIGNIFICANT, meaning

_NONE = "no method gains"


def statements(summary: Mapping[str, Any]) -> dict[str, str]:
    """Subject → what the study says of it, from a ``summary.json`` or ``transfer.json``.

    Of every gain whether it is a gain, a loss, or not told from zero (the sign of an effect counts where its interval leaves
    out zero); of those that were named beforehand whether it stands the correction for their number; and the best of the
    methods that gain.
    """
    known = current(summary)
    return dict([*_of_headline(known), *_of_gains(known), *_of_transfer(known)])


def changed(published: Mapping[str, str], fresh: Mapping[str, str]) -> list[str]:
    """One line for every statement that differs, or that one run alone makes."""
    subjects = dict.fromkeys([*published, *fresh])
    return [
        f"{subject}: {fresh.get(subject, 'nothing')}; published: {published.get(subject, 'nothing')}"
        for subject in subjects
        if published.get(subject) != fresh.get(subject)
    ]


def turned(published: Mapping[str, Any], fresh: Mapping[str, Any]) -> list[str]:
    """Subjects whose gain has another sign, though neither run tells it from zero: chance, and no conclusion."""
    before, after = (dict(_signs(summary)) for summary in (published, fresh))
    return [subject for subject, sign in before.items() if after.get(subject, sign) == -sign]


def _of_headline(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    headline = summary.get("headline", {})
    for entry in headline.get("primary", []):
        subject = f"{entry['arm']} over {entry['control']}, {entry['classifier']}, k = {entry['k']}"
        yield subject, _meaning(entry)
        yield f"{subject}, corrected", _significant(entry["p_holm"])
    for column, name in COLUMNS.items():
        arms = headline.get("arms", {})
        for arm, entry in {arm: of[column] for arm, of in arms.items() if of.get(column)}.items():
            yield f"{arm} at {name}", _meaning(entry)
        compared = {arm: of["same_runs"][column] for arm, of in arms.items() if of.get("same_runs", {}).get(column)}
        if compared:
            yield f"best at {name}", _best(compared)


def _of_gains(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for row in summary.get("gains", []):
        if row["classifier"] == MEAN and row["better_control"]:
            yield f"{row['arm']}, k = {row['k']}", _meaning(row)


def _of_transfer(summary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for row in summary.get("primary", []):
        yield f"{row['view']}, {row['method']}, corrected", _significant(row["p_holm"])
    for view, by_level in summary.get("directions", {}).items():
        for level, by_method in by_level.items():
            # An earlier edition measured no gain over the baseline of a level.
            entries = {name: _of_method(of) for name, of in by_method.items() if of.get("gain") is not None}
            for method, entry in entries.items():
                yield f"{view}, {method}", _meaning(entry)
            if entries:
                yield f"{view}, best knowing {level}", _best(entries)


def _of_method(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: entry[key] for name, key in {"gain": "gain", "low": "gain_low", "high": "gain_high"}.items()}


def _signs(summary: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Signs of the gains of a headline that are not told from zero."""
    for arm, of in current(summary).get("headline", {}).get("arms", {}).items():
        for column, name in COLUMNS.items():
            entry = of.get(column)
            if entry and entry["gain"] and entry["low"] is not None and entry["low"] <= 0 <= entry["high"]:
                yield f"{arm} at {name}", 1 if entry["gain"] > 0 else -1


def _meaning(entry: Mapping[str, Any]) -> str:
    return meaning(*(math.nan if entry[end] is None else entry[end] for end in ("low", "high")))


def _significant(p: float | None) -> str:
    if p is None or math.isnan(p):
        return "not tested"
    return "differs after correction" if p < SIGNIFICANT else "does not differ after correction"


def _best(entries: Mapping[str, Mapping[str, Any]]) -> str:
    gaining = {name: entry["gain"] for name, entry in entries.items() if entry["low"] is not None and entry["low"] > 0}
    return max(gaining, key=lambda name: gaining[name]) if gaining else _NONE
