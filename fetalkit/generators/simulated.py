"""Phantoms as a synthetic set: images that owe nothing to any real image, and nothing to learning.

What pre-training on these is worth tells how much of a generator's gain needs a generator at all.
"""

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from fetalkit import simulator
from fetalkit.data import images as store
from fetalkit.generators import read_card
from fetalkit.generators.checks import check_labels, check_training_set
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing
from fetalkit.utils.provenance import fingerprint
from fetalkit.utils.streams import rng


class SimulationGenerator:
    """The simulator of the phantom cohort behind the protocol :class:`fetalkit.generators.Generator`.

    Parameters
    ----------
    n_classes, planes
        Number and names of the planes; the simulator must know each of them.
    size
        Height and width of the images in pixels.
    device, precision
        Not used: the simulator runs on the CPU, in its own precision.

    Raises
    ------
    FetalkitError
        When the simulator does not know a plane.
    """

    def __init__(
        self, *, n_classes: int, planes: tuple[str, ...], size: int = 64, device: str = "auto", precision: str = "auto"
    ):
        unknown = [plane for plane in planes if plane not in simulator.PLANES]
        if unknown or len(planes) != n_classes:
            raise FetalkitError(
                f"simulation: cannot draw {', '.join(unknown) or 'planes without names'}; "
                f"it knows {', '.join(simulator.PLANES)}"
            )
        self.planes, self.size = tuple(planes), size
        self.losses: list[float] = []
        self.seconds = 0.0

    def describe(self) -> dict[str, Any]:
        """Kind, settings and version of the simulator, of JSON types."""
        settings = {"n_classes": len(self.planes), "planes": list(self.planes), "size": self.size}
        code = sorted(Path(simulator.__file__).parent.glob("*.py"))
        return {"generator": "simulation", "settings": settings, "simulator": fingerprint(None, code)}

    def fit(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        seed: int,
        checkpoint: Checkpoint | None = None,
        label: str = "",
    ) -> None:
        """Check the images and learn nothing from them."""
        check_training_set(images, labels, len(self.planes), self.size)

    def sample(self, labels: np.ndarray, *, seed: int, simulated_size: int = 128) -> np.ndarray:
        """Simulate one image for every label, each of another patient, on a scanner drawn at random.

        Parameters
        ----------
        labels
            Integers, shape ``(n,)``, in ``[0, n_classes)``.
        seed
            Image `i` depends on `seed`, `i` and its label alone.
        simulated_size
            Side in px at which speckle is simulated; the image is then resized to `size`, like a real one.

        Returns
        -------
        numpy.ndarray
            uint8, shape ``(n, size, size)``.
        """
        check_labels(labels, len(self.planes))
        scanners = list(simulator.SCANNERS)
        # Patients of the phantom cohort have the cohort's small seed; these never meet them.
        first = 1_000_000 + rng(seed, "simulation").initial_seed() % 1_000_000_000
        random = np.random.default_rng(first)
        specs = [
            simulator.Spec(first, number, number, self.planes[label], scanners[random.integers(len(scanners))])
            for number, label in enumerate(labels)
        ]
        drawn = simulator.simulate(specs, simulated_size)
        return np.stack([store.working(Image.fromarray(pixels), self.size) for pixels in drawn])

    def save(self, folder: Path) -> None:
        """Write ``fetalkit.json``, all that there is to it."""
        with replacing(folder) as temporary:
            temporary.mkdir()
            (temporary / "fetalkit.json").write_text(json.dumps(self.describe(), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, device: str = "auto", precision: str = "auto") -> Self:
        """Read what `save` wrote."""
        return cls(device=device, precision=precision, **read_card(folder)["settings"])
