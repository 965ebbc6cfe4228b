"""Phantoms as a synthetic set: images that owe nothing to any real image, and nothing to learning.

What pre-training on these brings tells how much of a generator's gain needs a generator at all.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from PIL import Image
from pydantic import Field

from fetalkit import simulator
from fetalkit.data import images as store
from fetalkit.generators.base import Generator, SamplingSettings, TrainingSettings
from fetalkit.utils.streams import rng


class SimulatedTraining(TrainingSettings):
    """Nothing to choose, but the simulator must know the planes."""

    def check(self, planes: Sequence[str], image_size: int) -> None:
        """Raise ValueError when the simulator does not know a plane."""
        if unknown := [plane for plane in planes if plane not in simulator.PLANES]:
            raise ValueError(f"planes: cannot simulate {', '.join(unknown)}; there are: {', '.join(simulator.PLANES)}")


class SimulatedSampling(SamplingSettings):
    """How phantoms are drawn.

    Attributes
    ----------
    simulated_size
        Side in px at which speckle is simulated; the image is then resized to `image_size`, like a real one.
    """

    simulated_size: Annotated[int, Field(ge=32, le=512)] = 128


class SimulatedGenerator(Generator[SimulatedTraining, SimulatedSampling]):
    """The simulator of the phantom cohort as a generator: each image of another patient, on a scanner drawn at random.

    Parameters are those of :class:`fetalkit.generators.base.Generator`. It runs on the CPU, in its own precision.
    """

    Training = SimulatedTraining
    Sampling = SimulatedSampling
    sees_images = False

    def _fit(self, images: np.ndarray, labels: np.ndarray, **options: Any) -> None:
        """Learn nothing."""

    def _sample(self, labels: np.ndarray, *, seed: int, sampling: SimulatedSampling, batch_size: int) -> np.ndarray:
        scanners = list(simulator.SCANNERS)
        # Patients of the phantom cohort have the cohort's small seed; these never meet them.
        first = 1_000_000 + rng(seed, "simulation").initial_seed() % 1_000_000_000
        random = np.random.default_rng(first)
        specs = [
            simulator.Spec(first, number, number, self.planes[label], scanners[random.integers(len(scanners))])
            for number, label in enumerate(labels)
        ]
        drawn = simulator.simulate(specs, sampling.simulated_size)
        return np.stack([store.working(Image.fromarray(pixels), self.image_size) for pixels in drawn])
