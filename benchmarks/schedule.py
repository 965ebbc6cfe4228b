"""How a study of 10,000 runs would scale to 100 workers, and what limits it: a simulated schedule with measured durations.

`--measure` takes seconds per step, file sizes and the scheduler's latency on this machine (a minute or two, one core) and
writes ``benchmarks/schedule.json``; without it, that file is read and nothing is trained. The jobs are those of the cohort
spain with more seeds, in the order in which the study hands them out.
"""

import argparse
import heapq
import json
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from common import RESULTS

from fetalkit import generators
from fetalkit.classifiers import trainer, weights
from fetalkit.classifiers.loader import Feed
from fetalkit.config import arms, params, runs, sets, variants
from fetalkit.data.images import Labelled
from fetalkit.data.study import set_name
from fetalkit.experiments import building
from fetalkit.utils.checkpoints import Checkpoint

MEASURED = RESULTS.with_name("schedule.json")
FIGURE = RESULTS.parents[1] / "docs" / "images" / "schedule.svg"
WORKERS = (1, 4, 16, 50, 100, 200)
RUNS, MOST = 10_000, 100  # of the study; workers that the limits are asked for
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Job:
    """One job: parts of (key, seconds), of which equal keys are computed once; bytes read before and written after."""

    parts: list[tuple[str, float]]
    read: float = 0.0
    written: float = 0.0


@dataclass
class Stage:
    """What became of a stage: seconds from its begin to its end, and of all workers' time what was spent on what."""

    seconds: float = 0.0
    working: float = 0.0
    waiting: float = 0.0  # for a phase that another job is training
    moving: float = 0.0  # files
    longest: float = 0.0


@dataclass
class Server:
    """Something that serves one at a time."""

    free: float = 0.0

    def serve(self, now: float, seconds: float) -> float:
        self.free = max(self.free, now) + seconds
        return self.free


def simulate(jobs: Iterable[Job], workers: int, latency: float, rate: float) -> Stage:
    """Hand out jobs in their order to whoever is free; every hand-out takes `latency`, all files pass at `rate` bytes/s."""
    queue, stage, ends = deque(jobs), Stage(), {}
    scheduler, disk = Server(), Server()
    events: list[tuple[float, int, str, Job | None]] = [(0.0, number, "free", None) for number in range(workers)]
    count = workers
    while events:
        now, _, what, job = heapq.heappop(events)
        count += 1
        if what == "free":
            if queue:
                heapq.heappush(events, (scheduler.serve(now, latency), count, "read", queue.popleft()))
            continue
        assert job is not None
        if what == "read":
            then = disk.serve(now, job.read / rate)
            stage.moving += then - now
            heapq.heappush(events, (then, count, "work", job))
        elif what == "work":
            then = now
            for key, seconds in job.parts:
                if key in ends:
                    stage.waiting += max(0.0, ends[key] - then)
                    then = max(then, ends[key])
                else:
                    then = ends[key] = then + seconds
                    stage.working += seconds
            stage.longest = max(stage.longest, then - now)
            heapq.heappush(events, (then, count, "write", job))
        else:
            then = disk.serve(now, job.written / rate)
            stage.moving += then - now
            stage.seconds = max(stage.seconds, then)
            heapq.heappush(events, (then, count, "free", None))
    return stage


@dataclass
class Jobs:
    """Jobs of the stages that are spread over workers, and seconds of those that one machine does."""

    spread: dict[str, list[Job]] = field(default_factory=dict)
    alone: dict[str, float] = field(default_factory=dict)


def study(measured: dict) -> Jobs:
    """The cohort spain with as many seeds as give `RUNS` runs."""
    settings = params.load("spain")
    one = settings.model_copy(update={"splits": settings.splits.model_copy(update={"seeds": [0]})})
    seeds = round(RUNS / len(runs.all_runs(one)))
    settings = settings.model_copy(update={"splits": settings.splits.model_copy(update={"seeds": list(range(seeds))})})
    sizes, size_of_set = measured["bytes"], measured["bytes"]["set"]
    made = Jobs()
    made.spread["generators"] = [
        Job([(set_name(**job), _training(settings, measured, **job))], 0, sizes["generator"])
        for job in sets.jobs(settings)
    ]
    drawn = [*sets.jobs(settings), *sets.drawable(settings, variants.all_variants(settings))]
    made.spread["sets"] = [
        Job([(str(number), measured["drawing"])], sizes["generator"], size_of_set) for number in range(len(drawn))
    ]
    ordered = sorted(runs.all_runs(settings), key=lambda run: -len(settings.arms[run.arm].phases))
    made.spread["runs"] = [_run(settings, measured, run) for run in ordered]
    serial = measured["serial"]
    made.alone = {
        "cohort, images, splits": serial["before"],
        "fidelity": serial["per_set"] * len(drawn),
        "tables and report": serial["per_run"] * len(ordered),
    }
    return made


