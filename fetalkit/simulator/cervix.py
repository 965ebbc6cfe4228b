"""Maternal cervix and what lies around it.

References
----------
- K. O. Kagan and J. Sonek, How to measure cervical length, Ultrasound Obstet. Gynecol. 45, 358 (2015).
"""

import numpy as np

from .canvas import Frame
from .patients import biparietal_diameter
from .stage import Stage
from .tissues import BRAIN, BRIGHT, FLUID, SKULL, Tissue


def pelvis(stage: Stage, length: float) -> Frame:
    """Draw what surrounds a cervix with a canal of 2 `length` cm: soft tissue, fluid, presenting head, bladder.

    Returns the frame of the canal.
    """
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


def cervix(stage: Stage) -> None:
    """Draw the maternal cervix: canal in its glandular zone from the outer to the inner mouth, bladder, fetal head."""
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
