"""Tables as HTML that reads well without script: at most seven columns at first, plain names, the best and the certain marked.

:mod:`fetalkit.reporting.page_body` adds what shows the other columns, and the page's script lets readers sort and filter.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

import numpy as np
import pandas as pd

from fetalkit.analysis import names, wording
from fetalkit.analysis.terms import SIGNIFICANT

MISSING = wording.MISSING
MOST_COLUMNS = 7  # that a page shows at first
MOST_ROWS = 25  # longer tables scroll on the screen
SORTED_ROWS = 12  # shorter ones are read at a glance
BEST = {"highest": "▲", "lowest": "▼"}
CERTAIN = "★"
INTERVAL = "95 % interval"

Format = str | Callable[[Any], str]
_NUMBER = re.compile(r"[+-]?\d[\d,]*(\.\d+)?")


@dataclass(frozen=True)
class Marks:
    """Which values a table marks, by bold type and a sign.

    Attributes
    ----------
    best
        Column → whether its highest or its lowest value is the best.
    per
        Columns whose equal values make a group: the best is looked for in each. Default: one group.
    among
        Which rows take part, e.g. no set of real images where generators are compared. Default: all.
    corrected
        Column of p-values, corrected for their number, of which those below 0.05 are marked.
    """

    best: Mapping[Any, Literal["highest", "lowest"]] = field(default_factory=dict)
    per: Sequence[Any] = ()
    among: Sequence[bool] | None = None
    corrected: Any = None

    def legend(self, frame: pd.DataFrame) -> str:
        """What the signs mean, for the caption."""
        of = f" for each {wording.listed(_label(label) for label in self.per)}" if self.per else ""
        found = [f"Bold {BEST[way]}: the {way}{of}." for way in dict.fromkeys(self.best.values())]
        if self.corrected is not None:
            few = "" if (frame[self.corrected] < SIGNIFICANT).any() else ", which none is"
            found.append(f"{CERTAIN}: corrected p below {SIGNIFICANT}{few}.")
        return " ".join(found)

    def signs(self, frame: pd.DataFrame, label: Any, shown: Sequence[str]) -> list[str]:
        """The sign of every value of a column, or nothing; values that look alike are as good as each other."""
        signs = [""] * len(frame)
        if label == self.corrected:
            return [CERTAIN if p < SIGNIFICANT else "" for p in frame[label]]
        if label not in self.best:
            return signs
        way, among = self.best[label], np.ones(len(frame), bool) if self.among is None else np.asarray(self.among)
        values = frame[label].where(among).reset_index(drop=True)
        groups = frame[list(self.per)].astype(str).agg(" ".join, axis=1).to_list() if self.per else [""] * len(frame)
        for _, group in values.dropna().groupby([groups[place] for place in values.dropna().index]):
            best = shown[group.idxmax() if way == "highest" else group.idxmin()]
            equal = [place for place in group.index if shown[place] == best]
            if len(equal) < len(group):
                for place in equal:
                    signs[place] = BEST[way]
        return signs


NO_MARKS = Marks()


def html(
    frame: pd.DataFrame,
    identifier: str,
    caption: str,
    formats: Mapping[Any, Format],
    headers: int,
    more: Collection[Any],
    marks: Marks,
) -> str:
    """The element of a table; parameters as those of `fetalkit.reporting.display.table`.

    Parameters
    ----------
    headers
        How many of the first columns are headers of their rows.
    """
    labels = [label for label in frame.columns if label not in more]
    labels, folded = labels[:MOST_COLUMNS], [*labels[MOST_COLUMNS:], *(of for of in frame.columns if of in more)]
    columns = []
    for place, label in enumerate([*labels, *folded]):
        kind = "more" if place >= len(labels) else ""
        columns.append(_column(frame, label, formats.get(label), place < headers, kind, marks))
    head = "".join(header for header, _ in columns)
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in zip(*(cells for _, cells in columns), strict=True))
    about, legend = escape(caption), marks.legend(frame)
    kinds = (
        "table" + " folds" * bool(folded) + " sorts" * (len(frame) >= SORTED_ROWS) + " long" * (len(frame) > MOST_ROWS)
    )
    return (
        f'<div class="fetalkit {kinds}" role="region" tabindex="0" aria-label="{about}" style="overflow-x:auto">'
        f'<table id="{identifier}"><caption><span>{about}{f" {legend}" if legend else ""}</span></caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def with_interval(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with ``low`` and ``high``, the ends of an interval of a gain, in one column of text."""
    return frame.assign(
        **{INTERVAL: [wording.span(low, high) for low, high in zip(frame.low, frame.high, strict=True)]}
    )


