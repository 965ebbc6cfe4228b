"""The kernel that a notebook runs in: nothing that it has started may outlive it."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import psutil
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync

from fetalkit.utils import paths
from fetalkit.utils.progress import VARIABLE

NAME = "python3"
# glibc gives large blocks back to the system at once, and every training step fetches them anew: a tenth of the time on a CPU.
# Other systems do not know these variables.
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**33)}


class _OwnPython(KernelSpecManager):
    """Kernels of this very Python, whichever other one JUPYTER_PATH or a home folder names "python3"."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """The kernel spec of the installed ipykernel."""
        return KernelSpec(resource_dir="", **get_kernel_dict())


class Manager(AsyncKernelManager):
    """The manager of a kernel that knows how it has ended: ``exit_code`` as of `subprocess.Popen`, None if it was alive."""

    exit_code: int | None = None


@contextmanager
def running(environment: Mapping[str, str], log: TextIO) -> Iterator[Manager]:
    """Yield the manager of a running kernel; in the end it is gone, and so are the processes that it has started."""
    manager = Manager(kernel_name=NAME, kernel_spec_manager=_OwnPython())
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
            if manager.provisioner is not None:
                manager.exit_code = run_sync(manager.provisioner.poll)()
            # This ends the kernel's whole process group, also when the kernel itself is already dead.
            run_sync(manager.shutdown_kernel)(now=hurry)


def end_orphans(progress: Path) -> None:
    """End kernels and workers of a study's earlier run whose runner was killed; they would work against this one.

    Parameters
    ----------
    progress
        The file that the new run is going to follow. Whoever holds the study's lock may call this: all that report to its
        folder are then of a runner that is gone.
    """
    orphans = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            followed = process.environ().get(VARIABLE)
            if followed and Path(followed).parent == progress.parent:
                process.kill()
                orphans.append(process)
    psutil.wait_procs(orphans, timeout=10)
