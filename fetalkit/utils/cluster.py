"""Independent jobs on the workers of a Dask cluster, on one machine or many.

Results lie in the project's folder, which all workers share. A job whose worker is lost is given to another one, which goes on
from the job's last checkpoint. `distributed` is called itself, not through joblib: joblib's backend scatters arguments to
workers, with which they are lost, hands out no more than it found workers for at the start, and drops all jobs with one.
"""

import importlib.util
import json
import os
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from fetalkit.utils import paths, progress, provenance
from fetalkit.utils.errors import FetalkitError

PATIENCE = 60.0  # seconds without any worker after which a cluster that others have started is given up
_CONNECT = 15.0  # seconds
_LOSSES = 20  # how often a job may lose its worker where SLURM ends workers after their time


@dataclass(frozen=True)
class Cluster:
    """Where jobs are to run.

    Attributes
    ----------
    address
        Of a scheduler, ``tcp://machine:8786``; empty where one is to be started in SLURM.
    slurm
        Fields of `fetalkit.config.machine.Slurm`.
    """

    address: str = ""
    slurm: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        return f"run.cluster = {self.address!r}" if self.address else "run.slurm"


@dataclass(frozen=True)
class Expected:
    """What the process that hands out jobs expects of a worker.

    Attributes
    ----------
    root
        The project's folder.
    token
        A file that was just written there.
    code
        Fingerprint of the package and of the libraries that decide numbers.
    """

    root: str
    token: str
    code: str

    def problem(self, threads: int) -> str:
        """Why a worker with so many threads may not work for it, asked in that worker; empty where it may."""
        here = f"the worker on {os.uname().nodename}"
        if str(paths.ROOT) != self.root:
            return f"{here} has the project in {paths.ROOT}, not in {self.root}; start it from the shared folder"
        if not Path(self.token).exists():
            return (
                f"{here} sees another folder as {self.root}; put the project on a file system that all machines share"
            )
        if own_code() != self.code:
            return (
                f"{here} runs other code or other versions of torch and timm; start it anew from the same environment"
            )
        if threads != 1:
            return (
                f"{here} has {threads} threads, which would mix the random numbers of jobs; start it with --nthreads 1"
            )
        return ""


@cache
def own_code() -> str:
    """Fingerprint of the whole package and of the libraries that decide numbers, as this process has them."""
    package = Path(__file__).parents[1]
    modules = [".".join(path.relative_to(package.parent).with_suffix("").parts) for path in package.rglob("*.py")]
    return provenance.fingerprint(sorted(name.removesuffix(".__init__") for name in modules), provenance.versions())


def outcomes(place: Cluster, function: Callable[..., Any], jobs: Sequence[tuple]) -> Iterator[tuple[int, Any]]:
    """Number and result of ``function(*job)`` for each of `jobs`, as they are finished.

    Where a job has lost one worker after the other, its result is the exception.

    Raises
    ------
    FetalkitError
        When Dask is not installed, the scheduler does not answer or is lost, there is no worker, or one differs from the
        process that asks in code, folder or threads. What other jobs have finished is kept.
    """
    if not jobs:
        return
    _require(place)
    client = _client(place.address) if place.address else _in_slurm(json.dumps(place.slurm))
    with _expected() as expected:
        _check(place, client, expected)
        work = partial(_job, expected, function)
        accused = []
        for number, status, result in _finished(place, client, work, dict(enumerate(jobs))):
            if _killed(status, result):
                accused.append(number)
            else:
                yield number, _understood(place, status, result)
        # Dask accuses every job that a killed worker held, also those that waited there or were just done: alone, each shows
        # whether it is the one that kills.
        for number in accused:
            for _, status, result in _finished(place, client, work, {number: jobs[number]}):
                yield number, _understood(place, status, result)


def _finished(
    place: Cluster, client: Any, work: Callable[[tuple], Any], jobs: Mapping[int, tuple]
) -> Iterator[tuple[int, str, Any]]:
    """Number of each of `jobs` as it ends, with the status and the result that Dask gives it."""
    from distributed import as_completed

    options: dict[str, Any] = dict(pure=False)
    # Priorities keep the given order: the longest first, and later what shares a phase with what is running.
    futures = {client.submit(work, job, priority=-number, **options): number for number, job in jobs.items()}
    try:
        done = as_completed(list(futures), loop=client.loop, with_results=True, raise_errors=False)
        seen = time.monotonic()
        while done.count():
            if not done.has_ready():
                time.sleep(0.05)
                seen = _last_seen(place, client, seen)
                continue
            future, result = next(done)
            if future.status in ("cancelled", "lost"):
                raise FetalkitError(f"{place}: the scheduler is lost; start it and run again: what is finished is kept")
            yield futures.pop(future), future.status, result
    finally:
        client.cancel(list(futures))


