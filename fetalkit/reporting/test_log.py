"""How often the test set was read: one line for every set of results that was published, kept in git beside them.

Whoever tries settings until the test set agrees leaves a trace here; settings are to be chosen on validation patients.
"""

import hashlib
from pathlib import Path

import pandas as pd

from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import write_table

COLUMNS = ["started", "commit", "results_sha256"]


def enter(ledger: Path, results: Path, started: str, commit: str | None) -> int:
    """Add a line for `results`, unless equal ones have been published before; return the number of lines.

    Parameters
    ----------
    ledger
        The file; made if it is not there yet.
    results
        The long table.
    started, commit
        Of the run that made it.

    Raises
    ------
    FetalkitError
        When the ledger is not one, or cannot be written.
    """
    known = pd.DataFrame(columns=COLUMNS)
    if ledger.exists():
        known = pd.read_csv(ledger, dtype=str, keep_default_na=False)
        if list(known.columns) != COLUMNS:
            raise FetalkitError(f"{ledger}: must have the columns {', '.join(COLUMNS)}; restore it from git")
    digest = hashlib.sha256(results.read_bytes()).hexdigest()[:16]
    if digest not in set(known.results_sha256):
        known.loc[len(known)] = [started, commit or "", digest]
        write_table(known, ledger)
    return len(known)
