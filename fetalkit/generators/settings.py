"""Bases of the sections ``training`` and ``sampling`` of a generator, and how they are checked."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from fetalkit.config.sections import Section, validated


class TrainingSettings(Section):
    """Base of what ``training`` of a generator may say; as it stands, nothing."""

    def check(self, planes: Sequence[str], image_size: int) -> None:
        """Raise ValueError, naming the key, when these planes or images of `image_size` px do not fit the settings."""


class SamplingSettings(Section):
    """Base of what ``sampling`` of a generator may say; as it stands, nothing."""

    def check(self, training: Section) -> None:
        """Raise ValueError, naming the key, when a generator with these settings of its `training` cannot draw like this."""


TrainingT = TypeVar("TrainingT", bound=TrainingSettings)
SamplingT = TypeVar("SamplingT", bound=SamplingSettings)


def given(model: type[Section], value: Section | Mapping[str, Any], where: str) -> Section:
    """`value`, which stands under the key `where`, as a `model`; a section is checked again, since a copy can hold anything."""
    return validated(model, dict(value), "", where)
