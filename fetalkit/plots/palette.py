"""Colours, markers and dashes: whatever has a name looks the same in every figure, whichever others a figure shows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import seaborn as sns

Colour = tuple[float, float, float]

# seaborn's palette for the colour-blind; ten colours are all that they tell apart.
_COLOURS: list[Colour] = [(red, green, blue) for red, green, blue in sns.color_palette("colorblind", 10)]
_MARKERS = "osD^vPX<>*"
_LINES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Style:
    """How something with a name is drawn; `linestyle` is for lines without markers."""

    colour: Colour
    marker: str
    linestyle: str


def styles(names: Iterable[str]) -> dict[str, Style]:
    """One style per name, by its place among `names`.

    Colour and marker together differ between any 100 names, colour and line between any 40; colours come round after 10, with
    the next marker and the next kind of line.
    """
    looks: dict[str, Style] = {}
    for number, name in enumerate(dict.fromkeys(names)):
        turn, place = divmod(number, len(_COLOURS))
        marker = _MARKERS[(place + turn) % len(_MARKERS)]
        looks[name] = Style(_COLOURS[place], marker, _LINES[(place + turn) % len(_LINES)])
    return looks


def arm_styles(all_arms: Sequence[str], shown: Iterable[str] = ()) -> dict[str, Style]:
    """One style per arm of the study.

    Parameters
    ----------
    all_arms
        Every arm of the study in the order of params.yaml, whether a figure shows it or not.
    shown
        Names that a figure shows. Those that are no arms come after all arms, sorted.
    """
    return styles([*all_arms, *sorted(set(shown) - set(all_arms))])


def set_styles(all_sets: Sequence[str], shown: Iterable[str] = ()) -> dict[str, Style]:
    """One style per set of images: greys for sets of real images (``real`` and ``real_...``), colours for synthetic ones.

    Parameters
    ----------
    all_sets
        Every set of the study, whether a figure shows it or not.
    shown
        Names that a figure shows. Those that are not among `all_sets` come after them, sorted.
    """
    names = [*dict.fromkeys(all_sets), *sorted(set(shown) - set(all_sets))]
    real = [name for name in names if name == "real" or name.startswith("real_")]
    synthetic = styles(name for name in names if name not in real)
    greys = np.linspace(0.6, 0.2, max(1, len(real)))
    return synthetic | {
        name: Style((grey, grey, grey), style.marker, style.linestyle)
        for (name, style), grey in zip(styles(real).items(), greys.tolist(), strict=True)
    }
