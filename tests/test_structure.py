"""The house: rooms in one order, nothing too long, no circle."""

import ast
from pathlib import Path

import pytest

from fetalkit.utils import provenance

PACKAGE = Path(__file__).parents[1] / "fetalkit"
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
# Lowest first: a room imports only from rooms at or before its own place.
ORDER = (
    "utils", "config", "data", "simulator", "cohorts", "generators", "classifiers", "metrics", "experiments", "analysis",
    "plots", "runner", "reporting", "cli", "__main__",
)  # fmt: skip
LONGEST_MODULE, LONGEST_FUNCTION, MOST_ROOMS = 300, 60, 16


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_rooms_are_few_and_known():
    rooms = {room(path) for path in MODULES} - {"__init__"}
    assert rooms == set(ORDER) and len(rooms) <= MOST_ROOMS


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_run_one_way(path):
    if path == PACKAGE / "__init__.py":
        return
    allowed = ORDER[: ORDER.index(room(path)) + 1]
    for name in provenance.imports(path):
        parts = name.split(".")
        if parts[0] == "fetalkit" and len(parts) > 1 and provenance.locate(".".join(parts[:2])):
            assert parts[1] in allowed, f"{path.name} imports {name}"


def test_the_runner_is_light():
    """It starts before every notebook: it waits for no library of the study, and knows only what it needs."""
    for path in (PACKAGE / "runner").glob("*.py"):
        rooms = {name.split(".")[1] for name in provenance.imports(path) if name.startswith("fetalkit.")}
        assert rooms <= {"utils", "config", "runner"}, path.name


def test_no_module_imports_itself_through_others():
    modules = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in MODULES}
    imported = {
        name: {other for other in provenance.imports(path) if other in modules} for name, path in modules.items()
    }

    def reach(name, seen):
        for other in imported[name] - seen:
            seen |= {other}
            reach(other, seen)
        return seen

    assert [name for name in modules if name in reach(name, set())] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_nothing_is_too_long(path):
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= LONGEST_MODULE
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno + 1 <= LONGEST_FUNCTION, node.name
