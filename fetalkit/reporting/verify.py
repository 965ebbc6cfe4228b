"""``fetalkit verify``: the tables of a run against the published ones, one line each, and whether a conclusion changes."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fetalkit.analysis import checks, reproduction, reproduction_conclusions
from fetalkit.reporting import contents, machine
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import write_json

CONCLUDING = (contents.SUMMARY, "transfer.json")  # tables that conclusions are drawn from
_SHOWN = 5  # changed conclusions


@dataclass(frozen=True)
class Verification:
    """Lines to print; whether all tables are within tolerance, and whether all conclusions are the published ones."""

    lines: list[str]
    tables_hold: bool
    conclusions_hold: bool

    @property
    def holds(self) -> bool:
        """Whether the run gives again what was published."""
        return self.tables_hold and self.conclusions_hold


def published(study: str) -> bool:
    """Whether there is a published report to compare a run with."""
    return any((_published(study) / name).is_file() for name in contents.EVERY_TABLE)


def _published(study: str) -> Path:
    """Folder of the published report; it is looked for, since to ask whether a cohort is public takes seconds."""
    places = (paths.reports(study), paths.private_reports(study))
    return next((place for place in places if (place / "index.html").is_file()), places[0])


def verify(study: str) -> Verification:
    """Compare the latest run of a study with its published report.

    Raises
    ------
    FetalkitError
        When one of the two is not there, or a table cannot be read.
    """
    fresh, old = paths.data(study, contents.FOLDER), _published(study)
    if not published(study):
        raise FetalkitError(
            f"{old}: nothing of {study} is published; `fetalkit publish {study}` publishes its latest run"
        )
    if not (fresh / "index.html").is_file():
        raise FetalkitError(f"{fresh}: no report of a run is here; run `fetalkit repro {study}` first")
    line, bits = _machines(old, fresh)
    lines = [f"{study}: the run in {_place(fresh)} against {_place(old)}", line]
    names = sorted(name for name in contents.EVERY_TABLE if (old / name).is_file() or (fresh / name).is_file())
    both = [name for name in names if (old / name).is_file() and (fresh / name).is_file()]
    tables = {name: (reproduction.read(old / name), reproduction.read(fresh / name)) for name in both}
    spread = reproduction.spreads(table for pair in tables.values() for table in pair)
    compared = {name: reproduction.compare(*pair, spread, bits) for name, pair in tables.items()}
    width = max(map(len, names))
    for name in names:
        side = "not in this run" if (old / name).is_file() else "not among what is published"
        lines.append(f"{name:<{width}}  {compared[name].line if name in compared else f'MISSING: {side}'}")
    told = _conclusions(old, fresh, [name for name in CONCLUDING if name in both])
    holds = len(both) == len(names) and all(each.within for each in compared.values())
    _leave(study, fresh, len(names), sum(each.within for each in compared.values()), told[1])
    return Verification([*lines, *told[0]], holds, told[1])


def _leave(study: str, fresh: Path, tables: int, within: int, conclusions_hold: bool) -> None:
    """Leave the finding for the next report of these very results, which shows it."""
    content = {"tables": tables, "within": within, "conclusions_hold": conclusions_hold}
    if (fresh / "results.csv").is_file():
        write_json({"results": checks.digest(fresh / "results.csv")} | content, paths.work(study, checks.VERIFIED))


def _machines(old: Path, fresh: Path) -> tuple[str, bool]:
    """A line about the two machines, and whether they are of one kind."""
    before, after = machine.load(old), machine.load(fresh)
    if before is None or after is None:
        where = "it was published" if before is None else "the run was made"
        return f"machine: not known on which {where}; differences as between seeds are allowed", False
    others = machine.differences(before, after)
    if not others:
        return f"machine: of the kind that it was published from ({after['processor']}); every bit has to agree", True
    more = f", and {len(others) - 3} more" if len(others) > 3 else ""
    return f"machine: another kind ({'; '.join(others[:3])}{more}); differences as between seeds are allowed", False


def _conclusions(old: Path, fresh: Path, names: list[str]) -> tuple[list[str], bool]:
    changed, turned, number = [], [], 0
    for name in names:
        before, after = (_json(folder / name) for folder in (old, fresh))
        said = [_statements(folder / name, content) for folder, content in ((old, before), (fresh, after))]
        changed += reproduction_conclusions.changed(*said)
        turned += reproduction_conclusions.turned(before, after)
        number += len(set(said[0]) | set(said[1]))  # a conclusion that one of them alone draws is another one
    if changed:
        more = [f"  ... and {len(changed) - _SHOWN} more"] if len(changed) > _SHOWN else []
        lines = [f"conclusions: {len(changed)} of {number} CHANGE:", *(f"  {line}" for line in changed[:_SHOWN]), *more]
    else:
        lines = [f"conclusions: none of {number} changes"]
    if turned:
        lines.append(f"another sign, told from zero by neither run, which is no conclusion: {', '.join(turned)}")
    return lines, not changed


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _statements(path: Path, content: dict[str, Any]) -> dict[str, str]:
    try:
        return reproduction_conclusions.statements(content)
    except (KeyError, TypeError, AttributeError) as error:
        raise FetalkitError(
            f"{path}: is no summary of this edition ({error!r}); run or publish the study again"
        ) from None


def _place(path: Path) -> str:
    return path.relative_to(paths.ROOT).as_posix() if path.is_relative_to(paths.ROOT) else str(path)
