"""The report of a run: pages, tables, cards and summary of one study, in ``data/<study>/pages``.

It is the last stage of the pipeline. What git versions in ``reports/`` changes only when a report is published
(`fetalkit.reporting.publish`).
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from fetalkit.config import params, privacy, sections
from fetalkit.experiments import reader_study
from fetalkit.experiments.transfer import settings as transfers
from fetalkit.reporting import card_pages, machine, pages, test_log
from fetalkit.reporting.contents import (
    BETWEEN_TABLES,
    CARDS,
    FOLDER,
    OF_GENERATORS,
    SUMMARY,
    TABLES,
    TEST_LOG,
    TRANSFER_TABLES,
)
from fetalkit.reporting.page_body import Reveal
from fetalkit.runner.records import record
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing, write_json, write_table

FRONT, FIDELITY, CLASSIFIED, TRANSFER = "09_report", "06_fidelity", "07_classify", "08_transfer"
EXPLORE, BLIND_TEST = "00_explore", "blind_test"
DRAWING = ("04_generator", "05_synthesis", "06_fidelity")  # of cohorts that have generators


def build(study: str) -> Path:
    """Write the report of the latest run of a study to ``data/<study>/pages``, all or nothing; return its front page.

    Parameters
    ----------
    study
        A cohort, or the folder of a transfer study between cohorts.

    Raises
    ------
    FetalkitError
        When the study is unknown, a stage has not run, a page is too large or holds an error, or the folder cannot be
        written.
    """
    if transfers.between_cohorts(study):
        return _build_between(study)
    names, sources, settings = stages(study), TABLES, cohort_settings(study)
    if not settings["generators"]:
        sources = {name: parts for name, parts in sources.items() if name not in OF_GENERATORS}
    readings = {name: parts for name, parts in _readers(settings).items() if name in names}
    if TRANSFER in names:
        sources, settings = sources | TRANSFER_TABLES, settings | {sections.TRANSFER: _transfer_settings(study)}
        readings |= {TRANSFER: TRANSFER_TABLES["transfer.csv"]}
    tables = made(study, sources)
    cards = made(study, {CARDS: (CARDS,)} if settings["generators"] else {})
    log = _test_log(study, readings)
    summary = _timed_summary(study) | {"test_readings": len(log)}
    made_on = machine.kind(study, names)
    of_cards = f"{CARDS}/{card_pages.INDEX}" if cards else ""
    content = pages.render(study, names, [*tables, SUMMARY], FRONT, settings, reveal(study), of_cards)
    folder = paths.data(study, FOLDER)
    with replacing(folder) as temporary:
        write(content, tables, temporary)
        write_table(log, temporary / TEST_LOG)
        write_json(summary, temporary / SUMMARY)
        write_json(made_on, temporary / machine.FILE)
        for name, source in cards.items():
            copy(source, temporary / name)
            card_pages.write(temporary / name, study)
    return folder / "index.html"


def _build_between(study: str) -> Path:
    """The report of a transfer study between cohorts, which is one page."""
    tables = made(study, BETWEEN_TABLES)
    log = _test_log(study, {TRANSFER: BETWEEN_TABLES["results.csv"]})
    made_on = machine.kind(study, [TRANSFER])
    content = pages.render(study, [TRANSFER], list(tables), TRANSFER, _transfer_settings(study), reveal(study))
    folder = paths.data(study, FOLDER)
    with replacing(folder) as temporary:
        write(content, tables, temporary)
        write_table(log, temporary / TEST_LOG)
        write_json(made_on, temporary / machine.FILE)
    return folder / "index.html"


def stages(cohort: str) -> list[str]:
    """Names of the notebooks of a cohort's pipeline, in order; 00_explore, which needs a person, is none of them."""
    names = sorted(path.stem for path in paths.NOTEBOOKS.glob("[0-9]*.ipynb") if path.stem != EXPLORE)
    lacking = () if cohort_settings(cohort)["generators"] else DRAWING
    return [name for name in names if name not in lacking and (name != TRANSFER or cohort in transfers.names())]


def reveal(study: str) -> Reveal:
    """What pages of a study may show."""
    return Reveal(images=privacy.shows_images(study), messages=privacy.public(study))


