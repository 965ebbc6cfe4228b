"""The forest plot of all published studies, as SVG with text that is text: in the page's colours, legible on a telephone."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from fetalkit.analysis.overview import Row
from fetalkit.analysis.wording import number, span

WIDTH, EDGE = 360, 14  # of the drawing, and left and right of the axis; units are px on a telephone
HEAD, LINE, FOOT = 30, 50, 44  # heights: of a study's name, of a comparison, of the axis
STEPS = (1, 2, 5, 10, 20, 50)  # points between ticks


def forest(studies: Mapping[str, Sequence[Row]]) -> str:
    """Gains with their 95 % intervals, study by study, as an ``svg`` element.

    Parameters
    ----------
    studies
        Name of a study → its comparisons. Dots are arms, diamonds are recipes that validation patients chose; filled are those
        that are told from zero after correction. A gain of None, because a run failed, is said in words.

    Returns
    -------
    str
        With the classes that ``templates/overview.html.j2`` gives colours to; each comparison is a group with its numbers as
        ``data-gain``, ``data-low`` and ``data-high``.
    """
    ends = [value for rows in studies.values() for row in rows for value in (row.low, row.high, row.gain)]
    low, high, ticks = _axis([value for value in ends if value is not None])

    def place(value: float) -> float:
        return round(EDGE + (WIDTH - 2 * EDGE) * (value - low) / (high - low), 1)

    parts, top = [], 0
    for name, rows in studies.items():
        parts.append(f'<text class="study" x="{EDGE}" y="{top + 20}">{escape(name)}</text>')
        top += HEAD
        for row in rows:
            parts.append(_comparison(row, top, place))
            top += LINE
    behind = [_tick(value, place(value), top) for value in ticks]
    height = top + FOOT
    return (
        f'<svg class="forest" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" '
        'aria-label="Gains of all studies with their intervals; the table below has the same numbers">'
        f'{"".join([*behind, *parts])}<text class="axis" x="{WIDTH / 2:g}" y="{height - 6}">gain in accuracy, points</text>'
        "</svg>"
    )


def _axis(values: Sequence[float]) -> tuple[float, float, list[int]]:
    """Ends of the axis, zero among them, and its ticks."""
    low, high = min([*values, -1]), max([*values, 1])
    step = next((step for step in STEPS if (high - low) / step <= 6), STEPS[-1])
    low, high = step * math.floor(low / step), step * math.ceil(high / step)
    return low, high, list(range(low, high + 1, step))


def _tick(value: int, x: float, bottom: int) -> str:
    kind = "grid" if value else "zero"
    return (
        f'<line class="{kind}" x1="{x}" x2="{x}" y1="{HEAD - 4}" y2="{bottom}"/>'
        f'<text class="tick" x="{x}" y="{bottom + 16}">{number(value, 0, sign=True)}</text>'
    )


def _comparison(row: Row, top: int, place) -> str:
    """One comparison: two lines of text, and its interval below them."""
    size = "a run failed" if row.gain is None else number(row.gain, sign=True)
    if row.low is not None and row.high is not None:
        size += f" ({span(row.low, row.high)})"
    about = f"over {row.control} · {row.images} · {row.classifier} · {row.level}"
    numbers = "".join(
        f' data-{name}="{value}"' for name in ("gain", "low", "high") if (value := getattr(row, name)) is not None
    )
    kind = "comparison" + " told" * row.told + " chosen" * row.chosen
    return (
        f'<g class="{kind}"{numbers}><text x="{EDGE}" y="{top + 11}">{escape(row.arm)}</text>'
        f'<text class="size" x="{WIDTH - EDGE}" y="{top + 11}">{escape(size)}</text>'
        f'<text class="about" x="{EDGE}" y="{top + 24}">{escape(about)}</text>{_mark(row, top + 35, place)}</g>'
    )


def _mark(row: Row, y: int, place) -> str:
    if row.gain is None:
        return ""
    line = ""
    if row.low is not None and row.high is not None:
        line = f'<line class="interval" x1="{place(row.low)}" x2="{place(row.high)}" y1="{y}" y2="{y}"/>'
    x = place(row.gain)
    if row.chosen:
        return f'{line}<path class="mark" d="M{x - 6:g} {y}l6 -6l6 6l-6 6z"/>'
    return f'{line}<circle class="mark" cx="{x}" cy="{y}" r="5"/>'
