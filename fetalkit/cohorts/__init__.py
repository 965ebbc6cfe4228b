"""Cohorts by name or by class."""

from typing import Any

from fetalkit.cohorts.base import Cohort
from fetalkit.config.params import COHORTS, resolve
from fetalkit.config.sections import CohortSettings, Section
from fetalkit.utils.errors import FetalkitError

__all__ = ["Cohort", "CohortSettings", "load"]


def load(name: str, settings: Section | None = None) -> Cohort[Any]:
    """Cohort of a section of ``params.yaml``.

    Parameters
    ----------
    name
        Of the section.
    settings
        Its part ``cohort``, which may name another kind than the section's name.

    Raises
    ------
    FetalkitError
        When there is no such kind; the message lists those that come with the project.
    """
    kind = getattr(settings, "kind", None) or name
    try:
        cohort = resolve(COHORTS.get(kind, kind))()
    except ValueError:
        known = ", ".join(COHORTS)
        raise FetalkitError(f"cohort {kind!r} is not known; choose one of {known}, or package.module:Class") from None
    for about in ("title", "licence", "citation"):
        if text := getattr(settings, about, None):
            setattr(cohort, about, text)
    return cohort