def text(value: Any, form: Format | None = None) -> str:
    """Escaped text of one value: a set or metric by its plain name, numbers with true minus signs."""
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return MISSING
    if callable(form):
        written = form(value)
    elif form is not None:
        written = form.format(value) if "{" in form else format(value, form)
    elif isinstance(value, bool | np.bool_):
        written = "yes" if value else "no"
    elif isinstance(value, float | np.floating):
        written = f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    else:
        written = names.PLAIN.get(str(value), str(value))
    return escape(_typeset(written))


def _typeset(written: str) -> str:
    """True minus signs, and no line that breaks before %."""
    written = re.sub(r"(?<![\w-])-(?=\d)", wording.MINUS, written)
    return re.sub(r"(?<=\d) ?%", f"{wording.SPACE}%", written)


def _label(label: Any) -> str:
    """A column's label in words; levels are joined by " · "."""
    parts = label if isinstance(label, tuple) else (label,)
    return " · ".join(names.plain(str(part)) for part in parts if str(part))


def _column(
    frame: pd.DataFrame, label: Any, form: Format | None, header: bool, kind: str, marks: Marks
) -> tuple[str, list[str]]:
    """Header cell and body cells of one column."""
    values = frame[label]
    numeric = pd.api.types.is_numeric_dtype(values.infer_objects()) and not pd.api.types.is_bool_dtype(values)
    align = f'style="text-align:{"right" if numeric else "left"}"'
    shown = [text(value, form) for value in values]
    signs, keys = marks.signs(frame, label, shown), _keys(values, numeric)
    cells = [
        _cell(of, sign, header, kind, f"{key} {align}".strip())
        for of, sign, key in zip(shown, signs, keys, strict=True)
    ]
    return f'<th scope="col"{_classes(kind)} {align}>{escape(_label(label))}</th>', cells


def _keys(values: pd.Series, numeric: bool) -> list[str]:
    """Attributes that a column is sorted by: numbers by their value, also in texts that begin with one; k = all comes last."""
    if numeric:
        return ['data-order=""' if pd.isna(value) else f'data-order="{float(value):.6g}"' for value in values]
    told = ["" if value is None or pd.isna(value) else str(value) for value in values]
    found = [_NUMBER.match(of) for of in told]
    if not any(found) or any(of not in ("", "all") for of, number in zip(told, found, strict=True) if not number):
        return [""] * len(told)
    numbers = [float(of.group().replace(",", "")) if of else 1e9 for of in found]
    return [f'data-order="{number:.6g}"' if of else 'data-order=""' for number, of in zip(numbers, told, strict=True)]


def _cell(shown: str, sign: str, header: bool, kind: str, attributes: str) -> str:
    if header:
        return f'<th scope="row"{_classes(kind)} {attributes}>{shown}</th>'
    # Short texts stay on one line, longer ones may wrap.
    kind += " long" * (len(shown) > 40)
    if sign:
        means = f"corrected p below {SIGNIFICANT}" if sign == CERTAIN else "best"
        shown = f'<strong>{shown}{wording.SPACE}<span role="img" aria-label="{means}">{sign}</span></strong>'
    return f"<td{_classes(kind)} {attributes}>{shown}</td>"


def _classes(kind: str) -> str:
    return f' class="{kind.strip()}"' if kind.strip() else ""
