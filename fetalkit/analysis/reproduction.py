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

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from fetalkit.analysis.reproduction_tables import HALF_95, OF, Table
from fetalkit.analysis.reproduction_tables import read as read

FALSE_ALARMS = 0.01  # share of tables that may be named for no reason


@dataclass(frozen=True)
class Comparison:
    """What became of one table: ``equal``, ``within`` the tolerance (equal ones are), and a line that says it."""

    name: str
    equal: bool
    within: bool
    line: str


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
    return measure.partition(OF)[0]


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
    by_interval = z / HALF_95 * math.sqrt(2) * both[["own_published", "own_fresh"]].max(axis=1)
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
