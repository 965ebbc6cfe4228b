"""Generators: models that learn to draw images of a given plane, all behind :class:`fetalkit.generators.base.Generator`.

A generator is named by its class, ``package.module:Name``; one from outside this package works like those in it.
"""

import ast
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fetalkit.config.sections import Section
from fetalkit.generators.base import DEFAULTS, Generator
from fetalkit.generators.card import read_card
from fetalkit.utils.errors import FetalkitError

__all__ = ["Generator", "code", "create", "find", "load", "read_card"]


def find(class_path: str) -> type[Generator]:
    """Class of a generator by its path.

    Parameters
    ----------
    class_path
        ``package.module:Name``.

    Raises
    ------
    FetalkitError
        When there is no such class, or it is no generator.
    """
    example = "give it as package.module:Name"
    try:
        # The colon tells where the module ends; without one, what is missing could not be named.
        found = pkgutil.resolve_name(class_path) if ":" in class_path else None
    except (ImportError, AttributeError, ValueError) as error:
        raise FetalkitError(f"generator {class_path!r}: cannot be imported ({error}); {example}") from error
    if not (isinstance(found, type) and issubclass(found, Generator)):
        raise FetalkitError(f"generator {class_path!r}: no class derived from fetalkit.generators.Generator; {example}")
    return found


def create(
    class_path: str,
    planes: Sequence[str],
    image_size: int,
    training: Section | Mapping[str, Any] = DEFAULTS,
    *,
    device: str = "auto",
    precision: str = "auto",
) -> Generator:
    """Make an untrained generator.

    Parameters
    ----------
    class_path
        ``package.module:Name``, e.g. ``"fetalkit.generators.gan.generator:GanGenerator"``.
    planes, image_size, training, device, precision
        As for :class:`fetalkit.generators.base.Generator`.

    Raises
    ------
    FetalkitError
        When there is no such generator, a setting is not known, or its value is not allowed.
    """
    return find(class_path)(planes, image_size, training, device=device, precision=precision)


def load(folder: Path, device: str = "auto", precision: str = "auto") -> Generator:
    """Read a saved generator of any class; the card in `folder` says which.

    Raises
    ------
    FetalkitError
        When `folder` holds no saved generator, or its class is not there.
    """
    return find(read_card(folder)["class"]).load(folder, device=device, precision=precision)


# Beside the modules of this package: which images form a batch, and what phantoms are.
_FOLLOWED = ("fetalkit.generators.", "fetalkit.data.", "fetalkit.simulator")


def code(class_path: str) -> list[Path]:
    """Files that a generator of this class follows from: its module and all that this one imports, directly or not.

    Of the project these are the modules of this package, those of `fetalkit.data` and the simulator. This very file is none
    of them: it finds generators, and has no influence on what they learn.

    Raises
    ------
    FetalkitError
        When there is no such class.
    """
    files, waiting = set(), [find(class_path).__module__]
    while waiting:
        place = Path(__file__).parents[2].joinpath(*waiting.pop().split("."))
        path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if path not in files and path.is_file():  # what is imported from a module can be a function of it
            files.add(path)
            waiting += [module for module in _imports(path) if module.startswith(_FOLLOWED)]
    return sorted(files)


def _imports(path: Path) -> list[str]:
    """Dotted names of all that a file imports, whether modules or their contents."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names
