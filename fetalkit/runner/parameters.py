"""Parameters of a notebook: those that its tagged cell sets, which papermill only warns about."""

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

from fetalkit.runner.records import read
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError


def check(name: str, given: Mapping[str, Any]) -> None:
    """Raise unless `given` are parameters of the notebook and complete those that have no default.

    Raises
    ------
    FetalkitError
        When there is no such notebook, it has no cell tagged ``parameters``, or a parameter is unknown or missing.
    """
    path = paths.NOTEBOOKS / f"{name}.ipynb"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in paths.NOTEBOOKS.glob("*.ipynb"))) or "none"
        raise FetalkitError(f"{name}: there is no such notebook in {paths.NOTEBOOKS}; there are: {known}")
    cells = [cell for cell in read(path).cells if "parameters" in cell.metadata.get("tags", [])]
    if not cells:
        raise FetalkitError(f"{name}: has no cell tagged `parameters`; tag the cell that sets the defaults")
    defaults = declared(name, cells[0].source)
    if unknown := sorted(given.keys() - defaults.keys()):
        raise FetalkitError(f"{name}: unknown parameter {', '.join(unknown)}; it has: {', '.join(defaults) or 'none'}")
    if missing := [key for key, has_default in defaults.items() if not has_default and key not in given]:
        raise FetalkitError(f"{name}: parameter {', '.join(missing)} has no default; give it: -p {missing[0]}=VALUE")


def declared(name: str, source: str) -> dict[str, bool]:
    """Names that the parameters cell sets, and whether it gives a value; ``seed: int`` declares one without default."""
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise FetalkitError(f"{name}: the parameters cell is not valid Python ({error.msg})") from error
    names: dict[str, bool] = {}
    for statement in statements:
        if isinstance(statement, ast.Assign):
            names |= {target.id: True for target in statement.targets if isinstance(target, ast.Name)}
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            names[statement.target.id] = statement.value is not None
    return names


def given(texts: Sequence[str], option: str = "-p") -> dict[str, Any]:
    """Parse ``NAME=VALUE``, given by an option; a value is JSON if it can be read as such (numbers, true, lists), else text.

    Raises
    ------
    FetalkitError
        When one is of another form, or is given twice.
    """
    parameters: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise FetalkitError(f"{option} {text}: is not of the form NAME=VALUE")
        if name in parameters:
            raise FetalkitError(f"{option} {text}: {name} is given twice")
        try:
            parameters[name] = json.loads(value)
        except ValueError:
            parameters[name] = value
    return parameters
