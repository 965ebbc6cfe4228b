"""The pipelines: ``dvc.yaml`` at the top is that of the default cohort, and those of all other studies are written from it.

A cohort's pipeline differs in who is meant, and lacks what stands between ``# <default>`` and ``# </default>`` (the transfer
study) unless ``params.yaml`` has a transfer study of the cohort's name, and what stands between ``# <generators>`` and
``# </generators>`` where the cohort has none. Lines behind ``# <other-cohort>`` hold where ``classify.other_cohort`` of the
cohort names one. A transfer study between cohorts has only those
stages and the last one.
"""

import re
import shutil
from pathlib import Path
from typing import Any

import yaml

from fetalkit.config import defaults, params, privacy
from fetalkit.config.sections import TRANSFER, cohorts_of, read, transfer_sections
from fetalkit.runner import dependencies
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing

FILE, LOCK = "dvc.yaml", "dvc.lock"
_ADVICE = "get it back from git, or delete it if it lies in work/: the run then goes on from the published record"
_COHORT = "${cohort}"
_MARKED, _DRAWING = (
    re.compile(rf"(?m)^ *# <{mark}>.*\n((?:.*\n)*?) *# </{mark}>.*\n") for mark in ("default", "generators")
)
_OF_OTHER = re.compile(r"(?m)^( *)# <other-cohort> (.*)\n")
_HEADER = "# A transfer study between cohorts. `fetalkit pipelines` writes this file from dvc.yaml and params.yaml.\n"


def default() -> str:
    """The cohort whose pipeline is ``dvc.yaml`` at the top."""
    variables = _content(_top(), paths.ROOT / FILE).get("vars") or []
    named = [entry["cohort"] for entry in variables if isinstance(entry, dict) and "cohort" in entry]
    if not named:
        raise FetalkitError(f"{FILE}: `vars` has no cohort; put it back")
    return named[0]


def studies() -> list[str]:
    """All studies of ``params.yaml``: cohorts, then transfer studies between cohorts."""
    return [*params.names(), *_between()]


def check(study: str) -> None:
    """Raise `FetalkitError` unless ``params.yaml`` has the study."""
    if study not in studies():
        raise FetalkitError(f"{study}: there is no such study; {paths.PARAMS.name} has: {', '.join(studies())}")


def file(study: str) -> Path:
    """Where DVC reads the pipeline of a study; its lock is beside it.

    Raises
    ------
    FetalkitError
        When ``params.yaml`` has no such study.
    """
    check(study)
    return paths.ROOT / FILE if study == default() else paths.reports(study, FILE)


def needed(study: str) -> list[str]:
    """The studies whose pipelines must be in place to run that of `study`: its own, and those of the cohorts it reads."""
    if study in _between():
        return [*cohorts_of(_between()[study]), study]
    return [*filter(None, [_other_cohort(study)]), study]


def _other_cohort(cohort: str) -> str | None:
    return (params.section(cohort).get("classify") or {}).get("other_cohort")


def text(study: str) -> str:
    """The pipeline of a study, as it stands in a ``dvc.yaml``.

    Raises
    ------
    FetalkitError
        When ``params.yaml`` has no such study, or the transfer study of a cohort reads another one.
    """
    file(study)
    if study in _between():
        return _text_between(study)
    if study == default():
        return _top()
    transfers = transfer_sections(paths.PARAMS)
    if others := sorted(set(cohorts_of(transfers.get(study, {}))) - {study}):
        raise FetalkitError(
            f"{paths.PARAMS.name}: {TRANSFER}.{study} also reads {', '.join(others)}; a study between cohorts needs a name "
            "that no cohort has"
        )
    own = _MARKED.sub(r"\1" if study in transfers else "", _top())
    own = _DRAWING.sub(r"\1" if params.section(study).get("generators") else "", own)
    other = _other_cohort(study)
    own = _OF_OTHER.sub(lambda line: f"{line[1]}{line[2].replace('${other}', other)}\n" if other else "", own)
    own = _with_defaults(own, read(paths.PARAMS)[study])
    for key, value in (("cohort", study), ("root", "../..")):
        own, count = re.subn(rf"(?m)^( +(?:- )?{key}:) \S+", rf"\1 {value}", own, count=1)
        if not count:
            raise FetalkitError(f"{FILE}: `vars` has no {key}; put it back")
    return own


def _with_defaults(text: str, section: dict[str, Any]) -> str:
    """`text` of a pipeline whose stages depend on what the section says, and on the defaults that it leaves as they are."""

    def resolved(block: re.Match[str]) -> str:
        entries = re.findall(r"(?m)^ +- (\S+)", block[2])
        shown = yaml.safe_dump(_resolved(entries, section, _COHORT), width=1000)
        return block[1] + "".join(f"      {line}\n" for line in shown.splitlines())

    return re.sub(r"(?m)^(    params:\n)((?:      - \S+\n)+)", resolved, text) if defaults.KEY in section else text