def _killed(status: str, result: Any) -> bool:
    """Whether Dask gave a job up because too many workers that held it were killed."""
    return status == "error" and type(result[1]).__name__ == "KilledWorker"


def _understood(place: Cluster, status: str, result: Any) -> Any:
    """Result of a job, or the exception that took its place."""
    if status != "error":
        problem, value = result
        if problem:
            raise FetalkitError(f"{place}: {problem}")
        return value
    if _killed(status, result):
        return FetalkitError("all workers that had this job were killed; if memory ran out, give each worker more")
    return result[1]


def _job(expected: Expected, function: Callable[..., Any], job: tuple) -> tuple[str, Any]:
    """What a worker does: look whether it may, and then the work, in one thread."""
    from distributed import get_worker
    from threadpoolctl import threadpool_limits

    problem = expected.problem(get_worker().state.nthreads)
    if problem:
        return problem, None
    os.environ.setdefault(progress.VARIABLE, os.devnull)  # nobody watches the bars of a worker
    with threadpool_limits(1):
        return "", function(*job)


@contextmanager
def _expected() -> Iterator[Expected]:
    token = paths.ROOT / "work" / f".seen-{uuid.uuid4().hex}"
    token.parent.mkdir(parents=True, exist_ok=True)
    token.touch()
    try:
        yield Expected(str(paths.ROOT), str(token), own_code())
    finally:
        token.unlink(missing_ok=True)


def _check(place: Cluster, client: Any, expected: Expected) -> None:
    """Look at the workers that are there, before any of them begins."""
    seen = time.monotonic()
    while not client.nthreads():
        time.sleep(0.1)
        seen = _last_seen(place, client, seen)
    for answer in client.run(_asked, expected, on_error="return").values():
        if answer:
            why = (
                answer if isinstance(answer, str) else f"a worker cannot load the package ({answer}); install it there"
            )
            raise FetalkitError(f"{place}: {why}")


def _asked(expected: Expected, dask_worker: Any = None) -> str:
    return expected.problem(dask_worker.state.nthreads)


def _last_seen(place: Cluster, client: Any, seen: float) -> float:
    """When there was a worker, as far as is known; raises when that is too long ago. SLURM's queue may take its time."""
    if client.status not in ("running", "connecting"):
        raise FetalkitError(f"{place}: the scheduler is lost; start it and run again: what is finished is kept")
    waited = time.monotonic() - seen
    if place.address and waited > PATIENCE:
        if client.nthreads():
            return time.monotonic()
        raise FetalkitError(
            f"{place}: no worker for {waited:.0f} s; start some with dask worker {place.address} --nthreads 1"
        )
    return seen


def _require(place: Cluster) -> None:
    needed = ["distributed"] if place.address else ["distributed", "dask_jobqueue"]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise FetalkitError(
            f"{place}: {' and '.join(missing)} not installed; pip install 'fetalkit[cluster]', or remove the key"
        )


@cache
def _client(address: str) -> Any:
    from distributed import Client

    try:
        return Client(address, timeout=_CONNECT, set_as_default=False, name="fetalkit")
    except (OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise FetalkitError(
            f"run.cluster = {address!r}: no scheduler answers ({reason}); start one with dask scheduler, or remove the key"
        ) from None


@cache
def _in_slurm(settings: str) -> Any:
    """A client of a cluster in SLURM's queue, which ends with this process."""
    import dask.config
    from distributed import Client

    if shutil.which("sbatch") is None:
        raise FetalkitError("run.slurm: there is no sbatch on this machine; start from a login node of the cluster")
    with dask.config.set({"distributed.scheduler.allowed-failures": _LOSSES}):
        queue = slurm_cluster(json.loads(settings))
        queue.scale(jobs=json.loads(settings)["jobs"])
        return Client(queue, set_as_default=False)


def slurm_cluster(settings: Mapping[str, Any]) -> Any:
    """`dask_jobqueue.SLURMCluster` of workers with one process per core and one thread per process, not yet in the queue."""
    from dask_jobqueue.slurm import SLURMCluster

    logs = paths.ROOT / "work" / "slurm"
    logs.mkdir(parents=True, exist_ok=True)
    return SLURMCluster(
        queue=settings["queue"],
        account=settings["account"],
        cores=settings["cores"],
        processes=settings["cores"],
        memory=settings["memory"],
        walltime=settings["walltime"],
        job_extra_directives=list(settings["directives"]),
        job_script_prologue=["export OMP_NUM_THREADS=1", f"cd '{paths.ROOT}'"],
        log_directory=str(logs),
        python=sys.executable,
    )
