"""The six planes, drawn as echogenicity, attenuation and mirror-like surfaces.

The landmarks are those of the guidelines; proportions are rounded, sizes follow gestational age. Each scene has a
`quality`: in a poor slice landmarks are faint, missing or displaced, as they are off the standard plane. Trunk slices
lie on one axis, `level`, from the heart (+1) over the stomach and liver (-1) to the kidneys (-2), so that thorax and
abdomen blend into one another.

References
----------
- L. J. Salomon et al., ISUOG guidelines (updated): routine mid-trimester fetal ultrasound scan, Ultrasound Obstet.
  Gynecol. 59, 840 (2022): landmarks of the head, abdomen and femur planes.
- ISUOG guidelines: fetal cardiac screening, Ultrasound Obstet. Gynecol. 61, 788 (2023): the four-chamber view, a heart
  that fills a third of the thorax with its axis at 45 degrees.
- K. O. Kagan and J. Sonek, Ultrasound Obstet. Gynecol. 45, 358 (2015): how the cervix looks when it is measured.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .canvas import (
    BLOOD,
    BONE,
    BRAIN,
    BRIGHT,
    CARTILAGE,
    FLUID,
    KIDNEY,
    LIVER,
    LUNG,
    MUSCLE,
    MYOCARDIUM,
    PLACENTA,
    SKIN,
    SKULL,
    Canvas,
    Frame,
    Tissue,
)
from .patients import Patient, abdominal_circumference, biparietal_diameter, femur_length


@dataclass
class Stage:
    """What a painter works on.

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


def trunk_radius(patient: Patient, size: float) -> float:
    """Mean radius of the abdomen, cm."""
    return abdominal_circumference(patient.weeks) * size / (2.0 * np.pi)


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


def bystanders(stage: Stage, reach: float) -> None:
    """Cord loops and limbs that lie beside the target: they keep a bright rod from meaning "femur"."""
    rng, canvas = stage.rng, stage.canvas
    for _ in range(int(rng.poisson(0.9))):
        angle = float(rng.uniform(0.0, 2.0 * np.pi))
        away = reach * float(rng.uniform(1.15, 1.7))
        frame = canvas.frame(stage.x + away * np.cos(angle), stage.y + away * np.sin(angle), float(rng.uniform(-3, 3)))
        if rng.random() < 0.5:
            cord(stage, frame)
        else:
            limb(stage, frame, femur_length(stage.patient.weeks) * float(rng.uniform(0.25, 0.7)), bones=1, show=0.7)


def cord(stage: Stage, frame: Frame) -> None:
    """Umbilical cord: a chain of coils, each with a vein and two arteries."""
    rng = stage.rng
    radius = 0.35 * stage.size * float(rng.uniform(0.8, 1.4))
    for step in range(int(rng.integers(1, 4))):
        u, v = 2.1 * radius * step, radius * float(rng.normal(0.0, 0.4))
        frame.shell((u, v), (radius, radius * 0.9), 0.08, SKIN, show=0.7, mirror=0.8)
        frame.ellipse((u, v), (radius, radius * 0.9), CARTILAGE)
        frame.ellipse((u, v + 0.3 * radius), (0.5 * radius, 0.42 * radius), BLOOD)
        frame.ellipse((u - 0.45 * radius, v - 0.4 * radius), (0.24 * radius, 0.24 * radius), BLOOD)
        frame.ellipse((u + 0.45 * radius, v - 0.4 * radius), (0.24 * radius, 0.24 * radius), BLOOD)


def limb(stage: Stage, frame: Frame, length: float, bones: int, show: float) -> None:
    """A limb along u: skin, muscle and one or two bones with their shadow."""
    rng = stage.rng
    half, girth = length / 2.0, length * float(rng.uniform(0.20, 0.30))
    frame.rod((-half - 0.2, 0.0), (half + 0.2, 0.0), girth, stage.organ(MUSCLE))
    frame.rod((-half - 0.2, 0.0), (half + 0.2, 0.0), girth, SKIN, show=0.6, mirror=1.2, wall=0.14)
    for bone in range(bones):
        v = 0.0 if bones == 1 else (bone - 0.5) * girth
        bow = float(rng.normal(0.0, 0.02)) * length
        frame.rod((-half, v), (half, v), 0.12, stage.bone(BONE), show=show, mirror=7.0 * show, bow=bow)


