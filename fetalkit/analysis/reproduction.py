"""Whether a run gives again what was published: value by value, within what another machine may change.

On one kind of machine (`fetalkit.reporting.machine`) a study gives the same bits. Another one rounds differently, and trainings
then part as those of two seeds do. So what seeds change is what a machine may change:

- A value that was measured with several seeds is held against the published one by the means of its n seeds. They may differ by
  z · s · √(2 / n), where s is the standard deviation between seeds: pooled over all rows of the same measure (accuracy, Fréchet
  distance in one feature space, ...), or that of the row itself where it is larger. z is such that one table in a hundred would
  be named for no reason, whatever its number of values.
- A mean over more than seeds (classifiers, numbers of images) has the tolerance of its measure. A gain is the difference of two
  accuracies, so it may differ by √2 as much.
- A share or a distance that stands there with an interval of its own may differ by z / 1.96 · √2 of half its width.
- Numbers of images, names, splits and subsets must agree. Ends of intervals and p-values are judged by what they conclude
  (`fetalkit.analysis.reproduction_conclusions`).
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from fetalkit.utils.errors import FetalkitError

FALSE_ALARMS = 0.01  # share of tables that may be named for no reason
# What a run costs, and how often the test set was read, are no results.
IGNORED = ("wall_seconds", "wall_seconds_by_notebook", "training_core_seconds", "test_readings")
_ACCURACIES = ("accuracy", "accuracy_unaligned", "accuracy_with_standard_outline")
_GAINS = ("gain", "gain_over_unaligned", "change")
_FIDELITY = ("fd", "kid", "precision", "recall", "density", "coverage")
_WITH_INTERVAL = ("share", "distance")
_JUDGED = re.compile(
    r"(gain_)?(low|high)|p(_\w+)?|worth_\w+|better_control|converged|smallest_detectable_gain|flops|threshold|spread|sd|within|"
    "balanced_accuracy"
)
_DERIVED = ("generator", "best", "controls", "unconverged")  # entries of a summary that follow from other tables
_OF_POINTS = 100 * math.sqrt(2)  # a gain in points from two accuracies in [0, 1]
_OF = " of "
_HALF_95 = NormalDist().inv_cdf(0.975)
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


@dataclass(frozen=True)
class Comparison:
    """What became of one table: ``equal``, ``within`` the tolerance (equal ones are), and a line that says it."""

    name: str
    equal: bool
    within: bool
    line: str


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
        return _HALF_95 * float(row["sd"])
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
    return f"{measure}{_OF}{name}"


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def spreads(tables: Iterable[Table]) -> dict[str, tuple[float, int]]:
    """Measure → standard deviation between seeds, pooled over all rows that have at least two, and the number of seeds."""
    known: dict[str, tuple[list[float], int]] = {}
    for table in tables:
        seeded = table.measured[~table.measured.seed.isin(["", "-"])]
        for (_, measure), values in seeded.groupby(["key", "measure"], sort=False).value:
            if len(values) > 1 and values.notna().all():
                # Of each generator, and of all: for sets that have one seed.
                for name in {str(measure), _whole(str(measure))}:
                    variances, least = known.setdefault(name, ([], len(values)))
                    known[name] = ([*variances, float(values.var())], min(least, len(values)))
    return {measure: (math.sqrt(np.mean(variances)), least) for measure, (variances, least) in known.items()}


def _whole(measure: str) -> str:
    return measure.partition(_OF)[0]


def compare(published: Table, fresh: Table, spread: Mapping[str, tuple[float, int]], bits: bool) -> Comparison:
    """One table against the published one.

    Parameters
    ----------
    published, fresh
        As `read` returns them.
    spread
        As `spreads` returns it, of all tables of both runs.
    bits
        Whether both were made on one kind of machine, where every bit has to agree.
    """
    name = published.name
    if published.content == fresh.content:
        return Comparison(name, True, True, "equal, bit for bit")
    both = _means(published.measured).join(_means(fresh.measured), how="outer", lsuffix="_published", rsuffix="_fresh")
    gaps = [f"missing: {key}" for key in sorted(published.facts - fresh.facts)]
    gaps += [f"not published: {key}" for key in sorted(fresh.facts - published.facts)]
    gaps += [f"missing: {key[0]}" for key in both.index[both.rows_fresh.isna()]]
    gaps += [f"not published: {key[0]}" for key in both.index[both.rows_published.isna()]]
    if gaps:
        more = f", and {len(gaps) - 1} more" if len(gaps) > 1 else ""
        return Comparison(name, False, False, f"OTHER ROWS: {gaps[0]}{more}")
    both["allowed"] = _allowed(both, spread)
    both["off"] = (both.value_fresh - both.value_published).abs()
    # A run that has failed on one side alone is beyond any tolerance.
    both.loc[both.value_fresh.isna() & both.value_published.isna(), "off"] = 0.0
    both["off"] = both.off.fillna(math.inf)
    differing = int((both.off > 0).sum())
    if bits:
        line = f"NOT EQUAL: {_counted(differing, len(both))} differ; on one kind of machine none may; {_furthest(both)}"
        return Comparison(name, False, False, line)
    beyond = both[~(both.off <= both.allowed) & (both.off > 0)]
    if len(beyond):
        line = f"OUT OF TOLERANCE: {_counted(len(beyond), len(both))}; {_furthest(beyond)}"
        return Comparison(name, False, False, line)
    return Comparison(
        name, False, True, f"within tolerance: {_counted(differing, len(both))} differ; {_furthest(both)}"
    )


def _means(measured: pd.DataFrame) -> pd.DataFrame:
    """Per key and measure: mean over seeds, their number, their variance; NaN where one of them is."""
    grouped = measured.groupby(["key", "measure"], sort=False)
    return pd.DataFrame(
        {
            "value": grouped.value.agg(lambda values: values.mean(skipna=False)),
            "rows": grouped.value.size(),
            "variance": grouped.value.var(),
            "n": grouped.seed.agg(lambda seeds: 0 if (seeds == "").all() else len(seeds)),
            "factor": grouped.factor.first(),
            "own": grouped.own.first(),
        }
    )


def _allowed(both: pd.DataFrame, spread: Mapping[str, tuple[float, int]]) -> pd.Series:
    """How far each value may lie from the published one; NaN where no spread is known."""
    z = NormalDist().inv_cdf(1 - FALSE_ALARMS / 2 / max(len(both), 1))
    measures = both.index.get_level_values("measure")
    known = [spread.get(measure, spread.get(_whole(measure), (math.nan, 1))) for measure in measures]
    pooled, seeds = (np.array(part, dtype=float) for part in zip(*known, strict=True))
    n = np.where(both.n_published > 0, both.n_published, seeds)
    row = np.sqrt(both[["variance_published", "variance_fresh"]].max(axis=1).fillna(0.0))
    by_seeds = z * np.sqrt(2 / n) * both.factor_published * np.maximum(pooled, row)
    by_interval = z / _HALF_95 * math.sqrt(2) * both[["own_published", "own_fresh"]].max(axis=1)
    return by_interval.where(by_interval.notna(), by_seeds)


def _counted(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} values"


def _furthest(both: pd.DataFrame) -> str:
    """The value that lies furthest off, in terms of what is allowed."""
    share = (both.off / both.allowed).where(both.off > 0, 0.0)
    key: Any = share.fillna(math.inf).idxmax()
    row: Any = both.loc[key]
    allowed = "no tolerance is known, as no row has two seeds" if np.isnan(row.allowed) else f"± {row.allowed:.3g}"
    return f"furthest: {key[0]}: {row.value_fresh:.4g}, published {row.value_published:.4g} ({allowed})"