def _resolved(entries: list[Any], section: dict[str, Any], cohort: str) -> list[Any]:
    """Keys of parameters for DVC, which knows nothing of defaults: those of `cohort` that its section lacks are theirs."""
    if defaults.KEY not in section:
        return entries
    own, theirs = [], []
    for entry in entries:
        prefix, dot, key = entry.partition(".") if isinstance(entry, str) else ("", "", "")
        says, beside = defaults.sources(section, key) if (prefix, dot) == (cohort, ".") else (True, [])
        own += [entry] * says
        theirs += beside
    file = defaults.file(section[defaults.KEY]).relative_to(paths.ROOT).as_posix()
    return own + [{file: list(dict.fromkeys(theirs))}] * bool(theirs)


def update() -> list[Path]:
    """Write the lists of code in ``dvc.yaml`` and the pipelines in ``reports/`` anew; return the files that have changed."""
    changed = _changed(paths.ROOT / FILE, dependencies.updated(_top()))
    for path in sorted(paths.ROOT.glob(f"reports/*/{FILE}")):
        changed += _changed(path, text(path.parent.name))
    return changed


def _changed(path: Path, content: str) -> list[Path]:
    if path.read_text(encoding="utf-8") == content:
        return []
    write(path, content)
    return [path]


def kept_lock(study: str) -> Path:
    """Where ``fetalkit repro`` keeps the lock of a study's latest run; that in git is the lock of what was published."""
    return paths.work(study, "pipeline", LOCK)


def keep_published_lock(study: str) -> None:
    """Put the lock of the latest run, and its pipeline, where git looks: what it made is being published.

    That of a private study stays in ``work/``: it quotes the section of the cohort, and no reader of the report needs it.
    """
    if kept_lock(study).exists() and privacy.public(study):
        path = file(study)
        write(path, text(study))
        copy(kept_lock(study), path.with_name(LOCK))


def write(path: Path, content: str) -> None:
    """Write a text file, all or nothing."""
    with replacing(path) as temporary:
        temporary.write_text(content, encoding="utf-8")


def copy(source: Path, target: Path) -> None:
    """Copy a file, all or nothing."""
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def _top() -> str:
    try:
        return (paths.ROOT / FILE).read_text(encoding="utf-8")
    except OSError as error:
        raise FetalkitError(f"{error.filename}: cannot be read ({error.strerror}); get it back from git") from None


def _content(text: str, where: Path) -> dict[str, Any]:
    """A pipeline or a lock as YAML; one clear line where it is damaged."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise FetalkitError(f"{where}{f' line {mark.line + 1}' if mark else ''}: damaged; {_ADVICE}") from None
    if not isinstance(content, dict):
        raise FetalkitError(f"{where}: damaged; {_ADVICE}")
    return content


def stages(study: str) -> list[str]:
    """Names of the stages of a study's pipeline."""
    return list(_content(text(study), file(study))["stages"])


def check_lock(path: Path) -> None:
    """Raise where a lock is there and damaged; DVC would name the place that it is copied to, not where it lies."""
    if path.exists():
        _content(path.read_text(encoding="utf-8", errors="replace"), path)


def _between() -> dict[str, dict]:
    """Transfer studies between cohorts by name, with their settings."""
    cohorts = params.names()
    return {name: section for name, section in transfer_sections(paths.PARAMS).items() if name not in cohorts}


def _text_between(study: str) -> str:
    """The marked stages and the last one; what they use of the default cohort is used of every cohort that the study reads."""
    everywhere = yaml.safe_load(_MARKED.sub("", _top()))["stages"]
    stages = yaml.safe_load(_top())["stages"]
    last = list(stages)[-1]
    own = {name: stage for name, stage in stages.items() if name not in everywhere or name == last}
    cohorts = cohorts_of(_between()[study])
    made = [_path(out) for stage in own.values() for out in stage.get("outs", [])]
    for name, stage in own.items():
        of = [] if name == last else cohorts
        stage["deps"] = _of_each(stage.get("deps", []), of, made)
        stage["params"] = _of_each(stage.get("params", []), of, [f"{TRANSFER}.{_COHORT}"])
        for cohort in of:
            params.section(cohort)  # There must be one.
            stage["params"] = _resolved(stage["params"], read(paths.PARAMS)[cohort], cohort)
    pipeline = {"vars": [{"cohort": study, "root": "../.."}], "stages": own}
    return _HEADER + yaml.safe_dump(pipeline, sort_keys=False, width=1000)


def _path(out: str | dict[str, Any]) -> str:
    return out if isinstance(out, str) else next(iter(out))  # with options such as `persist`


def _of_each(entries: list[str], cohorts: list[str], made: list[str]) -> list[str]:
    """`entries`; those that name the pipeline's cohort, but for what the study has `made`, once for each of `cohorts`."""
    kept, repeated = [], []
    for entry in entries:
        own = _COHORT not in entry or any(entry == out or entry.startswith(f"{out}/") for out in made)
        (kept if own else repeated).append(entry)
    return kept + [entry.replace(_COHORT, cohort) for cohort in cohorts for entry in repeated]
