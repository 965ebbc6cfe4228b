"""What tests ask of a figure: the words in it, the marks of what is missing, and its size."""

from matplotlib.figure import Figure

from fetalkit.plots.cohort import WIDTH
from fetalkit.plots.missing import FAILED


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
    assert box.width <= width - 0.08, name  # display.png leaves an edge of 0.05 inches on each side
    assert box.height <= 8 - 0.1, name
