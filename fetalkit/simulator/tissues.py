"""What the beam can meet: brightness and attenuation of the tissues.

Attenuation is rounded from published tables; brightness is relative to liver and chosen to look right.

References
----------
- F. A. Duck, Physical Properties of Tissues, Academic Press 1990, ch. 4.
- T. L. Szabo, Diagnostic Ultrasound Imaging: Inside Out, 2nd ed., Academic Press 2014, appendix B.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tissue:
    """What the beam meets.

    Attributes
    ----------
    echo_db : float
        Backscatter, dB over the reference tissue (liver).
    loss : float
        Attenuation coefficient, dB/cm/MHz.
    """

    echo_db: float
    loss: float


FLUID = Tissue(-42.0, 0.01)
BLOOD = Tissue(-34.0, 0.15)
LIVER = Tissue(0.0, 0.5)
LUNG = Tissue(4.5, 0.5)  # the fetal lung is filled with fluid, so it does not throw a shadow
MUSCLE = Tissue(-6.0, 0.6)
MYOCARDIUM = Tissue(-9.0, 0.5)
BRAIN = Tissue(-10.0, 0.35)
KIDNEY = Tissue(-8.0, 0.5)
CARTILAGE = Tissue(-16.0, 0.6)
SKIN = Tissue(7.0, 0.6)
PLACENTA = Tissue(1.0, 0.5)
BRIGHT = Tissue(8.0, 0.6)  # choroid plexus, falx, vessel walls
SKULL = Tissue(12.0, 2.5)  # thin and unfinished before birth: weakens the beam, does not stop it
BONE = Tissue(14.0, 12.0)
