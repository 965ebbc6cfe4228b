"""The six planes of FETAL_PLANES_DB: how each is drawn, how large it is, how it tends to lie.

References
----------
- X. P. Burgos-Artizzu et al., Evaluation of deep convolutional neural networks for automatic classification of common
  maternal fetal ultrasound planes, Scientific Reports 10, 10200 (2020).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .cervix import cervix
from .femur import femur
from .head import brain
from .other import other
from .patients import Patient, biparietal_diameter, femur_length
from .stage import Stage
from .trunk import abdomen, thorax, trunk_radius


def _extent_trunk(patient: Patient, size: float) -> float:
    return trunk_radius(patient, size)


def _extent_head(patient: Patient, size: float) -> float:
    return biparietal_diameter(patient.weeks) * size * 0.56


def _extent_femur(patient: Patient, size: float) -> float:
    return femur_length(patient.weeks) * size * 0.42


def _extent_cervix(patient: Patient, size: float) -> float:
    return 2.4 * size


@dataclass(frozen=True)
class Plane:
    """A plane: how to draw it, how large it is, how it tends to lie.

    Attributes
    ----------
    paint : callable
        Draws the target on a `Stage`.
    extent : callable
        ``(patient, size)`` to half the depth that the target takes, cm.
    poses : tuple of float
        Typical rotations, radians.
    turn : float
        Standard deviation around them, radians.
    womb : bool
        Whether it is seen through the maternal wall in the womb (`background`).
    """

    paint: Callable[[Stage], None]
    extent: Callable[[Patient, float], float]
    poses: tuple[float, ...]
    turn: float
    womb: bool = True


# The spine lies beside or below: above, its shadow would hide the organs, and the operator waits for a better moment.
TRUNK_POSES = (-0.5 * np.pi, 0.5 * np.pi, np.pi)

PAINTERS: dict[str, Plane] = {
    "Fetal abdomen": Plane(abdomen, _extent_trunk, TRUNK_POSES, 0.35),
    "Fetal brain": Plane(brain, _extent_head, (0.0,), 0.4),
    "Fetal femur": Plane(femur, _extent_femur, (0.0,), 0.35),
    "Fetal thorax": Plane(thorax, _extent_trunk, TRUNK_POSES, 0.35),
    "Maternal cervix": Plane(cervix, _extent_cervix, (0.0,), 0.3, womb=False),
    "Other": Plane(other, _extent_trunk, (0.0,), 0.6),
}
