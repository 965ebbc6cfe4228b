"""Train what studies need on a machine with a GPU and without network, and pack it for the way home.

    python benchmarks/gpu_study.py spain brain --workers 16 --seconds 500 --out work/parts

needs the images and splits of the studies (``fetalkit repro STUDY split decode`` where the data is). Generators, sets and
runs are made by as many processes as there are workers, each as soon as what it needs is there; what is not finished after so
many seconds is left out. Where the data is, ``cat work/parts/part.* | tar -x`` in the checkout, then ``fetalkit repro
STUDY``: finished trainings are used as they are, the others are made.
"""

import argparse
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from fetalkit.config import params, sets, variants
from fetalkit.config.params import Params
from fetalkit.config.runs import Run, all_runs, generator_of, stored
from fetalkit.config.shots import EVERY
from fetalkit.config.variants import Variant
from fetalkit.data.study import set_name
from fetalkit.experiments import classification, generator_training, synthesis
from fetalkit.experiments.outcome import Outcome
from fetalkit.experiments.phase_cache import WEIGHTS, PhaseCache
from fetalkit.utils import devices, paths, progress

PART = 15_900_000  # bytes of a piece of the archive
LAST = ("denoiser-encoder",)  # classifiers whose runs cost most and decide least


@dataclass(frozen=True)
class Job:
    """Something to make: its name, how, names of what it needs, and a rank; the lowest begins first."""

    name: str
    work: Callable[[], Any]
    rank: float
    needs: frozenset[str] = field(default_factory=frozenset)


def jobs_of(cohort: str, settings: Params) -> Iterator[Job]:
    """All generators, sets and runs of a study."""
    started = {one["generator"] for one in sets.jobs(settings) if settings.generators[one["generator"]].start}
    for name in sorted(started):
        yield Job(f"{cohort}: start {name}", partial(generator_training.train_start, cohort, settings, name), -1)
    for one in sets.jobs(settings):
        name, k, seed = (one[key] for key in ("generator", "k", "seed"))
        long = settings.generators[name].sees_all or k == EVERY or name == "gan"
        work = partial(generator_training.train, cohort, settings, name, k, seed)
        begun = frozenset({f"{cohort}: start {name}"} if name in started else ())
        yield Job(f"{cohort}: generator {set_name(name, k, seed)}", work, 0 if long else 1, begun)
        yield _set(cohort, settings, Variant(name, name, k, seed), settings.synthesis.images_per_plane, 3)
    for variant in sets.drawn_otherwise(settings):
        yield _set(cohort, settings, variant, settings.synthesis.images_per_plane, 3)
    for variant in sets.drawable(settings, variants.all_variants(settings)):
        yield _set(cohort, settings, variant, settings.fidelity.variant_images_per_plane, 8)
    for one in sets.derived(settings):
        if settings.sets[one["generator"]].without:
            name, k, seed = (one[key] for key in ("generator", "k", "seed"))
            needs = frozenset({f"{cohort}: set {set_name(generator_of(settings, name), k, seed)}"})
            work = partial(synthesis.leave_out_copies, cohort, settings, name, k, seed)
            yield Job(f"{cohort}: set {set_name(name, k, seed)}", work, 4, needs)
    for run in all_runs(settings):
        yield _run(cohort, settings, run)


def without(jobs: list[Job], generators: list[str]) -> list[Job]:
    """The jobs that need none of some generators, directly or not."""
    left, dropped = [], set[str]()
    for job in jobs:  # what a job needs comes before it
        of = job.name.partition(": generator ")[2].rpartition("-k")[0]
        if of in generators or job.needs & dropped:
            dropped.add(job.name)
        else:
            left.append(job)
    return left


def _set(cohort: str, settings: Params, variant: Variant, each: int, rank: float) -> Job:
    of = set_name(variant.generator, variant.k, variant.seed)
    work = partial(synthesis.draw, cohort, settings, variant, each)
    name = f"{cohort}: set {set_name(variant.name, variant.k, variant.seed)}"
    return Job(name, work, rank, frozenset({f"{cohort}: generator {of}"}))


def _run(cohort: str, settings: Params, run: Run) -> Job:
    arm = settings.arms[run.arm]
    needs = {f"{cohort}: set {set_name(*stored(settings, source, run.k), run.seed)}" for source in arm.sources}
    if arm.initial:
        needs.add(f"{cohort}: generator {set_name(arm.initial, run.k, run.seed)}")
    primary = any(
        (of.k, of.classifier) == (run.k, run.classifier) and run.arm in (of.arm, of.control)
        for of in settings.report.comparisons
    )
    rank = 2.0 if arm.compute_of else 5.0 if primary else 7.5 if run.classifier in LAST else 7.0
    work = partial(classification.train_and_predict, cohort, settings, PhaseCache.of(cohort, "classify"), run)
    return Job(f"{cohort}: run {run.name}", work, rank, frozenset(needs))


