"""Slices across the trunk: fetal thorax, fetal abdomen, and the levels between and below.

They lie on one axis, `level`, from the heart (+1) over the stomach and liver (-1) to the kidneys (-2), so that thorax
and abdomen blend into one another. Proportions are rounded; sizes follow gestational age.

References
----------
- L. J. Salomon et al., ISUOG practice guidelines (updated): performance of the routine mid-trimester fetal ultrasound
  scan, Ultrasound Obstet. Gynecol. 59, 840 (2022): landmarks of the abdomen plane.
- J. S. Carvalho et al., ISUOG practice guidelines (updated): fetal cardiac screening, Ultrasound Obstet. Gynecol. 61,
  788 (2023): the four-chamber view, a heart that fills a third of the thorax with its axis at 45 degrees.
"""

import numpy as np

from .canvas import Frame
from .patients import Patient, abdominal_circumference
from .stage import Stage
from .surroundings import bystanders
from .tissues import BLOOD, BONE, BRIGHT, FLUID, KIDNEY, LIVER, LUNG, MYOCARDIUM, SKIN, Tissue


def trunk_radius(patient: Patient, size: float) -> float:
    """Mean radius of the abdomen, cm."""
    return abdominal_circumference(patient.weeks) * size / (2.0 * np.pi)


def spine(stage: Stage, frame: Frame, v: float, radius: float) -> None:
    """Draw a vertebra across: body and two laminae, bright, with a shadow."""
    show = stage.seen(1.0)
    dot = 0.075 * radius
    for u, w in ((0.0, 0.0), (-0.15 * radius, -0.14 * radius), (0.15 * radius, -0.14 * radius)):
        frame.ellipse((u, v + w), (dot * 1.3, dot), stage.bone(BONE), show=show)


def ribs(stage: Stage, frame: Frame, axes: tuple[float, float], chance: float) -> None:
    """Draw ribs cut lengthwise, each with some `chance`: bright arcs under the skin that throw shadows."""
    rng = stage.rng
    for toward in (-2.5, -0.7, 0.3, 2.1, 3.0):
        if rng.random() < chance:
            show = stage.seen(1.0)
            spread = float(rng.uniform(0.12, 0.5))
            middle = toward + float(rng.normal(0.0, 0.2))
            rib = stage.bone(Tissue(11.0, 4.0))
            frame.shell((0.0, 0.0), axes, 0.14, rib, 0.0, show, 4.0 * show, toward=middle, spread=spread)


def heart(stage: Stage, frame: Frame, radius: float, show: float) -> None:
    """Draw four chambers around the crux; in a poor slice they merge into one or two cavities."""
    rng = stage.rng
    centre = (stage.near(0.16, 0.3) * radius, stage.near(0.12, 0.3) * radius)
    size = 0.63 * radius * stage.near(1.0, 0.1)
    axis = np.deg2rad(45.0 + float(rng.normal(0.0, 15.0)))
    cos, sin = float(np.cos(axis)), float(np.sin(axis))

    def at(along: float, across: float) -> tuple[float, float]:
        return centre[0] + size * (along * cos - across * sin), centre[1] + size * (along * sin + across * cos)

    frame.ellipse(centre, (1.05 * size, 0.78 * size), stage.organ(MYOCARDIUM), axis, show)
    frame.shell(centre, (1.05 * size, 0.78 * size), 0.06, BRIGHT, axis, show * 0.5, mirror=0.8 * show)
    if rng.random() < 0.25 + 0.75 * stage.quality:
        for along, across, length, width in (
            (0.32, 0.29, 0.46, 0.24),
            (0.30, -0.29, 0.42, 0.25),
            (-0.47, 0.28, 0.30, 0.25),
            (-0.47, -0.28, 0.30, 0.25),
        ):
            axes = size * stage.near(length, 0.15), size * stage.near(width, 0.15)
            frame.ellipse(at(along, across), axes, BLOOD, axis, show)
        frame.rod(at(-0.1, -0.5), at(-0.1, 0.5), 0.05, BRIGHT, show=0.7 * show)
        frame.rod(at(-0.1, 0.0), at(0.75, 0.0), 0.05, LIVER, show=0.8 * show, mirror=1.0 * show)
    else:
        frame.ellipse(at(0.05, 0.15), (size * stage.near(0.6), size * stage.near(0.24)), BLOOD, axis, show)
        if rng.random() < 0.6:
            frame.ellipse(at(-0.1, -0.38), (size * stage.near(0.3), size * stage.near(0.2)), BLOOD, axis, show)


