"""The last, light stage: pages, figures and small tables of one cohort into ``reports/``, which git versions."""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import pandas as pd

from fetalkit import runner
from fetalkit.config import params
from fetalkit.experiments.transfer import settings as transfers
from fetalkit.reporting import pages, test_log
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing, write_json

FRONT, CLASSIFIED, TRANSFER = "09_report", "07_classify", "08_transfer"
# Searches, which are no stages: notebook, tables in data/<cohort>/search/, folder of the report.
SEARCHES = {
    "generator": ("search_generator", ["candidates.csv"], "search"),
    "training": ("search_training", ["training.csv", "arms.csv"], "search-training-{cohort}"),
}
LEDGER = "test_readings.csv"
# Name in reports/<cohort>/ → where the stages put it in data/<cohort>/.
TABLES = {
    "results.csv": ("classify", "results.csv"),
    "budgets.csv": ("classify", "budgets.csv"),
    "gains.csv": ("report", "gains.csv"),
    "accuracy.csv": ("report", "accuracy.csv"),
    "metrics.json": ("report", "metrics.json"),
    "splits.csv": ("splits", "splits.csv"),
    "shots.csv": ("splits", "shots.csv"),
    "denoiser.csv": ("curves", "denoiser.csv"),
    "fidelity.csv": ("fidelity", "fidelity.csv"),
    "fidelity.json": ("fidelity", "fidelity.json"),
}
# The same of a transfer study: those beside a cohort's own tables, and those of the study between cohorts.
TRANSFER_TABLES = {"transfer.csv": ("transfer", "results.csv"), "transfer.json": ("transfer", "summary.json")}
BETWEEN_TABLES = {
    name: ("transfer", name) for name in ("results.csv", "gains.csv", "groups.csv", "gap.csv", "summary.json")
}


def stages(cohort: str) -> list[str]:
    """Names of the notebooks of a cohort's pipeline, in order."""
    names = sorted(path.stem for path in paths.NOTEBOOKS.glob("[0-9]*.ipynb"))
    return [name for name in names if name != TRANSFER or cohort in transfers.names()]


def publish(cohort: str) -> Path:
    """Write ``reports/<cohort>/`` and return its front page; a transfer study between cohorts goes by its folder's name.

    Raises
    ------
    FetalkitError
        When the cohort is unknown, a stage has not run, or a page is too large or holds an error.
    """
    if cohort in transfers.STUDIES:
        return _publish_between(cohort)
    settings, tables = _settings(cohort), TABLES
    if TRANSFER in stages(cohort):
        settings, tables = settings | {transfers.SECTION: _transfer_settings(cohort)}, TABLES | TRANSFER_TABLES
    sources = _sources(cohort, tables)
    cards = paths.data(cohort, "cards")
    if not cards.is_dir():
        raise FetalkitError(f"{cards}: not found; run the stage that makes it")
    readings = _enter(cohort, CLASSIFIED, sources["results.csv"])
    if TRANSFER in stages(cohort):
        readings = _enter(cohort, TRANSFER, sources["transfer.csv"])
    with tempfile.TemporaryDirectory() as folder:
        sources["summary.json"] = Path(folder, "summary.json")
        write_json(_timed_summary(cohort) | {"test_readings": readings}, sources["summary.json"])
        pages.publish(cohort, stages(cohort), sources, FRONT, settings)
    with replacing(paths.reports(cohort, "cards")) as temporary:
        shutil.copytree(cards, temporary)
    return paths.reports(cohort, "index.html")


def _publish_between(folder: str) -> Path:
    """The report of a transfer study between cohorts, which is one page."""
    sources = _sources(folder, BETWEEN_TABLES)
    _enter(folder, TRANSFER, sources["results.csv"])
    return pages.publish(folder, [TRANSFER], sources, TRANSFER, _transfer_settings(folder))


def _sources(cohort: str, tables: dict[str, tuple[str, str]]) -> dict[str, Path]:
    return {name: paths.data(cohort, *parts) for name, parts in tables.items()}


def _enter(cohort: str, notebook: str, results: Path) -> int:
    """Enter a reading of the test set; return how many there were."""
    run = runner.record(paths.executed(cohort, notebook))
    return test_log.enter(paths.reports(cohort, LEDGER), results, run["started"], run["commit"])


def publish_search(cohort: str, search: str) -> Path:
    """Write the report of one of `SEARCHES` that was run on `cohort`, and return its page; raises as `publish`."""
    notebook, names, folder = SEARCHES[search]
    tables = {name: paths.data(cohort, "search", name) for name in names}
    return pages.publish(
        cohort, [notebook], tables, notebook, _settings(cohort), paths.reports(folder.format(cohort=cohort))
    )


def _settings(cohort: str) -> dict:
    """What is printed at the foot of each page; not where it ran, which is in the page's own record."""
    return params.load(cohort).model_dump(exclude={"run"}, serialize_as_any=True)


def _transfer_settings(folder: str) -> dict:
    return transfers.load(folder).model_dump(exclude={"run", "cohorts"})


def _timed_summary(cohort: str) -> dict:
    """The summary with what the run cost; kept apart from the results, which are the same in every run."""
    by_notebook = {name: runner.record(paths.executed(cohort, name))["seconds"] for name in stages(cohort)}
    try:
        summary = json.loads(paths.data(cohort, "report", "summary.json").read_text(encoding="utf-8"))
        training = {
            kind: round(float(pd.read_csv(paths.data(cohort, "timings", f"{kind}.csv")).seconds.sum()), 1)
            for kind in ("generators", "classifiers")
        }
    except OSError as error:
        raise FetalkitError(
            f"{error.filename}: cannot be read ({error.strerror}); run the stage that makes it"
        ) from error
    return summary | {
        "wall_seconds": round(sum(by_notebook.values()), 1),
        "wall_seconds_by_notebook": by_notebook,
        "training_core_seconds": training,
    }


def main() -> None:
    """``python -m fetalkit.reporting.publish COHORT [--search generator|training]``."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("cohort")
    parser.add_argument("--search", choices=SEARCHES, help="publish this search instead of the study")
    given = parser.parse_args()
    try:
        page = publish_search(given.cohort, given.search) if given.search else publish(given.cohort)
        print(f"The report is at {page}")
    except FetalkitError as error:
        sys.exit(f"fetalkit: publish: {error}")


if __name__ == "__main__":
    main()
