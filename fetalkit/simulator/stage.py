"""What anatomy is drawn on: the canvas, the patient, and a pose and quality that differ from image to image.

Each scene has a `quality`: in a poor slice landmarks are faint, missing or displaced, as they are off the standard
plane.
"""

from dataclasses import dataclass

import numpy as np

from .canvas import Canvas, Frame
from .patients import Patient
from .tissues import Tissue


@dataclass
class Stage:
    """What anatomy is drawn on.

    Attributes
    ----------
    canvas : Canvas
    rng : numpy.random.Generator
        Image-level randomness.
    patient : Patient
    quality : float
        Quality of the slice, 0 to 1.
    x, y : float
        Middle of the target, cm.
    size : float
        Size of the fetus over the mean for its age.
    turn : float
        Rotation of the target, radians.
    flip : bool
        Whether the target is seen from the other side.
    """

    canvas: Canvas
    rng: np.random.Generator
    patient: Patient
    quality: float
    x: float
    y: float
    size: float
    turn: float
    flip: bool

    def frame(self) -> Frame:
        return self.canvas.frame(self.x, self.y, self.turn, self.flip)

    def seen(self, chance: float = 1.0) -> float:
        """How well one landmark is caught: 0 if the slice misses it, else up to 1."""
        if self.rng.random() > chance * (0.6 + 0.5 * self.quality):
            return 0.0
        return float(np.clip(self.rng.normal(0.35 + 0.65 * self.quality, 0.2), 0.15, 1.0))

    def near(self, value: float, spread: float = 0.1) -> float:
        """`value` with a relative jitter, larger in a poor slice."""
        return value * (1.0 + float(self.rng.normal()) * spread * (1.5 - self.quality))

    def bone(self, tissue: Tissue) -> Tissue:
        return Tissue(tissue.echo_db + self.patient.bone_db, tissue.loss)

    def organ(self, tissue: Tissue) -> Tissue:
        return Tissue(tissue.echo_db + self.patient.organ_db, tissue.loss)
