"""Who is scanned: fetal growth, and what stays the same in all images of one pregnancy.

References
----------
- F. P. Hadlock et al., Radiology 152, 497 (1984): gestational age from one of BPD, AC and FL. The three regressions
  are solved here for the measurement.
- F. P. Hadlock et al., AJR 137, 83 (1981): cephalic index BPD/OFD = 0.78 (SD 0.04).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .spec import PATIENT, stream


def _solve(weeks: float, constant: float, linear: float, quadratic: float) -> float:
    """Positive root of ``constant + linear * m + quadratic * m**2 = weeks``."""
    return float((np.sqrt(linear**2 - 4.0 * quadratic * (constant - weeks)) - linear) / (2.0 * quadratic))


def biparietal_diameter(weeks: float) -> float:
    """Mean biparietal diameter, cm, at 12 to 42 `weeks` of gestation (Hadlock 1984)."""
    return _solve(weeks, 9.54, 1.482, 0.1676)


def abdominal_circumference(weeks: float) -> float:
    """Mean abdominal circumference, cm, at 12 to 42 `weeks` of gestation (Hadlock 1984)."""
    return _solve(weeks, 8.14, 0.753, 0.0036)


def femur_length(weeks: float) -> float:
    """Mean femur length, cm, at 12 to 42 `weeks` of gestation (Hadlock 1984)."""
    return _solve(weeks, 10.35, 2.46, 0.17)


@dataclass(frozen=True)
class Patient:
    """What stays the same in all images of one pregnancy.

    Attributes
    ----------
    weeks : float
        Gestational age, 17 to 38 weeks.
    size : float
        Size for that age, mean 1.
    roundness : float
        Cephalic index, BPD/OFD.
    wall_cm : float
        Thickness of the maternal wall.
    wall_loss : float
        Its attenuation, dB/cm/MHz.
    fluid : float
        Amount of amniotic fluid, 0 (none) to 1.
    anterior : bool
        Whether the placenta lies between probe and fetus.
    bone_db : float
        Brightness of bone over its mean, dB.
    organ_db : float
        Brightness of the organs over their mean, dB.
    window : float
        Acoustic window, about -1 (poor: everything is harder to see) to 1.
    """

    weeks: float
    size: float
    roundness: float
    wall_cm: float
    wall_loss: float
    fluid: float
    anterior: bool
    bone_db: float
    organ_db: float
    window: float


@lru_cache(maxsize=4096)
def draw_patient(seed: int, patient: int) -> Patient:
    """Patient number `patient` of a study."""
    rng = stream(seed, PATIENT, patient)
    return Patient(
        weeks=float(17.0 + 21.0 * rng.beta(1.3, 1.8)),
        size=float(np.clip(rng.normal(1.0, 0.05), 0.85, 1.15)),
        roundness=float(np.clip(rng.normal(0.78, 0.04), 0.68, 0.90)),
        wall_cm=float(0.9 + 2.2 * rng.beta(1.6, 2.6)),
        wall_loss=float(rng.uniform(0.45, 0.8)),
        fluid=float(rng.beta(1.6, 1.6)),
        anterior=bool(rng.random() < 0.45),
        bone_db=float(rng.normal(0.0, 2.0)),
        organ_db=float(rng.normal(0.0, 1.5)),
        window=float(np.clip(rng.normal(0.0, 0.5), -1.0, 1.0)),
    )
