"""Whether the classifiers that a section names can be made; asked before anything is trained."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pkgutil import resolve_name
from typing import Any

from fetalkit.utils import paths, provenance
from fetalkit.utils.errors import FetalkitError


def problems(training: Any, image_size: int, key: str) -> Iterator[str]:
    """Classifiers of a section that cannot be made, a line each; `key` is that of the section."""
    for name, spec in training.classifiers.items():
        try:
            _check(spec.model, spec.arguments, spec.pretrained, spec.input_size or image_size)
        except FetalkitError as error:
            line = "; ".join(str(error).splitlines()).removeprefix("classify.classifiers: ")
            yield f"{key}.classifiers.{name}: {line}"


def _check(model: str, arguments: Mapping[str, Any], pretrained: bool, size: int) -> None:
    """Raise `FetalkitError` where a network cannot be made; once for each, and for each version of timm and of the code.

    Every notebook loads the parameters. To import timm takes it longer than all that many of them do.
    """
    modules = [f"fetalkit.classifiers.{part}" for part in ("models", "own")]
    modules += resolve_name("fetalkit.classifiers.own:modules")(model)
    about = [model, sorted(arguments.items()), pretrained, size, provenance.versions()]
    passed = paths.ROOT / "work" / "networks" / provenance.fingerprint(modules, about)
    if passed.exists():
        return
    resolve_name("fetalkit.classifiers.models:check")(
        resolve_name("fetalkit.classifiers.own:known")(model), arguments, pretrained, size=size
    )
    with suppress(OSError):  # where nothing can be written, it is checked again the next time
        passed.parent.mkdir(parents=True, exist_ok=True)
        passed.touch()
