"""A canvas in beam space on which anatomy is drawn with a few analytic shapes.

Every shape is evaluated at the Cartesian position of each beam sample from its (first-order) signed distance, so
nothing is rasterised and resampled. A shape touches only the window of beam space that holds it: that is the speed.

References
----------
- I. Quilez, "2D distance functions" and "Ellipse distance", iquilezles.org: the distance estimates.
"""

import numpy as np

from .beams import BeamGrid
from .tissues import MUSCLE, Tissue

Point = tuple[float, float]
Window = tuple[slice, slice]


class Canvas:
    """Maps of one scene in beam space.

    Parameters
    ----------
    grid : BeamGrid
    warp : float32 array, shape (2, rows, beams)
        Displacement of every sample, cm: anatomy is drawn at the displaced position, so that no outline is a perfect
        ellipse.

    Attributes
    ----------
    echo : float32 array, shape (rows, beams)
        Backscatter, dB over the reference tissue.
    loss : float32 array, shape (rows, beams)
        Attenuation coefficient, dB/cm/MHz.
    mirror : float32 array, shape (rows, beams)
        Amplitude of mirror-like echoes.
    """

    def __init__(self, grid: BeamGrid, warp: np.ndarray):
        self.grid = grid
        self.x = grid.x + warp[0]
        self.y = grid.y + warp[1]
        self.slack = float(np.abs(warp).max()) * 1.5
        # Edges are as soft as the grid is coarse, so that a thin line does not flicker between samples.
        self.soft = 1.5 * grid.spacing
        self.echo = np.empty(grid.shape, np.float32)
        self.loss = np.empty(grid.shape, np.float32)
        self.mirror = np.empty(grid.shape, np.float32)
        self.fill(MUSCLE)

    def fill(self, tissue: Tissue) -> None:
        """Start again with `tissue` everywhere."""
        self.echo[:] = tissue.echo_db
        self.loss[:] = tissue.loss
        self.mirror[:] = 0.0

    def blend(self, mask: np.ndarray, tissue: Tissue, window: Window = np.s_[:, :]) -> None:
        """Replace what is in `window` by `tissue` to the degree of `mask` (0 to 1)."""
        for field, value in ((self.echo, tissue.echo_db), (self.loss, tissue.loss)):
            part = field[window]
            part += mask * (np.float32(value) - part)

    def window(self, x: float, y: float, reach: float) -> Window | None:
        """Rows and beams within `reach` (cm) of a point, or None when it lies outside the scan."""
        grid = self.grid
        rows, beams = grid.shape
        reach += self.slack + 2.0 * self.soft
        away = float(np.hypot(x, y + grid.radius))
        depth = away - grid.radius
        low = max(0, int((depth - reach) / grid.spacing))
        high = min(rows, int((depth + reach) / grid.spacing) + 2)
        half = np.pi if reach >= away else float(np.arcsin(reach / away))
        step = float(grid.angle[0, 1] - grid.angle[0, 0])
        middle = (float(np.arctan2(x, y + grid.radius)) - float(grid.angle[0, 0])) / step
        left = max(0, int(middle - half / step))
        right = min(beams, int(middle + half / step) + 2)
        return (slice(low, high), slice(left, right)) if low < high and left < right else None

    def frame(self, x: float, y: float, angle: float = 0.0, flip: bool = False) -> "Frame":
        """Local coordinates of a body at (x, y) cm, turned by `angle` radians, mirrored when `flip`."""
        return Frame(self, x, y, angle, flip)


