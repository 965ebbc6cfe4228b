"""The tables of the audit as later stages read them: names are text, whatever they look like."""

from pathlib import Path

import pandas as pd

from fetalkit.utils import paths
from fetalkit.utils.files import made_by

COLUMNS = ("image_id", "patient", "plane", "centre", "machine", "operator", "official_split", "source")
_TEXT = (*COLUMNS, "format", "mode", "sha256", "phash")


def read(cohort: str) -> pd.DataFrame:
    """One row per image: `COLUMNS`, and the facts that `fetalkit.cohorts.audit.scan` adds.

    Raises
    ------
    FetalkitError
        When the audit has not run.
    """
    return pd.read_csv(_made(cohort, "index.csv"), dtype=dict.fromkeys(_TEXT, str), keep_default_na=False)


def duplicates(cohort: str) -> pd.DataFrame:
    """Pairs of images that show the same picture, as `fetalkit.cohorts.audit.duplicates` lists them; raises as `read` does."""
    return pd.read_csv(_made(cohort, "duplicates.csv"), dtype=dict.fromkeys(["image_a", "image_b", "kind"], str))


def _made(cohort: str, name: str) -> Path:
    return made_by("01_cohort", paths.data(cohort, "cohort", name))
