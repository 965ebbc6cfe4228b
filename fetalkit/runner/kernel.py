"""The kernel that a notebook runs in: nothing that it has started may outlive it."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import psutil
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync

from fetalkit.utils import paths
from fetalkit.utils.progress import VARIABLE

NAME = "python3"
# glibc gives large blocks back to the system at once, and every training step fetches them anew: a tenth of the time on a CPU.
# Other systems do not know these variables.
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**33)}


@contextmanager
def running(environment: Mapping[str, str], log: TextIO) -> Iterator[AsyncKernelManager]:
    """Yield the manager of a running kernel; in the end it is gone, and so are the processes that it has started."""
    manager = AsyncKernelManager(kernel_name=NAME)
    hurry = False
    try:
        run_sync(manager.start_kernel)(
            # Without the history file several kernels at a time would wait for each other's lock.
            extra_arguments=["--HistoryManager.hist_file=:memory:", "--log-level=ERROR"],
            env=_KEEP_MEMORY | dict(environment),
            cwd=str(paths.ROOT),
            stdout=log,
            stderr=log,
        )
        yield manager
    except (KeyboardInterrupt, SystemExit):
        hurry = True
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # It would report the abandoned cell as well.
        raise
    finally:
        if manager.has_kernel:
            # This ends the kernel's whole process group, also when the kernel itself is already dead.
            run_sync(manager.shutdown_kernel)(now=hurry)


def end_orphans(progress: Path) -> None:
    """End workers of an earlier run whose runner was killed with SIGKILL; they would work against this run."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            ours = process.environ().get(VARIABLE) == str(progress)
            # The kernel leads the session of its workers; while it lives, they belong to a run that goes on.
            if ours and not _lives(os.getsid(process.pid)):
                process.kill()


def _lives(pid: int) -> bool:
    # In a container nobody may have collected a process that has ended.
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
