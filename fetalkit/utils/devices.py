"""Where tensors live, in which precision networks compute, and how many processes may work at one time."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch


def device(name: str) -> torch.device:
    """Device by name; ``"auto"`` is the GPU where there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def precision(name: str, on: torch.device) -> torch.dtype:
    """Type that convolutions and matrix products compute in.

    Parameters
    ----------
    name
        ``"float32"``, ``"bfloat16"``, or ``"auto"``: bfloat16 where the hardware multiplies faster in it, else float32.
    on
        Device of the network.
    """
    if name != "auto":
        return getattr(torch, name)
    if on.type == "cuda":
        faster = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        faster = on.type == "cpu" and _processor_is_faster_in_bfloat16(torch.cpu.get_capabilities())
    return torch.bfloat16 if faster else torch.float32


def _processor_is_faster_in_bfloat16(capabilities: Mapping[str, Any]) -> bool:
    """Tell by the names of its instructions, not by a timing: the choice must be the same in every run.

    AVX512-BF16 alone does not say it: matrix products took a quarter of float32's time with it on an AMD EPYC, but twice
    that time on an Intel Xeon whose AMX was hidden by the virtual machine (``benchmarks/generator.py``).
    """
    if capabilities.get("amx_bf16", False):
        return True
    return capabilities.get("avx512_bf16", False) and not capabilities.get("cpu_name", "").startswith("Intel")


def rounding(on: torch.device, computing: torch.dtype) -> list[str]:
    """What decides, beside data and settings, how the numbers of a training or a sampling are rounded."""
    return [on.type, torch.__version__, str(computing)]


def reproducible() -> AbstractContextManager:
    """Within it, a GPU's convolutions take the same algorithm, hence the same bits, in every run; no effect on a CPU."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)


def workers(setting: str | int, on: torch.device) -> int:
    """Number of parallel processes: one per core on the CPU, one on a GPU, unless `setting` is a number."""
    if setting != "auto":
        return int(setting)
    if on.type != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
