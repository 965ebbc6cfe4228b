"""From a notebook in ``notebooks/`` to its executed copy in ``data/``, or to one line that says why not."""

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

import fetalkit
from fetalkit.runner import failures, kernel, pipeline, records, watched
from fetalkit.runner.following import duration, follow, now
from fetalkit.runner.lock import study_lock
from fetalkit.runner.parameters import check
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.places import hide
from fetalkit.utils.progress import VARIABLE

# papermill and nbclient log what is raised anyway; the user gets one line, not two.
logging.getLogger("papermill").setLevel(logging.CRITICAL)


def run(name: str, cohort: str, parameters: Mapping[str, Any] | None = None) -> Path:
    """Execute a notebook for one cohort.

    Parameters
    ----------
    name
        Stem of a file in ``notebooks/``, e.g. ``"01_cohort"``.
    cohort
        Value of the notebook's parameter ``cohort``.
    parameters
        Values of further parameters of the notebook.

    Returns
    -------
    Path
        The executed notebook, :func:`fetalkit.utils.paths.executed`. It appears there only when every cell has succeeded.

    Raises
    ------
    FetalkitError
        When the study, the notebook or a parameter is unknown or missing, when another process works on the cohort, when a
        cell fails, when an output is larger than 2.5 MB, when the kernel dies, or when parameters or code were edited
        meanwhile. The partly executed copy is then
        ``work/<cohort>/failed/<name>.ipynb``.
    """
    pipeline.check(cohort)  # nothing is made for a study that there is not
    given = {"cohort": cohort, **(parameters or {})}
    if given["cohort"] != cohort:
        raise FetalkitError(f"{name}: two cohorts are given, {cohort} and {given['cohort']}; leave out the parameter")
    check(name, given)
    with study_lock(cohort, name):
        return _run(name, cohort, given)


def _run(name: str, cohort: str, parameters: dict[str, Any]) -> Path:
    final, partial = paths.executed(cohort, name), paths.work(cohort, "failed", f"{name}.ipynb")
    about = {"notebook": name, "cohort": cohort, "parameters": parameters} | records.surroundings()
    started = time.monotonic()
    try:
        for folder in (final.parent, partial.parent, paths.work(cohort, "logs")):
            folder.mkdir(parents=True, exist_ok=True)
        with _log(cohort, name) as log:
            before = watched.state(cohort, paths.NOTEBOOKS / f"{name}.ipynb")
            notebook = _execute(name, partial, parameters, paths.work(cohort, "logs", f"{name}.progress"), log)
            if edited := watched.edited(before, watched.state(cohort, paths.NOTEBOOKS / f"{name}.ipynb")):
                raise FetalkitError(
                    f"{name}: {', '.join(edited[:3])} edited while it ran, so its results are of neither; run it again "
                    "(what was trained stays)"
                )
        _hide_places(notebook)
        notebook.metadata["fetalkit"] = about | {"seconds": round(time.monotonic() - started, 1)}
        _store(notebook, final)
    except OSError as error:
        raise FetalkitError(f"{name}: {failures.full_disk(str(error)) or error}") from error
    partial.unlink()
    return final


def _execute(name: str, partial: Path, parameters: dict, progress: Path, log: TextIO) -> nbformat.NotebookNode:
    """Execute the notebook, keeping its state in `partial` while it runs."""
    kernel.end_orphans(progress)
    for left in progress.parent.glob("*.progress"):
        left.unlink()
    progress.write_text("")
    # The kernel imports the package that this runner belongs to, wherever it works and whatever is installed.
    package = str(Path(fetalkit.__file__).resolve().parents[1])
    search = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": search, VARIABLE: str(progress)}
    if (mirror := paths.mirror()) is not None:
        environment[paths.MIRROR] = str(mirror)
    manager = None
    try:
        with follow(progress, log), kernel.running(environment, log) as manager:
            notebook = papermill.execute_notebook(
                _escaped(paths.NOTEBOOKS / f"{name}.ipynb"),
                _escaped(partial),
                parameters=parameters,
                kernel_name=kernel.NAME,
                language="python",
                progress_bar=False,
                km=manager,
            )
    except PapermillExecutionError as error:
        raise FetalkitError(failures.of_cell(name, error, partial)) from None
    except DeadKernelError:
        cause = failures.of_kernel(manager.exit_code if manager else None)
        raise FetalkitError(f"{name}, cell {failures.last_started(partial)}: {cause} - see {log.name}") from None
    except RuntimeError as error:
        raise FetalkitError(
            f"{name}: the kernel does not start ({failures.one_line(str(error))}) - see {log.name}"
        ) from error
    finally:
        progress.unlink(missing_ok=True)
    failures.check_outputs(name, notebook, partial)
    return notebook


def _escaped(path: Path) -> str:
    # papermill takes a path for a format string.
    return str(path).replace("{", "{{").replace("}", "}}")


def _hide_places(notebook: nbformat.NotebookNode) -> None:
    """Take the paths of this machine out of the outputs; where the pages are made, they may no longer be known."""
    for key in ("input_path", "output_path"):
        notebook.metadata["papermill"].pop(key, None)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                output.text = hide(output.text)
            for kind, content in output.get("data", {}).items():
                if kind.startswith("text/"):
                    output.data[kind] = hide(content)


def _store(notebook: nbformat.NotebookNode, path: Path) -> None:
    # Here, not above: it brings pandas along, for which a notebook's start need not wait.
    from fetalkit.utils.files import replacing

    with replacing(path) as temporary:
        nbformat.write(notebook, temporary)


@contextmanager
def _log(cohort: str, name: str) -> Iterator[TextIO]:
    """Yield the log of the notebook, opened to append; it tells when runs started and how they ended."""
    with paths.work(cohort, "logs", f"{name}.log").open("a", encoding="utf-8", buffering=1) as log:
        started, end = time.monotonic(), "stopped"
        log.write(f"{now()} started\n")
        try:
            yield log
            end = "finished"
        except FetalkitError as error:
            end = f"failed: {error}"
            raise
        finally:
            with suppress(OSError):
                log.write(f"{now()} {end} after {duration(time.monotonic() - started)}\n")
