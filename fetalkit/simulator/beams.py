"""Beam space, in which a scan is simulated, and its conversion to the pixels of the fan.

Beam space is an array ``(rows, beams)``: row = depth below the probe face, beam = angle from the axis of the probe.
Lengths are in cm; ``x`` points right, ``y`` away from the probe, from the middle of its face.

References
----------
- T. L. Szabo, Diagnostic Ultrasound Imaging: Inside Out, 2nd ed., Academic Press 2014, ch. 10 (scan conversion).
- C. de Boor, A Practical Guide to Splines, Springer 1978 (`BeamGrid.smooth`).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.interpolate import BSpline
from scipy.sparse import csr_array

from .scanners import Scanner

ROWS, BEAMS = 192, 128  # samples of beam space for images of up to BASE pixels; larger images get a multiple of it
BASE = 128


@dataclass(frozen=True, eq=False)
class BeamGrid:
    """Sample positions of beam space.

    Attributes
    ----------
    depth : float32 array, shape (rows, 1)
        Distance from the probe face along the beam, cm.
    angle : float32 array, shape (1, beams)
        Angle of the beam, radians, ascending around 0.
    x, y : float32 arrays, shape (rows, beams)
        Cartesian positions, cm.
    radius : float
        Radius of the probe face, cm.
    """

    depth: np.ndarray
    angle: np.ndarray
    x: np.ndarray
    y: np.ndarray
    radius: float

    @property
    def shape(self) -> tuple[int, int]:
        return self.x.shape

    @property
    def spacing(self) -> float:
        """Distance between two rows, cm."""
        return float(self.depth[1, 0] - self.depth[0, 0])

    def smooth(self, rng: np.random.Generator, knots_depth: int, knots_beam: int) -> np.ndarray:
        """Draw a smooth random field of about unit variance: a cubic spline through normal control points.

        Parameters
        ----------
        rng : numpy.random.Generator
        knots_depth, knots_beam : int
            Control points along each axis, at least 4; more of them make finer structure.

        Returns
        -------
        float32 array, shape (rows, beams)
        """
        control = rng.standard_normal((knots_depth, knots_beam), dtype=np.float32)
        rows, beams = self.shape
        # The squared weights of a cubic B-spline sum to 0.48 on average, so each axis is scaled back by its root.
        return _spline(rows, knots_depth) @ (control * np.float32(1.0 / 0.48)) @ _spline(beams, knots_beam).T


@lru_cache(maxsize=64)
def _spline(samples: int, knots: int) -> np.ndarray:
    """Cubic B-spline basis on `samples` points, float32 array (samples, knots)."""
    inner = np.linspace(0.0, 1.0, knots - 2)
    step = inner[1]
    padded = np.concatenate([-step * np.arange(3, 0, -1), inner, 1.0 + step * np.arange(1, 4)])
    at = np.linspace(0.0, 1.0, samples)
    return BSpline.design_matrix(at, padded, 3).toarray().astype(np.float32)


def _oversampling(size: int) -> int:
    """Multiple of (ROWS, BEAMS) that an image of `size` pixels asks for."""
    return -(-size // BASE)


@lru_cache(maxsize=32)
def beam_grid(scanner: Scanner, depth_cm: float, size: int) -> BeamGrid:
    """Beam space of `scanner` at one depth setting, fine enough for images of `size` pixels."""
    fine = _oversampling(size)
    half = np.deg2rad(scanner.sector_deg) / 2
    depth = np.linspace(0.0, depth_cm, ROWS * fine)[:, None]
    angle = np.linspace(-half, half, BEAMS * fine)[None, :]
    reach = scanner.radius_cm + depth
    arrays = (depth, angle, reach * np.sin(angle), reach * np.cos(angle) - scanner.radius_cm)
    return BeamGrid(*(array.astype(np.float32) for array in arrays), radius=scanner.radius_cm)


@lru_cache(maxsize=32)
def scan_converter(scanner: Scanner, depth_cm: float, size: int) -> csr_array:
    """Scan conversion as a sparse matrix: bilinear in beam space, averaged over each pixel.

    Parameters
    ----------
    scanner : Scanner
    depth_cm : float
        Depth setting.
    size : int
        Side of the square image, pixels.

    Returns
    -------
    scipy.sparse.csr_array, float32, shape (size * size, rows * beams)
        Times a flattened frame in beam space it gives the flattened image. Pixels outside the fan have empty rows.
    """
    rows, beams = beam_grid(scanner, depth_cm, size).shape
    half = np.deg2rad(scanner.sector_deg) / 2
    top = -scanner.radius_cm * (1.0 - np.cos(half))  # the corners of the face lie above its middle
    height = depth_cm - top
    width = 2.0 * (scanner.radius_cm + depth_cm) * np.sin(half)
    side = max(height, scanner.shown * width)
    sub = 2 * -(-BASE * _oversampling(size) // size)  # sub-pixels: a pixel is an average, so it does not alias
    step = side / (size * sub)
    at = (np.arange(size * sub) + 0.5) * step
    x, y = np.meshgrid(at - side / 2, at + top - (side - height) / 2)
    row = (np.hypot(x, y + scanner.radius_cm) - scanner.radius_cm) / depth_cm * (rows - 1)
    beam = (np.arctan2(x, y + scanner.radius_cm) / half + 1.0) / 2.0 * (beams - 1)
    line, column = np.nonzero((row >= 0) & (row <= rows - 1) & (beam >= 0) & (beam <= beams - 1))
    pixel = (line // sub) * size + column // sub
    row, beam = row[line, column], beam[line, column]
    row0, beam0 = np.minimum(row.astype(int), rows - 2), np.minimum(beam.astype(int), beams - 2)
    down, right = row - row0, beam - beam0
    weights, sources = [], []
    for dr, wr in ((0, 1.0 - down), (1, down)):
        for db, wb in ((0, 1.0 - right), (1, right)):
            weights.append(wr * wb / sub**2)
            sources.append((row0 + dr) * beams + beam0 + db)
    data = np.concatenate(weights).astype(np.float32)
    return csr_array((data, (np.tile(pixel, 4), np.concatenate(sources))), shape=(size * size, rows * beams))
