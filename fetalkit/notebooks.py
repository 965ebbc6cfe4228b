"""Run a notebook strictly: every parameter known, nothing half-written, one clear line when it fails.

papermill does the work; this module adds what it only warns of. The command ``python -m fetalkit.notebooks 01_cohort
--cohort africa`` is what the stages of ``dvc.yaml`` call.
"""

import argparse
import ast
import errno
import json
import logging
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

import nbformat
import papermill
import psutil
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from tqdm import tqdm

import fetalkit
from fetalkit import paths
from fetalkit.errors import FetalkitError
from fetalkit.progress import VARIABLE

KERNEL = "python3"
LARGEST_OUTPUT = 2_500_000
LIBRARIES = ("torch", "torchvision", "diffusers", "timm", "scikit-learn", "numpy", "pandas", "seaborn")
TOOLS = ("papermill", "dvc")

# papermill and nbclient log what is raised anyway; the user gets one line, not two.
logging.getLogger("papermill").setLevel(logging.CRITICAL)


def run(name: str, cohort: str, **parameters: Any) -> Path:
    """Execute a notebook for one cohort.

    Parameters
    ----------
    name
        Stem of a file in ``notebooks/``, e.g. ``"01_cohort"``.
    cohort
        Value of the notebook's parameter ``cohort``.
    **parameters
        Values of further parameters of the notebook.

    Returns
    -------
    Path
        The executed notebook, :func:`fetalkit.paths.executed`. It appears there only when every cell has succeeded.

    Raises
    ------
    FetalkitError
        When the notebook or a parameter is unknown or missing, when a cell fails, when an output is larger than 2.5 MB,
        or when the kernel dies. The partly executed copy is then ``work/<cohort>/failed/<name>.ipynb``.
    """
    parameters = {"cohort": cohort, **parameters}
    _check_parameters(name, parameters)
    final, partial = paths.executed(cohort, name), paths.work(cohort, "failed", f"{name}.ipynb")
    about, clock = {"notebook": name, "cohort": cohort, "parameters": parameters} | _surroundings(), time.monotonic()
    try:
        for folder in (final.parent, partial.parent, paths.work(cohort, "logs")):
            folder.mkdir(parents=True, exist_ok=True)
        with _log(cohort, name) as log:
            notebook = _execute(name, partial, parameters, paths.work(cohort, "logs", f"{name}.progress"), log)
        notebook.metadata["fetalkit"] = about | {"seconds": round(time.monotonic() - clock, 1)}
        _store(notebook, final)
    except OSError as error:
        raise FetalkitError(f"{name}: {_disk_message(str(error)) or error}") from error
    partial.unlink()
    return final


def record(path: Path) -> dict[str, Any]:
    """Run record of an executed notebook.

    Parameters
    ----------
    path
        File that :func:`run` has made.

    Returns
    -------
    dict
        ``notebook``, ``cohort``, ``parameters``, ``started`` (ISO 8601, UTC), ``seconds``, ``commit`` and ``dirty``
        (None outside git), ``python``, ``platform``, ``cpu``, ``cores``, ``memory_gib``, ``gpu`` (None without one) and
        ``versions``.

    Raises
    ------
    FetalkitError
        When the file is missing, is no notebook, or was not made by :func:`run`.
    """
    found = _read(path).metadata.get("fetalkit")
    if found is None:
        raise FetalkitError(f"{path}: has no run record; execute it with `python -m fetalkit.notebooks`")
    return json.loads(json.dumps(found))


def _read(path: Path) -> nbformat.NotebookNode:
    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise FetalkitError(f"{path}: there is no such notebook") from None
    except (ValueError, nbformat.ValidationError, nbformat.reader.NotJSONError) as error:
        raise FetalkitError(f"{path}: is not a valid notebook ({_one_line(str(error), 200)})") from error