def _attempt(job: Job) -> tuple[Any, float, str]:
    """Result, seconds, and why it failed."""
    torch.set_num_threads(1)
    began, result, error = time.monotonic(), None, ""
    try:
        result = job.work()
    except Exception as problem:  # one that fails is told and left out, whatever the reason
        error = f"{type(problem).__name__}: {problem}"
    torch.cuda.empty_cache() if torch.cuda.is_available() else None
    return result, time.monotonic() - began, error


def _without_graphs() -> None:
    devices.graphed = lambda network, inputs, computing: network


def make(jobs: list[Job], workers: int, seconds: float, eager: bool = False) -> dict[str, Any]:
    """Results of the jobs that could be finished in time, by name; `eager` starts kernels one by one."""
    ends, begun = time.monotonic() + seconds, time.monotonic()
    left, done, failed = sorted(jobs, key=lambda job: job.rank), dict[str, Any](), set[str]()
    names = {job.name for job in jobs}
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _without_graphs if eager else None)
    running = {}
    while (left or running) and time.monotonic() < ends:
        ready = [job for job in left if not (job.needs & names) - set(done) and not job.needs & failed]
        for job in ready[: workers - len(running)]:
            left.remove(job)
            running[pool.submit(_attempt, job)] = job
        if not running:
            break
        for finished in wait(running, timeout=max(0.1, ends - time.monotonic()), return_when=FIRST_COMPLETED).done:
            job = running.pop(finished)
            try:
                result, took, error = finished.result()
            except BrokenProcessPool:
                print(f"{job.name}: its process was killed, perhaps for memory; what is finished is packed", flush=True)
                result, took, error, ends = None, 0.0, "killed", time.monotonic()
            (failed.add(job.name) if error else done.__setitem__(job.name, result))
            print(f"{time.monotonic() - begun:6.1f} s  {took:6.1f} s  {job.name} {error}", flush=True)
    print(f"{len(done)} made, {len(failed)} failed, {len(running)} unfinished, {len(left)} not begun")
    for process in list(pool._processes.values()):
        process.kill()
    return done


def wanted(cohort: str, settings: Params, outcomes: list[Outcome]) -> Iterator[Path]:
    """Files of a study that go home, what matters most first: of most runs no weights."""
    seeds, shots = settings.splits.seeds, settings.splits.shots
    models = [one for one in outcomes if (one.run.k, one.run.seed) == (shots.largest, seeds[0])]
    kept = {one.trainings[-1] for one in models}.union(*(one.teachers for one in outcomes))
    trainings = paths.data(cohort, "trainings", "classify")
    files = sorted(path for path in trainings.rglob("*") if path.is_file())
    yield from (path for path in files if path.name != WEIGHTS)
    yield from (path for path in files if path.name == WEIGHTS and path.parent.name in kept)
    for stage in ("synthetic", "generators"):
        yield from sorted(path for path in paths.data(cohort, stage).rglob("*") if path.is_file())


def pack(files: list[Path], out: Path) -> None:
    """Write an archive of the files in pieces ``part.000``, ``part.001`` and so on."""
    out.mkdir(parents=True, exist_ok=True)
    for former in out.glob("part.*"):
        former.unlink()
    (out / "files").write_text("\n".join(str(path.relative_to(paths.ROOT)) for path in files) + "\n")
    archive = f"tar -c -T {out / 'files'} | split -b {PART} -d -a 3 - {out / 'part.'}"
    subprocess.run(["bash", "-c", archive], cwd=paths.ROOT, check=True)
    pieces = sorted(out.glob("part.*"))
    print(f"{len(files)} files, {sum(piece.stat().st_size for piece in pieces) / 1e6:.0f} MB in {len(pieces)} parts")


def main() -> None:
    """Make all, pack it, and print what became of every job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="+")
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=500)
    parser.add_argument("--without", nargs="*", default=[], help="generators that are left to another time")
    parser.add_argument("--eager", action="store_true", help="without CUDA graphs")
    parser.add_argument("--out", type=Path, default=Path("work/parts"))
    given = parser.parse_args()
    os.environ[progress.VARIABLE] = os.devnull
    studies = {name: params.load(name) for name in given.studies}
    jobs = [job for name, settings in studies.items() for job in jobs_of(name, settings)]
    jobs = without(jobs, given.without)
    done = make(jobs, given.workers, given.seconds, given.eager)
    files = []
    for name, settings in studies.items():
        runs = [result for key, result in done.items() if key.startswith(f"{name}: run ")]
        files += list(wanted(name, settings, runs))
    pack(files, given.out)


if __name__ == "__main__":
    main()
