"""Pseudonyms of patients, centres, operators and files of a private cohort, given before any stage sees them.

The index of a private cohort, and with it all tables, figures, pages, cards and names of files made from it, know patients as
``patient-017``. The number is the place of the real name in an order that follows from the names and the first image: it is the
same in every run on the same files, and whoever has the names but not the images cannot find it. Which is which stands in
``data/<cohort>/pseudonyms.csv`` alone, which its owner alone may read and git ignores.
"""

import hashlib
import os
from pathlib import Path

import pandas as pd

from fetalkit.utils.files import replacing

FILE = "pseudonyms.csv"
COLUMNS = {"image_id": "image", "patient": "patient", "centre": "centre", "operator": "operator"}


def key(rows: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Which is which.

    Parameters
    ----------
    rows
        A cohort's table with the real names.
    root
        Folder of its files.

    Returns
    -------
    pandas.DataFrame
        ``column`` (of the table), ``name``, ``pseudonym``; empty cells have none.
    """
    secret = _secret(rows, root)
    parts = []
    for column, kind in COLUMNS.items():
        names = sorted(set(rows[column]) - {""}, key=lambda name: hashlib.sha256(f"{secret}|{name}".encode()).digest())
        width = len(str(len(names)))
        numbered = [f"{kind}-{number:0{width}d}" for number in range(1, len(names) + 1)]
        parts.append(pd.DataFrame({"column": column, "name": names, "pseudonym": numbered}, dtype=str))
    return pd.concat(parts, ignore_index=True)


def replaced(rows: pd.DataFrame, root: Path) -> pd.DataFrame:
    """`rows` with pseudonyms; ``source``, where each file is read from, stays."""
    known = key(rows, root)
    changed = {}
    for column in COLUMNS:
        of = known[known.column == column].set_index("name").pseudonym
        changed[column] = rows[column].map(of).fillna("")
    return rows.assign(**changed)


def write(known: pd.DataFrame, path: Path) -> None:
    """Write a `key` that its owner alone can read, all or nothing."""
    with replacing(path) as temporary:
        # Made with its rights before anything is in it.
        os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
        known.to_csv(temporary, index=False, lineterminator="\n")


def _secret(rows: pd.DataFrame, root: Path) -> str:
    """Digest of the first image; one that is missing is for the audit to report."""
    try:
        with (root / min(rows.source)).open("rb") as image:
            return hashlib.file_digest(image, "sha256").hexdigest()
    except (OSError, ValueError):
        return ""