def _check_parameters(name: str, given: Mapping[str, Any]) -> None:
    """Raise unless `given` are parameters of the notebook and complete those that have no default."""
    path = paths.NOTEBOOKS / f"{name}.ipynb"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in paths.NOTEBOOKS.glob("*.ipynb"))) or "none"
        raise FetalkitError(f"{name}: there is no such notebook in {paths.NOTEBOOKS}; there are: {known}")
    cells = [cell for cell in _read(path).cells if "parameters" in cell.metadata.get("tags", [])]
    if not cells:
        raise FetalkitError(f"{name}: has no cell tagged `parameters`; tag the cell that sets the defaults")
    defaults = _parameters(name, cells[0].source)
    if unknown := sorted(given.keys() - defaults.keys()):
        raise FetalkitError(f"{name}: unknown parameter {', '.join(unknown)}; it has: {', '.join(defaults) or 'none'}")
    if missing := [key for key, has_default in defaults.items() if not has_default and key not in given]:
        raise FetalkitError(f"{name}: parameter {', '.join(missing)} has no default; give it: -p {missing[0]}=VALUE")


def _parameters(name: str, source: str) -> dict[str, bool]:
    """Names that the parameters cell sets, and whether it gives a value; ``seed: int`` declares one without default."""
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise FetalkitError(f"{name}: the parameters cell is not valid Python ({error.msg})") from error
    found = {}
    for statement in statements:
        if isinstance(statement, ast.Assign):
            found |= {target.id: True for target in statement.targets if isinstance(target, ast.Name)}
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            found[statement.target.id] = statement.value is not None
    return found


def _execute(name: str, partial: Path, parameters: dict, progress: Path, log: TextIO) -> nbformat.NotebookNode:
    """Execute the notebook, keeping its state in `partial` while it runs."""
    progress.write_text("")
    _end_orphans(progress)
    # The kernel imports the package that this runner belongs to, wherever it works and whatever is installed.
    package = str(Path(fetalkit.__file__).resolve().parents[1])
    search = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": search, VARIABLE: str(progress)}
    try:
        with _follow(progress, log), _kernel(environment, log) as kernel:
            notebook = papermill.execute_notebook(
                _escaped(paths.NOTEBOOKS / f"{name}.ipynb"),
                _escaped(partial),
                parameters=parameters,
                kernel_name=KERNEL,
                language="python",
                progress_bar=False,
                km=kernel,
            )
    except PapermillExecutionError as error:
        raise FetalkitError(_cell_message(name, error, partial)) from None
    except DeadKernelError:
        raise FetalkitError(
            f"{name}, cell {_last_started(partial)}: the kernel was killed, probably out of memory; "
            "run again to go on from the last checkpoint"
        ) from None
    except RuntimeError as error:
        raise FetalkitError(f"{name}: the kernel does not start ({_one_line(str(error))}) - see {log.name}") from error
    finally:
        progress.unlink(missing_ok=True)
    _check_outputs(name, notebook, partial)
    # Absolute paths of this machine tell a reader nothing.
    for key in ("input_path", "output_path"):
        notebook.metadata["papermill"].pop(key, None)
    return notebook


def _end_orphans(progress: Path) -> None:
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


def _escaped(path: Path) -> str:
    # papermill takes a path for a format string.
    return str(path).replace("{", "{{").replace("}", "}}")


@contextmanager
def _kernel(environment: Mapping[str, str], log: TextIO) -> Iterator[AsyncKernelManager]:
    """Yield the manager of a running kernel; in the end it is gone, and so are the processes that it has started."""
    manager = AsyncKernelManager(kernel_name=KERNEL)
    hurry = False
    try:
        run_sync(manager.start_kernel)(
            # Without the history file several kernels at a time would wait for each other's lock.
            extra_arguments=["--HistoryManager.hist_file=:memory:", "--log-level=ERROR"],
            env=dict(environment),
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
        group = getattr(manager.provisioner, "pgid", None)
        if manager.has_kernel:
            run_sync(manager.shutdown_kernel)(now=hurry)
        if group:
            # Workers outlive a kernel that was killed; they share its process group.
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)


def _store(notebook: nbformat.NotebookNode, path: Path) -> None:
    # Here, not above: checkpoints brings torch along, for which a notebook's start need not wait.
    from fetalkit.checkpoints import replacing

    with replacing(path) as temporary:
        nbformat.write(notebook, temporary)


# Failures


