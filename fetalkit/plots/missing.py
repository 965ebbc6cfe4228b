"""Marks where a value is missing: a run that failed is seen to have failed, and no mean is drawn over the others."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.typing import ColorType
from numpy.typing import ArrayLike

from fetalkit.plots.palette import MUTED, PAPER, Style

FAILED, NOT_MEASURED = "failed", "not measured"
_INK = MUTED
_HALO = withStroke(linewidth=2, foreground=PAPER)


def mean(values: pd.Series) -> float:
    """Mean, or NaN where one of the values is missing; to aggregate groups with."""
    return values.mean(skipna=False)


def mark_row(axis: Axes, place: float, colour: ColorType = _INK, word: str = FAILED) -> None:
    """Write `word` at the left end of a row, `place` being its height in data."""
    text = axis.text(0.015, place, f"× {word}", transform=axis.get_yaxis_transform(), color=colour)
    text.set(fontsize=7, va="center", ha="left", path_effects=[_HALO])


def mark_columns(axis: Axes, places: ArrayLike, colour: ColorType, line: int = 0) -> None:
    """Put a cross at the foot of each column.

    Parameters
    ----------
    axis
        Where to draw.
    places
        Columns, on the horizontal axis in data.
    colour
        Of what is missing.
    line
        Crosses on different lines do not hide each other.
    """
    columns = np.asarray(places, float)
    if not len(columns):
        return
    heights = np.full(len(columns), 0.03 + 0.045 * line)
    axis.plot(
        columns, heights, "x", transform=axis.get_xaxis_transform(), color=colour, markersize=6, markeredgewidth=1.8,
        gid=FAILED,
    )  # fmt: skip


def explain_crosses(axis: Axes, label: str = "a run failed: no mean", lines: int = 1) -> None:
    """Make room below the data for `lines` lines of `mark_columns`, and an entry for them in the legend still to be made."""
    axis.plot([], [], "x", color=_INK, markeredgewidth=1.8, label=label)
    low, high = axis.get_ylim()
    axis.set_ylim(low - (0.03 + 0.05 * lines) * (high - low), high)


def list_missing(axis: Axes, styles: Mapping[str, Style], missing: Sequence[tuple[str, str]]) -> None:
    """Say what a panel does not show and why, names in their own colours, one per line from the lower right corner up."""
    for line, (name, why) in enumerate(reversed(missing)):
        text = axis.annotate(
            f"× {name}: {why}", (1, 0), xytext=(-4, 4 + 9 * line), xycoords="axes fraction",
            textcoords="offset points", ha="right",
        )  # fmt: skip
        text.set(color=styles[name].colour, fontsize=7, path_effects=[_HALO])
