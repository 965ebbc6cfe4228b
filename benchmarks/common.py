"""What the benchmarks share: interleaved timing, the machine's own speed, and the file of results."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch

from fetalkit.utils import progress

RESULTS = Path(__file__).with_name("results.json")
MATRIX = 1024
os.environ[progress.VARIABLE] = os.devnull  # no bars between the numbers


def _processor() -> str:
    """Name of the processor, and whether it computes in bfloat16."""
    able = torch.cpu.get_capabilities()
    return f"{able.get('cpu_name', 'unknown')}{' with AVX512-BF16' if able.get('avx512_bf16') else ''}"


def interleaved(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each work in each round; the works take turns (A B A B), since a machine's speed drifts."""
    for work in works.values():
        work()  # warm-up
    seconds = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def median_ratio(above: list[float], below: list[float]) -> float:
    """Median over rounds of `above` / `below`."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def matrix_multiply(precision: torch.dtype = torch.float32) -> tuple[Callable[[], object], float]:
    """A large matrix product, and its number of floating point operations."""
    a, b = torch.rand(MATRIX, MATRIX).to(precision), torch.rand(MATRIX, MATRIX).to(precision)
    return lambda: a @ b, 2.0 * MATRIX**3


def record(name: str, values: dict, threads: int = 1) -> None:
    """Print the results of one benchmark and put them into ``results.json``, beside those of other kinds of machine."""
    values |= {
        "date": str(date.today()),
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {_processor()}, {os.cpu_count()} cores",
        "threads": threads,
    }
    print(json.dumps({name: values}, indent=2))
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    others = [earlier for earlier in known.get(name, []) if earlier["machine"] != values["machine"]]
    RESULTS.write_text(json.dumps(known | {name: [*others, values]}, indent=2) + "\n")
