"""How notebooks show figures, tables and sentences.

Everything is one HTML output with an id, a caption and no script: it reads well in JupyterLab, and
:mod:`fetalkit.reporting.pages` numbers it.
"""

import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import Any

import matplotlib.pyplot as plt
import mistune
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import HTML, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage, BboxImage, FigureImage

from fetalkit.analysis.wording import MINUS, SPACE
from fetalkit.plots.palette import COLOURS, GRID, INK
from fetalkit.reporting import rendering, tables

_PICTURES = (AxesImage, BboxImage, FigureImage)

_markdown = mistune.create_markdown(escape=True)


def style() -> None:
    """Set the look of all figures of the study: colours for the colour-blind, legible type, thin lines."""
    # seaborn's grids lay themselves out; that they do so in spite of the setting below is no news to a reader.
    warnings.filterwarnings("ignore", message="The figure layout has changed to tight")
    sns.set_theme(
        context="notebook",
        style="ticks",
        palette=COLOURS,
        font="DejaVu Sans",
        rc={
            "figure.figsize": (6.4, 3.8),
            "figure.dpi": rendering.DPI,
            **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
            "axes.unicode_minus": True,
            "figure.constrained_layout.use": True,
            "font.size": 10.5,
            "axes.titlesize": 11,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.labelsize": 10.5,
            "xtick.labelsize": 10,
            "ytick.labelsize": 10,
            "legend.fontsize": 10,
            "legend.title_fontsize": 10,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.8,
            "axes.grid": True,
            "grid.color": GRID,
            "grid.linewidth": 0.8,
            "lines.linewidth": 1.8,
            "image.cmap": "gray",
        },
    )


def image(axes: Axes, pixels: np.ndarray, title: str = "") -> None:
    """Draw a grey image without ticks or frame.

    Parameters
    ----------
    axes
        Where to draw.
    pixels
        Array of shape (height, width); uint8, or floats in [0, 1].
    title
        Line above the image.
    """
    brightest = 255 if np.issubdtype(pixels.dtype, np.integer) else 1.0
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=brightest)
    axes.set_axis_off()
    axes.set_title(title, fontsize=9, fontweight="normal", loc="center")


def figure(fig: Figure, name: str, caption: str, alt: str | None = None) -> None:
    """Show a figure with its caption, and close it.

    Parameters
    ----------
    fig
        The figure, cropped to its content: a chart is drawn as SVG, as `fetalkit.reporting.rendering` says, pictures as PNG.
    name
        Identifier, unique in the notebook: letters, digits, ``-`` and ``_``.
    caption
        Plain text below the figure; the page puts "Figure n." before it.
    alt
        What a reader who cannot see the figure needs to know of it. Default: the caption.

    Raises
    ------
    ValueError
        When `name` has other characters.
    """
    # Pages of private cohorts leave out what is no chart.
    pictures = bool(fig.findobj(lambda artist: isinstance(artist, _PICTURES) or bool(artist.get_rasterized())))
    caption = _tied(caption)
    drawn = rendering.html(fig, _identifier(name), alt or caption, pictures)
    # Without closing it, the inline backend would show the figure a second time.
    plt.close(fig)
    _show(
        f'<figure id="{name}" class="fetalkit {"pictures" if pictures else "chart"}" style="margin:0">'
        f'<div style="overflow-x:auto">{drawn}</div><figcaption>{escape(caption)}</figcaption></figure>'
    )


def table(
    frame: pd.DataFrame,
    name: str,
    caption: str,
    formats: Mapping[Any, tables.Format] | None = None,
    index: bool = False,
    more: Collection[Any] = (),
    marks: tables.Marks = tables.NO_MARKS,
) -> None:
    """Show a table with its caption; numbers are aligned to the right, wide tables scroll.

    Parameters
    ----------
    frame
        The table. Column labels become the header, in plain words; levels of a label are joined by " · ".
    name
        Identifier, unique in the notebook: letters, digits, ``-`` and ``_``.
    caption
        Plain text above the table; the page puts "Table n." before it.
    formats
        Column label -> format specification (``".1%"``), format string (``"{:.1f} s"``) or function of a value.
        Default: four significant digits for floats, ``str`` for anything else. Missing values are shown as "–".
    index
        Show the index as well, as row headers.
    more
        Columns that a page shows only when they are asked for, and in print; whatever comes after seven others joins them.
    marks
        Which values are marked.

    Raises
    ------
    ValueError
        When `name` has other characters, or `formats`, `more` or `marks` name a column that does not exist.
    """
    formats = dict(formats or {})
    shown = frame.reset_index() if index else frame
    named = [*formats, *more, *marks.best, *marks.per, *([] if marks.corrected is None else [marks.corrected])]
    if unknown := [str(label) for label in named if label not in shown.columns]:
        raise ValueError(f"no column {', '.join(unknown)} in the table {name}; there are {list(shown.columns)}")
    _show(tables.html(shown, _identifier(name), caption, formats, frame.index.nlevels if index else 0, more, marks))


def note(text: str) -> None:
    """Show a computed statement; `text` is Markdown, in which HTML counts as plain text."""
    _show(f'<div class="fetalkit note">{str(_markdown(_tied(text))).strip()}</div>')


def failures(outcomes: Sequence[Any]) -> list[str]:
    """Show how many runs finished, and why the others did not; return the names of these.

    Parameters
    ----------
    outcomes
        As `fetalkit.experiments.engine.attempt` makes them.
    """
    failed = [outcome for outcome in outcomes if outcome.error]
    note(
        f"{len(outcomes) - len(failed)} of {len(outcomes)} runs finished."
        + (
            " Those below failed; every mean that they belong to is missing. `dvc repro --force` tries them again."
            if failed
            else ""
        )
    )
    for outcome in failed:
        note(f"**{outcome.run.name}**\n\n```\n{outcome.error}\n```")
    return [outcome.run.name for outcome in failed]


def facts(values: Mapping[str, Any]) -> None:
    """Show a short list of named values; a list of several is shown one below the other."""
    rows = "".join(f"<div><dt>{escape(str(key))}</dt><dd>{_fact(value)}</dd></div>" for key, value in values.items())
    _show(f'<dl class="fetalkit facts">{rows}</dl>')


def _fact(value: Any) -> str:
    if not isinstance(value, list | tuple):
        return tables.text(value)
    return f"<ul>{''.join(f'<li>{tables.text(of)}</li>' for of in value)}</ul>" if value else "none"


def _show(html: str) -> None:
    display(HTML(html))


def _tied(text: str) -> str:
    """The same text with spaces at which no line breaks between a number and its unit, and true minus signs."""
    text = re.sub(r"(?<=\d)\s?%", f"{SPACE}%", text)
    text = re.sub(r"(?<=\d) (?=(px|points?|images|patients|steps|seeds)\b)", SPACE, text)
    text = re.sub(r"\b(k|n|p|seed)( =)? (?=\d|all\b)", lambda found: found[0].replace(" ", SPACE), text)
    return re.sub(r"(?<=[\s(])-(?=\d)", MINUS, text)


def _identifier(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise ValueError(f"{name!r} is no name for a figure or table; use letters, digits, - and _ (a letter first)")
    return name
