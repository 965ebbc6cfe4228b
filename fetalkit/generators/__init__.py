"""Generators: models that learn to draw images of a given plane, all behind :class:`fetalkit.generators.base.Generator`.

A generator is named by its class, ``package.module:Name``; one from outside this package works like those in it.

Every notebook and worker of a study looks at the settings of all generators, so that their modules are imported often. What
takes seconds to import (diffusers, timm) is therefore imported where it is used.
"""

import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fetalkit.config.sections import Section
from fetalkit.generators.base import DEFAULTS, Generator
from fetalkit.generators.card import read_card
from fetalkit.utils.errors import FetalkitError

__all__ = ["Generator", "create", "find", "load", "read_card"]


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
        named = pkgutil.resolve_name(class_path) if ":" in class_path else None
    except (ImportError, AttributeError, ValueError) as error:
        raise FetalkitError(f"generator {class_path!r}: cannot be imported ({error}); {example}") from error
    if not (isinstance(named, type) and issubclass(named, Generator)):
        raise FetalkitError(f"generator {class_path!r}: no class derived from fetalkit.generators.Generator; {example}")
    return named


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
