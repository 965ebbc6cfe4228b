"""The one exception whose message is meant for the user, and what is told of those of others."""

import errno

_LONG = 200  # letters of a name that a message shows


class FetalkitError(Exception):
    """A problem the user can act on: one line that says which file or key, what is wrong and what to do."""


def for_users(error: Exception) -> list[str]:
    """Lines about an error that users can do something about; none for a fault of the program."""
    if isinstance(error, FetalkitError):
        return str(error).splitlines()
    if isinstance(error, MemoryError):
        return [f"not enough memory; ask for less at a time ({error})"]
    if not isinstance(error, OSError):
        return []
    place = str(error.filename or "the output")
    place = f"{place[:_LONG]}{'...' * (len(place) > _LONG)}"
    if error.errno == errno.ENOSPC:
        return [f"{place}: the disk is full; free some space and run again"]
    # Of a place that the user has named, wherever it was first needed.
    return [f"{place}: {error.strerror}; check the name, rights and space"] if error.filename is not None else []
