"""What there is to choose from: arms, generators, classifiers, cohorts and metrics, each with one line."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from fetalkit.config import params, sections
from fetalkit.config.arms import Arm
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError

KINDS = ("arms", "generators", "classifiers", "cohorts", "metrics")
CARD = "fetalkit.json"  # in the folder of every saved generator and classifier


class _Listed(BaseModel):
    """As much of a study's parameters as a list shows: to check the rest, all that trains is imported, which takes seconds."""

    model_config = ConfigDict(extra="ignore")


class _Generator(_Listed):
    title: str
    class_path: str = Field(alias="class")


class _Classify(_Listed):
    classifiers: dict[str, params.Classifier]


class _Study(_Listed):
    arms: dict[str, Arm]
    generators: dict[str, _Generator]
    classify: _Classify
    metrics: list[str]


def rows(kind: str, cohort: str = "phantom") -> list[tuple[str, str]]:
    """Name and one line of all that a cohort's study knows of a kind; its own ones, as ``params.yaml`` defines them, too, and
    what is released with the project.

    Parameters
    ----------
    kind
        One of `KINDS`.
    cohort
        Section of ``params.yaml``.

    Raises
    ------
    FetalkitError
        When there is no such kind or cohort, or ``params.yaml`` is not as it should be.
    """
    if kind not in KINDS:
        raise FetalkitError(f"there are no {kind} to list; choose one of: {', '.join(KINDS)}")
    if kind == "cohorts":
        return [(name, params.load_cohort(name).kind or name) for name in params.names()]
    content = sections.read(paths.PARAMS)
    shared = {name: content.get(name) for name in params.SHARED}
    settings = sections.validated(_Study, params.section(cohort) | shared, paths.PARAMS.name, cohort)
    if kind == "arms":
        marks = {name: " (control)" * arm.control + " (headline)" * arm.headline for name, arm in settings.arms.items()}
        return [(name, arm.title + marks[name]) for name, arm in settings.arms.items()]
    if kind == "generators":
        known = [(name, f"{of.title} [{of.class_path}]") for name, of in settings.generators.items()]
        return known + _released("generator", "draw")
    if kind == "classifiers":
        known = [
            (name, of.model + ", pretrained" * of.pretrained) for name, of in settings.classify.classifiers.items()
        ]
        return known + _released("classifier", "predict")
    return list(params.resolve("fetalkit.metrics.classification:titles")(settings.metrics).items())


def released(kind: str) -> list[str]:
    """Names below ``models/`` of saved generators or classifiers (`kind` is ``"generator"`` or ``"classifier"``).

    Those of the smallest images come first.
    """
    folders = [path.parent for path in sorted(paths.released().glob(f"*/{CARD}")) if saved_kind(path.parent) == kind]
    return [folder.name for folder in sorted(folders, key=_size)]


def saved_kind(folder: Path) -> str | None:
    """What a folder holds by its card: ``"generator"`` or ``"classifier"``; None where it has none."""
    content = _card(folder)
    return content.get("kind", "generator") if content else None


def _card(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _size(folder: Path) -> int:
    size = _card(folder).get("image_size")
    return size if isinstance(size, int) else 0


def _released(kind: str, command: str) -> list[tuple[str, str]]:
    sizes = {name: _size(paths.released(name)) for name in released(kind)}
    return [(name, f"released, trained already, {size} px [fetalkit {command} {name}]") for name, size in sizes.items()]
