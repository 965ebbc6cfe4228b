"""Code that the stages of ``dvc.yaml`` run, found from what their notebooks and commands import.

The lists of ``dvc.yaml`` are written by `updated`, and a test holds them against the code: a stage whose code has changed can
never stay "up to date".
"""

import ast
import re
from collections import defaultdict
from pathlib import Path

import yaml

from fetalkit.utils import paths, provenance
from fetalkit.utils.errors import FetalkitError

PACKAGE = provenance.PACKAGE
# What a stage imports by name only: the classes of cohorts and of generators, which params.yaml chooses.
_BY_NAME = {f"{PACKAGE}.cohorts": ("simulator", "cohorts"), f"{PACKAGE}.generators": ("generators",)}
_NETWORKS = f"{PACKAGE}.classifiers.own"  # names the modules of the project's own networks, and imports none
_WHOLE = 0.6  # a room of which a stage uses this share is listed as a whole, which reads better
_TEMPLATES = f"{PACKAGE}/reporting/templates"


def code_of(command: str) -> list[str]:
    """Files and rooms that a stage with this command runs, relative to the project, sorted.

    Raises
    ------
    FetalkitError
        When the command is none of ``fetalkit run NOTEBOOK ...``, ``fetalkit fetch ...`` and ``fetalkit report ...``.
    """
    words = command.split()
    if f"{PACKAGE}" not in words:
        raise FetalkitError(f"dvc.yaml: cmd {command!r}: no command of {PACKAGE}; its code cannot be found")
    verb, first = words[words.index(PACKAGE) + 1 :][:2]
    if verb == "run":
        needed = provenance.closure_of_source(_cells(paths.NOTEBOOKS / f"{first}.ipynb"))
    else:
        needed = provenance.closure_of_source(_command(verb))
    files = {path for path in needed.values() if path.is_relative_to(paths.ROOT)}
    for name, rooms in _BY_NAME.items():
        if name in needed:
            modules = (_module(file) for room in rooms for file in (paths.ROOT / PACKAGE / room).rglob("*.py"))
            files |= set(provenance.closure(tuple(name.removesuffix(".__init__") for name in modules)).values())
            files |= _own_classes()
    if _NETWORKS in needed:
        named = re.findall(rf'"({PACKAGE}\.[\w.]+)"', needed[_NETWORKS].read_text(encoding="utf-8"))
        files |= set(provenance.closure(tuple(named)).values())
    extra = [_TEMPLATES] if f"{PACKAGE}.reporting.cards" in needed or verb == "report" else []
    return sorted([*_by_room(files), *extra])


def _cells(notebook: Path) -> str:
    import nbformat  # takes a second to load, which `fetalkit repro` need not wait for

    cells = nbformat.read(notebook, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "code")


def _command(verb: str) -> str:
    """Source of the function of the command line that does `verb`."""
    source = (paths.ROOT / PACKAGE / "cli.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == verb:
            return ast.unparse(node)
    raise FetalkitError(f"dvc.yaml: there is no command {PACKAGE} {verb}; correct cmd")


def _own_classes() -> set[Path]:
    """Files of the project, outside the package, that hold generators or cohorts named in ``params.yaml``."""
    text = paths.PARAMS.read_text(encoding="utf-8")
    named = {name for name in re.findall(r"([\w.]+):\w+", text) if provenance.locate(name) and "." in name}
    outside = tuple(sorted(name for name in named if not name.startswith(f"{PACKAGE}.")))
    reached = provenance.closure(outside).values() if outside else ()
    return {path for path in reached if path.is_relative_to(paths.ROOT) and ".venv" not in path.parts}


def _by_room(files: set[Path]) -> list[str]:
    """Files as paths of the project; rooms that are used nearly as a whole by their folder."""
    rooms: dict[Path, set[Path]] = defaultdict(set)
    for file in files:
        rooms[_room(file)].add(file)
    listed = []
    for room, used in rooms.items():
        every = [file for file in room.rglob("*.py") if _module(file) not in provenance.INFRASTRUCTURE]
        whole = room.parent == paths.ROOT / PACKAGE and len(used) >= _WHOLE * len(every) and room.name != "utils"
        listed += (
            [room]
            if whole
            else sorted(file for file in used if file.name != "__init__.py" or file.stat().st_size > 300)
        )
    return [path.relative_to(paths.ROOT).as_posix() for path in listed]


def _room(file: Path) -> Path:
    parts = file.relative_to(paths.ROOT).parts
    return paths.ROOT / PACKAGE / parts[1] if parts[0] == PACKAGE and len(parts) > 2 else file.parent


def _module(file: Path) -> str:
    return ".".join(file.relative_to(paths.ROOT).with_suffix("").parts)


def updated(text: str) -> str:
    """`text` of a ``dvc.yaml`` with the present lists of code; all else, comments too, stays as it is."""
    commands = {name: stage["cmd"] for name, stage in yaml.safe_load(text)["stages"].items()}
    lines, stage, written = [], "", set()
    for line in text.split("\n"):
        if header := re.match(r"^  ([\w-]+):", line):
            stage = header[1]
        if re.match(rf"^ +- {PACKAGE}/", line):
            continue
        lines.append(line)
        if stage in commands and stage not in written and re.match(r"^    deps:", line):
            written.add(stage)
            lines += [f"      - {name}" for name in code_of(commands[stage])]
    return "\n".join(lines)
