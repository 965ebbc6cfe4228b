"""Specs in, images out."""

from collections.abc import Sequence

import numpy as np

from fetalkit.utils.errors import FetalkitError

from .beams import beam_grid, scan_converter
from .canvas import Canvas
from .patients import draw_patient
from .physics import compress, point_spread, receive, time_gain, two_way_loss
from .planes import PAINTERS
from .scanners import SCANNERS
from .spec import IMAGE, SPECKLE, Spec, stream
from .stage import Stage
from .surroundings import background
from .views import View, contact_loss, draw_view

PLANES: tuple[str, ...] = tuple(PAINTERS)
SIZES = 16, 512


def draw_scene(spec: Spec, size: int) -> tuple[Canvas, View, np.ndarray]:
    """Draw the anatomy of `spec`.

    Returns
    -------
    canvas : Canvas
        Echogenicity, attenuation and mirror-like surfaces in beam space.
    view : View
        Pose and settings.
    contact : float32 array, shape (1, beams)
        Loss at the probe face, dB.
    """
    scanner, plane = SCANNERS[spec.scanner], PAINTERS[spec.plane]
    patient = draw_patient(spec.seed, spec.patient)
    rng = stream(spec.seed, IMAGE, spec.index)
    view = draw_view(rng, patient, plane, scanner)
    grid = beam_grid(scanner, view.depth_cm, size)
    strength = np.float32(0.05 * plane.extent(patient, view.size))
    warp = np.stack([grid.smooth(rng, 6, 6), grid.smooth(rng, 6, 6)]) * strength
    canvas = Canvas(grid, warp)
    stage = Stage(canvas, rng, patient, view.quality, view.x, view.middle, view.size, view.turn, view.flip)
    if plane.womb:
        background(stage, view.wall, view.deep)
    plane.paint(stage)
    # Organs are not uniform, and surfaces are rough.
    canvas.echo += np.float32(1.3) * grid.smooth(rng, 9, 8) + np.float32(1.3) * grid.smooth(rng, 36, 28)
    canvas.mirror *= np.exp(np.float32(0.45) * grid.smooth(rng, 24, 24))
    return canvas, view, contact_loss(rng, grid.angle)


def _render(spec: Spec, size: int) -> np.ndarray:
    """One image, uint8 array (size, size)."""
    scanner = SCANNERS[spec.scanner]
    canvas, view, contact = draw_scene(spec, size)
    grid = canvas.grid
    loss = two_way_loss(canvas.loss, scanner.frequency_mhz, grid.spacing) + contact
    spread = point_spread(scanner, view.depth_cm, size)
    rng = stream(spec.seed, SPECKLE, spec.index)
    signal = receive(canvas.echo, canvas.mirror, loss, grid, scanner, spread, rng)
    grey = compress(signal, time_gain(loss, grid, scanner, view.sliders_db) + np.float32(view.gain_db), scanner)
    fan = scan_converter(scanner, view.depth_cm, size) @ grey.ravel()
    return np.rint(fan).astype(np.uint8).reshape(size, size)


def _check(spec: Spec) -> None:
    for name, value, known in (("plane", spec.plane, PAINTERS), ("scanner", spec.scanner, SCANNERS)):
        if value not in known:
            raise FetalkitError(f"unknown {name} {value!r}; use one of: {', '.join(known)}")
    for name in ("seed", "index", "patient"):
        value = getattr(spec, name)
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 0:
            raise FetalkitError(f"{name} of a simulated image must be an integer of at least 0, not {value!r}")


def simulate(specs: Sequence[Spec], size: int = 128) -> np.ndarray:
    """Simulate B-mode images.

    Parameters
    ----------
    specs : sequence of Spec
        One per image. An image depends on its own spec alone, bit for bit: not on its neighbours or their number.
    size : int
        Side of the square images, 16 to 512 pixels. Up to 128 the same scene is averaged to fewer pixels; above, beam
        space is finer and the speckle with it.

    Returns
    -------
    uint8 array, shape (n, size, size)
        Grey fan on black (0).

    Raises
    ------
    FetalkitError
        Unknown plane or scanner, negative number, or size out of range.

    Notes
    -----
    Frames are made one at a time, each with whole-array operations: a frame fits into the cache, so a batch axis would
    cost memory and win nothing, and could change the last bit.
    """
    if not isinstance(size, int | np.integer) or not SIZES[0] <= size <= SIZES[1]:
        raise FetalkitError(f"size of a simulated image must be an integer from {SIZES[0]} to {SIZES[1]}, not {size!r}")
    for spec in specs:
        _check(spec)
    images = np.empty((len(specs), size, size), np.uint8)
    for image, spec in zip(images, specs, strict=True):
        image[:] = _render(spec, int(size))
    return images
