"""Generators and synthetic sets as outputs of their stages: known by what made them, nothing else beside them."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fetalkit.config.generation import resolve
from fetalkit.config.params import Params
from fetalkit.experiments import phase_cache
from fetalkit.generators.base import Generator
from fetalkit.utils import devices, parallel, paths

FINGERPRINT = "made_by"  # file of a saved generator, and array of a stored set, that says what made it


def in_parallel(
    function: Callable,
    cohort: str,
    settings: Params,
    jobs: Sequence[Mapping[str, Any]],
    label: str = "",
    trainings: bool = False,
) -> list:
    """``function(cohort=cohort, settings=settings, **job)`` for every job, one process per core or on the cluster.

    Of `trainings`, those that several processes share come one after the other, with nothing beside them.
    """
    work, made = [dict(cohort=cohort, settings=settings, **job) for job in jobs], {}
    shared = [trainings and sharing(settings, job["generator"]) > 1 for job in jobs]
    for alone, place in ((False, parallel.workers(settings.run)), (True, 1)):
        numbers = [number for number, one in enumerate(shared) if one == alone]
        results = parallel.run(function, [work[number] for number in numbers], place, label)
        made |= dict(zip(numbers, results, strict=True))
    return [made[number] for number in range(len(work))]


def sharing(settings: Params, generator: str) -> int:
    """Number of processes that share the training of a generator: ``run.processes``, or 1 where its class cannot."""
    able = getattr(resolve(settings.generators[generator].class_path), "shares_batches", False)
    return settings.run.processes if able else 1


def fingerprint(generator: Path) -> str:
    """What made a saved generator, and how that machine rounded; empty where there is none."""
    path = generator / FINGERPRINT
    return path.read_text() if path.exists() else ""


def made_by(generator: Path) -> str:
    """What made a saved generator, on whatever machine; empty where there is none."""
    return fingerprint(generator).partition("\n")[0]


def with_rounding(print_of: str, made: Generator, shared: int = 1) -> str:
    """Content of the file `FINGERPRINT`: a line on what makes a generator, and one on how this machine rounds its numbers."""
    return f"{print_of}\n{', '.join(devices.rounding(made.device, made.precision, shared))}"


def roundings(study: str) -> list[str]:
    """How the numbers of all trainings of a study were rounded: one text per kind of machine that has trained some of them."""
    written = [fingerprint(path.parent) for path in paths.data(study, "generators").glob(f"*/{FINGERPRINT}")]
    found = {text.partition("\n")[2] for text in written}
    return sorted(found | phase_cache.roundings(study))


def remove_others(folder: Path, names: Sequence[str]) -> None:
    """Leave in an output folder what the parameters ask for and no more, so that it follows from them alone."""
    for entry in folder.iterdir():
        if entry.name.removesuffix(".npz") not in names:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