def trunk(stage: Stage, level: float) -> None:
    """Draw the trunk across at `level`: +1 four-chamber heart, -1 stomach and umbilical vein, -2 kidneys."""
    rng, frame = stage.rng, stage.frame()
    radius = trunk_radius(stage.patient, stage.size) * (0.96 - 0.04 * float(np.tanh(level)))
    oval = stage.near(1.03, 0.06)
    axes = (radius * oval, radius / oval)

    def around(centre: float, width: float) -> float:
        """Visibility of an organ whose middle is at `centre` on the axis of the trunk."""
        reached = float(np.clip(1.5 - abs(level - centre) / width, 0.0, 1.0))
        return reached * stage.seen(1.2) if reached > 0.1 else 0.0

    chest = float(np.clip(0.5 + 0.6 * level, 0.0, 1.0))
    flesh = Tissue(LIVER.echo_db + chest * (LUNG.echo_db - LIVER.echo_db), 0.5)
    frame.ellipse((0.0, 0.0), axes, stage.organ(flesh))
    frame.shell((0.0, 0.0), axes, float(rng.uniform(0.12, 0.3)), SKIN, show=0.6, mirror=2.4, graze=6.0)
    ribs(stage, frame, (axes[0] * 0.92, axes[1] * 0.92), 0.06 + 0.6 * chest)

    for _ in range(int(rng.integers(2, 7))):  # vessels and septa of the liver and lung
        u, v = (float(rng.uniform(-0.6, 0.6)) * radius for _ in range(2))
        du, dv = (float(rng.normal(0.0, 0.12)) * radius for _ in range(2))
        look = BRIGHT if rng.random() < 0.6 else BLOOD
        frame.rod((u - du, v - dv), (u + du, v + dv), 0.03 * radius, look, show=float(rng.uniform(0.2, 0.6)))

    if (show := around(0.9, 1.1)) > 0.0:
        heart(stage, frame, radius, show)
    if (show := around(-0.9, 1.0)) > 0.0:
        axes_stomach = (stage.near(0.3, 0.2) * radius, stage.near(0.21, 0.2) * radius)
        centre = (stage.near(0.42, 0.2) * radius, stage.near(0.08, 0.8) * radius)
        frame.ellipse(centre, axes_stomach, FLUID, float(rng.uniform(0.2, 1.6)), show)
    if (show := around(-1.0, 0.7)) > 0.0:
        turn = (stage.near(-0.08, 0.4) * radius, stage.near(0.14, 0.3) * radius)
        vein = 0.065 * radius
        frame.rod((0.02 * radius, stage.near(0.62, 0.1) * radius), turn, vein, BLOOD, show, bow=0.05 * radius)
        frame.rod(turn, (-0.36 * radius, turn[1] - 0.1 * radius), vein, BLOOD, show, bow=0.04 * radius)
    if (show := around(-1.9, 0.5)) > 0.0:
        for side in (-1.0, 1.0):
            centre = (side * 0.36 * radius, -0.36 * radius)
            frame.ellipse(centre, (0.24 * radius, 0.18 * radius), KIDNEY, side * 0.5, show)
            frame.ellipse(centre, (0.07 * radius, 0.05 * radius), FLUID, side * 0.5, show * 0.8)
    if (show := stage.seen(0.8)) > 0.0:
        frame.ellipse((0.13 * radius, -0.46 * radius), (0.07 * radius, 0.07 * radius), BLOOD, 0.0, show)
    if (show := stage.seen(0.5)) > 0.0:
        frame.ellipse((-0.13 * radius, -0.38 * radius), (0.06 * radius, 0.06 * radius), BLOOD, 0.0, show)
    spine(stage, frame, -0.68 * axes[1], radius)
    bystanders(stage, radius)


def abdomen(stage: Stage) -> None:
    """Draw the fetal abdomen: stomach bubble, umbilical vein in the liver, spine."""
    trunk(stage, -1.0 + float(stage.rng.normal(0.0, 0.1 + 0.4 * (1.0 - stage.quality))))


def thorax(stage: Stage) -> None:
    """Draw the fetal thorax: four-chamber heart between the lungs, ribs, spine."""
    trunk(stage, 1.0 + float(stage.rng.normal(0.0, 0.1 + 0.4 * (1.0 - stage.quality))))