def spine(stage: Stage, frame: Frame, v: float, radius: float) -> None:
    """A vertebra across: body and two laminae, bright, with a shadow."""
    show = stage.seen(1.0)
    dot = 0.075 * radius
    for u, w in ((0.0, 0.0), (-0.15 * radius, -0.14 * radius), (0.15 * radius, -0.14 * radius)):
        frame.ellipse((u, v + w), (dot * 1.3, dot), stage.bone(BONE), show=show)


def ribs(stage: Stage, frame: Frame, axes: tuple[float, float], chance: float) -> None:
    """Ribs cut lengthwise: bright arcs under the skin that throw shadows."""
    rng = stage.rng
    for toward in (-2.5, -0.7, 0.3, 2.1, 3.0):
        if rng.random() < chance:
            show = stage.seen(1.0)
            spread = float(rng.uniform(0.12, 0.5))
            middle = toward + float(rng.normal(0.0, 0.2))
            rib = stage.bone(Tissue(11.0, 4.0))
            frame.shell((0.0, 0.0), axes, 0.14, rib, 0.0, show, 4.0 * show, toward=middle, spread=spread)


def heart(stage: Stage, frame: Frame, radius: float, show: float) -> None:
    """Four chambers around the crux; in a poor slice they merge into one or two cavities."""
    rng = stage.rng
    centre = (stage.near(0.16, 0.3) * radius, stage.near(0.12, 0.3) * radius)
    size = 0.6 * radius * stage.near(1.0, 0.1)
    axis = np.deg2rad(45.0 + float(rng.normal(0.0, 15.0)))
    cos, sin = float(np.cos(axis)), float(np.sin(axis))

    def at(along: float, across: float) -> tuple[float, float]:
        return centre[0] + size * (along * cos - across * sin), centre[1] + size * (along * sin + across * cos)

    frame.ellipse(centre, (1.05 * size, 0.78 * size), stage.organ(MYOCARDIUM), axis, show)
    frame.shell(centre, (1.05 * size, 0.78 * size), 0.06, BRIGHT, axis, show * 0.5, mirror=0.8 * show)
    if rng.random() < 0.25 + 0.75 * stage.quality:
        for along, across, length, width in (
            (0.32, 0.34, 0.46, 0.23),
            (0.30, -0.34, 0.42, 0.25),
            (-0.48, 0.30, 0.28, 0.26),
            (-0.48, -0.30, 0.28, 0.26),
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
    """Slice across the trunk at `level`: +1 four-chamber heart, -1 stomach and umbilical vein, -2 kidneys."""
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
    ribs(stage, frame, (axes[0] * 0.92, axes[1] * 0.92), 0.08 + 0.5 * chest)

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
    """Fetal abdomen: stomach bubble, umbilical vein in the liver, spine."""
    trunk(stage, -1.0 + float(stage.rng.normal(0.0, 0.15 + 0.6 * (1.0 - stage.quality))))


def thorax(stage: Stage) -> None:
    """Fetal thorax: four-chamber heart between the lungs, ribs, spine."""
    trunk(stage, 1.0 + float(stage.rng.normal(0.0, 0.15 + 0.6 * (1.0 - stage.quality))))


def brain(stage: Stage) -> None:
    """Fetal brain: skull, midline with the cavum, thalami, choroid plexus; in one slice of three the cerebellum."""
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


def skull_and_brain(stage: Stage, frame: Frame, a: float, b: float) -> None:
    """Head without landmarks: scalp, skull, brain with its folds."""
    rng = stage.rng
    frame.shell((0.0, 0.0), (a + 0.25, b + 0.25), 0.25, MUSCLE, show=0.7)
    frame.ellipse((0.0, 0.0), (a, b), BRAIN)
    for _ in range(int(rng.integers(3, 9))):
        u, v = float(rng.uniform(-0.7, 0.7)) * a, float(rng.uniform(-0.75, 0.75)) * b
        du, dv = float(rng.normal(0.0, 0.1)) * a, float(rng.normal(0.0, 0.04)) * b
        frame.rod((u - du, v - dv), (u + du, v + dv), 0.05, LIVER, show=float(rng.uniform(0.2, 0.8)), mirror=0.6)
    show = float(np.clip(0.55 + 0.45 * stage.quality + rng.normal(0.0, 0.1), 0.3, 1.0))
    frame.shell((0.0, 0.0), (a, b), 0.12 + 0.05 * b, stage.bone(SKULL), show=show, mirror=9.0 * show, graze=8.0)


def femur(stage: Stage) -> None:
    """Fetal femur: a bright shaft with its shadow, cartilage at both ends, thigh around it."""
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


def cervix(stage: Stage) -> None:
    """Maternal cervix: canal in its glandular zone from the outer to the inner mouth, bladder, fetal head."""
    length = 1.7 * stage.size * float(stage.rng.uniform(0.75, 1.2))  # half of the canal; 3.5 cm in mid-gestation
    frame = pelvis(stage, length)
    lips = (-0.2, 0.0), (1.35 * length, 0.62 * length)
    if (show := stage.seen(0.9)) > 0.0:
        frame.ellipse(*lips, stage.organ(Tissue(-6.0, 0.55)), 0.05, 0.8 * show)
        frame.shell(*lips, 0.1, BRIGHT, 0.05, 0.4 * show, mirror=0.8 * show)
    if (show := stage.seen(1.1)) > 0.0:
        bow = float(stage.rng.normal(0.0, 0.12)) * length
        frame.rod((-length, 0.0), (length, 0.0), 0.28, Tissue(-14.0, 0.5), 0.8 * show, bow=bow)
        frame.rod((-length, 0.0), (length, 0.0), 0.05, BRIGHT, 0.8 * show, 1.6 * show, bow)


def pelvis(stage: Stage, length: float) -> Frame:
    """What surrounds the cervix, whose canal is 2 `length` cm long: soft tissue, fluid, presenting head, bladder."""
    rng, canvas, frame = stage.rng, stage.canvas, stage.frame()
    tissue = stage.organ(Tissue(-2.0 + float(rng.normal(0.0, 1.5)), 0.55))
    canvas.fill(tissue)
    streaks = np.exp(canvas.grid.depth / np.float32(-1.5))
    canvas.echo += (np.float32(1.6) + np.float32(3.0) * streaks) * canvas.grid.smooth(rng, 40, 7)
    if (show := stage.seen(0.85)) > 0.0:  # fluid above the inner mouth, as a funnel when it opens
        frame.ellipse((1.45 * length, 0.0), (0.5 * length, stage.near(0.5, 0.3) * length), FLUID, 0.9, show)
    if (show := stage.seen(0.75)) > 0.0:  # the presenting head
        head = 0.9 * biparietal_diameter(stage.patient.weeks) / 2.0
        centre = (1.25 * length + 0.9 * head, 0.35 * head)
        frame.ellipse(centre, (head, head), BRAIN, 0.0, show)
        frame.shell(centre, (head, head), 0.2, stage.bone(SKULL), 0.0, show, mirror=6.0 * show)
    if (show := stage.seen(0.65)) > 0.0:  # bladder in front
        bladder = (stage.near(0.6, 0.3) * length, stage.near(0.28, 0.3) * length)
        frame.ellipse((0.5 * length, -0.95 * length), bladder, FLUID, 0.2, show)
    return frame


def _face(stage: Stage) -> None:
    """Profile: forehead, nose, lips and chin over the fluid, the skull behind."""
    frame = stage.frame()
    r = biparietal_diameter(stage.patient.weeks) * stage.size / 2.0
    flesh = stage.organ(MUSCLE)
    frame.ellipse((-0.35 * r, 0.0), (1.0 * r, 0.95 * r), BRAIN)
    frame.shell((-0.35 * r, 0.0), (1.0 * r, 0.95 * r), 0.18, stage.bone(SKULL), 0.0, 0.8, 7.0, toward=-1.6, spread=1.5)
    frame.ellipse((0.55 * r, 0.35 * r), (0.55 * r, 0.6 * r), flesh)
    for u, v, size in ((0.75, -0.28, 0.2), (1.0, -0.18, 0.16), (1.12, 0.1, 0.13), (1.12, 0.32, 0.13), (1.0, 0.65, 0.2)):
        frame.ellipse((u * r, v * r), (size * r, size * r), flesh)
        frame.shell((u * r, v * r), (size * r, size * r), 0.08, SKIN, show=0.6, mirror=2.0, toward=-0.3, spread=1.2)
    frame.rod((0.35 * r, 0.25 * r), (0.85 * r, 0.2 * r), 0.09, stage.bone(BONE), 0.8, 4.0)
    frame.rod((0.35 * r, 0.65 * r), (0.85 * r, 0.7 * r), 0.09, stage.bone(BONE), 0.8, 4.0)


def _orbits(stage: Stage) -> None:
    """Head cut through the eyes: skull, two orbits, no midline."""
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
    """Arms and lower legs: shorter bones than the femur, often two."""
    rng = stage.rng
    length = femur_length(stage.patient.weeks) * stage.size
    for number in range(int(rng.integers(1, 4))):
        turn = stage.turn + float(rng.normal(0.0, 0.7)) * (number > 0)
        shift = float(rng.normal(0.0, 0.6)) * length * (number > 0)
        frame = stage.canvas.frame(stage.x + shift, stage.y + number * 0.35 * length, turn)
        share, bones, show = float(rng.uniform(0.5, 0.95)), int(rng.integers(1, 3)), float(rng.uniform(0.5, 1.0))
        limb(stage, frame, length * share, bones, show)


def _long_spine(stage: Stage) -> None:
    """Spine lengthwise: two rows of bright dots under the skin of the back."""
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
    """Placenta, fluid and loops of cord, no fetal plane."""
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
    """Trunk at the kidneys or the bladder: below the plane in which the abdomen is measured."""
    trunk(stage, float(stage.rng.normal(-2.1, 0.35)))


def _lower_womb(stage: Stage) -> None:
    """Bladder, lower wall of the womb and perhaps the head, beside the cervix."""
    pelvis(stage, 1.7 * stage.size * float(stage.rng.uniform(0.75, 1.2)))


def _head_fragment(stage: Stage) -> None:
    """Part of a head: skull at the edge of the scan, no landmarks."""
    b = biparietal_diameter(stage.patient.weeks) * stage.size / 2.0
    side = -1.0 if stage.flip else 1.0
    frame = stage.canvas.frame(stage.x + side * b * float(stage.rng.uniform(0.5, 1.3)), stage.y, stage.turn)
    skull_and_brain(stage, frame, b * stage.near(1.2, 0.1), b)
    bystanders(stage, b)


def other(stage: Stage) -> None:
    """Anything else that a scan passes, from limbs to the lower womb."""
    views = (_limbs, _face, _orbits, _long_spine, _placenta_and_cord, _low_trunk, _head_fragment, _lower_womb)
    chances = (0.24, 0.13, 0.11, 0.12, 0.17, 0.08, 0.09, 0.06)
    views[int(stage.rng.choice(len(views), p=chances))](stage)


def _extent_trunk(patient: Patient, size: float) -> float:
    return trunk_radius(patient, size)


def _extent_head(patient: Patient, size: float) -> float:
    return biparietal_diameter(patient.weeks) * size * 0.56


def _extent_femur(patient: Patient, size: float) -> float:
    return femur_length(patient.weeks) * size * 0.42


def _extent_cervix(patient: Patient, size: float) -> float:
    return 2.4 * size


@dataclass(frozen=True)
class Plane:
    """A plane: how to draw it, how large it is, how it tends to lie.

    Attributes
    ----------
    paint : callable
        Draws the target on a `Stage`.
    extent : callable
        ``(patient, size)`` to half the depth that the target takes, cm.
    poses : tuple of float
        Typical rotations, radians.
    turn : float
        Standard deviation around them, radians.
    womb : bool
        Whether it is seen through the maternal wall in the womb (`background`).
    """

    paint: Callable[[Stage], None]
    extent: Callable[[Patient, float], float]
    poses: tuple[float, ...]
    turn: float
    womb: bool = True


# The spine lies beside or below: above, its shadow would hide the organs, and the operator waits for a better moment.
TRUNK_POSES = (-0.5 * np.pi, 0.5 * np.pi, np.pi)

PAINTERS: dict[str, Plane] = {
    "Fetal abdomen": Plane(abdomen, _extent_trunk, TRUNK_POSES, 0.35),
    "Fetal brain": Plane(brain, _extent_head, (0.0,), 0.4),
    "Fetal femur": Plane(femur, _extent_femur, (0.0,), 0.35),
    "Fetal thorax": Plane(thorax, _extent_trunk, TRUNK_POSES, 0.35),
    "Maternal cervix": Plane(cervix, _extent_cervix, (0.0,), 0.3, womb=False),
    "Other": Plane(other, _extent_trunk, (0.0,), 0.6),
}