def _training(settings: params.Params, measured: dict, generator: str, k: str, seed: int) -> float:
    """Seconds of a generator's training; those that learn nothing take a moment."""
    spec = settings.generators[generator]
    kind = spec.class_path.rpartition(":")[2]
    if kind not in measured["seconds_per_image"]:
        return 0.1
    n = len(settings.cohort.planes) * int(k) if k.isdigit() else measured["train_images"]
    steps, batch = spec.training.steps, spec.training.batch_size
    if spec.budget:
        steps = spec.budget.steps(n, batch, steps)
    return steps * batch * measured["seconds_per_image"][kind]


def _run(settings: params.Params, measured: dict, run: runs.Run) -> Job:
    parts, before = [], f"{run.classifier}-{run.k}-{run.seed}"
    for phase in arms.phases(settings.arms[run.arm], *settings.classify.steps(run.classifier, run.k)):
        before += f"+{phase}"
        parts.append((before, phase.steps * measured["seconds_per_step"][run.classifier]))
    weight = measured["bytes"]["weights"][run.classifier]
    return Job(parts, measured["bytes"]["set"] + measured["bytes"]["images"], weight * len(parts))


def whole(jobs: Jobs, workers: int, latency: float, rate: float) -> dict[str, Stage]:
    """Every stage with so many workers, in order."""
    before, *after = jobs.alone
    stages = {before: Stage(jobs.alone[before], jobs.alone[before])}
    stages |= {name: simulate(of, workers, latency, rate) for name, of in jobs.spread.items()}
    return stages | {name: Stage(jobs.alone[name], jobs.alone[name]) for name in after}


def measure() -> dict:
    """Seconds and bytes on this machine, in one thread; processor time, so that other work does not count."""
    torch.set_num_threads(1)
    settings, random = params.load("spain"), np.random.default_rng(0)
    size, planes = settings.images.image_size, settings.cohort.planes
    data = Labelled(random.integers(0, 256, (64, size, size), np.uint8), np.arange(64) % len(planes))
    known = json.loads(MEASURED.read_text())
    per_step, weight = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name in settings.classify.classifiers:
            model = building.classifier(settings.classify, name, len(planes), size, seed=0)
            recipe = building.recipe(settings.classify, name)
            feed, checkpoint = Feed(data, len(planes), 0), Checkpoint(Path(folder, "state"), "x", every=10**9)
            steps = 5
            for timed in (1, steps):
                began = time.process_time()
                trainer.fit(model, feed, timed, recipe, device=CPU, checkpoint=checkpoint, label=name)
                spent = time.process_time() - began
            per_step[name] = round(spent / steps, 4)
            weights.save(model, Path(folder, "weights"))
            weight[name] = Path(folder, "weights").stat().st_size
        trained = {}
        for name in ("diffusion", "gan"):
            spec = settings.generators[name]
            few: dict = {"steps": 10}
            if name == "diffusion":
                few |= {"guide_steps": 0, "snapshots": spec.training.early}
            short = spec.training.model_copy(update=few)
            made = generators.create(spec.class_path, planes, size, short, device="cpu")
            began = time.process_time()
            made.fit(data.images, data.labels, seed=0)
            spent = time.process_time() - began
            trained[type(made).__name__] = round(spent / 10 / spec.training.batch_size, 5)
            if name == "diffusion":
                began = time.process_time()
                made.sample(data.labels[:16], seed=0, sampling=spec.sampling)
                drawing = (time.process_time() - began) / 16 * settings.synthesis.images_per_plane * len(planes)
                made.save(Path(folder, "generator"))
        size_of = sum(path.stat().st_size for path in Path(folder, "generator").rglob("*") if path.is_file())
    images = settings.synthesis.images_per_plane * len(planes) * size**2
    return known | {
        "seconds_per_step": per_step,
        "seconds_per_image": trained,
        "train_images": 760,
        "drawing": round(drawing, 1),
        "bytes": {"weights": weight, "generator": size_of, "set": images, "images": 1_743 * size**2},
        "latency": _latency(),
    }


