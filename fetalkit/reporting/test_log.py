"""Who has read test patients, when and what for: one log, ``reports/test_readings.csv``, of all studies.

Every stage that reads the test patients of a cohort leaves a line for each set of results that it has reported. Whoever tries
settings until the test set agrees leaves a trace here; settings are to be chosen on validation patients. Readings of private
cohorts are in ``reports-private/test_readings.csv``.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import write_table

COLUMNS = ["started", "cohort", "study", "what_for", "commit", "results_sha256"]
_EARLIER, NOT_RECORDED = ["started", "commit", "results_sha256"], "not recorded"  # of a log in data/<study>/pages
# Stage that reads test patients → what for.
WHAT_FOR = {
    "06_fidelity": "real images that synthetic ones are held against",
    "07_classify": "accuracy of the arms",
    "08_transfer": "accuracy in places that classifiers were not trained in",
    "blind_test": "real images that a person was to tell from synthetic ones",
}


def reading(cohort: str, study: str, stage: str, results: Path, started: str, commit: str | None) -> dict[str, str]:
    """A line of the log.

    Parameters
    ----------
    cohort
        Whose test patients were read.
    study
        By which study: that of the cohort, or one between cohorts.
    stage
        A key of `WHAT_FOR`.
    results
        What it has reported.
    started, commit
        Of the run that made it.
    """
    digest = hashlib.sha256(results.read_bytes()).hexdigest()[:16]
    return dict(zip(COLUMNS, (started, cohort, study, WHAT_FOR[stage], commit or "", digest), strict=True))


def united(logs: Iterable[Path], readings: Iterable[dict[str, str]] = ()) -> pd.DataFrame:
    """Lines of earlier logs and those of `readings`, earliest first; equal results of one study count once, the first time.

    Parameters
    ----------
    logs
        Files that need not be there.
    readings
        As `reading` returns them.

    Returns
    -------
    pandas.DataFrame
        Text; columns as in `COLUMNS`.

    Raises
    ------
    FetalkitError
        When one of the files is no such log.
    """
    parts = [_read(path) for path in logs if path.exists()] + [pd.DataFrame(list(readings), columns=COLUMNS)]
    lines = pd.concat(parts, ignore_index=True)
    lines = lines.sort_values("what_for", key=lambda what: what == NOT_RECORDED, kind="stable")
    lines = lines.drop_duplicates(["cohort", "study", "results_sha256"])
    return lines.sort_values("started", kind="stable", ignore_index=True)


def add(log: Path, lines: Path) -> None:
    """Add the lines of one log to another, all or nothing; raises as `united` does."""
    write_table(united([log, lines]), log)


def _read(path: Path) -> pd.DataFrame:
    lines = pd.read_csv(path, dtype=str, keep_default_na=False)
    if list(lines.columns) == _EARLIER:
        study = path.parents[1].name
        return lines.assign(cohort=study, study=study, what_for=NOT_RECORDED)[COLUMNS]
    if list(lines.columns) != COLUMNS:
        raise FetalkitError(f"{path}: must have the columns {', '.join(COLUMNS)}; restore it from git")
    return lines
