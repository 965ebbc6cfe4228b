"""Phantoms as a synthetic set: images that owe nothing to any real image, and nothing to learning.

What pre-training on these brings tells how much of a generator's gain needs a generator at all.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL import Image
from pydantic import Field

from fetalkit import simulator
from fetalkit.data import images as store
from fetalkit.generators import networks
from fetalkit.generators.appearance import Appearance
from fetalkit.generators.base import Generator
from fetalkit.generators.settings import SamplingSettings, TrainingSettings
from fetalkit.utils.errors import FetalkitError
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
        return phantoms([self.planes[label] for label in labels], self.image_size, seed, sampling.simulated_size)


class MatchedPhantoms(SimulatedGenerator):
    """The same phantoms with the look of the images that it is given: their field of view and grey levels.

    It is the control of everything that draws from phantoms: what it lacks is learnt texture. See `Appearance`.
    """

    sees_images = True
    appearance: Appearance | None = None

    @property
    def loaded(self) -> bool:
        """Whether it has seen images."""
        return self.appearance is not None

    def _fit(self, images: np.ndarray, labels: np.ndarray, *, seed: int, **options: Any) -> None:
        self.appearance = Appearance.of(images, labels, self.n_classes, seed)

    def _sample(self, labels: np.ndarray, *, seed: int, sampling: SimulatedSampling, batch_size: int) -> np.ndarray:
        assert self.appearance is not None
        drawn = super()._sample(labels, seed=seed, sampling=sampling, batch_size=batch_size)
        return self.appearance.give(drawn, labels, seed)

    def _write(self, folder: Path) -> dict[str, Any]:
        assert self.appearance is not None
        self.appearance.save(folder)
        return {}

    def _read(self, folder: Path, about: dict[str, Any]) -> None:
        with networks.complete(folder):
            self.appearance = Appearance.load(folder, self.image_size)


def phantoms(planes: Sequence[str], image_size: int, seed: int, simulated_size: int = 128) -> np.ndarray:
    """Phantoms, each of another patient, on a scanner drawn at random.

    Parameters
    ----------
    planes
        Name of the plane of every image.
    image_size
        Side in px.
    seed
        Of everything.
    simulated_size
        Side in px at which they are simulated.

    Returns
    -------
    numpy.ndarray
        uint8 (n, image_size, image_size).

    Raises
    ------
    FetalkitError
        When the simulator does not know a plane.
    """
    if unknown := sorted(set(planes) - set(simulator.PLANES)):
        raise FetalkitError(f"cannot simulate {', '.join(unknown)}; there are: {', '.join(simulator.PLANES)}")
    scanners = list(simulator.SCANNERS)
    # Patients of the phantom cohort have the cohort's small seed; these never meet them.
    first = 1_000_000 + rng(seed, "simulation").initial_seed() % 1_000_000_000
    random = np.random.default_rng(first)
    specs = [
        simulator.Spec(first, number, number, plane, scanners[random.integers(len(scanners))])
        for number, plane in enumerate(planes)
    ]
    drawn = simulator.simulate(specs, simulated_size)
    return np.stack([store.working(Image.fromarray(pixels), image_size) for pixels in drawn])