def _cell_message(name: str, error: PapermillExecutionError, partial: Path) -> str:
    if error.ename == FetalkitError.__name__:
        return f"{name}: {_one_line(error.evalue)}"
    cause = _disk_message(error.evalue) or f"{error.ename}: {_one_line(error.evalue, 500)}"
    return f"{name}, cell {error.exec_count}: {cause} - see {partial}"


def _disk_message(text: str) -> str | None:
    if f"[Errno {errno.ENOSPC}]" not in text:
        return None
    return "the disk is full; free some space and run again to go on from the last checkpoint"


def _one_line(text: str, longest: int | None = None) -> str:
    line = " ".join(text.split())
    return line if longest is None or len(line) <= longest else line[: longest - 1] + "…"


def _last_started(partial: Path) -> int:
    """Number of the code cell that was running when the kernel died; a kernel that is gone cannot tell."""
    number = 0
    for cell in _read(partial).cells:
        if not cell.metadata.get("papermill", {}).get("start_time"):
            break
        number += cell.cell_type == "code" and bool(cell.source.strip())
    return number


def _check_outputs(name: str, notebook: nbformat.NotebookNode, partial: Path) -> None:
    """Raise for what papermill lets pass: allowed errors, an early ``exit()`` and huge outputs."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            where = f"{name}, cell {cell.execution_count}"
            if output.output_type == "error":
                raise FetalkitError(f"{where}: {output.ename}: {_one_line(output.evalue, 500)} - see {partial}")
            size = len(json.dumps(output))
            if size > LARGEST_OUTPUT:
                raise FetalkitError(
                    f"{where}: an output of {size / 1e6:.1f} MB, allowed are {LARGEST_OUTPUT / 1e6:.1f} MB; "
                    f"show fewer or smaller figures - see {partial}"
                )


# Progress


@contextmanager
def _log(cohort: str, name: str) -> Iterator[TextIO]:
    """Yield the log of the notebook, opened to append; it tells when runs started and how they ended."""
    with paths.work(cohort, "logs", f"{name}.log").open("a", encoding="utf-8", buffering=1) as log:
        started, end = time.monotonic(), "stopped"
        log.write(f"{_now()} started\n")
        try:
            yield log
            end = "finished"
        except FetalkitError as error:
            end = f"failed: {error}"
            raise
        finally:
            with suppress(OSError):
                log.write(f"{_now()} {end} after {_duration(time.monotonic() - started)}\n")


@contextmanager
def _follow(source: Path, log: TextIO) -> Iterator[None]:
    """Show the reports that arrive in `source` for as long as the block runs."""
    follower = _Follower(source, log, _Bars() if sys.stderr.isatty() else _Lines())
    follower.start()
    try:
        yield
    finally:
        follower.stop()


class _Follower(threading.Thread):
    """Reads reports of :class:`fetalkit.progress.Progress`, logs each and passes it on to a view."""

    def __init__(self, source: Path, log: TextIO, view: "_Bars | _Lines"):
        super().__init__(daemon=True)
        self._log, self._view = log, view
        self._source, self._rest = source.open("rb"), b""
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(0.5):
            self._read()

    def stop(self) -> None:
        """Pass on what is left and end the view."""
        self._stopped.set()
        self.join()
        self._read()
        self._source.close()
        self._view.close()

    def _read(self) -> None:
        *lines, self._rest = (self._rest + self._source.read()).split(b"\n")
        for line in lines:
            try:
                report = json.loads(line)
                text = _compact(report)
            except (ValueError, KeyError, TypeError):
                continue  # Not a report; a worker that was killed may leave such a line.
            with suppress(OSError):
                self._log.write(f"{_now()} {text}\n")
            self._view.show(report)
        self._view.refresh()


class _Lines:
    """View without a terminal: the latest report, at most every 30 seconds."""

    every = 30.0

    def __init__(self) -> None:
        self._latest, self._shown = None, time.monotonic()

    def show(self, report: dict) -> None:
        self._latest = report

    def refresh(self) -> None:
        if self._latest is not None and time.monotonic() - self._shown >= self.every:
            print(_compact(self._latest), file=sys.stderr, flush=True)
            self._latest, self._shown = None, time.monotonic()

    def close(self) -> None:
        """Nothing to end."""


class _Bars:
    """View on a terminal: one bar per unfinished piece of work."""

    form = "{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} {unit}{postfix}"

    def __init__(self) -> None:
        self._bars: dict[str, tqdm] = {}
        self._reports: dict[str, tuple[dict, float]] = {}

    def show(self, report: dict) -> None:
        label, done, total = report["label"], report["done"], report["total"]
        if done >= total:
            if label in self._bars:
                self._bars.pop(label).close()
            return
        if label not in self._bars:
            self._bars[label] = tqdm(
                total=total,
                desc=label,
                unit=report["unit"],
                leave=False,
                dynamic_ncols=True,
                file=sys.stderr,
                bar_format=self.form,
            )
        self._bars[label].n = done
        self._reports[label] = report, time.monotonic()

    def refresh(self) -> None:
        for label, bar in self._bars.items():
            report, received = self._reports[label]
            left = report.get("left")
            # Reports are rare; the time left counts down between them.
            shown = report | {"left": None if left is None else max(0.0, left - (time.monotonic() - received))}
            bar.set_postfix_str(", ".join(_details(shown)))

    def close(self) -> None:
        for bar in self._bars.values():
            bar.close()


def _compact(report: Mapping[str, Any]) -> str:
    """One line for a report, e.g. ``diffusion k=10 seed=0  1200/4000 step  loss=0.031  left 0:03:10``."""
    return "  ".join([report["label"], f"{report['done']}/{report['total']} {report['unit']}", *_details(report)])


def _details(report: Mapping[str, Any]) -> list[str]:
    values = {key: value for key, value in report.items() if key not in ("label", "done", "total", "unit", "left")}
    details = [f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in values.items()]
    if report.get("left") is not None and report["done"] < report["total"]:
        details.append(f"left {_duration(report['left'])}")
    return details


def _now() -> str:
    return datetime.now().strftime("%Y-%m-%d %H:%M:%S")


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


# The run record


def _surroundings() -> dict[str, Any]:
    """What a reader needs to know about the place and time of a run."""
    versions = {}
    for library in LIBRARIES + TOOLS:
        with suppress(metadata.PackageNotFoundError):
            versions[library] = metadata.version(library)
    commit = _output("git", "-C", str(paths.ROOT), "rev-parse", "HEAD")
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "dirty": None if commit is None else _dirty(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpu": _gpu(),
        "versions": versions,
    }


def _dirty() -> bool:
    """Whether more than results differs from the commit; earlier stages of the same run have just written results."""
    status = _output("git", "-C", str(paths.ROOT), "status", "--porcelain", "--no-renames", "-uall", "-z") or ""
    changed = [Path(entry[3:]) for entry in status.split("\0") if entry]
    return any(file.name != "dvc.lock" and (file.parts[0] != "reports" or file.name == "dvc.yaml") for file in changed)


def _cpu() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu() -> str | None:
    # Asked of the driver, since importing torch takes seconds.
    if shutil.which("nvidia-smi") is None:
        return None
    names = _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    return names.splitlines()[0].strip() if names else None


def _output(*command: str) -> str | None:
    """Standard output of a command, or None when there is no such command or it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.rstrip()


# The command


def _parameter(text: str) -> tuple[str, Any]:
    """Parse ``name=value``; the value is JSON if it can be read as such (numbers, true, lists), else text."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form name=value")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _stop(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the notebook that the command line names; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m fetalkit.notebooks", description="Run one notebook of the study.")
    parser.add_argument("notebook", help="stem of the notebook, e.g. 01_cohort")
    parser.add_argument("--cohort", required=True)
    parser.add_argument("-p", dest="parameters", metavar="NAME=VALUE", type=_parameter, action="append", default=[])
    given = parser.parse_args(arguments)
    # An exception instead of sudden death: the kernel must not be left behind.
    earlier = {number: signal.signal(number, _stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        run(given.notebook, given.cohort, **dict(given.parameters))
    except FetalkitError as error:
        print(f"fetalkit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"fetalkit: {given.notebook}: interrupted; run again to go on from the last checkpoint", file=sys.stderr)
        return 130
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
    return 0


if __name__ == "__main__":
    sys.exit(main())
