"""Many independent jobs: on all cores, one process per core and one thread per process, or on the workers of a cluster."""

import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import joblib
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError

from fetalkit.utils import cluster, devices
from fetalkit.utils.cluster import Cluster
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.progress import Progress

MEMORY = "lower run.workers in params.yaml"
# joblib replaces a worker whose memory has grown by 300 MB, as that of one does that meets a larger network. Nothing is lost.
warnings.filterwarnings("ignore", "A worker stopped while some jobs were given to the executor", UserWarning)


@dataclass(frozen=True)
class Attempt:
    """What became of a job: its result, or why there is none."""

    result: Any = None
    error: str = ""


def workers(run: Any) -> int | Cluster:
    """Where ``run`` of params.yaml (`fetalkit.config.machine.Machine`) wants jobs: so many processes here, or a cluster."""
    if run.cluster:
        return Cluster(run.cluster)
    if run.slurm:
        return Cluster(slurm=run.slurm.model_dump())
    return devices.workers(run.workers, devices.device(run.device))


def attempt(function: Callable, jobs: Sequence[dict], workers: int | Cluster, label: str = "") -> list[Attempt]:
    """``function(**job)`` for every job in up to `workers` processes; a job that fails stops no other.

    Results do not depend on `workers`: every job has one thread, which fixes the order of all sums. With a `label`, the log
    tells how many jobs are done and how long the others will take.

    Raises
    ------
    FetalkitError
        When a process was killed, or the cluster is of no use (`fetalkit.utils.cluster.outcomes`).
    """
    attempts: dict[int, Attempt] = {}
    work = [(function, number, job) for number, job in enumerate(jobs)]
    made = _on_cluster(workers, work) if isinstance(workers, Cluster) else _here(workers, work)
    with Progress(label or function.__name__, len(jobs), unit="job") as progress:
        for number, outcome in made:
            attempts[number] = outcome
            progress.update()
            if label:
                progress.report()
    return [attempts[number] for number in range(len(jobs))]


def _here(workers: int, work: Sequence[tuple]) -> Iterator[tuple[int, Attempt]]:
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        pool = joblib.Parallel(n_jobs=workers, return_as="generator_unordered")
        try:
            yield from cast(Iterable[tuple[int, Attempt]], pool(joblib.delayed(_attempt)(*job) for job in work))
        except TerminatedWorkerError:
            raise FetalkitError(
                f"a worker process was killed, as the system does when memory runs out; {MEMORY} "
                f"(now {workers}) and run again: what is finished is kept"
            ) from None


def _on_cluster(place: Cluster, work: Sequence[tuple]) -> Iterator[tuple[int, Attempt]]:
    for number, outcome in cluster.outcomes(place, _attempt, work):
        yield (
            (number, Attempt(error=_explained(work[number][0], outcome))) if isinstance(outcome, Exception) else outcome
        )


def run(function: Callable, jobs: Sequence[dict], workers: int | Cluster, label: str = "") -> list:
    """``[function(**job) for job in jobs]``, computed as `attempt` does.

    Raises
    ------
    FetalkitError
        After all other jobs have finished: names each job that failed, and why; a reason that several share, once.
    """
    attempts = attempt(function, jobs, workers, label)
    failures = [one.error for one in attempts if one.error]
    if failures:
        each = list(dict.fromkeys(failures))
        raise FetalkitError("\n".join([f"{len(failures)} of {len(jobs)} jobs failed:", *each]))
    return [one.result for one in attempts]


def _attempt(function: Callable, number: int, job: dict) -> tuple[int, Attempt]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with devices.enough_memory(function.__name__, MEMORY):
            return number, Attempt(function(**job))
    except Exception as error:
        return number, Attempt(error=_explained(function, error))
    finally:
        torch.set_num_threads(threads)
        devices.free()


def _explained(function: Callable, error: Exception) -> str:
    """One line for the user where there is one, else all that is known."""
    if isinstance(error, FetalkitError):
        return str(error)
    lines = "".join(traceback.format_exception(error))
    return f"{function.__name__}: {type(error).__name__}: {error}\n{lines}"
