"""Published tables, and those of a run, value by value: what each is of, and which tolerance it has.

What tolerances are is said in `fetalkit.analysis.reproduction`.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pandas as pd

from fetalkit.utils.errors import FetalkitError

# What a run costs, and how often the test set was read, are no results.
IGNORED = ("wall_seconds", "wall_seconds_by_notebook", "training_core_seconds", "test_readings")
_ACCURACIES = (
    *("accuracy", "baseline_accuracy", "unaligned_accuracy", "validation_accuracy", "accuracy_with_standard_outline"),
    *("macro_f1", "baseline_macro_f1", "accuracy_control", "accuracy_real"),
)
_GAINS = ("gain", "change")
_FIDELITY = ("fd", "kid", "precision", "recall", "density", "coverage")
_WITH_INTERVAL = ("share", "distance")
_JUDGED = re.compile(
    r"(gain_)?(low|high)|p(_\w+)?|worth_\w+|better_control|converged|smallest_detectable_gain|flops|threshold|spread|sd|within|"
    "balanced_accuracy"
)
_DERIVED = (
    "generator",
    "best",
    "chosen",
    "controls",
    "unconverged",
)  # entries of a summary that follow from other tables
_RECOGNISED = ("recognised", "recognised_by_k", "cas_share")
_OF_POINTS = 100 * math.sqrt(2)  # a gain in points from two accuracies in [0, 1]
OF = " of "
HALF_95 = NormalDist().inv_cdf(0.975)
_COLUMNS = ["key", "seed", "measure", "factor", "value", "own"]


@dataclass(frozen=True)
class Table:
    """A published table, or the same one of a run.

    Attributes
    ----------
    name
        Of the file.
    content
        What must be equal bit for bit on one kind of machine.
    measured
        One row per value: ``key`` (what it is of), ``seed`` (``""`` for a mean over seeds, ``"-"`` for a value of none),
        ``measure``, ``factor`` (tolerance over that of the measure), ``value``, ``own`` (half of its own interval, or NaN).
    facts
        All that must agree, as text.
    """

    name: str
    content: str
    measured: pd.DataFrame
    facts: frozenset[str]


def read(path: Path) -> Table:
    """A table, CSV or JSON.

    Raises
    ------
    FetalkitError
        When the file cannot be read as what its name says.
    """
    family = "transfer " if path.stem == "transfer" else ""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            content = {key: value for key, value in json.loads(text).items() if key not in IGNORED}
            text, rows = json.dumps(content, sort_keys=True), list(_leaves(content))
        else:
            rows = list(_cells(pd.read_csv(path, dtype={"k": str, "seed": str}, keep_default_na=False, na_values=[""])))
    except (OSError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise FetalkitError(f"{path}: not a readable table ({reason}); run or publish the study again") from None
    measured = pd.DataFrame([row for row in rows if not isinstance(row, str)], columns=_COLUMNS)
    measured["measure"] = family + measured.measure
    return Table(path.name, text, measured, frozenset(row for row in rows if isinstance(row, str)))


def _cells(frame: pd.DataFrame, place: str = "") -> Iterator[tuple | str]:
    """Values of a table, and what else its rows say."""
    if "run" in frame and "step" in frame:  # losses of a training, whose name ends with its seed
        parts = frame.run.str.extract(r"(.*)-seed(\d+)$")
        frame = frame.assign(run=parts[0].fillna(frame.run), seed=parts[1])
    values = [str(name) for name in frame if _is_measured(str(name), frame[name])]
    judged = [name for name in frame if _JUDGED.fullmatch(str(name)) and name not in values]
    seeds = frame.seed if "seed" in frame and values else None
    names = [name for name in frame if name not in values + judged and (name != "seed" or seeds is None)]
    for number, row in enumerate(frame.to_dict("records")):
        known = [f"{name} = {row[name]}" if name in ("k", "step", "n") else str(row[name]) for name in names]
        key = ", ".join([place, *known] if place else known).replace(", nan", "")
        seed = "" if seeds is None else "-" if pd.isna(seeds.iloc[number]) else str(seeds.iloc[number])
        if not values:
            yield key
        for name in values:
            measure, factor = _measure(name, row)
            yield key if name == "value" else f"{key}, {name}", seed, measure, factor, row[name], _own(name, row)


def _is_measured(name: str, column: pd.Series) -> bool:
    known = name in ("value", "loss", "control", *_ACCURACIES, *_GAINS, *_FIDELITY, *_WITH_INTERVAL)
    return known and pd.api.types.is_numeric_dtype(column)


def _measure(name: str, row: Mapping[Any, Any]) -> tuple[str, float]:
    """Whose spread between seeds a value has, and how many times that."""
    if name == "value":
        return str(row["metric"]), 1.0
    if name in _FIDELITY:
        return _of_set(f"{row.get('feature_space', row.get('of', ''))} {name}", row.get("set", "")), 1.0
    if name in (*_ACCURACIES, *_GAINS, "control"):
        group = f"[{row['group']}]" if "group" in row else ""
        accuracy = "recall" if row.get("of") == "plane" else "accuracy"
        return f"{accuracy if group else 'accuracy'}{group}", _OF_POINTS if name in _GAINS else 1.0
    return name, 1.0


def _own(name: str, row: Mapping[Any, Any]) -> float:
    if name == "fd" and pd.notna(row.get("sd")):
        return HALF_95 * float(row["sd"])
    if name in _WITH_INTERVAL and pd.notna(row.get("low")) and pd.notna(row.get("high")):
        return (float(row["high"]) - float(row["low"])) / 2
    return math.nan


def _leaves(content: Any, place: tuple[str, ...] = ()) -> Iterator[tuple | str]:
    """The same of a JSON file, whose keys say where a value stands."""
    if isinstance(content, list) and content and all(isinstance(item, dict) for item in content):
        yield from _cells(pd.DataFrame(content), ", ".join(place))
    elif isinstance(content, dict):
        for name, value in content.items():
            if name == "per_seed":
                for seed, number in value.items():
                    yield ", ".join(place), str(seed), place[-1], 1.0, _number(number), math.nan
            elif isinstance(value, dict | list):
                if name in _DERIVED:
                    continue
                yield from _leaves(value, (*place, str(name)))
            elif not (name == "mean" and "per_seed" in content) and not _JUDGED.fullmatch(str(name)):
                yield _leaf(content, place, str(name), value)
    else:
        yield f"{', '.join(place)}: {content}"


def _leaf(content: Mapping[str, Any], place: tuple[str, ...], name: str, value: Any) -> tuple | str:
    key, kind = ", ".join((*place, name)), place[-1] if place else ""
    first = place[0] if place else ""
    if isinstance(value, bool | str) or (value is None and not first):
        return f"{key}: {value}"
    if kind.startswith("by_"):
        accuracy = "recall" if kind == "by_plane" else "accuracy"
        return key, "", f"{accuracy}[{name}]", 1.0, _number(value), math.nan
    if first in _RECOGNISED:  # drawn by generators, whose seeds differ more than those of classifiers
        measure = "accuracy" if first == "cas_share" or name == "all" else f"recall[{name}]"
        return key, "", measure, 3.0, _number(value), math.nan
    if name in _ACCURACIES or first == "accuracy":
        return key, "", "accuracy", 1.0, _number(value), math.nan
    if name in _GAINS or first == "gain":
        return key, "", "accuracy", _OF_POINTS, _number(value), math.nan
    if name in _FIDELITY:
        return key, "", _of_set(f"{first} {name}", kind), 1.0, _number(value), math.nan
    if name in _WITH_INTERVAL:
        return key, "", name, 1.0, _number(value), _own(name, content)
    return f"{key}: {value}"


def _of_set(measure: str, name: str) -> str:
    """Generators differ in how much their seeds differ."""
    return f"{measure}{OF}{name}"


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
