"""Many independent jobs on all cores: one process per core, one thread per process."""

import traceback
from collections.abc import Callable, Sequence

import joblib
import torch

from fetalkit.errors import FetalkitError


def run(function: Callable, jobs: Sequence[dict], workers: int) -> list:
    """``[function(**job) for job in jobs]`` in up to `workers` processes.

    Results do not depend on `workers`: every job has one thread, which fixes the order of all sums.

    Raises
    ------
    FetalkitError
        After all other jobs have finished: names each job that failed, and why.
    """
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        outcomes = joblib.Parallel(n_jobs=workers)(joblib.delayed(_attempt)(function, job) for job in jobs)
    failures = [failure for _, failure in outcomes if failure]
    if failures:
        raise FetalkitError(f"{len(failures)} of {len(jobs)} jobs failed:\n" + "\n".join(failures))
    return [result for result, _ in outcomes]


def _attempt(function: Callable, job: dict) -> tuple[object, str | None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return function(**job), None
    except FetalkitError as error:
        return None, str(error)
    except Exception as error:
        return None, f"{function.__name__}: {type(error).__name__}: {error}\n{traceback.format_exc()}"
    finally:
        torch.set_num_threads(threads)
