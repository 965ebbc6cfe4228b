"""Notebooks run in the process of the test, where paths can point elsewhere and mistakes be looked at."""

import nbformat

from fetalkit.reporting import display
from fetalkit.utils import paths


def run(name, cohort, monkeypatch):
    """Run the code cells of a notebook; return its variables, and what it has shown: notes, facts, captions of tables."""
    shown = []
    monkeypatch.setattr(display, "note", shown.append)
    monkeypatch.setattr(display, "facts", lambda facts: shown.append(facts))
    monkeypatch.setattr(display, "table", lambda frame, name, caption, *_, **__: shown.append((name, frame, caption)))
    monkeypatch.setattr(
        display, "figure", lambda figure, name, caption, *_, **__: shown.append((name, figure, caption))
    )
    variables = {"__name__": "__main__"}
    for cell in nbformat.read(paths.NOTEBOOKS / f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, name, "exec"), variables)
        if "parameters" in cell.metadata.get("tags", []):
            variables["cohort"] = cohort
    return variables, shown


def text_of(shown):
    """Notes and captions as one text."""
    return "\n".join(str(item[2] if isinstance(item, tuple) else item) for item in shown)
