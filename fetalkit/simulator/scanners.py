"""The simulated machines: probe, pulse and presets of each. Their values are invented, in the range of real ones.

References
----------
- T. L. Szabo, Diagnostic Ultrasound Imaging: Inside Out, 2nd ed., Academic Press 2014, ch. 10 (array formats, fans).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scanner:
    """One machine with its probe and its presets.

    Attributes
    ----------
    name : str
        Key in `SCANNERS`.
    sector_deg : float
        Full opening angle of the fan, degrees.
    radius_cm : float
        Radius of curvature of the probe face: large for a convex probe, about 1 for a narrow sector probe.
    depths_cm : tuple of float
        Depth settings that the operator can choose, cm, ascending.
    frequency_mhz : float
        Centre frequency of the pulse.
    cycles : float
        Length of the pulse in periods (full width at half maximum).
    aperture_cm : float
        Width of the active aperture, sets the lateral resolution.
    focus_cm : float
        Depth of the transmit focus.
    dynamic_range_db : float
        Decibels between black and white after log compression.
    white_db : float
        Echo level, dB over the reference tissue, that is shown white at neutral gain.
    noise_db : float
        Electronic noise at the receiver, dB over an unattenuated reference tissue.
    haze_db : float
        Reverberation clutter at the probe face, same unit; decays with depth.
    tgc_slope : float
        Attenuation that the time-gain preset expects, dB/cm/MHz.
    tgc_error_db : float
        Standard deviation of the error of each of the six time-gain sliders.
    shown : float
        Share of the width of the fan that fits on the display (below 1, the sides are cut off).
    """

    name: str
    sector_deg: float
    radius_cm: float
    depths_cm: tuple[float, ...]
    frequency_mhz: float
    cycles: float
    aperture_cm: float
    focus_cm: float
    dynamic_range_db: float
    white_db: float
    noise_db: float
    haze_db: float
    tgc_slope: float
    tgc_error_db: float
    shown: float


SCANNERS: dict[str, Scanner] = {
    scanner.name: scanner
    for scanner in (
        Scanner(
            name="scanner-a convex",
            sector_deg=68.0,
            radius_cm=5.0,
            depths_cm=(7.0, 8.5, 10.0, 12.0, 14.5, 17.5, 21.0),
            frequency_mhz=3.5,
            cycles=2.0,
            aperture_cm=1.8,
            focus_cm=7.0,
            dynamic_range_db=64.0,
            white_db=29.0,
            noise_db=-64.0,
            haze_db=-14.0,
            tgc_slope=0.42,
            tgc_error_db=1.8,
            shown=0.64,
        ),
        Scanner(
            name="scanner-b sector",
            sector_deg=88.0,
            radius_cm=1.1,
            depths_cm=(7.0, 9.0, 11.0, 13.0, 16.0, 20.0),
            frequency_mhz=4.8,
            cycles=3.0,
            aperture_cm=1.2,
            focus_cm=6.0,
            dynamic_range_db=52.0,
            white_db=20.0,
            noise_db=-58.0,
            haze_db=-6.0,
            tgc_slope=0.36,
            tgc_error_db=2.6,
            shown=0.74,
        ),
    )
}
