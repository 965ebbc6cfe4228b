"""What lies around the target: maternal wall, placenta, fluid, and the limbs and cord that happen to be near."""

import numpy as np

from .canvas import Frame
from .patients import femur_length
from .stage import Stage
from .tissues import BLOOD, BONE, CARTILAGE, FLUID, MUSCLE, PLACENTA, SKIN, Tissue


def background(stage: Stage, wall: float, deep: float) -> None:
    """Draw the maternal wall in front, the womb with fluid and placenta, the far wall behind the target.

    Parameters
    ----------
    stage : Stage
    wall : float
        Depth of the inner face of the maternal wall, cm.
    deep : float
        Depth of the far wall of the womb, cm.
    """
    canvas, rng, patient = stage.canvas, stage.rng, stage.patient
    grid = canvas.grid
    across = grid.smooth(rng, 16, 6)[:: grid.shape[0] // 4]  # rows far apart: four independent curves over the beams
    soft = 2.0 * canvas.soft

    # Fluid collects in pockets; elsewhere fetal parts and membranes fill the womb.
    pockets = grid.smooth(rng, 7, 6)
    filled = np.clip(0.5 - 1.2 * (pockets + np.float32(3.2 * (patient.fluid - 0.6))), 0.0, 1.0)
    canvas.fill(FLUID)
    canvas.blend(filled, stage.organ(Tissue(float(rng.uniform(-14.0, -2.0)), 0.5)))

    if patient.anterior:
        thickness = float(rng.uniform(0.6, 2.4))
        inner = wall + thickness * (0.8 + 0.5 * across[0:1])
        canvas.blend(np.clip((inner - grid.depth) / soft, 0.0, 1.0), stage.organ(PLACENTA))
    elif rng.random() < 0.6:
        thickness = float(rng.uniform(0.6, 2.4))
        inner = deep - thickness * (0.8 + 0.5 * across[0:1])
        canvas.blend(np.clip((grid.depth - inner) / soft, 0.0, 1.0), stage.organ(PLACENTA))

    far = deep + 0.25 * across[1:2]
    beyond = np.clip((grid.depth - far) / soft, 0.0, 1.0)
    canvas.blend(beyond, Tissue(float(rng.uniform(-6.0, 2.0)), 0.6))

    front = wall + 0.12 * across[2:3]
    before = np.clip((front - grid.depth) / soft, 0.0, 1.0)
    canvas.blend(before, Tissue(float(rng.uniform(-7.0, 0.0)), patient.wall_loss))
    for edge, strength in ((front, 1.6), (far, 1.2), (wall * 0.55 + 0.1 * across[3:4], 1.2)):
        line = np.clip(1.0 - np.abs(grid.depth - edge) / (1.2 * canvas.soft), 0.0, 1.0)
        np.maximum(canvas.mirror, np.float32(strength * rng.uniform(0.3, 1.0)) * line, out=canvas.mirror)

    # Fat and muscle are layered: streaks along the skin, in front and (weaker) behind.
    streaks = grid.smooth(rng, 56, 5)
    canvas.echo += streaks * (np.float32(4.0) * before + np.float32(3.0) * beyond)


def limb(stage: Stage, frame: Frame, length: float, bones: int, show: float) -> None:
    """Draw a limb of `length` cm along u: skin, muscle and one or two bones with their shadow."""
    rng = stage.rng
    half, girth = length / 2.0, length * float(rng.uniform(0.20, 0.30))
    frame.rod((-half - 0.2, 0.0), (half + 0.2, 0.0), girth, stage.organ(MUSCLE))
    frame.rod((-half - 0.2, 0.0), (half + 0.2, 0.0), girth, SKIN, show=0.6, mirror=1.2, wall=0.14)
    for bone in range(bones):
        v = 0.0 if bones == 1 else (bone - 0.5) * girth
        bow = float(rng.normal(0.0, 0.02)) * length
        frame.rod((-half, v), (half, v), 0.12, stage.bone(BONE), show=show, mirror=7.0 * show, bow=bow)


def cord(stage: Stage, frame: Frame) -> None:
    """Draw umbilical cord: a chain of coils, each with a vein and two arteries."""
    rng = stage.rng
    radius = 0.35 * stage.size * float(rng.uniform(0.8, 1.4))
    for step in range(int(rng.integers(1, 4))):
        u, v = 2.1 * radius * step, radius * float(rng.normal(0.0, 0.4))
        frame.shell((u, v), (radius, radius * 0.9), 0.08, SKIN, show=0.7, mirror=0.8)
        frame.ellipse((u, v), (radius, radius * 0.9), CARTILAGE)
        frame.ellipse((u, v + 0.3 * radius), (0.5 * radius, 0.42 * radius), BLOOD)
        frame.ellipse((u - 0.45 * radius, v - 0.4 * radius), (0.24 * radius, 0.24 * radius), BLOOD)
        frame.ellipse((u + 0.45 * radius, v - 0.4 * radius), (0.24 * radius, 0.24 * radius), BLOOD)


def bystanders(stage: Stage, reach: float) -> None:
    """Draw cord loops and limbs beside and behind the target, `reach` cm from its middle to its edge.

    They keep a bright rod from meaning "femur". None lies in front, where the maternal wall is.
    """
    rng, canvas = stage.rng, stage.canvas
    for _ in range(int(rng.poisson(0.9))):
        angle = float(rng.uniform(-0.15, 1.15)) * np.pi
        away = reach * float(rng.uniform(1.15, 1.7))
        frame = canvas.frame(stage.x + away * np.cos(angle), stage.y + away * np.sin(angle), float(rng.uniform(-3, 3)))
        if rng.random() < 0.5:
            cord(stage, frame)
        else:
            limb(stage, frame, femur_length(stage.patient.weeks) * float(rng.uniform(0.25, 0.7)), bones=1, show=0.7)
