"""Where things lie. No other module spells out a folder of the project.

``data/`` holds what DVC versions (stage outputs), ``work/`` what may be thrown away (checkpoints, logs, finished runs),
``reports/`` what was published and git versions (pages, figures, small tables), ``reports-private/`` the same of cohorts that
are not public, which git ignores; ``models/`` what is released with the project.
"""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARAMS = ROOT / "params.yaml"
NOTEBOOKS = ROOT / "notebooks"
MIRROR = "FETALKIT_MIRROR"  # Environment variable that names a folder of unpacked archives.


def data(cohort: str, *parts: str) -> Path:
    """Path of a stage output of `cohort`."""
    return ROOT.joinpath("data", cohort, *parts)


def work(cohort: str, *parts: str) -> Path:
    """Path of a checkpoint, log or intermediate result of `cohort`; safe to delete, never versioned."""
    return ROOT.joinpath("work", cohort, *parts)


def reports(cohort: str, *parts: str) -> Path:
    """Path of a published page, figure or table of `cohort`."""
    return ROOT.joinpath("reports", cohort, *parts)


def private_reports(cohort: str, *parts: str) -> Path:
    """The same of a `cohort` that is not public."""
    return ROOT.joinpath("reports-private", cohort, *parts)


def released(*parts: str) -> Path:
    """Path of a trained model that comes with the project."""
    return ROOT.joinpath("models", *parts)


def executed(cohort: str, notebook: str) -> Path:
    """Path of the executed copy of `notebook` (a stem such as ``01_cohort``)."""
    return data(cohort, "executed", f"{notebook}.ipynb")


def mirror() -> Path | None:
    """Folder of unpacked archives that ``FETALKIT_MIRROR`` names, or None when the variable is unset or empty.

    A relative one is looked for from the working folder and then from the project's top, since notebooks work elsewhere.
    """
    value = os.environ.get(MIRROR)
    if not value:
        return None
    path = Path(value).expanduser()
    return path.absolute() if path.exists() else ROOT / path
