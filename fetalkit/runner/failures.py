"""What goes wrong in a notebook, in one line: which cell, which error, where to look."""

import errno
import json
import signal
from pathlib import Path

import nbformat
from papermill.exceptions import PapermillExecutionError

from fetalkit.runner.records import read
from fetalkit.utils.errors import FetalkitError

LARGEST_OUTPUT = 2_500_000
LONGEST_MESSAGE = 1000


def of_cell(name: str, error: PapermillExecutionError, partial: Path) -> str:
    """Message for a cell that has failed; `partial` is the copy with its whole trace."""
    if error.ename == FetalkitError.__name__:
        # Written for the user and complete, unless it quotes the traces of workers.
        message = one_line(error.evalue, LONGEST_MESSAGE)
        return f"{name}: {message}" + (f" - see {partial}" if message.endswith("…") else "")
    cause = full_disk(error.evalue) or f"{error.ename}: {one_line(error.evalue)}"
    return f"{name}, cell {error.exec_count}: {cause} - see {partial}"


def full_disk(text: str) -> str | None:
    """Advice when `text` is the message of a full disk, else None."""
    if f"[Errno {errno.ENOSPC}]" not in text:
        return None
    return "the disk is full; free some space and run again to go on from the last checkpoint"


def of_kernel(exit_code: int | None) -> str:
    """Why a kernel has died, and what to do, from its exit code."""
    again = "run again to go on from the last checkpoint"
    if exit_code is None or exit_code == -signal.SIGKILL:
        return f"the kernel was killed, probably out of memory; {again}"
    if exit_code < 0:
        names = {number.value: number.name for number in signal.Signals}
        return f"the kernel was ended by {names.get(-exit_code, -exit_code)}; {again}"
    return f"the kernel has ended itself with exit code {exit_code}; what it said is in the log"


def one_line(text: str, longest: int = 500) -> str:
    """`text` on a single line, cut where it is too long to be read as one."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def last_started(partial: Path) -> int:
    """Number of the code cell that was running when the kernel died; a kernel that is gone cannot tell."""
    number = 0
    for cell in read(partial).cells:
        if not cell.metadata.get("papermill", {}).get("start_time"):
            break
        number += cell.cell_type == "code" and bool(cell.source.strip())
    return number


def check_outputs(name: str, notebook: nbformat.NotebookNode, partial: Path) -> None:
    """Raise for what papermill lets pass: allowed errors, an early ``exit()`` and huge outputs."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            where = f"{name}, cell {cell.execution_count}"
            if output.output_type == "error":
                raise FetalkitError(f"{where}: {output.ename}: {one_line(output.evalue)} - see {partial}")
            size = len(json.dumps(output))
            if size > LARGEST_OUTPUT:
                raise FetalkitError(
                    f"{where}: an output of {size / 1e6:.1f} MB, allowed are {LARGEST_OUTPUT / 1e6:.1f} MB; "
                    f"show fewer or smaller figures - see {partial}"
                )
