"""How often the test set was read: one line for every set of results that a run has reported.

Whoever tries settings until the test set agrees leaves a trace here; settings are to be chosen on validation patients.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from fetalkit.utils.errors import FetalkitError

COLUMNS = ["started", "commit", "results_sha256"]


def reading(results: Path, started: str, commit: str | None) -> dict[str, str]:
    """Line of the log for a long table of `results`, and for the time and commit of the run that made it."""
    digest = hashlib.sha256(results.read_bytes()).hexdigest()[:16]
    return dict(zip(COLUMNS, (started, commit or "", digest), strict=True))


def united(logs: Iterable[Path], readings: Iterable[dict[str, str]]) -> pd.DataFrame:
    """Lines of earlier logs and those of `readings`, in this order; equal results count once.

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
    return pd.concat(parts, ignore_index=True).drop_duplicates("results_sha256", ignore_index=True)


def _read(path: Path) -> pd.DataFrame:
    lines = pd.read_csv(path, dtype=str, keep_default_na=False)
    if list(lines.columns) != COLUMNS:
        raise FetalkitError(f"{path}: must have the columns {', '.join(COLUMNS)}; restore it from git")
    return lines