def _latency(jobs: int = 500) -> float:
    """Seconds that scheduler and worker take for a job which does nothing; all in this process."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(2, threads_per_worker=1, processes=False, dashboard_address=None) as local,
        Client(local) as client,
    ):
        client.gather(client.map(abs, range(100), pure=False))
        rounds = []
        for _ in range(3):
            began = time.perf_counter()
            client.gather(client.map(abs, range(jobs), pure=False))
            rounds.append((time.perf_counter() - began) / jobs)
    return round(statistics.median(rounds), 5)


def table(jobs: Jobs, latency: float, rate: float) -> list[str]:
    """Markdown: hours by stage and number of workers."""
    names = [*whole(jobs, 1, latency, rate)]
    lines = ["| workers | " + " | ".join(names) + " | all, h | times faster |", "|---:" * (len(names) + 3) + "|"]
    first = 0.0
    for workers in WORKERS:
        hours = [stage.seconds / 3600 for stage in whole(jobs, workers, latency, rate).values()]
        first = first or sum(hours)
        cells = " | ".join(f"{hour:.2f}" for hour in [*hours, sum(hours)])
        lines.append(f"| {workers} | {cells} | {first / sum(hours):.1f} |")
    return lines


def limits(jobs: Jobs, latency: float, rate: float) -> list[str]:
    """Markdown: hours with `MOST` workers, and what they would be if one thing cost nothing."""

    def hours(of: Jobs, latency: float = latency, rate: float = rate) -> float:
        return sum(stage.seconds for stage in whole(of, MOST, latency, rate).values()) / 3600

    sharing = {
        name: [Job([(f"{number}{key}", seconds) for key, seconds in job.parts], job.read, job.written)
               for number, job in enumerate(of)]
        for name, of in jobs.spread.items()
    }  # fmt: skip
    runs_ = whole(jobs, MOST, latency, rate)["runs"]
    longest = {name: [max(of, key=lambda job: sum(s for _, s in job.parts))] for name, of in jobs.spread.items()}
    ideal = sum(whole(Jobs(jobs.spread, dict.fromkeys(jobs.alone, 0.0)), 1, 0, 1e30)[n].working for n in jobs.spread)
    rows = {
        "as it is": hours(jobs),
        "serial stages cost nothing": hours(Jobs(jobs.spread, dict.fromkeys(jobs.alone, 0.0))),
        "scheduler and files cost nothing": hours(jobs, 0.0, 1e30),
        "scheduler ten times as slow": hours(jobs, 10 * latency),
        "shared folder ten times as slow": hours(jobs, rate=rate / 10),
        "no phase is shared: equal phases are trained twice": hours(Jobs(sharing, jobs.alone)),
        "the longest job of each stage alone": hours(Jobs(longest, dict.fromkeys(jobs.alone, 0.0))),
        "work divided by workers": ideal / MOST / 3600,
    }
    lines = [f"| with {MOST} workers | hours |", "|---|---:|", *(f"| {name} | {of:.2f} |" for name, of in rows.items())]
    total = MOST * runs_.seconds
    spent = (
        f"{runs_.working / total:.1%} working, {runs_.waiting / total:.1%} waiting for a phase that another run trains"
    )
    return [
        *lines,
        "",
        f"Of the workers' time in the stage of the runs: {spent}, {runs_.moving / total:.1%} moving files.",
    ]


def draw(jobs: Jobs, latency: float, rate: float) -> None:
    """Stacked bars: hours of each stage by number of workers."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "schedule"
    figure, axis = pyplot.subplots(figsize=(7, 3.6), layout="constrained")
    bottoms = np.zeros(len(WORKERS))
    shares = {workers: whole(jobs, workers, latency, rate) for workers in WORKERS}
    totals = np.array([sum(stage.seconds for stage in of.values()) for of in shares.values()])
    for name in shares[1]:
        part = np.array([of[name].seconds for of in shares.values()]) / totals * 100
        axis.bar([str(workers) for workers in WORKERS], part, bottom=bottoms, label=name)
        bottoms += part
    for place, total in enumerate(totals):
        axis.text(place, 101, f"{total / 3600:.1f} h", ha="center", va="bottom", fontsize=8)
    axis.set(xlabel="workers", ylabel="share of the time (%)", ylim=(0, 110))
    axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(FIGURE, metadata={"Date": None})


def main() -> None:
    """Simulate, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="take durations on this machine first")
    if parser.parse_args().measure:
        MEASURED.write_text(json.dumps(measure(), indent=2) + "\n")
    measured = json.loads(MEASURED.read_text())
    jobs, latency, rate = study(measured), measured["latency"], measured["bytes_per_second"]
    counts = {name: len(of) for name, of in jobs.spread.items()}
    print(f"Jobs: {counts}\n", *table(jobs, latency, rate), "", *limits(jobs, latency, rate), sep="\n")
    draw(jobs, latency, rate)


if __name__ == "__main__":
    main()
