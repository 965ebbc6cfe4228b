"""One training on several devices: processes that share every batch, brought together by accelerate.

Each process works on its part of every batch; gradients are averaged, so that all take the same step. What a step draws at
random follows from its number and not from who makes it: several processes end as one does, up to rounding.
"""

import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn
from torch.multiprocessing.spawn import ProcessExitedException, start_processes

from fetalkit.utils import devices, progress
from fetalkit.utils.errors import FetalkitError


def count() -> int:
    """Number of processes that share the training which this one works on."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def index() -> int:
    """Number of this process among them, counted from 0; 0 writes files and the log."""
    return distributed.get_rank() if count() > 1 else 0


def part(n: int) -> slice:
    """Rows of a batch of `n` images that are this process's.

    Raises
    ------
    FetalkitError
        When the batch cannot be parted evenly: the mean over all would not be that of the parts' means.
    """
    if n % count():
        raise FetalkitError(
            f"training.batch_size = {n}: must be a multiple of run.processes = {count()}; change one in params.yaml"
        )
    each = n // count()
    return slice(index() * each, (index() + 1) * each)


def mean(values: torch.Tensor) -> torch.Tensor:
    """Mean over the processes, as each must call it; `values` itself where there is one."""
    if count() == 1:
        return values
    total = values.clone()
    distributed.all_reduce(total)
    return total / count()


def sharing(network: nn.Module) -> Any:
    """`network` whose gradients are averaged over the processes; `network` itself where there is one."""
    if count() == 1:
        return network
    from accelerate import Accelerator

    return Accelerator(mixed_precision="no").prepare_model(network)


def together(n: int, on: torch.device, function: Callable[..., None], *arguments: Any) -> None:
    """``function(*arguments)`` in `n` processes at one time, one per device; in this one if `n` is 1.

    Parameters
    ----------
    n
        Number of processes.
    on
        Kind of device: one thread for each process on a CPU, one GPU for each elsewhere.
    function
        Of a module, since the processes look it up by its name; returns nothing.

    Raises
    ------
    FetalkitError
        When there are fewer GPUs than processes, accelerate is not installed, or a process has failed or was killed.
    """
    if n == 1:
        function(*arguments)
        return
    _require(n, on)
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        try:
            start_processes(_member, (n, port, on.type == "cpu", folder, function, arguments), nprocs=n)
        except ProcessExitedException as error:
            told = sorted(Path(folder).glob("*.txt"))
            reason = told[0].read_text(encoding="utf-8") if told else f"one of them ended ({error})"
            advice = "" if told else "; if it was killed for memory, lower training.batch_size; run again to go on"
            raise FetalkitError(f"{n} processes that share a training: {reason}{advice}") from None


def _require(n: int, on: torch.device) -> None:
    try:
        import accelerate  # noqa: F401
    except ImportError:
        raise FetalkitError(
            f"run.processes = {n}: accelerate is not installed; pip install 'fetalkit[cluster]', or set it to 1"
        ) from None
    there = torch.cuda.device_count()
    if on.type == "cuda" and n > there:
        raise FetalkitError(f"run.processes = {n}: this machine has {there} GPUs; lower it in params.yaml")


def _member(
    number: int, n: int, port: int, cpu: bool, folder: str, function: Callable[..., None], arguments: tuple
) -> None:
    """One of the processes. What a user should read is left in `folder`, since an error does not reach the parent."""
    os.environ |= {
        "RANK": str(number), "LOCAL_RANK": str(number), "WORLD_SIZE": str(n), "LOCAL_WORLD_SIZE": str(n),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    if number:
        os.environ[progress.VARIABLE] = os.devnull
    from accelerate import Accelerator

    torch.set_num_threads(1)
    Accelerator(cpu=cpu, mixed_precision="no")  # brings the processes together, and gives each its device
    try:
        with devices.enough_memory("training", "lower training.batch_size in params.yaml"):
            function(*arguments)
    except FetalkitError as error:
        Path(folder, f"{number}.txt").write_text(str(error), encoding="utf-8")
        os._exit(1)  # the others wait for this one: it must not wait for them
    distributed.destroy_process_group()
