"""Training and drawing on this machine's device: images per second, share of its peak matrix rate, times over one core.

Operations are counted by torch, not estimated. They are held against two rates: that of a large matrix product, measured here
in the same precision, and that of the card's data sheet. One core of the CPU does the same work beside it, if only for a step
or two. `--tiny` takes the smallest sizes, which need under a minute on a CPU. Nothing is downloaded.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from fetalkit import generators
from fetalkit.classifiers import trainer
from fetalkit.classifiers.loader import Feed
from fetalkit.config import params
from fetalkit.data.images import Labelled
from fetalkit.experiments import building
from fetalkit.utils import devices, parallel, progress
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.errors import FetalkitError

os.environ[progress.VARIABLE] = os.devnull  # no bars between the numbers
ROUNDS = 3
# Dense TFLOP/s by the data sheets: name in the card's name -> bfloat16, float32 without TF32.
PEAKS = {"H200": (989, 67), "H100 PCIe": (756, 51), "H100": (989, 67), "A100": (312, 19.5), "L40S": (362, 91.6)}
# A network of a size that a large device is made for, beside those of params.yaml.
LARGE = {"channels": (128, 256, 384), "blocks": 2}
CPU = torch.device("cpu")
Work = Callable[[], object]
Make = Callable[[torch.device, int, int], Work]


def seconds_of(work: Callable[[], object], on: torch.device, rounds: int = ROUNDS) -> float:
    """Median over rounds, after one to warm up; until the device has done all."""
    taken = []
    for number in range(rounds + 1):
        began = time.perf_counter()
        work()
        if on.type == "cuda":
            torch.cuda.synchronize()
        if number or rounds == 0:
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """So many threads within it."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def product_rate(on: torch.device, precision: torch.dtype, side: int) -> float:
    """TFLOP/s of a square matrix product."""
    a, b = (torch.rand(side, side, device=on).to(precision) for _ in range(2))
    return 2 * side**3 / seconds_of(lambda: a @ b, on) / 1e12


