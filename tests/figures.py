"""What tests ask of a figure: the words and numbers in its drawing, the marks of what is missing, and its size."""

import re

import numpy as np
from bs4 import BeautifulSoup, Tag
from matplotlib.figure import Figure

from fetalkit.plots.cohort import WIDTH
from fetalkit.plots.missing import FAILED
from fetalkit.reporting import rendering


def marks(figure: Figure) -> list[str]:
    """Texts that mark something as missing, panel by panel."""
    return [text.get_text() for axis in figure.axes for text in axis.texts if text.get_text().startswith("×")]


def crosses(figure: Figure) -> list[list[float]]:
    """Columns with crosses at their feet, one list per thing that is missing something."""
    return [list(line.get_xdata()) for axis in figure.axes for line in axis.lines if line.get_gid() == FAILED]


def fits(figure: Figure, name: str, width: float = WIDTH) -> None:
    """Check that nothing sticks out of the page, which would shrink the whole figure on it."""
    figure.draw_without_rendering()
    box = figure.get_tightbbox()  # inches
    assert box.width <= width - 0.08, name  # rendering leaves an edge of 0.05 inches on each side
    assert box.height <= 8 - 0.1, name


def read(figure: Figure) -> dict[str, np.ndarray]:
    """What the SVG of a figure shows, as a reader would take it from there: by the ticks of the axes and their labels.

    Name of an artist (its ``gid``) → (points, 2): in data where the labels of an axis are numbers, else the label's number.
    """
    page = BeautifulSoup(rendering.inline(rendering.svg(figure), "figure", "A figure"), "html.parser")
    every = [axes for axes in page.select(".axes") if axes.path]  # of a grid, some places may be empty
    found: dict[str, np.ndarray] = {}
    for axes in every:
        # Panels that share an axis have its labels once.
        scales = [
            next(
                filter(None, (_scale(one, side) for one in [axes, *every] if _ends(one, side) == _ends(axes, side))),
                None,
            )
            for side in "xy"
        ]
        for artist in axes.select("[data-of]"):
            shown = [(float(use["x"]), float(use["y"])) for use in artist.select("use")]
            if not shown:
                numbers = re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", " ".join(path["d"] for path in artist.select("path")))
                shown = [(float(x), float(y)) for x, y in numbers]
            values = [np.polyval(scale, [at[i] for at in shown]) for i, scale in enumerate(scales) if scale is not None]
            assert artist["data-of"] not in found, "two artists have one name"
            found[artist["data-of"]] = np.stack(values, axis=1)
    return found


def _ends(axes: Tag, side: str) -> tuple[float, float]:
    """Where the ground of a panel begins and ends."""
    numbers = [float(number) for number in re.findall(r"[-\d.]+", axes.path["d"])]
    along = numbers["xy".index(side) :: 2]
    return min(along), max(along)


def _scale(axes: Tag, side: str) -> list[float] | None:
    """From a place in the drawing to data, as a straight line through the labelled ticks; None with fewer than two of them."""
    ticks = [tick for tick in axes.select(f".{side}tick") if tick.select_one("use") and tick.select_one("text")]
    places = [float(tick.select_one("use")[side]) for tick in ticks]
    words = [" ".join(text.get_text() for text in tick.select("text")) for tick in ticks]
    try:
        values = [float(word.replace("\u2212", "-").replace(",", "")) for word in words]
    except ValueError:
        values = list(range(len(words)))
    return list(np.polyfit(places, values, 1)) if len(ticks) > 1 else None
