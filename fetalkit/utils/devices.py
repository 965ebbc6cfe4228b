"""Where tensors live, in which precision networks compute, and how many processes may work at one time."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from fetalkit.utils.errors import FetalkitError

# cuBLAS repeats its sums in one order only with a workspace of fixed size; it reads this when a process first uses the GPU.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
DRAWING = "lower run.workers in params.yaml, or the argument batch_size"
# What libraries say when memory is short without raising an error of its own type.
_SHORT = ("out of memory", "can't allocate memory", "not enough memory", "STATUS_ALLOC_FAILED")


def device(name: str) -> torch.device:
    """Device by name; ``"auto"`` is the GPU where there is one, else the CPU.

    Raises
    ------
    FetalkitError
        When torch does not find the device on this machine.
    """
    there = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    elif name in there and not there[name]():
        raise FetalkitError(
            f"run.device = {name!r}: torch finds no such device on this machine; "
            "set it to auto or cpu in params.yaml, or install a driver and a torch that fit"
        )
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


def rounding(on: torch.device, computing: torch.dtype, processes: int = 1) -> list[str]:
    """What decides, beside data and settings, how the numbers of a training or a sampling are rounded.

    Processes that share a training add up the parts of every gradient in an order of their own.
    """
    shared = [f"{processes} processes"] if processes > 1 else []
    return [on.type, torch.__version__, str(computing), *shared]


@contextmanager
def reproducible(on: torch.device) -> Iterator[None]:
    """Within it, a GPU computes the same bits in every run, and float32 means float32; no effect on a CPU.

    Convolutions keep to one algorithm and do not round their inputs to TF32, which torch does by default. Attention is
    written out, since the backward pass of the memory-saving kernel adds up in any order. Operations that torch knows in one
    order only warn.
    """
    if on.type != "cuda":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    deterministic: Any = torch.utils.deterministic
    filled = deterministic.fill_uninitialized_memory
    with ExitStack() as stack:
        stack.callback(torch.use_deterministic_algorithms, before[0], warn_only=before[1])
        stack.callback(setattr, deterministic, "fill_uninitialized_memory", filled)
        torch.use_deterministic_algorithms(True, warn_only=True)
        deterministic.fill_uninitialized_memory = False  # costs a kernel for each new tensor
        stack.enter_context(
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        )
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield


class _Passes(nn.Module):
    """Stands for a network while it is trained, so that what a graph changes about a module is not the network itself."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.network(*inputs)


def graphed(network: nn.Module, inputs: tuple[torch.Tensor, ...], computing: torch.dtype) -> nn.Module:
    """`network` in training whose passes, forward and backward, a GPU starts as one piece each; on a CPU `network` itself.

    Small networks spend their time in starting kernels. A CUDA graph starts the same kernels, so that the bits are the same.

    Parameters
    ----------
    network
        Without randomness of its own.
    inputs
        Of one training step; those of all others have the same shapes.
    computing
        Type that convolutions and matrix products compute in.

    Returns
    -------
    torch.nn.Module
        Called as `network` is, for training alone; it has the network's parameters.
    """
    if inputs[0].device.type != "cuda":
        return network
    before = [(buffer, buffer.clone()) for buffer in network.buffers()]
    reduced = torch.autocast("cuda", computing, enabled=computing != torch.float32, cache_enabled=False)
    with reduced:
        made: Any = torch.cuda.make_graphed_callables(_Passes(network).train(), inputs, allow_unused_input=True)
    for buffer, value in before:  # the passes that come before a graph count as no step
        buffer.copy_(value)
    return made


def send(tensor: torch.Tensor, on: torch.device) -> torch.Tensor:
    """`tensor` on a device. On its way to a GPU it lies in pinned memory, so that neither side waits for the other."""
    if on.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(on, non_blocking=True)
    return tensor.to(on)


@contextmanager
def enough_memory(what: str, advice: str) -> Iterator[None]:
    """Within it, memory that runs out, on a GPU or not, ends in one line: `what` was being done, and `advice`.

    Raises
    ------
    FetalkitError
        Instead of the error of torch, of numpy or of Python.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_short_of_memory(error):
            raise
        first = (str(error).strip().splitlines() or ["no details"])[0]
        reason = re.sub(r"^\[enforce fail[^\]]*\] .*?\. ", "", first)[:200]
        raise FetalkitError(f"{what}: out of memory ({reason}); {advice}") from error


def is_short_of_memory(error: BaseException) -> bool:
    """Whether the cause of an error is that memory ran out."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in _SHORT)
    )


def free() -> None:
    """Give memory that torch keeps for later back to the GPU, which other processes share."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def workers(setting: str | int, on: torch.device) -> int:
    """Number of parallel processes: one per core on the CPU, one on a GPU, unless `setting` is a number."""
    if setting != "auto":
        return int(setting)
    if on.type != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
