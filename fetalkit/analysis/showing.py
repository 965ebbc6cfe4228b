"""Which figures would show nothing: each function returns what there is to say instead, or nothing if there is more to see."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from fetalkit.analysis import wording
from fetalkit.analysis.accuracies import FEWEST

ALIKE = 0.1  # curves that part by less than this share of their height lie on each other
NOTHING = 0.05  # a recall up to this is none
WIDE = 0.5  # share of all that could be: an interval that is wider tells nothing


def one_size(index: pd.DataFrame) -> str:
    """Of the table of images: whether all files are equally large.

    Examples
    --------
    >>> one_size(pd.DataFrame({"width": [96, 96], "height": [64, 64]})).replace(wording.SPACE, " ")
    'All 2 source files are 96 × 64 px: no network can tell a place by the size of its files.'
    >>> one_size(pd.DataFrame({"width": [96, 80], "height": [64, 64]}))
    ''
    """
    sizes = index[["width", "height"]].drop_duplicates()
    if len(sizes) != 1:
        return ""
    width, height = sizes.iloc[0]
    size = f"{width} × {height} px".replace(" ", wording.SPACE)
    return f"All {len(index)} source files are {size}: no network can tell a place by the size of its files."


def alike_losses(losses: Mapping[str, Sequence[float]]) -> str:
    """Of losses per step: whether all trainings lie on one line over the second half of the steps that they share."""
    curves = [np.asarray(values, float) for values in losses.values() if len(values)]
    if len(curves) < 2:
        return ""
    steps = min(map(len, curves))
    tail = np.stack([curve[steps // 2 : steps].mean() for curve in curves])
    apart = (tail.max() - tail.min()) / abs(tail.mean())
    if not apart < ALIKE:
        return ""
    first = np.mean([curve[: max(1, steps // 40)].mean() for curve in curves])
    last = np.mean([curve[-max(1, steps // 40) :].mean() for curve in curves])
    return (
        f"The losses of {wording.listed(losses)} lie on one line: from {first:.2g} at the first steps they went to {last:.2g} "
        f"at the last, and over the later half of the steps that they share they part by {wording.percent(apart, 0)}."
    )


def no_recall(table: pd.DataFrame, diversity: str = "recall") -> str:
    """Of the table of guidance: whether hardly any real image is reached at any scale."""
    reached = table[diversity].max()
    if np.isnan(reached) or reached > NOTHING:
        return ""
    return (
        f"At no kind and scale of guidance does the generator reach more than {wording.percent(reached)} of the real images "
        f"({diversity}), so there is nothing to trade accuracy against: it lies between "
        f"{wording.percent(table.accuracy.min())} and {wording.percent(table.accuracy.max())}."
    )


def wide_intervals(table: pd.DataFrame, value: str, least: float, most: float) -> tuple[pd.DataFrame, str]:
    """Rows whose interval tells something, and a sentence on the others: those wider than half of all that could be."""
    wide = (table.high - table.low) > WIDE * (most - least)
    if not wide.any():
        return table, ""
    return table[~wide], (
        f"{int(wide.sum())} of {len(table)} {value} have intervals that are wider than half of all that could be, and are left "
        "out here: they rest on too few patients. The tables have them."
    )


def too_few(n: int, what: str) -> str:
    """Whether a comparison rests on fewer images than figures are drawn of."""
    return f"{what}: only {n} images of each can be compared, fewer than {FEWEST}; no figure." if n < FEWEST else ""
