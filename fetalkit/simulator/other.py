"""Everything else that a scan passes, some of it close to a named plane."""

from .cervix import pelvis
from .head import skull_and_brain
from .patients import biparietal_diameter, femur_length
from .stage import Stage
from .surroundings import bystanders, cord, limb
from .tissues import BLOOD, BONE, BRAIN, FLUID, LIVER, MUSCLE, PLACENTA, SKIN, SKULL
from .trunk import trunk, trunk_radius


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
    chances = (0.25, 0.15, 0.10, 0.14, 0.19, 0.06, 0.07, 0.04)
    views[int(stage.rng.choice(len(views), p=chances))](stage)
