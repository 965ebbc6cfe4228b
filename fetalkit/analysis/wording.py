"""How numbers are written in sentences, tables and figures: true minus signs, and spaces at which no line breaks.

All functions take None or NaN for what was not measured, and write `MISSING`.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from fetalkit.analysis.terms import SIGNIFICANT

MINUS, SPACE, MISSING = "\u2212", "\u00a0", "\u2013"


def missing(value: float | None) -> bool:
    """Whether a number was not measured."""
    return value is None or math.isnan(value)


def number(value: float | None, digits: int = 1, sign: bool = False) -> str:
    """A number with so many digits after the point; with `sign`, one above zero has a plus.

    >>> number(-2.71), number(3, 0), number(2.5, sign=True), number(-0.04, sign=True)
    ('−2.7', '3', '+2.5', '0.0')
    """
    if value is None or math.isnan(value):
        return MISSING
    text = f"{abs(value):,.{digits}f}"
    if not float(text.replace(",", "")):
        return text  # rounded to nothing, which has no sign
    return (MINUS if value < 0 else "+" if sign else "") + text


def percent(share: float | None, digits: int = 1) -> str:
    """A share in [0, 1] in percent.

    >>> percent(0.848) == "84.8" + SPACE + "%"
    True
    """
    return MISSING if share is None or math.isnan(share) else f"{number(100 * share, digits)}{SPACE}%"


def points(gain: float | None) -> str:
    """A gain in percentage points, with its sign.

    >>> points(-2.7) == "−2.7" + SPACE + "points"
    True
    """
    return MISSING if missing(gain) else f"{number(gain, sign=True)}{SPACE}points"


def span(low: float | None, high: float | None, digits: int = 1) -> str:
    """The two ends of an interval of a gain.

    >>> span(-4.4, 0.9) == "−4.4 to +0.9".replace(" ", SPACE)
    True
    """
    if missing(low) or missing(high):
        return MISSING
    return f"{number(low, digits, sign=True)}{SPACE}to{SPACE}{number(high, digits, sign=True)}"


def gain(entry: Mapping[Any, Any], low: str = "low", high: str = "high") -> str:
    """A gain with its 95 % interval, from a mapping with ``gain``, ``low`` and ``high``."""
    if missing(entry["gain"]):
        return "not measured"
    if missing(entry[low]) or missing(entry[high]):
        return f"{points(entry['gain'])} (no interval)"
    return f"{points(entry['gain'])} (95{SPACE}% interval {span(entry[low], entry[high])})"


def p_value(p: float | None) -> str:
    """A p-value that is never 0, and never rounded to the other side of the level that decides.

    >>> p_value(0.1837), p_value(0.03), p_value(0.04996), p_value(0.00002) == "<" + SPACE + "0.001"
    ('0.18', '0.030', '0.04996', True)
    """
    if p is None or math.isnan(p):
        return MISSING
    if p < 0.001:
        return "< 0.001".replace(" ", SPACE)
    digits = 2 if p >= 0.1 else 3
    while digits < 8 and (float(f"{p:.{digits}f}") < SIGNIFICANT) != (p < SIGNIFICANT):
        digits += 1
    return f"{p:.{digits}f}"


def listed(names: Iterable[Any]) -> str:
    """Names with commas, and "and" before the last one."""
    names = [str(name) for name in names]
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1] if names else ""


def as_list(sentences: Iterable[str]) -> str:
    """Sentences as one Markdown list."""
    return "\n".join(f"- {sentence}" for sentence in sentences)


def counted(amount: int, noun: str, plural: str = "") -> str:
    """A number of things: ``1 run``, ``3 runs``."""
    return f"{amount:,}{SPACE}{noun if amount == 1 else plural or noun + 's'}"