class Frame:
    """Coordinates (u, v), in cm, of a body, and the shapes that can be drawn in them.

    All shapes take `show`, from 0 (not drawn) to 1 (as it should look): how well the slice has caught it.
    `mirror` is the amplitude of the mirror-like echo of a surface seen face-on; it falls with the fourth power of the
    cosine between beam and surface normal.
    """

    def __init__(self, canvas: Canvas, x: float, y: float, angle: float, flip: bool):
        self.canvas = canvas
        self.origin = x, y
        self.cos, self.sin, self.sign = float(np.cos(angle)), float(np.sin(angle)), -1.0 if flip else 1.0
        dx, dy = canvas.x - np.float32(x), canvas.y - np.float32(y)
        self.u = self.cos * dx + self.sin * dy
        self.v = self.sign * (self.cos * dy - self.sin * dx)
        beam_x, beam_y = np.sin(canvas.grid.angle), np.cos(canvas.grid.angle)
        self.beam_u = self.cos * beam_x + self.sin * beam_y
        self.beam_v = self.sign * (self.cos * beam_y - self.sin * beam_x)

    def place(self, u: float, v: float) -> Point:
        """Position (x, y) of the local point (u, v), cm."""
        v = self.sign * v
        return self.origin[0] + self.cos * u - self.sin * v, self.origin[1] + self.sin * u + self.cos * v

    def _ellipse_distance(
        self, window: Window, centre: Point, axes: Point, angle: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Signed distance to the ellipse, and the cosine between its normal and the beam."""
        cos, sin = float(np.cos(angle)), float(np.sin(angle))
        du, dv = self.u[window] - np.float32(centre[0]), self.v[window] - np.float32(centre[1])
        p, q = cos * du + sin * dv, cos * dv - sin * du
        beam_u, beam_v = self.beam_u[:, window[1]], self.beam_v[:, window[1]]
        beam_p, beam_q = cos * beam_u + sin * beam_v, cos * beam_v - sin * beam_u
        a, b = max(axes[0], 1e-2), max(axes[1], 1e-2)
        p *= np.float32(1.0 / a)
        q *= np.float32(1.0 / b)
        level = np.sqrt(p * p + q * q)
        p *= np.float32(1.0 / a)
        q *= np.float32(1.0 / b)
        slope = np.sqrt(p * p + q * q) + np.float32(1e-6)
        return level * (level - np.float32(1.0)) / slope, (p * beam_p + q * beam_q) / slope

    def _mask(self, distance: np.ndarray, show: float) -> np.ndarray:
        """Soft inside of a shape: 1 inside, 0 outside, linear over one softness around the edge."""
        mask = np.float32(0.5) - distance * np.float32(1.0 / self.canvas.soft)
        np.clip(mask, 0.0, 1.0, out=mask)
        mask *= np.float32(show)
        return mask

    def _reflect(self, window: Window, mask: np.ndarray, cosine: np.ndarray, mirror: float) -> None:
        cosine = cosine * cosine
        part = self.canvas.mirror[window]
        np.maximum(part, mask * (cosine * cosine * np.float32(mirror)), out=part)

    def ellipse(self, centre: Point, axes: Point, tissue: Tissue, angle: float = 0.0, show: float = 1.0) -> None:
        """Fill an ellipse: `centre` (u, v) and half `axes` in cm, first axis at `angle` radians from u."""
        window = self.canvas.window(*self.place(*centre), max(axes))
        if window and show > 0.0:
            distance, _ = self._ellipse_distance(window, centre, axes, angle)
            self.canvas.blend(self._mask(distance, show), tissue, window)

    def shell(
        self,
        centre: Point,
        axes: Point,
        thickness: float,
        tissue: Tissue,
        angle: float = 0.0,
        show: float = 1.0,
        mirror: float = 0.0,
        toward: float | None = None,
        spread: float = np.pi,
        graze: float = 0.0,
    ) -> None:
        """Draw the wall of an ellipse, `thickness` cm.

        `toward` and `spread` (radians) keep the part whose direction from the centre is within `spread` of `toward`.
        `graze` is the loss (dB/cm/MHz) of a wall that runs along the beam: refraction there makes the edge shadows of
        a head or a belly.
        """
        window = self.canvas.window(*self.place(*centre), max(axes) + thickness)
        if window is None or show <= 0.0:
            return
        distance, cosine = self._ellipse_distance(window, centre, axes, angle)
        mask = self._mask(np.abs(distance) - np.float32(thickness / 2.0), show)
        if toward is not None:
            du, dv = self.u[window] - np.float32(centre[0]), self.v[window] - np.float32(centre[1])
            along = du * float(np.cos(toward)) + dv * float(np.sin(toward))
            along /= np.sqrt(du * du + dv * dv) + np.float32(1e-6)
            mask *= np.clip((along - float(np.cos(spread))) * 8.0 + 0.5, 0.0, 1.0)
        self.canvas.blend(mask, tissue, window)
        if graze:
            tangent = np.float32(1.0) - cosine * cosine
            tangent *= tangent
            self.canvas.loss[window] += mask * (tangent * tangent) * np.float32(graze)
        if mirror:
            self._reflect(window, mask, cosine, mirror)

    def rod(
        self,
        start: Point,
        end: Point,
        radius: float,
        tissue: Tissue,
        show: float = 1.0,
        mirror: float = 0.0,
        bow: float = 0.0,
        wall: float | None = None,
    ) -> None:
        """Draw a rod with round ends, `radius` cm, from `start` to `end` (u, v).

        `bow` moves its middle sideways, cm; with `wall` only a skin of that thickness is drawn, cm.
        """
        (u0, v0), (u1, v1) = start, end
        length = float(np.hypot(u1 - u0, v1 - v0)) + 1e-6
        window = self.canvas.window(*self.place((u0 + u1) / 2, (v0 + v1) / 2), length / 2 + radius + abs(bow))
        if window is None or show <= 0.0:
            return
        tu, tv = (u1 - u0) / length, (v1 - v0) / length
        du, dv = self.u[window] - np.float32(u0), self.v[window] - np.float32(v0)
        along, across = tu * du + tv * dv, tu * dv - tv * du
        inside = np.clip(along, 0.0, length)
        if bow:
            across -= (inside * (length - inside)) * np.float32(4.0 * bow / length**2)
        along -= inside
        distance = np.sqrt(along * along + across * across) - np.float32(radius)
        if wall is not None:
            distance = np.abs(distance) - np.float32(wall / 2.0)
        mask = self._mask(distance, show)
        self.canvas.blend(mask, tissue, window)
        if mirror:
            cosine = self.beam_v[:, window[1]] * tu - self.beam_u[:, window[1]] * tv
            self._reflect(window, mask, cosine, mirror)
