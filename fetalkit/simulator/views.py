"""How one image is taken: quality of the slice, pose, settings of the machine, contact of the probe."""

from dataclasses import dataclass

import numpy as np

from .patients import Patient
from .planes import Plane
from .scanners import Scanner


@dataclass(frozen=True, eq=False)
class View:
    """How one image is taken.

    Attributes
    ----------
    quality : float
        Quality of the slice, 0 to 1.
    size : float
        Size of the target over the mean for its age.
    wall, middle, deep : float
        Depths of the maternal wall, of the middle of the target and of the far wall, cm.
    x : float
        Lateral position of the target, cm.
    turn : float
        Rotation, radians.
    flip : bool
        Whether the image is mirrored.
    depth_cm : float
        Depth setting of the scanner.
    gain_db : float
        Overall gain around the neutral setting.
    sliders_db : float array, shape (6,)
        Errors of the time-gain sliders.
    """

    quality: float
    size: float
    wall: float
    middle: float
    deep: float
    x: float
    turn: float
    flip: bool
    depth_cm: float
    gain_db: float
    sliders_db: np.ndarray


def draw_view(rng: np.random.Generator, patient: Patient, plane: Plane, scanner: Scanner) -> View:
    """Draw pose, quality and settings of one image.

    Parameters
    ----------
    rng : numpy.random.Generator
        Stream of the image.
    patient, plane, scanner
        Who is scanned, for what, with which machine: the depth setting is the first that shows the target.
    """
    quality = float(np.clip(rng.beta(3.2, 1.1) + 0.12 * patient.window, 0.0, 1.0))
    size = patient.size * float(rng.normal(1.0, 0.04))
    extent = plane.extent(patient, size)
    wall = patient.wall_cm * float(rng.uniform(0.8, 1.2)) if plane.womb else 0.3
    gap = float(rng.gamma(1.5, 0.5)) * (0.4 + patient.fluid)
    middle = wall + gap + extent * float(rng.uniform(0.9, 1.15))
    wanted = middle + extent * float(rng.uniform(0.75, 1.25))
    depth_cm = next((depth for depth in scanner.depths_cm if depth >= wanted), scanner.depths_cm[-1])
    half_width = (scanner.radius_cm + middle) * np.sin(np.deg2rad(scanner.sector_deg) / 2)
    turn = plane.poses[int(rng.integers(len(plane.poses)))] + float(rng.normal(0.0, plane.turn))
    return View(
        quality=quality,
        size=size,
        wall=wall,
        middle=middle,
        deep=middle + extent * float(rng.uniform(1.1, 1.6)),
        x=float(rng.normal(0.0, 0.18)) * float(max(half_width - 0.5 * extent, 0.5)),
        turn=turn,
        flip=bool(rng.random() < 0.5),
        depth_cm=depth_cm,
        gain_db=float(rng.normal(0.0, 4.0)) + 3.0 * patient.window,
        sliders_db=rng.normal(0.0, scanner.tgc_error_db, 6),
    )


def contact_loss(rng: np.random.Generator, angle: np.ndarray) -> np.ndarray:
    """Loss by lost contact or gas at the probe face, dB, float32 array (1, beams): dark radial stripes."""
    loss = np.zeros_like(angle)
    half = float(angle[0, -1])
    for _ in range(int(rng.poisson(0.7))):
        at, width = float(rng.uniform(-half, half)), half * float(rng.uniform(0.05, 0.25))
        loss += np.float32(rng.uniform(5.0, 22.0)) * np.exp(-(((angle - at) / width) ** 4))
    # The outer beams use fewer elements.
    return loss + np.float32(rng.uniform(0.0, 8.0)) * (angle / half) ** 4
