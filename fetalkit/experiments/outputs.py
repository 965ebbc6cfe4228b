"""Generators and synthetic sets as outputs of their stages: known by what made them, nothing else beside them."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fetalkit.config.params import Params
from fetalkit.utils import devices, parallel

FINGERPRINT = "made_by"  # file of a saved generator, and array of a stored set, that says what made it


def in_parallel(
    function: Callable, cohort: str, settings: Params, jobs: Sequence[Mapping[str, Any]], label: str = ""
) -> list:
    """``function(cohort=cohort, settings=settings, **job)`` for every job, one process per core."""
    workers = devices.workers(settings.run.workers, devices.device(settings.run.device))
    return parallel.run(function, [dict(cohort=cohort, settings=settings, **job) for job in jobs], workers, label)


def fingerprint(generator: Path) -> str:
    """Fingerprint of a saved generator; empty where there is none."""
    path = generator / FINGERPRINT
    return path.read_text() if path.exists() else ""


def remove_others(folder: Path, names: Sequence[str]) -> None:
    """Leave in an output folder what the parameters ask for and no more, so that it follows from them alone."""
    for entry in folder.iterdir():
        if entry.name.removesuffix(".npz") not in names:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def rounding(settings: Params) -> list[str]:
    """What decides how the numbers of a generator are rounded, on this machine."""
    device = devices.device(settings.run.device)
    return devices.rounding(device, devices.precision(settings.run.precision, device))
