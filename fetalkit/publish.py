"""The last, light stage: pages, figures and small tables of one cohort into ``reports/``, which git versions."""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import pandas as pd

from fetalkit import ledger, notebooks, pages, params, paths
from fetalkit.checkpoints import replacing
from fetalkit.errors import FetalkitError
from fetalkit.tables import write_json

FRONT, CLASSIFIED = "09_report", "07_classify"
# Searches, which are no stages: notebook, table in data/<cohort>/search/, folder of the report.
SEARCHES = {
    "generator": ("search_generator", "candidates.csv", "search"),
    "training": ("search_training", "training.csv", "search-training"),
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


def stages() -> list[str]:
    """Names of all notebooks, in order."""
    return sorted(path.stem for path in paths.NOTEBOOKS.glob("[0-9]*.ipynb"))


def publish(cohort: str) -> Path:
    """Write ``reports/<cohort>/`` and return its front page.

    Raises
    ------
    FetalkitError
        When the cohort is unknown, a stage has not run, or a page is too large or holds an error.
    """
    settings = _settings(cohort)
    sources = {name: paths.data(cohort, *parts) for name, parts in TABLES.items()}
    cards = paths.data(cohort, "cards")
    if not cards.is_dir():
        raise FetalkitError(f"{cards}: not found; run the stage that makes it")
    run = notebooks.record(paths.executed(cohort, CLASSIFIED))
    readings = ledger.enter(paths.reports(cohort, LEDGER), sources["results.csv"], run["started"], run["commit"])
    with tempfile.TemporaryDirectory() as folder:
        sources["summary.json"] = Path(folder, "summary.json")
        write_json(_timed_summary(cohort) | {"test_readings": readings}, sources["summary.json"])
        pages.publish(cohort, stages(), sources, FRONT, settings)
    with replacing(paths.reports(cohort, "cards")) as temporary:
        shutil.copytree(cards, temporary)
    return paths.reports(cohort, "index.html")


def publish_search(cohort: str, search: str) -> Path:
    """Write the report of one of `SEARCHES` that was run on `cohort`, and return its page; raises as `publish`."""
    notebook, table, folder = SEARCHES[search]
    tables = {table: paths.data(cohort, "search", table)}
    return pages.publish(cohort, [notebook], tables, notebook, _settings(cohort), paths.reports(folder))


def _settings(cohort: str) -> dict:
    """What is printed at the foot of each page; not where it ran, which is in the page's own record."""
    return params.load(cohort).model_dump(exclude={"run"}, serialize_as_any=True)


def _timed_summary(cohort: str) -> dict:
    """The summary with what the run cost; kept apart from the results, which are the same in every run."""
    by_notebook = {name: notebooks.record(paths.executed(cohort, name))["seconds"] for name in stages()}
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
    """``python -m fetalkit.publish COHORT [--search generator|training]``."""
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
