"""Cohorts by name."""

import pkgutil

from fetalkit.cohorts.base import Cohort, Settings
from fetalkit.utils.errors import FetalkitError

__all__ = ["Cohort", "Settings", "load", "names"]

# Named, not imported: nobody waits for the simulator who reads a table.
_CLASSES = {
    "africa": "fetalkit.cohorts.africa:Africa",
    "phantom": "fetalkit.cohorts.phantom:Phantom",
    "spain": "fetalkit.cohorts.spain:Spain",
}


def names() -> list[str]:
    """Names of all cohorts, sorted."""
    return sorted(_CLASSES)


def load(name: str) -> Cohort:
    """Cohort by `name`.

    Raises
    ------
    FetalkitError
        When there is no such cohort; the message lists those that there are.
    """
    if name not in _CLASSES:
        raise FetalkitError(f"cohort {name!r} is not known; choose one of {', '.join(names())}")
    return pkgutil.resolve_name(_CLASSES[name])()
