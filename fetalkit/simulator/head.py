"""Slices through the fetal head.

References
----------
- L. J. Salomon et al., ISUOG practice guidelines (updated): performance of the routine mid-trimester fetal ultrasound
  scan, Ultrasound Obstet. Gynecol. 59, 840 (2022): landmarks of the transthalamic, transventricular and transcerebellar
  planes.
"""

import numpy as np

from .canvas import Frame
from .patients import biparietal_diameter
from .stage import Stage
from .surroundings import bystanders
from .tissues import BRAIN, BRIGHT, CARTILAGE, FLUID, LIVER, MUSCLE, SKULL, Tissue


def skull_and_brain(stage: Stage, frame: Frame, a: float, b: float) -> None:
    """Draw a head without landmarks, half-axes `a` and `b` in cm: scalp, skull, brain with its folds."""
    rng = stage.rng
    frame.shell((0.0, 0.0), (a + 0.25, b + 0.25), 0.25, MUSCLE, show=0.7)
    frame.ellipse((0.0, 0.0), (a, b), BRAIN)
    for _ in range(int(rng.integers(3, 9))):
        u, v = float(rng.uniform(-0.7, 0.7)) * a, float(rng.uniform(-0.75, 0.75)) * b
        du, dv = float(rng.normal(0.0, 0.1)) * a, float(rng.normal(0.0, 0.04)) * b
        frame.rod((u - du, v - dv), (u + du, v + dv), 0.05, LIVER, show=float(rng.uniform(0.2, 0.8)), mirror=0.6)
    show = float(np.clip(0.55 + 0.45 * stage.quality + rng.normal(0.0, 0.1), 0.3, 1.0))
    frame.shell((0.0, 0.0), (a, b), 0.12 + 0.05 * b, stage.bone(SKULL), show=show, mirror=9.0 * show, graze=8.0)


def brain(stage: Stage) -> None:
    """Draw the fetal brain: midline with the cavum, thalami, and choroid plexus or (one slice in three) cerebellum."""
    rng, frame, patient = stage.rng, stage.frame(), stage.patient
    b = biparietal_diameter(patient.weeks) * stage.size / 2.0
    a = b / patient.roundness * stage.near(0.97, 0.06)
    skull_and_brain(stage, frame, a, b)

    show = stage.seen(1.0)
    tilt = float(rng.normal(0.0, 0.05)) * b
    gap = 0.35 * a, 0.56 * a
    for start, end in ((-0.88 * a, gap[0]), (gap[1], 0.9 * a)):
        frame.rod((start, tilt), (end, tilt), 0.05, BRIGHT, show=show, mirror=2.2 * show)
    if (show := stage.seen(0.75)) > 0.0:
        frame.ellipse((sum(gap) / 2, tilt), (0.11 * a, 0.09 * b), FLUID, 0.0, show)
        for side in (-0.09, 0.09):
            frame.rod((gap[0], tilt + side * b), (gap[1], tilt + side * b), 0.03, BRIGHT, show=0.8 * show, mirror=show)
    if (show := stage.seen(0.8)) > 0.0:
        for side in (-1.0, 1.0):
            frame.ellipse((0.06 * a, side * 0.2 * b), (0.2 * a, 0.17 * b), CARTILAGE, side * 0.3, show)
    if rng.random() < 0.36 and (show := stage.seen(0.9)) > 0.0:
        for side in (-1.0, 1.0):
            lobe = (-0.6 * a, side * 0.24 * b), (0.15 * a, 0.25 * b)
            frame.ellipse(*lobe, Tissue(-6.0, 0.5), 0.0, show)
            frame.shell(*lobe, 0.06, BRIGHT, 0.0, 0.7 * show, mirror=show)
        frame.ellipse((-0.6 * a, 0.0), (0.08 * a, 0.08 * b), BRIGHT, 0.0, 0.7 * show)
        frame.ellipse((-0.82 * a, 0.0), (0.07 * a, 0.2 * b), FLUID, 0.0, show)
    else:
        for side in (-1.0, 1.0):
            if (show := stage.seen(0.8)) > 0.0:
                frame.ellipse((-0.36 * a, side * 0.48 * b), (0.26 * a, 0.13 * b), FLUID, -side * 0.25, 0.8 * show)
                frame.ellipse((-0.4 * a, side * 0.47 * b), (0.2 * a, 0.09 * b), BRIGHT, -side * 0.25, show)
    bystanders(stage, a)
