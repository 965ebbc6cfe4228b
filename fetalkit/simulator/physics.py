"""From a map of tissue in beam space to a frame in grey levels: speckle, losses, gain, compression.

The model is linear up to the envelope: an echo is the scatterer map, weakened by the tissue in front of it and blurred
by a point spread function whose width depends on depth (the convolution model of Bamber and Dickinson). Signals are
complex baseband, so the envelope is their modulus and no carrier has to be sampled.

References
----------
- J. C. Bamber and R. J. Dickinson, Phys. Med. Biol. 25, 463 (1980): B-scans as a convolution with the pulse.
- R. F. Wagner, S. W. Smith, J. M. Sandrik and H. Lopez, IEEE Trans. Sonics Ultrason. 30, 156 (1983): fully developed
  speckle is circular Gaussian, its envelope Rayleigh, with mean / standard deviation = 1.91.
- T. L. Szabo, Diagnostic Ultrasound Imaging, 2nd ed. (2014), ch. 4 (loss), 6 (beams), 10 (TGC, log compression).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .beams import BeamGrid, beam_grid
from .scanners import Scanner

SOUND_SPEED = 0.154  # cm per microsecond, the 1540 m/s that every scanner assumes
EVENING = 0.6  # share of the mean loss that the operator's sliders correct
ZONES = 12  # depth zones, each with its own lateral blur
FINEST = 0.8  # samples
DEFOCUS = 0.15  # share of the geometric widening left by dynamic receive focusing
FWHM = 2.3548  # full width at half maximum of a Gaussian, in standard deviations
_NEPER = np.float32(np.log(10.0) / 20.0)


@dataclass(frozen=True, eq=False)
class PointSpread:
    """Separable blur with unit energy, so that speckle keeps the variance of its scatterers.

    Attributes
    ----------
    axial : float32 array, shape (rows, rows)
        Row i holds the weights of the input rows in output row i.
    lateral : float32 array, shape (ZONES, beams, beams)
        For each depth zone, column j holds the weights of the input beams in output beam j.
    """

    axial: np.ndarray
    lateral: np.ndarray


@lru_cache(maxsize=32)
def point_spread(scanner: Scanner, depth_cm: float, size: int) -> PointSpread:
    """Point spread function of `scanner` on ``beam_grid(scanner, depth_cm, size)``.

    Axially a Gaussian as long as half the pulse (the path is there and back); laterally the diffraction limit
    ``wavelength * depth / aperture`` and what is left of the defocus, as an angle. Neither is allowed to be finer than
    the grid can carry (`FINEST` samples of standard deviation).
    """
    grid = beam_grid(scanner, depth_cm, size)
    rows, beams = grid.shape
    wavelength = SOUND_SPEED / scanner.frequency_mhz
    axial_sd = np.hypot(scanner.cycles * wavelength / 2 / FWHM / grid.spacing, FINEST)
    axial = _gaussian(rows, axial_sd)
    axial /= np.sqrt((axial**2).sum(axis=1, keepdims=True))

    depth = (np.arange(ZONES) + 0.5) / ZONES * depth_cm
    diffraction = wavelength * np.maximum(depth, 1.0) / scanner.aperture_cm
    width = np.hypot(diffraction, DEFOCUS * scanner.aperture_cm * np.abs(1.0 - depth / scanner.focus_cm))
    beam_spacing = (grid.angle[0, 1] - grid.angle[0, 0]) * (scanner.radius_cm + depth)
    lateral_sd = np.hypot(width / FWHM / beam_spacing, FINEST)[:, None, None]
    lateral = _gaussian(beams, lateral_sd)
    lateral /= np.sqrt((lateral**2).sum(axis=1, keepdims=True))
    return PointSpread(axial.astype(np.float32), lateral.astype(np.float32))


def _gaussian(samples: int, sd: float | np.ndarray) -> np.ndarray:
    """Gaussian weight of every sample for every other, array (..., samples, samples), with `sd` in samples."""
    offset = np.arange(samples)[:, None] - np.arange(samples)[None, :]
    weights = np.exp(-0.5 * (offset / sd) ** 2)
    # Far below what any display shows; subnormal numbers would make the products ten times slower.
    weights[weights < 1e-6] = 0.0
    return weights


def circular_gaussian(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Complex circular Gaussian field of unit mean power as its two parts, float32 array ``(2, rows, beams)``."""
    return rng.standard_normal((2, *shape), dtype=np.float32) * np.float32(np.sqrt(0.5))


