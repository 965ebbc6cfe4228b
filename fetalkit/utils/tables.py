"""Reading of other people's tables, with the checks that every table needs."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fetalkit.utils.errors import FetalkitError


def read_table(path: Path, columns: Sequence[str], separator: str = ",") -> pd.DataFrame:
    """All cells of a text table as strings stripped of spaces, empty cells as ``""``.

    Raises
    ------
    FetalkitError
        When the file is missing, is not such a table, or lacks one of `columns`.
    """
    try:
        raw = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise FetalkitError(f"{path}: not found; unpack the archive again or correct FETALKIT_MIRROR") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise FetalkitError(f"{path}: not a readable table ({str(error).strip()}); fetch it again") from None
    raw.columns = raw.columns.str.strip()
    missing = [name for name in columns if name not in raw.columns]
    if missing:
        raise FetalkitError(f"{path}: column {', '.join(missing)} is missing (found: {', '.join(raw.columns)})")
    return raw.apply(lambda column: column.str.strip())
