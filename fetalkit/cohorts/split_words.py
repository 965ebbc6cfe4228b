"""What tables write into the column that says train or test."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

WORDS = {"train": ("train", "training"), "test": ("test", "testing")}
YES, NO = ("1", "1.0", "yes", "y", "true"), ("0", "0.0", "no", "n", "false")


def meaning(column: str, given: Mapping[Any, Sequence[str]] | None = None) -> dict[str, str]:
    """Word in small letters → ``"train"`` or ``"test"``.

    Yes and no (1 and 0, true and false) mean something only in a column whose name says of what: ``Train`` or ``is_test``.

    Parameters
    ----------
    column
        Name of the column.
    given
        ``"train"`` and ``"test"`` → the words that mean them; then no others do.
    """
    if given:
        return {word.casefold(): part for part, words in given.items() for word in words}
    known = {word: part for part, words in WORDS.items() for word in words}
    of = [part for part in WORDS if part in column.casefold()]
    if len(of) == 1:
        (other,) = set(WORDS) - set(of)
        known |= dict.fromkeys(YES, of[0]) | dict.fromkeys(NO, other)
    return known


def parts(cells: pd.Series, column: str, given: Mapping[Any, Sequence[str]] | None = None) -> pd.Series:
    """``"train"`` or ``"test"`` of every cell; NaN where it says neither."""
    return cells.str.casefold().map(meaning(column, given))


def advice(cells: pd.Series) -> str:
    """What to do about cells that say neither, for the end of a message."""
    words = ", ".join(f'"{word}"' for word in dict.fromkeys(cells))
    return (
        f"write train or test, or say what the words mean: cohort.split: {{train: [...], test: [...]}} (here: {words})"
    )
