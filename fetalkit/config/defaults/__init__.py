"""What a section of ``params.yaml`` need not say: ``defaults: quick`` or ``defaults: standard`` names a file beside this one.

No section of ``params.yaml`` is the default of another one: a change of one study never changes another.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from fetalkit.utils.errors import FetalkitError

KEY = "defaults"
_FOLDER = Path(__file__).parent


def file(name: object) -> Path:
    """File of defaults.

    Raises
    ------
    FetalkitError
        When there are none of that name.
    """
    known = {path.stem: path for path in sorted(_FOLDER.glob("*.yaml"))}
    if not isinstance(name, str) or name not in known:
        raise FetalkitError(f"{KEY} = {name!r} is not known; use one of {', '.join(known)}")
    return known[name]


@cache
def _read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def completed(own: Mapping[str, Any]) -> dict[str, Any]:
    """A section with what its ``defaults`` add; it is left as it is where it names none.

    Sections are merged key by key at any depth; numbers, texts and lists take the place of the defaults; None takes a key out.

    Raises
    ------
    FetalkitError
        As `file` does.
    """
    if KEY not in own:
        return dict(own)
    given = {key: value for key, value in own.items() if key != KEY}
    merged = _merged(_read(file(own[KEY])), given)
    return merged if "generators" in merged else merged | {"generators": {}}


def _merged(default: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(default)
    for key, value in own.items():
        below = merged.get(key)
        if value is None and key in default:
            del merged[key]
        elif isinstance(value, Mapping) and isinstance(below, Mapping):
            merged[key] = _merged(below, value)
        else:
            merged[key] = value
    return merged


def sources(own: Mapping[str, Any], key: str) -> tuple[bool, list[str]]:
    """Where the value of a key with dots comes from: whether the section says anything of it, and which keys of the defaults.

    The pipeline depends on both: what a section no longer says is then a key of the defaults that it did not depend on before.
    """
    given: Any = own
    default: Any = _read(file(own[KEY])) if KEY in own else {}
    for part in key.split("."):
        given = given.get(part, _NOTHING) if isinstance(given, Mapping) else _NOTHING
        default = default.get(part, _NOTHING) if isinstance(default, Mapping) else _NOTHING
    if given is _NOTHING and default is not _NOTHING:
        return False, [key]
    return True, list(_beside(given, default, key))


def _beside(given: Any, default: Any, key: str) -> Iterator[str]:
    """Keys of the defaults, below `key`, that a section leaves as they are."""
    if isinstance(given, Mapping) and isinstance(default, Mapping):
        for part, below in default.items():
            if part not in given:
                yield f"{key}.{part}"
            else:
                yield from _beside(given[part], below, f"{key}.{part}")


_NOTHING = object()
