"""Fetal femur: a bright shaft with its shadow, as in the ISUOG mid-trimester guidelines (see `trunk`)."""

import numpy as np

from .patients import femur_length
from .stage import Stage
from .surroundings import bystanders, limb
from .tissues import BONE, BRIGHT, CARTILAGE, MUSCLE, SKIN


def femur(stage: Stage) -> None:
    """Draw the fetal femur: a bright shaft with its shadow, cartilage at both ends, thigh around it."""
    rng, frame = stage.rng, stage.frame()
    length = femur_length(stage.patient.weeks) * stage.size
    length *= 1.0 - 0.4 * (1.0 - stage.quality) * float(rng.random())  # an oblique slice shortens the bone
    half, girth = length / 2.0, length * float(rng.uniform(0.26, 0.38))
    thigh = (-half - 0.3, 0.1 * girth), (half + 0.3, 0.1 * girth), girth
    frame.rod(*thigh, stage.organ(MUSCLE))
    skin = stage.seen(0.7)
    frame.rod(*thigh, SKIN, show=0.6 * skin, mirror=1.2 * skin, wall=0.14)
    for side in (-1.0, 1.0):
        if (show := stage.seen(0.8)) > 0.0:
            end = (side * (half + 0.1 * length), 0.0), (0.11 * length, 0.1 * length)
            frame.ellipse(*end, CARTILAGE, 0.0, show)
            frame.shell(*end, 0.06, BRIGHT, 0.0, 0.4 * show)
    show = float(np.clip(0.3 + 0.7 * stage.quality + rng.normal(0.0, 0.15), 0.15, 1.0))
    bow = float(rng.normal(0.03, 0.02)) * length
    frame.rod((-half, 0.0), (half, 0.0), 0.1 + 0.012 * length, stage.bone(BONE), show, 9.0 * show, bow)
    if rng.random() < 0.25:  # the other thigh, behind
        other = stage.canvas.frame(stage.x + float(rng.normal(0.0, 1.0)), stage.y + 2.3 * girth, stage.turn + 0.3)
        limb(stage, other, 0.8 * length, bones=1, show=0.5)
    bystanders(stage, 0.8 * length)
