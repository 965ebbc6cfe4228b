"""What a stage is made from, as it stood when the stage began.

DVC notes parameters and code when a stage ends. Were they edited while it ran, it would take the results for those of the new
ones, and never make them again.
"""

import ast
from pathlib import Path
from typing import Any

from fetalkit.config import params
from fetalkit.config.sections import TRANSFER, cohorts_of, read, transfer_sections
from fetalkit.utils import paths, provenance


def state(study: str, notebook: Path) -> dict[str, Any]:
    """Sections of ``params.yaml`` that a study may read, and digests of the code that a notebook runs, by their names.

    Comments and docstrings do not count, nor does the section ``run``, which says where things run.
    """
    content = read(paths.PARAMS)
    cohorts = [study, *cohorts_of(transfer_sections(paths.PARAMS).get(study, {}))]
    others = set(params.names()) - set(cohorts)
    found: dict[str, Any] = {
        f"params.yaml: {name}": section for name, section in content.items() if name not in {*others, "run", TRANSFER}
    }
    found[f"params.yaml: {TRANSFER}.{study}"] = (content.get(TRANSFER) or {}).get(study)
    provenance.forget()
    cells = _cells(notebook)
    modules = provenance.closure_of_source("\n".join(cells))
    return found | {notebook.name: cells} | provenance.code(tuple(modules))


def edited(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of what differs between two states."""
    return [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]


def _cells(notebook: Path) -> list[str]:
    import nbformat

    cells = nbformat.read(notebook, as_version=4).cells
    return [_code(cell.source) for cell in cells if cell.cell_type == "code"]


def _code(source: str) -> str:
    try:
        return ast.unparse(ast.parse(source))
    except SyntaxError:  # of IPython, or a mistake that the run will tell of
        return ""
