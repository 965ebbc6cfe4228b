"""Which published numbers were computed by the code in this tree, by the locks that lie beside them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from fetalkit.analysis.wording import listed
from fetalkit.runner import pipeline
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError

_NOT_COMPUTING = ("fetalkit/plots", "fetalkit/reporting", "fetalkit/runner")  # they draw, show and start


def changed(study: str) -> list[str] | None:
    """Code that has computed the published numbers of a study and has changed since; None where no lock tells what it was.

    Notebooks, which call it, and rooms that draw and show are left out: their changes change no number.

    Raises
    ------
    FetalkitError
        When the lock is damaged.
    """
    try:
        path = pipeline.file(study).with_name(pipeline.LOCK)
    except FetalkitError:
        return None  # params.yaml has no such study any more
    if not path.exists():
        return None
    try:
        stages = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
        present = {
            name: stages[name] for name in pipeline.stages(study) if name in stages
        }  # a lock keeps those of before
        known = {dep["path"]: dep["md5"] for stage in present.values() for dep in stage.get("deps", [])}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise FetalkitError(f"{path}: damaged ({error!r}); get it back from git") from None
    code = {name: md5 for name, md5 in known.items() if name.startswith("fetalkit/")}
    computing = {name: md5 for name, md5 in code.items() if not name.startswith(_NOT_COMPUTING)}
    return [name for name, md5 in sorted(computing.items()) if _md5(paths.ROOT / name) != md5]


def sentence(studies: list[str]) -> str:
    """Which of some published studies were computed by the code in this tree, and which by earlier code."""
    found: dict[str, Any] = {study: changed(study) for study in studies}
    now = [study for study, files in found.items() if files == []]
    before = [study for study, files in found.items() if files]
    unknown = [study for study, files in found.items() if files is None]
    parts = [f"computed by the code in this tree: {listed(now) or 'none'}"]
    parts += [f"by earlier code: {listed(before)}"] if before else []
    parts += [f"by code that no lock tells of: {listed(unknown)}"] if unknown else []
    return f"Of the published numbers {'; '.join(parts)}."


def _md5(path: Path) -> str:
    """As DVC writes it into a lock; empty where the path is gone."""
    if path.is_file():
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    if not path.is_dir():
        return ""
    files = [file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    entries = [{"md5": _md5(file), "relpath": file.relative_to(path).as_posix()} for file in files]
    entries.sort(key=lambda entry: tuple(entry["relpath"].split("/")))
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"
