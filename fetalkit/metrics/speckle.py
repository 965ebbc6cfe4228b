"""Texture of ultrasound images: grey levels, speckle contrast, speckle size, power spectrum.

All but the spectrum are measured inside the fan, where the local mean exceeds a grey level, so that black padding does not
count. Images are what a scanner shows: log-compressed, filtered and resized. So their speckle SNR is not the 1.91 of raw
amplitudes, and only the comparison of synthetic with real images says something. The vertical direction is taken as axial
(along the beam) and the horizontal one as lateral, which holds near the middle of a fan. The high-pass before the
autocorrelation makes wide speckle look narrower, in every set alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import fft, ndimage

WINDOW = 7  # px: side of the local windows
FAN_LEVEL = 8  # of 255: a window with a lower mean lies outside the fan, or in a shadow
_SMOOTH = 4.0  # px: what a Gaussian of this width keeps is anatomy, the rest is speckle


@dataclass(frozen=True)
class Texture:
    """What `measure` finds in one set of images.

    Attributes
    ----------
    histogram
        (256,): share of the pixels in the fan at each grey level.
    snr
        (n,): per image, the median over the fan of local mean / local standard deviation; NaN for an image without a fan.
    lateral, axial
        (lags,): autocorrelation of the high-passed images at 0, 1, 2 ... px to the side, and down; 1 at lag 0.
    power
        (size // 2,): power per frequency, at 1, 2, ... cycles per image, mean over directions and images, in squared grey
        levels.
    """

    histogram: np.ndarray
    snr: np.ndarray
    lateral: np.ndarray
    axial: np.ndarray
    power: np.ndarray

    @property
    def lateral_width(self) -> float:
        """Full width at half maximum of the lateral autocorrelation, in px."""
        return width(self.lateral)

    @property
    def axial_width(self) -> float:
        """Full width at half maximum of the axial autocorrelation, in px."""
        return width(self.axial)


def measure(images: np.ndarray) -> Texture:
    """Texture of a set of images.

    Parameters
    ----------
    images
        uint8 (n, size, size).

    Raises
    ------
    ValueError
        When `images` has another shape or type.

    References
    ----------
    Burckhardt CB. Speckle in ultrasound B-mode scans. IEEE Trans Sonics Ultrason 25, 1-6 (1978). Wagner RF, et al. Statistics
    of speckle in ultrasound B-scans. IEEE Trans Sonics Ultrason 30, 156-163 (1983).
    """
    if images.ndim != 3 or images.shape[1] != images.shape[2] or images.dtype != np.uint8 or not len(images):
        raise ValueError(
            f"images are {images.dtype} {images.shape}; uint8 (n, size, size) is needed, with n at least 1"
        )
    fans, snr = zip(*(_contrast(image.astype(np.float64)) for image in images), strict=True)
    counted = np.sum([np.bincount(image[fan], minlength=256) for image, fan in zip(images, fans, strict=True)], axis=0)
    correlation = _autocorrelation(images, fans)
    lags = images.shape[1] // 4
    return Texture(
        histogram=counted / max(1, counted.sum()),
        snr=np.array(snr),
        lateral=correlation[0, :lags],
        axial=correlation[:lags, 0],
        power=_power(images),
    )


def table(textures: Mapping[str, Texture]) -> pd.DataFrame:
    """One row per set: ``set``, ``mean_grey``, ``snr`` (median over images), ``lateral_width``, ``axial_width`` (px)."""
    rows = []
    for name, texture in textures.items():
        seen = texture.snr[np.isfinite(texture.snr)]
        rows.append(
            {
                "set": name,
                "mean_grey": float(texture.histogram @ np.arange(256)),
                "snr": float(np.median(seen)) if len(seen) else float("nan"),
                "lateral_width": texture.lateral_width,
                "axial_width": texture.axial_width,
            }
        )
    return pd.DataFrame(rows)


def width(correlation: np.ndarray) -> float:
    """Full width at half maximum, in px, of a symmetric autocorrelation given from lag 0 on; NaN if it stays above half.

    Interpolates linearly between lags, so white noise, which is correlated with itself alone, has the width 1.
    """
    below = np.flatnonzero(correlation < 0.5 * correlation[0])
    if not len(below):
        return float("nan")
    last = below[0]
    above, under = correlation[last - 1], correlation[last]
    return float(2 * (last - 1 + (above - 0.5 * correlation[0]) / (above - under)))


def _contrast(image: np.ndarray) -> tuple[np.ndarray, float]:
    """The fan, bool (size, size), and the median speckle SNR of the windows that lie wholly inside it."""
    mean = ndimage.uniform_filter(image, WINDOW)
    deviation = np.sqrt(np.maximum(ndimage.uniform_filter(np.square(image), WINDOW) - np.square(mean), 0))
    # A window's mean is raised by a fan that only reaches into it, so the fan is half a window smaller than it seems; and
    # a window that reaches over its edge would take the edge for contrast.
    fan = _shrunk(mean > FAN_LEVEL)
    inside = _shrunk(fan) & (deviation > 1e-3)
    return fan, float(np.median(mean[inside] / deviation[inside])) if inside.any() else float("nan")


def _shrunk(mask: np.ndarray) -> np.ndarray:
    return ndimage.binary_erosion(mask, np.ones((WINDOW, WINDOW)), border_value=1)


def _autocorrelation(images: np.ndarray, fans: tuple[np.ndarray, ...]) -> np.ndarray:
    """Autocorrelation of the high-passed fans over all images, (lags down, lags to the side); NaN where there is no fan."""
    size = images.shape[1]
    products, pairs = np.zeros((2 * size, 2 * size)), np.zeros((2 * size, 2 * size))
    for image, fan in zip(images, fans, strict=True):
        weight = ndimage.gaussian_filter(fan.astype(np.float64), _SMOOTH)
        # Smoothing inside the fan only: the black around it would make its rim look bright.
        smooth = ndimage.gaussian_filter(np.where(fan, image, 0.0), _SMOOTH) / np.maximum(weight, 1e-6)
        detail = np.where(fan, image - smooth, 0.0)
        # Zero padding to twice the size keeps one side of the image from meeting the other.
        products += np.asarray(fft.irfft2(_squared(fft.rfft2(detail, s=products.shape)), s=products.shape))
        inside = _squared(fft.rfft2(fan.astype(np.float64), s=products.shape))
        pairs += np.asarray(fft.irfft2(inside, s=products.shape))
    with np.errstate(invalid="ignore"):
        covariance = products[:size, :size] / np.maximum(pairs[:size, :size], 1)
        return covariance / covariance[0, 0]


def _squared(spectrum: Any) -> np.ndarray:
    return np.abs(np.asarray(spectrum)) ** 2


def _power(images: np.ndarray) -> np.ndarray:
    size = images.shape[1]
    frequency = fft.fftfreq(size, 1 / size)
    ring = np.rint(np.hypot(frequency[:, None], frequency[None])).astype(int)
    # The window keeps the jump from one side of an image to the other out of the spectrum; it has mean square 1.
    hann = np.hanning(size + 1)[:size]
    taper = np.outer(hann, hann)
    taper /= np.sqrt(np.square(taper).mean())
    power = np.zeros((size, size))
    for image in images:
        power += _squared(fft.fft2((image - image.mean()) * taper))
    return ndimage.mean(power / len(images) / size**2, labels=ring, index=np.arange(1, size // 2 + 1))
