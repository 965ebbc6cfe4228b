"""Where tensors live, and how many processes may work at one time."""

import os
from contextlib import AbstractContextManager

import torch


def device(name: str) -> torch.device:
    """Device by name; ``"auto"`` is the GPU where there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def reproducible() -> AbstractContextManager:
    """Within it, a GPU's convolutions take the same algorithm, hence the same bits, in every run; no effect on a CPU."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)


def workers(setting: str | int, on: torch.device) -> int:
    """Number of parallel processes: one per core on the CPU, one on a GPU, unless `setting` is a number."""
    if setting != "auto":
        return int(setting)
    return (
        1 if on.type != "cpu" else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    )
