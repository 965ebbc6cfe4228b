"""What to simulate, and the random numbers that follow from it.

Three independent streams are keyed by numbers, never by call order: a patient by (seed, patient), an image by
(seed, index), its speckle by (seed, index) again under another key. An image is therefore the same whatever else is
simulated with it.

References
----------
- NumPy manual, "Parallel random number generation": SeedSequence with spawn keys gives independent streams.
"""

from dataclasses import dataclass

import numpy as np

PATIENT, IMAGE, SPECKLE = 0, 1, 2


@dataclass(frozen=True)
class Spec:
    """What to simulate.

    Attributes
    ----------
    seed : int
        Study-wide seed, at least 0.
    index : int
        Number of the image, at least 0. Pose, slice quality, gain, shadows and speckle follow from (seed, index).
    patient : int
        Number of the patient, at least 0. Gestational age, mother and skeleton follow from (seed, patient).
    plane : str
        One of `fetalkit.simulator.PLANES`.
    scanner : str
        A key of `fetalkit.simulator.SCANNERS`.
    """

    seed: int
    index: int
    patient: int
    plane: str
    scanner: str


def stream(seed: int, kind: int, number: int) -> np.random.Generator:
    """Generator of its own for the `number`-th patient or image of a study."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=(kind, number))))