def operations(work: Callable[[], object]) -> float:
    """Floating point operations of matrix products and convolutions."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


class Bench:
    """The works, on a device or on one core of the CPU."""

    def __init__(self, on: torch.device, tiny: bool):
        self.settings, self.on, self.tiny = params.load("phantom" if tiny else "spain"), on, tiny
        self.size, self.planes = self.settings.images.image_size, self.settings.cohort.planes
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (256, self.size, self.size), np.uint8)
        self.data = Labelled(images, np.arange(256) % len(self.planes))
        self.folder = tempfile.mkdtemp()
        self.of_a_core: dict[str, tuple[float, float]] = {}

    def works(self) -> Iterator[tuple[str, int, Make]]:
        """Name, batch size, and a function of device, steps and batch size that makes the work."""
        batches = (8,) if self.tiny else (8, 64, 512)
        for batch in batches[:2]:
            yield "train diffusion", batch, partial(self.training, {}, "diffusion")
        for batch in () if self.tiny else batches:
            yield "train diffusion, large", batch, partial(self.training, LARGE, "diffusion")
        # Without its penalty, whose second derivative torch cannot count.
        yield "train gan", batches[0], partial(self.training, {"penalty": 0.0}, "gan")
        for batch in (16,) if self.tiny else (64, 512):
            yield "draw diffusion", batch, self.drawing
        for name in list(self.settings.classify.classifiers)[: 1 if self.tiny else None]:
            for batch in (32,) if self.tiny else (32, 256):
                yield f"train {name}", batch, partial(self.classifying, name)

    def training(self, changes: dict, kind: str, on: torch.device, steps: int, batch: int) -> Work:
        spec = self.settings.generators[kind]
        few = {"steps": steps, "batch_size": batch} | changes
        if kind == "diffusion":
            few |= {"guide_steps": 0, "snapshots": spec.training.early}
        training = dict(spec.training) | few
        made = generators.create(spec.class_path, self.planes, self.size, training, device=on.type)
        return lambda: made.fit(self.data.images, self.data.labels, seed=0)

    def drawing(self, on: torch.device, _: int, count: int) -> Work:
        spec = self.settings.generators["diffusion"]
        few = spec.training.model_copy(update={"steps": 1, "guide_steps": 0, "snapshots": spec.training.early})
        made = generators.create(spec.class_path, self.planes, self.size, few, device=on.type)
        made.fit(self.data.images, self.data.labels, seed=0)
        labels = np.arange(count) % len(self.planes)
        return lambda: made.sample(labels, seed=0, sampling=spec.sampling, batch_size=count)

    def classifying(self, name: str, on: torch.device, steps: int, batch: int) -> Work:
        given = self.settings.classify.model_copy(update={"batch_size": batch})
        recipe = building.recipe(given, name)
        model = building.placed(building.classifier(given, name, len(self.planes), self.size, seed=0), on)
        feed = Feed(self.data, len(self.planes), 0)

        def work() -> None:
            checkpoint = Checkpoint(Path(self.folder, "state"), "x", every=10**9)
            trainer.fit(model, feed, steps, recipe, device=on, checkpoint=checkpoint, label=name, curve_points=1)

        return work

    def on_one_core(self, name: str, make: Make, batch: int, steps: int) -> tuple[float, float]:
        """Operations per image, and images per second of one core; measured once per work: both hardly follow the batch."""
        if name not in self.of_a_core:
            with threads(1):  # few images: large networks take seconds for each
                flops = operations(make(CPU, 1, batch)) / batch
                rounds = 1 if flops < 2e9 else 0
                self.of_a_core[name] = flops, batch * steps / seconds_of(make(CPU, steps, batch), CPU, rounds)
        return self.of_a_core[name]

    def row(self, name: str, batch: int, make: Make, peaks: dict[str, float]) -> dict:
        """One line of the table."""
        drawn, steps = name.startswith("draw"), 2 if self.tiny else min(40, max(5, 2560 // batch))
        steps = 1 if drawn else steps
        precision = (
            torch.float32 if "diffusion" not in name and "gan" not in name else devices.precision("auto", self.on)
        )
        spent = seconds_of(make(self.on, steps, batch), self.on)
        rate = batch * steps / spent
        flops, core = self.on_one_core(name, make, min(batch, 8), 1 if drawn else 2)
        measured, sheet = peaks[f"measured {precision}"], peaks.get(f"sheet {precision}")
        return {
            "work": name,
            "batch": batch,
            "precision": str(precision).removeprefix("torch."),
            "images_per_second": round(rate, 1),
            "gflop_per_image": round(flops / 1e9, 3),
            "tflops": round(rate * flops / 1e12, 3),
            "of_matrix_product": round(rate * flops / 1e12 / measured, 4),
            "of_data_sheet": round(rate * flops / 1e12 / sheet, 4) if sheet else None,
            "times_one_core": round(rate / core, 1),
        }


def _one_run(tiny: bool, steps: int) -> None:
    bench = Bench(devices.device("auto"), tiny)
    bench.classifying(next(iter(bench.settings.classify.classifiers)), bench.on, steps, 32)()


def side_by_side(tiny: bool) -> dict[str, float]:
    """Small trainings per minute with so many workers on the device: what `run.workers` is best set to."""
    counts, steps = ((2, 1), 5) if tiny else ((8, 4, 2, 1), 200)
    job, found = dict(tiny=tiny, steps=steps), {}
    # Processes start and load their libraries once; fewer workers are some of the same processes.
    parallel.run(_one_run, [job | {"steps": 1}] * counts[0], counts[0])
    for workers in counts:
        began = time.perf_counter()
        parallel.run(_one_run, [job] * workers, workers)
        found[str(workers)] = round(60 * workers / (time.perf_counter() - began), 2)
    return found


def compiled(bench: Bench) -> dict[str, float] | None:
    """Seconds of a step of the denoiser, forwards and backwards: as it is, with the graphs of trainings, by torch.compile."""
    if bench.on.type != "cuda":
        return None
    spec = bench.settings.generators["diffusion"]
    made = generators.create(spec.class_path, bench.planes, bench.size, spec.training, device="cuda")
    network = made._denoiser().cuda()  # type: ignore[attr-defined]
    noisy = torch.randn(8, 1, bench.size, bench.size, device="cuda")
    time_, labels, moves = (
        torch.zeros(8, device="cuda"), torch.zeros(8, dtype=torch.long, device="cuda"), torch.zeros(8, 5, device="cuda")
    )  # fmt: skip

    def step(of: Callable) -> None:
        with torch.autocast("cuda", torch.bfloat16):
            of(noisy, time_, labels, moves).sample.square().mean().backward()

    graphs = devices.graphed(network, (noisy, time_, labels, moves), torch.bfloat16)
    fast = torch.compile(network, mode="reduce-overhead")
    return {
        name: round(seconds_of(lambda of=of: [step(of) for _ in range(20)], bench.on) / 20, 5)
        for name, of in (("as it is", network), ("graphs", graphs), ("compiled", fast))
    }


def host_share(bench: Bench) -> float:
    """Seconds in which the CPU prepares a batch of 64 of the denoiser: the GPU waits where its step is shorter."""
    from fetalkit.generators.diffusion.settings import DiffusionTraining
    from fetalkit.generators.diffusion.training import Losses, PixelScale

    given = dict(bench.settings.generators["diffusion"].training) | {"batch_size": 64}
    training = DiffusionTraining.model_validate(given)
    scale, labels = PixelScale.of(bench.data.images), bench.data.labels
    losses = Losses(bench.data.images, labels, len(bench.planes), scale, training, 0, bench.on, torch.float32)
    return round(seconds_of(lambda: [losses._batch(step, "diffusion") for step in range(5)], bench.on) / 5, 5)


def attempted(work: Callable[[], object]) -> object:
    """Its result, or why there is none: the other numbers are still wanted."""
    try:
        return work()
    except (FetalkitError, RuntimeError) as error:
        return f"failed: {str(error).splitlines()[0]}"


def main() -> None:
    """Measure, print a table, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--tiny", action="store_true", help="smallest sizes: under a minute on a CPU")
    parser.add_argument("--out", type=Path, default=Path("work/device.json"))
    given = parser.parse_args()
    on = devices.device(given.device)
    if on.type == "cpu":
        torch.set_num_threads(1)
    name = torch.cuda.get_device_name() if on.type == "cuda" else torch.cpu.get_capabilities().get("cpu_name", "CPU")
    bench, side = Bench(on, given.tiny), 512 if given.tiny else 8192 if on.type == "cuda" else 1024
    peaks = {f"measured {kind}": product_rate(on, kind, side) for kind in (torch.float32, torch.bfloat16)}
    sheet = next((of for card, of in PEAKS.items() if card in name), None)
    if sheet:
        peaks |= {"sheet torch.bfloat16": sheet[0], "sheet torch.float32": sheet[1]}
    rows: list[dict] = []
    result = {
        "date": str(date.today()), "device": name, "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "torch": torch.__version__, "tiny": given.tiny, "tflops": {key: round(value, 2) for key, value in peaks.items()},
        "works": rows,
    }  # fmt: skip
    print(json.dumps(result["tflops"]), flush=True)
    for work, batch, make in bench.works():
        row = attempted(lambda work=work, batch=batch, make=make: bench.row(work, batch, make, peaks))
        rows.append(row if isinstance(row, dict) else {"work": work, "batch": batch, "images_per_second": row})
        print(" | ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
        keep(given.out, result)
    for key, measure in {
        "seconds_per_prepared_batch_of_64": lambda: host_share(bench),
        "seconds_per_step_of_the_denoiser": lambda: compiled(bench),
        "trainings_per_minute_by_workers": lambda: side_by_side(given.tiny),
    }.items():
        result[key] = attempted(measure)
        print(f"{key}: {json.dumps(result[key])}", flush=True)
        keep(given.out, result)


def keep(path: Path, result: dict) -> None:
    """Write what has been measured so far: a session on a lent machine can end at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
