"""``fetalkit repro``: run a study's pipeline, and leave what git tracks as it was.

DVC takes no pipeline or lock that git ignores, so during a run they stand where the published ones are. At the end, however
it comes, the run's lock is kept in ``work/<study>/pipeline`` and the published files are put back. If even that was
prevented (SIGKILL), the next run does it first.
"""

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from fetalkit.runner import lock, pipeline
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing

_INTERRUPTED = 252  # DVC's exit code


def repro(study: str, stages: Sequence[str] = ()) -> Path | None:
    """Run what is not up to date of a study's pipeline.

    Parameters
    ----------
    study
        A cohort of ``params.yaml``, or a transfer study between cohorts.
    stages
        Names of stages: these and what they need; all by default.

    Returns
    -------
    Path or None
        Front page of the report; None where only some stages were asked for.

    Raises
    ------
    FetalkitError
        When there is no such study, another process is at work on it, or a stage fails.
    """
    target = os.path.relpath(pipeline.file(study), paths.ROOT)
    known = pipeline.stages(study)
    if unknown := [stage for stage in stages if stage not in known]:
        raise FetalkitError(f"{study}: no stage {', '.join(unknown)}; there are: {', '.join(known)}")
    with contextlib.ExitStack() as stack:
        for each in pipeline.needed(study):
            stack.enter_context(lock.pipeline_lock(each))
            # Of a runner that has outlived an earlier run.
            lock.refuse_if_locked(each)
            stack.enter_context(_in_place(each))
        code = _dvc(["repro", *([f"{target}:{stage}" for stage in stages] or [target])])
    if code == _INTERRUPTED:
        raise KeyboardInterrupt
    if code:
        raise FetalkitError(
            f"{study}: the pipeline has stopped, see above; `fetalkit repro {study}` goes on from there"
        )
    return None if stages else paths.data(study, "pages", "index.html")


@contextlib.contextmanager
def _in_place(study: str) -> Iterator[None]:
    """Have the study's pipeline, with the lock of its latest run, where DVC looks for it."""
    path, content = pipeline.file(study), pipeline.text(study)
    if not (paths.ROOT / ".git").exists() and _git("ls-files", "--error-unmatch", pipeline.FILE) is None:
        # Without a repository there is nothing to keep clean.
        pipeline.write(path, content)
        yield
        return
    if _published(study).is_dir():
        # An earlier run was killed. Where git sees no difference, somebody has put the files back meanwhile.
        if _git("status", "--porcelain", "--untracked-files=all", "--", *map(str, _files(study))) != "":
            _put_back(study)
        else:
            shutil.rmtree(_published(study))
    latest = pipeline.kept_lock(study)
    pipeline.check_lock(latest if latest.exists() else path.with_name(pipeline.LOCK))
    with replacing(_published(study)) as temporary:
        temporary.mkdir()
        for file in _files(study):
            if file.exists():
                shutil.copy2(file, temporary / file.name)
    try:
        if latest.exists():
            pipeline.copy(latest, path.with_name(pipeline.LOCK))
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            pipeline.write(path, content)
        yield
    finally:
        with _undisturbed():
            _put_back(study)


def _published(study: str) -> Path:
    """Folder that keeps the published pipeline and lock during a run."""
    return paths.work(study, "pipeline", "published")


def _files(study: str) -> list[Path]:
    path = pipeline.file(study)
    return [path, path.with_name(pipeline.LOCK)]


def _put_back(study: str) -> None:
    """Keep the run's lock, and restore what stood in its place; may be called again when it was cut short."""
    path, run_lock = _files(study)
    if run_lock.exists():
        pipeline.copy(run_lock, pipeline.kept_lock(study))
        run_lock.unlink()
    for file in (path, run_lock):
        published = _published(study) / file.name
        if not published.exists():
            file.unlink(missing_ok=True)
        elif not file.exists() or file.read_bytes() != published.read_bytes():
            pipeline.copy(published, file)
    if not any(path.parent.iterdir()):
        path.parent.rmdir()
    shutil.rmtree(_published(study))


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let no signal cut the block short: who has pressed Ctrl-C may press it again."""
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    earlier = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _dvc(arguments: list[str]) -> int:
    """Run DVC in this process, so that it cannot outlive it; return its exit code."""
    from dvc.cli import main

    _tell_of_git()
    # What it proposes to add to git is put back at once.
    logging.getLogger("dvc.repo.scm_context").setLevel(logging.WARNING)
    # The stages' commands are those of this Python, also where its environment is not activated.
    search = os.pathsep.join(filter(None, (str(Path(sys.executable).parent), os.environ.get("PATH"))))
    mirror = paths.mirror()
    changed = {"PATH": search} | ({} if mirror is None else {paths.MIRROR: str(mirror)})
    here, earlier = _here(), {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        os.chdir(paths.ROOT)
        return main(arguments)
    except BaseException:
        _end_stage()
        raise
    finally:
        for name, value in earlier.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        with contextlib.suppress(OSError):
            os.chdir(here)


def _here() -> str:
    """The working folder; the project's where that is gone."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return str(paths.ROOT)


def _tell_of_git() -> None:
    """Tell DVC, in the part of its configuration that git ignores, whether there is a repository: a ZIP has none."""
    from dvc.config import Config, ConfigError

    without = not any((folder / ".git").exists() for folder in (paths.ROOT, *paths.ROOT.parents))
    if not (paths.ROOT / ".dvc").is_dir():
        raise FetalkitError(
            f"{paths.ROOT / '.dvc'}: not found; get it back from git or from the archive of the project"
        )
    try:
        config = Config(str(paths.ROOT / ".dvc"))
        if bool(config.get("core", {}).get("no_scm")) != without:
            with config.edit("local") as edited:
                local: Any = edited
                local.setdefault("core", {})["no_scm"] = without
    except (ConfigError, OSError) as error:
        raise FetalkitError(f"{paths.ROOT / '.dvc'}: {' '.join(str(error).split())}; correct it") from None


def _end_stage() -> None:
    """End what runs for a stage as by SIGTERM; a kernel, which has a process group of its own, is ended by its runner."""
    group = getattr(os, "getpgid", lambda _: 0)  # not on Windows
    stage = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error, OSError):
            if group(process.pid) == group(0):
                process.terminate()
                stage.append(process)
    _, alive = psutil.wait_procs(stage, timeout=20)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()


def _git(*arguments: str) -> str | None:
    """Output of git in the project's folder; None without git or when it fails."""
    try:
        done = subprocess.run(["git", "-C", str(paths.ROOT), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout
