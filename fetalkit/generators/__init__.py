"""Generators: models that learn to draw images of a given plane, all behind one small protocol."""

import json
import pkgutil
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from fetalkit.checkpoints import Checkpoint
from fetalkit.errors import FetalkitError

# Named, not imported: a stage that interpolates images should not wait for diffusers.
_CLASSES = {
    "diffusion": "fetalkit.generators.diffusion:DiffusionGenerator",
    "simulation": "fetalkit.generators.simulation:SimulationGenerator",
}


@runtime_checkable
class Generator(Protocol):
    """What every generator can do. Images are uint8 arrays (n, size, size), grey; labels int64 arrays (n,)."""

    def fit(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        seed: int,
        checkpoint: Checkpoint | None = None,
        label: str = "",
    ) -> None:
        """Learn from `images`, going on from `checkpoint` where it holds this run; `label` names it in logs."""

    def describe(self) -> dict[str, Any]:
        """Kind and settings, of JSON types; equal for generators that train alike."""

    def sample(self, labels: np.ndarray, *, seed: int, **options: Any) -> np.ndarray:
        """Draw one image for every label; the options are those of the kind of generator."""

    def save(self, folder: Path) -> None:
        """Write the trained generator to `folder`, all or nothing."""

    @classmethod
    def load(cls, folder: Path, device: str = "auto", precision: str = "auto") -> Self:
        """Read a generator that `save` wrote; `precision` is that of the network, as in `fetalkit.devices.precision`."""


def _class(name: str) -> type:
    if name not in _CLASSES:
        raise FetalkitError(f"generator {name!r} is not known; choose one of: {', '.join(sorted(_CLASSES))}")
    return pkgutil.resolve_name(_CLASSES[name])


def create(name: str, **settings: Any) -> Generator:
    """Make an untrained generator.

    Parameters
    ----------
    name
        ``"diffusion"`` or ``"simulation"``.
    settings
        Keyword arguments of its class, e.g. :class:`fetalkit.generators.diffusion.DiffusionGenerator`.

    Raises
    ------
    FetalkitError
        When the name or a setting is not known, or a setting has a value that is not allowed.
    """
    return _class(name)(**settings)


def load(folder: Path, device: str = "auto", precision: str = "auto") -> Generator:
    """Read a saved generator of any kind; `folder` says which.

    Raises
    ------
    FetalkitError
        When `folder` holds no saved generator.
    """
    return _class(read_card(folder)["generator"]).load(folder, device=device, precision=precision)


def read_card(folder: Path) -> dict[str, Any]:
    """Content of ``fetalkit.json``, in which a saved generator says what it is."""
    path = Path(folder) / "fetalkit.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        card["generator"], card["settings"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FetalkitError(
            f"{path}: not the card of a saved generator ({error}); train the generator again"
        ) from error
    return card
