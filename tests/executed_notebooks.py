"""Executed notebooks as the runner would store them, for tests of pages and reports."""

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from fetalkit.utils import paths

RECORD = {
    "started": "2026-11-22T11:54:00+00:00",
    "seconds": 190.4,
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "dirty": True,
    "python": "3.11.7",
    "platform": "Linux-6",
    "cpu": "A <fast> one",
    "cores": 2,
    "memory_gib": 23.5,
    "gpu": None,
    "versions": {"torch": "2.14.1"},
}


def execute(name, *cells, cohort="africa"):
    """Store a notebook as the runner would: text is Markdown, a list is the outputs of a code cell."""
    made = [new_markdown_cell(c) if isinstance(c, str) else new_code_cell("x = 1", outputs=c) for c in cells]
    notebook = new_notebook(cells=made)
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "code":
            cell.execution_count = number
    notebook.metadata["fetalkit"] = RECORD | {"notebook": name, "cohort": cohort, "parameters": {"cohort": cohort}}
    path = paths.executed(cohort, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
