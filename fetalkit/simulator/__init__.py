"""A simulator of B-mode fetal ultrasound planes.

It makes labelled images of six planes on machines of different geometry, without any data: enough like ultrasound to
exercise everything the study does, and no substitute for a patient.

    patient, plane, view  ->  anatomy drawn in beam space  ->  speckle, loss, blur  ->  gain, log  ->  fan

    spec           what to simulate, and its random numbers
    patients       growth, and what stays the same in one pregnancy
    scanners       the machines
    views          how one image is taken: pose, quality, gain
    planes         the six planes, drawn in trunk, head, femur, cervix, other, surroundings
    stage, canvas, tissues   what they are drawn with and on
    beams          beam space and scan conversion
    physics        from tissue to grey levels
    render         all of it in order: `simulate`

Each names its sources.
"""

from .render import PLANES, simulate
from .scanners import SCANNERS, Scanner
from .spec import Spec

__all__ = ["PLANES", "SCANNERS", "Scanner", "Spec", "simulate"]