def blur(field: np.ndarray, spread: PointSpread) -> np.ndarray:
    """Convolve real and imaginary part, float32 array ``(2, rows, beams)``, with the depth-dependent point spread."""
    parts, rows, beams = field.shape
    zones = (spread.axial @ field).reshape(parts, ZONES, rows // ZONES, beams)
    return (zones @ spread.lateral).reshape(parts, rows, beams)


def two_way_loss(coefficient: np.ndarray, frequency_mhz: float, spacing_cm: float) -> np.ndarray:
    """Loss of the echo from each sample, summed over the way there and back.

    Parameters
    ----------
    coefficient : float array, shape (rows, beams)
        Attenuation coefficient of the tissue, dB/cm/MHz.
    frequency_mhz : float
        Centre frequency.
    spacing_cm : float
        Distance between rows.

    Returns
    -------
    float array, shape (rows, beams)
        Loss in dB, 0 in the first row. In uniform tissue it is ``2 * coefficient * frequency * depth``.
    """
    total = np.cumsum(coefficient, axis=0)
    return (total - coefficient) * coefficient.dtype.type(2.0 * frequency_mhz * spacing_cm)


def time_gain(loss_db: np.ndarray, grid: BeamGrid, scanner: Scanner, error_db: np.ndarray) -> np.ndarray:
    """Gain over depth: the preset of the scanner, corrected with sliders by an operator who wants an even image.

    Parameters
    ----------
    loss_db : float array, shape (rows, beams)
        Two-way loss of the frame.
    grid : BeamGrid
    scanner : Scanner
    error_db : float array, shape (sliders,)
        Error of each slider, from the probe face to the largest depth.

    Returns
    -------
    float32 array, shape (rows, 1)
        Gain in dB. The preset levels off at 45 dB, as the amplifier does; the sliders make up for `EVENING` of what is
        missing on average. Shadows do not count: no operator sets the gain by them.
    """
    depth = grid.depth[:, 0]
    preset = 45.0 * np.tanh(2.0 * scanner.tgc_slope * scanner.frequency_mhz * depth / 45.0)
    stops = np.linspace(0, len(depth) - 1, len(error_db)).astype(int)
    missing = np.minimum(loss_db[stops], preset[stops, None] + 8.0).mean(axis=1) - preset[stops]
    return (preset + np.interp(depth, depth[stops], EVENING * missing + error_db)).astype(np.float32)[:, None]


def receive(
    echo_db: np.ndarray,
    mirror: np.ndarray,
    loss_db: np.ndarray,
    grid: BeamGrid,
    scanner: Scanner,
    spread: PointSpread,
    rng: np.random.Generator,
) -> np.ndarray:
    """Signal at the receiver, before any gain.

    Parameters
    ----------
    echo_db : float32 array, shape (rows, beams)
        Backscatter, dB over the reference tissue.
    mirror : float32 array, shape (rows, beams)
        Amplitude of mirror-like (coherent) echoes, 1 = amplitude of the reference tissue.
    loss_db : float32 array, shape (rows, beams)
        Two-way loss in front of each sample.
    grid, scanner, spread
        Beam space, machine and its point spread function on that grid.
    rng : numpy.random.Generator
        Source of speckle and noise.

    Returns
    -------
    float32 array, shape (2, rows, beams)
        Real and imaginary part.
    """
    field = circular_gaussian(rng, grid.shape) * np.exp((echo_db - loss_db) * _NEPER)
    field[0] += mirror * np.exp(loss_db * -_NEPER)
    noise = 10.0 ** (scanner.noise_db / 20.0)
    haze = 10.0 ** (scanner.haze_db / 20.0) * np.exp(-grid.depth / np.float32(0.8))
    return blur(field, spread) + circular_gaussian(rng, grid.shape) * np.hypot(noise, haze).astype(np.float32)


def compress(signal: np.ndarray, gain_db: np.ndarray, scanner: Scanner) -> np.ndarray:
    """Envelope, gain and log compression.

    Parameters
    ----------
    signal : float32 array, shape (2, rows, beams)
        Output of `receive`.
    gain_db : float32 array that broadcasts to (rows, beams)
        Time gain plus overall gain.
    scanner : Scanner
        Gives the dynamic range and the white level.

    Returns
    -------
    float32 array, shape (rows, beams)
        Grey levels from 0 to 255.
    """
    power = signal[0] ** 2 + signal[1] ** 2 + np.float32(1e-12)
    level = np.log(power, out=power) * np.float32(10.0 / np.log(10.0))
    level += gain_db - np.float32(scanner.white_db - scanner.dynamic_range_db)
    level *= np.float32(255.0 / scanner.dynamic_range_db)
    return np.clip(level, 0.0, 255.0, out=level)
