"""Generators: models that learn to draw images of a given plane, all behind one small protocol."""

import ast
import json
import pkgutil
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.errors import FetalkitError

# Named, not imported: a stage that interpolates images should not wait for diffusers.
_CLASSES = {
    "diffusion": "fetalkit.generators.diffusion.generator:DiffusionGenerator",
    "gan": "fetalkit.generators.gan.generator:GanGenerator",
    "interpolation": "fetalkit.generators.smote:InterpolationGenerator",
    "simulation": "fetalkit.generators.simulated:SimulationGenerator",
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
        """Read a generator that `save` wrote; `precision` is that of the network, as in `fetalkit.utils.devices.precision`."""


def _path(name: str) -> str:
    """Module and class of a kind of generator."""
    if name not in _CLASSES:
        raise FetalkitError(f"generator {name!r} is not known; choose one of: {', '.join(sorted(_CLASSES))}")
    return _CLASSES[name]


def _class(name: str) -> type:
    return pkgutil.resolve_name(_path(name))


def create(name: str, **settings: Any) -> Generator:
    """Make an untrained generator.

    Parameters
    ----------
    name
        ``"diffusion"``, ``"gan"``, ``"interpolation"`` or ``"simulation"``.
    settings
        Keyword arguments of its class, e.g. :class:`fetalkit.generators.diffusion.generator.DiffusionGenerator`.

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


# Beside the modules of this package: which images form a batch.
_FOLLOWED = ("fetalkit.generators.", "fetalkit.data.sampling")


def code(name: str) -> list[Path]:
    """Files that a generator of this kind follows from: its module and all that this one imports, directly or not.

    Of the project these are the modules of this package and `fetalkit.data.sampling`. This very file is none of them: it finds
    generators, and has no influence on what they learn.

    Raises
    ------
    FetalkitError
        When there is no such kind.
    """
    found, waiting = set(), [_path(name).partition(":")[0]]
    while waiting:
        path = Path(__file__).parents[2].joinpath(*waiting.pop().split(".")).with_suffix(".py")
        if path not in found and path.is_file():  # what is imported from a module can be a function of it
            found.add(path)
            waiting += [module for module in _imports(path) if module.startswith(_FOLLOWED)]
    return sorted(found)


def _imports(path: Path) -> list[str]:
    """Dotted names of all that a file imports, whether modules or their contents."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names
