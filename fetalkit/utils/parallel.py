"""Many independent jobs on all cores: one process per core, one thread per process."""

import traceback
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import joblib
import torch

from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.progress import Progress

# joblib replaces a worker whose memory has grown by 300 MB, as that of one does that meets a larger network. Nothing is lost.
warnings.filterwarnings("ignore", "A worker stopped while some jobs were given to the executor", UserWarning)


@dataclass(frozen=True)
class Attempt:
    """What became of a job: its result, or why there is none."""

    result: Any = None
    error: str = ""


def attempt(function: Callable, jobs: Sequence[dict], workers: int, label: str = "") -> list[Attempt]:
    """``function(**job)`` for every job in up to `workers` processes; a job that fails stops no other.

    Results do not depend on `workers`: every job has one thread, which fixes the order of all sums. With a `label`, the log
    tells how many jobs are done and how long the others will take.
    """
    attempts: dict[int, Attempt] = {}
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        pool = joblib.Parallel(n_jobs=workers, return_as="generator_unordered")
        work = (joblib.delayed(_attempt)(function, number, job) for number, job in enumerate(jobs))
        with Progress(label or function.__name__, len(jobs), unit="job") as progress:
            for number, outcome in cast(Iterable[tuple[int, Attempt]], pool(work)):
                attempts[number] = outcome
                progress.update()
                if label:
                    progress.report()
    return [attempts[number] for number in range(len(jobs))]


def run(function: Callable, jobs: Sequence[dict], workers: int, label: str = "") -> list:
    """``[function(**job) for job in jobs]``, computed as `attempt` does.

    Raises
    ------
    FetalkitError
        After all other jobs have finished: names each job that failed, and why.
    """
    attempts = attempt(function, jobs, workers, label)
    failures = [one.error for one in attempts if one.error]
    if failures:
        raise FetalkitError(f"{len(failures)} of {len(jobs)} jobs failed:\n" + "\n".join(failures))
    return [one.result for one in attempts]


def _attempt(function: Callable, number: int, job: dict) -> tuple[int, Attempt]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return number, Attempt(function(**job))
    except FetalkitError as error:
        return number, Attempt(error=str(error))
    except Exception as error:
        message = f"{function.__name__}: {type(error).__name__}: {error}\n{traceback.format_exc()}"
        return number, Attempt(error=message)
    finally:
        torch.set_num_threads(threads)
