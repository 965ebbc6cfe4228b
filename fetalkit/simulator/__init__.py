"""A simulator of B-mode fetal ultrasound planes.

It makes labelled images of six planes on machines of different geometry, without any data: enough like ultrasound to
exercise everything the study does, and no substitute for a patient.

    patient, plane, view  ->  anatomy drawn in beam space  ->  speckle, loss, blur  ->  gain, log  ->  fan

Modules: `patients` (random numbers and growth), `canvas` (tissues and shapes), `anatomy` (the planes), `physics` (from
tissue to grey levels), `scanners` (geometry and scan conversion). Each names its sources.
"""

from .render import PLANES, simulate
from .scanners import SCANNERS, Scanner
from .spec import Spec

__all__ = ["PLANES", "SCANNERS", "Scanner", "Spec", "simulate"]
