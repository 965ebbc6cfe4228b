"""Everything else that a scan passes, some of it close to a named plane."""

import numpy as np

from .cervix import pelvis
from .head import skull_and_brain
from .patients import biparietal_diameter, femur_length
from .stage import Stage
from .surroundings import bystanders, cord, limb
from .tissues import BLOOD, BONE, BRAIN, FLUID, LIVER, MUSCLE, PLACENTA, SKIN, SKULL
from .trunk import trunk, trunk_radius


def _face(stage: Stage) -> None:
    """Draw a profile that looks towards the probe: forehead, nose, lips and chin against fluid, jaws, skull."""
    frame = stage.canvas.frame(stage.x, stage.y, stage.turn - 0.5 * np.pi, stage.flip)  # u to the probe, v to the chin
    r = biparietal_diameter(stage.patient.weeks) * stage.size / 2.0
    head = (-0.35 * r, 0.0), (r, 0.95 * r)
    frame.ellipse((0.6 * r, 0.4 * r), (0.6 * r, 1.5 * r), FLUID, 0.0, stage.seen())
    parts = (
        (-0.35, 0.0, 1.1, 1.05),  # scalp and forehead
        (0.18, 0.75, 0.62, 0.8),  # cheeks
        (0.78, 0.52, 0.2, 0.14),  # nose
        (0.74, 0.8, 0.13, 0.11),  # lips
        (0.68, 1.0, 0.13, 0.11),
        (0.5, 1.27, 0.2, 0.2),  # chin
    )
    # All skins first, then all flesh: what is left is the outline of the whole.
    for u, v, a, b in parts:
        frame.shell((u * r, v * r), (a * r, b * r), 0.16, SKIN)
    for u, v, a, b in parts:
        frame.ellipse((u * r, v * r), (a * r, b * r), stage.organ(MUSCLE))
    frame.ellipse(*head, BRAIN)
    frame.shell(*head, 0.18, stage.bone(SKULL), 0.0, 0.8, 7.0, toward=-0.9, spread=1.3)
    for start, end in (((0.6, 0.36), (0.76, 0.5)), ((0.2, 0.85), (0.58, 0.8)), ((0.1, 1.25), (0.5, 1.28))):
        show = stage.seen(0.9)
        frame.rod((start[0] * r, start[1] * r), (end[0] * r, end[1] * r), 0.07, stage.bone(BONE), show, 4.0 * show)


def _orbits(stage: Stage) -> None:
    """Draw a head cut through the eyes: skull, two orbits, no midline."""
    frame = stage.frame()
    b = biparietal_diameter(stage.patient.weeks) * stage.size / 2.0
    a = b * stage.near(1.15, 0.1)
    skull_and_brain(stage, frame, a, b)
    for side in (-1.0, 1.0):
        if (show := stage.seen(1.0)) > 0.0:
            eye = (0.55 * a, side * 0.42 * b), (0.22 * b, 0.22 * b)
            frame.ellipse(*eye, FLUID, 0.0, show)
            frame.shell(*eye, 0.08, stage.bone(SKULL), 0.0, show, mirror=2.0)


def _limbs(stage: Stage) -> None:
    """Draw arms and lower legs: shorter bones than the femur, often two."""
    rng = stage.rng
    length = femur_length(stage.patient.weeks) * stage.size
    for number in range(int(rng.integers(1, 4))):
        turn = stage.turn + float(rng.normal(0.0, 0.7)) * (number > 0)
        shift = float(rng.normal(0.0, 0.6)) * length * (number > 0)
        frame = stage.canvas.frame(stage.x + shift, stage.y + number * 0.35 * length, turn)
        share, bones, show = float(rng.uniform(0.5, 0.95)), int(rng.integers(1, 3)), float(rng.uniform(0.5, 1.0))
        limb(stage, frame, length * share, bones, show)


def _long_spine(stage: Stage) -> None:
    """Draw the spine lengthwise: two rows of bright dots under the skin of the back."""
    rng, frame = stage.rng, stage.frame()
    radius = trunk_radius(stage.patient, stage.size)
    frame.ellipse((0.0, 0.5 * radius), (2.4 * radius, 0.9 * radius), stage.organ(LIVER))
    frame.shell((0.0, 0.5 * radius), (2.4 * radius, 0.9 * radius), 0.2, SKIN, show=0.6, mirror=2.0)
    step, show = 0.2 * radius, float(rng.uniform(0.5, 1.0))
    for number in range(-7, 8):
        u, v = number * step, -0.12 * radius + 0.004 * radius * number**2
        for row in (0.0, 0.2 * radius):
            frame.ellipse((u, v + row), (0.36 * step, 0.24 * step), stage.bone(BONE), 0.0, show)


def _placenta_and_cord(stage: Stage) -> None:
    """Draw placenta, fluid and loops of cord, no fetal plane."""
    rng, frame = stage.rng, stage.frame()
    if rng.random() < 0.7:
        axes = (float(rng.uniform(3.0, 5.0)), float(rng.uniform(0.9, 1.8)))
        frame.ellipse((0.0, 1.2), axes, stage.organ(PLACENTA), float(rng.normal(0.0, 0.2)))
        for _ in range(int(rng.integers(0, 4))):
            centre = (float(rng.uniform(-2.0, 2.0)), 1.2 + float(rng.uniform(-0.5, 0.5)))
            frame.ellipse(centre, (0.3, 0.15), BLOOD, float(rng.uniform(0.0, 3.0)), 0.7)
    for _ in range(int(rng.integers(1, 4))):
        place = stage.x + float(rng.normal(0.0, 1.5)), stage.y + float(rng.normal(-0.5, 1.0))
        cord(stage, stage.canvas.frame(*place, float(rng.uniform(-3.0, 3.0))))


def _low_trunk(stage: Stage) -> None:
    """Draw the trunk at the kidneys or the bladder: below the plane in which the abdomen is measured."""
    trunk(stage, float(stage.rng.normal(-2.1, 0.35)))


def _lower_womb(stage: Stage) -> None:
    """Draw the bladder, the lower wall of the womb and perhaps the head, beside the cervix."""
    pelvis(stage, 1.7 * stage.size * float(stage.rng.uniform(0.75, 1.2)))


def _head_fragment(stage: Stage) -> None:
    """Draw part of a head: skull at the edge of the scan, no landmarks."""
    b = biparietal_diameter(stage.patient.weeks) * stage.size / 2.0
    side = -1.0 if stage.flip else 1.0
    frame = stage.canvas.frame(stage.x + side * b * float(stage.rng.uniform(0.5, 1.3)), stage.y, stage.turn)
    skull_and_brain(stage, frame, b * stage.near(1.2, 0.1), b)
    bystanders(stage, b)


def other(stage: Stage) -> None:
    """Draw anything else that a scan passes, from limbs to the lower womb."""
    views = (_limbs, _face, _orbits, _long_spine, _placenta_and_cord, _low_trunk, _head_fragment, _lower_womb)
    chances = (0.27, 0.15, 0.08, 0.15, 0.20, 0.05, 0.06, 0.04)
    views[int(stage.rng.choice(len(views), p=chances))](stage)