def cohort_settings(cohort: str) -> dict[str, Any]:
    """What is printed at the foot of each page; not where it ran, which is in the page's own record."""
    settings = params.load(cohort).model_dump(exclude={"run"}, serialize_as_any=True)
    if not privacy.public(cohort):  # Folders, columns and patterns of a hospital are nobody else's business.
        settings["cohort"] = {"planes": settings["cohort"]["planes"]}
    return settings


def _transfer_settings(study: str) -> dict[str, Any]:
    return transfers.load(study).model_dump(exclude={"run", "cohorts"})


def made(study: str, sources: Mapping[str, tuple[str, ...]]) -> dict[str, Path]:
    """Name in the report → file or folder of ``data/<study>``.

    Raises
    ------
    FetalkitError
        When one is not there.
    """
    files = {name: paths.data(study, *parts) for name, parts in sources.items()}
    for path in files.values():
        if not path.exists():
            raise FetalkitError(f"{path}: not found; run the notebook that makes it")
    return files


def write(content: Mapping[str, bytes], tables: Mapping[str, Path], folder: Path) -> None:
    """Write pages, and copies of tables, to a new `folder`."""
    folder.mkdir()
    for name, html in content.items():
        (folder / name).write_bytes(html)
    for name, source in tables.items():
        copy(source, folder / name)


def copy(source: Path, target: Path) -> None:
    """Copy a file or a folder without its rights, since what is in DVC's care may be read-only."""
    if source.is_dir():
        target.mkdir()
        for path in source.iterdir():
            copy(path, target / path.name)
    else:
        shutil.copyfile(source, target)


def _readers(settings: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Notebook of a cohort that reads its test patients → its results; none where they are not to be read yet."""
    if settings["classify"]["tested_on"] != "test":
        return {}
    fidelity = {FIDELITY: TABLES["fidelity.csv"]} if settings["generators"] else {}
    return fidelity | {CLASSIFIED: TABLES["results.csv"]}


def _whose_patients(study: str) -> list[str]:
    """Cohorts whose test patients a study reads; sections of one data set, at other sizes of images, have the same patients."""
    section = sections.transfer_sections(paths.PARAMS).get(study, {})
    cohorts = sections.cohorts_of(section) if transfers.between_cohorts(study) else [study]
    kinds = {cohort: params.load_cohort(cohort).kind for cohort in cohorts}
    return [kind if kind in params.COHORTS and kind != "table" else cohort for cohort, kind in kinds.items()]


def _test_log(study: str, readings: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
    """Readings of test patients by this study: those published, those of earlier runs, and those of this one.

    Parameters
    ----------
    readings
        Notebook that read them → its results in ``data/<study>``.
    """
    lines, cohorts = [], _whose_patients(study)
    for notebook, parts in readings.items():
        run, results = record(paths.executed(study, notebook)), paths.data(study, *parts)
        lines += [
            test_log.reading(cohort, study, notebook, results, run["started"], run["commit"]) for cohort in cohorts
        ]
    shown = paths.work(study, reader_study.SCORES)  # what a person said of images of this run
    if CLASSIFIED in readings and len(times := reader_study.scores(shown).time):
        commit = record(paths.executed(study, CLASSIFIED))["commit"]
        lines += [test_log.reading(cohort, study, BLIND_TEST, shown, times.iloc[0], commit) for cohort in cohorts]
    known = test_log.united([published_log(study), paths.data(study, FOLDER, TEST_LOG)], lines)
    return known[known.study == study]


def published_log(study: str) -> Path:
    """The log that readings by a study are added to when it is published."""
    return privacy.published(study).parent / TEST_LOG


def _timed_summary(cohort: str) -> dict[str, Any]:
    """The summary with what the run cost; kept apart from the results, which are the same in every run."""
    kinds = ["generators", "classifiers"] if params.load(cohort).generators else ["classifiers"]
    sources = {SUMMARY: ("report", SUMMARY), **{kind: ("timings", f"{kind}.csv") for kind in kinds}}
    files = made(cohort, sources)
    by_notebook = {name: record(paths.executed(cohort, name))["seconds"] for name in stages(cohort)}
    return json.loads(files[SUMMARY].read_text(encoding="utf-8")) | {
        "wall_seconds": round(sum(by_notebook.values()), 1),
        "wall_seconds_by_notebook": by_notebook,
        "training_core_seconds": {kind: round(float(pd.read_csv(files[kind]).seconds.sum()), 1) for kind in kinds},
    }
