"""Colours, markers and dashes: whatever has a name looks the same in every figure, whichever others a figure shows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgb

Colour = tuple[float, float, float]
Line = Literal["-", "--", ":", "-."]

# What a page may draw in other colours: words and axes, references, grid, and the ground with the insides of open marks.
INK, MUTED, GRID, PAPER = "#1d2530", "#566273", "#e3e6ea", "#fffffe"
# Told apart without full colour vision: M. A. Petroff, Accessible color sequences for data visualization, arXiv 2107.02270.
COLOURS = ("#1845fb", "#ff5e02", "#c849a9", "#86c8dd", "#c91f16", "#adad7d", "#578dff", "#656364")
_MARKERS = "osD^vPX<>*"
_LINES: tuple[Line, ...] = ("-", "--", ":", "-.")
# Arms of the study, each with its place: one look in all cohorts, on all pages, for the arm and for the synthetic set of its
# name. Arms that are often seen together stand in one line, whose colours differ; others follow.
ARMS = (
    *(
        "real-long",
        "diffusion",
        "simulation",
        "replay",
        "diffusion-guided",
        "simulation-matched",
        "pseudo-label",
        "real",
    ),
    *("gan", "mixup", "diffusion-then-fixmatch", "diffusion-phantoms", "phantoms-and-guided", "simulation-fourier"),
    *(
        "fixmatch",
        "cutmix",
        "real+ultrasound",
        "diffusion-novel",
        "diffusion-unlabelled",
        "synthetic-only",
        "real-compute",
    ),
    *("interpolation", "diffusion-encoder", "other-cohort", "diffusion-ceiling", "unlabelled-encoder"),
    *("simulation-then-fixmatch", "oversampled", "guided-then-fixmatch", "guided-low-share", "guided-fourier"),
    *("diffusion-low-share", "diffusion-mixed-25", "diffusion-mixed-50", "diffusion-mixed-75", "balanced-softmax"),
)


@dataclass(frozen=True)
class Style:
    """How something with a name is drawn; `linestyle` is for lines without markers."""

    colour: Colour
    marker: str
    linestyle: Line


def styles(names: Iterable[str]) -> dict[str, Style]:
    """One style per name, by its place among `names`.

    Colour and marker together differ between any 80 names, colour and line between any 32; colours come round after 8, with
    the next marker and the next kind of line.
    """
    looks: dict[str, Style] = {}
    for number, name in enumerate(dict.fromkeys(names)):
        turn, place = divmod(number, len(COLOURS))
        marker = _MARKERS[(place + turn) % len(_MARKERS)]
        looks[name] = Style(to_rgb(COLOURS[place]), marker, _LINES[(place + turn) % len(_LINES)])
    return looks


def arm_styles(all_arms: Sequence[str], shown: Iterable[str] = ()) -> dict[str, Style]:
    """One style per arm: those of `ARMS` have their own in every study, further ones follow.

    Parameters
    ----------
    all_arms
        Every arm of the study in the order of params.yaml, whether a figure shows it or not.
    shown
        Names that a figure shows. Those that are no arms come after all arms, sorted.
    """
    looks = styles([*ARMS, *all_arms, *sorted(set(shown) - set(all_arms))])
    return {name: looks[name] for name in dict.fromkeys([*all_arms, *shown])}


def set_styles(all_sets: Sequence[str], shown: Iterable[str] = ()) -> dict[str, Style]:
    """One style per set of images: greys for sets of real images (``real`` and ``real_...``), those of arms for synthetic ones.

    Parameters
    ----------
    all_sets
        Every set of the study, whether a figure shows it or not.
    shown
        Names that a figure shows. Those that are not among `all_sets` come after them, sorted.
    """
    names = [*dict.fromkeys(all_sets), *sorted(set(shown) - set(all_sets))]
    real = [name for name in names if name == "real" or name.startswith("real_")]
    synthetic = arm_styles([name for name in names if name not in real])
    greys = np.linspace(0.62, 0.4, len(real))  # seen on a light and on a dark ground
    return synthetic | {
        name: Style((grey, grey, grey), style.marker, style.linestyle)
        for (name, style), grey in zip(styles(real).items(), greys.tolist(), strict=True)
    }


def shades(number: int) -> list[Style]:
    """Styles of what has an order, such as k: from dark to light, on which ground ever, each with a kind of line of its own."""
    return [
        Style(tuple(colour[:3]), _MARKERS[place % len(_MARKERS)], _LINES[place % len(_LINES)])
        for place, colour in enumerate(colormaps["viridis"](np.linspace(0.15, 0.85, number)))
    ]
