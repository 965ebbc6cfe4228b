"""The notebook runner: strict about parameters, clear about failures, nothing half-written, nothing left running."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from functools import partial

import nbformat
import papermill
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import fetalkit
from fetalkit import cli
from fetalkit.runner import execute, following, kernel, lock, parameters, records
from fetalkit.utils import paths, places
from fetalkit.utils.errors import FetalkitError

PARAMETERS = 'import os\n\ncohort = os.environ.get("FETALKIT_COHORT", "phantom")'


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    # Braces: papermill takes paths for format strings.
    root = tmp_path / "a {study}"
    monkeypatch.setattr(paths, "ROOT", root)
    monkeypatch.setattr(paths, "NOTEBOOKS", root / "notebooks")
    paths.NOTEBOOKS.mkdir(parents=True)
    return root


def write(name, *sources, parameters=PARAMETERS):
    cells = [new_markdown_cell("# Title")]
    if parameters is not None:
        cells.append(new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    nbformat.write(new_notebook(cells=cells + [new_code_cell(s) for s in sources]), paths.NOTEBOOKS / f"{name}.ipynb")


@pytest.mark.slow
def test_success_stores_outputs_record_and_log(capfd, monkeypatch):
    monkeypatch.setattr(following._Lines, "every", 0.0)
    write(
        "01_cohort",
        "import fetalkit\nprint(cohort, shots, os.path.basename(os.getcwd()), fetalkit.__file__)",
        "from fetalkit.utils.progress import Progress\n"
        "with Progress('diffusion k=10 seed=0', total=4000, done=1000) as progress:\n"
        "    progress.update(200)\n"
        "    progress.report(loss=0.03125)\n"
        "    progress.update(2800)\n"
        "    progress.report(loss=0.01)",
        parameters=PARAMETERS + "\nshots: list",
    )
    environment = dict(os.environ)
    path = execute.run("01_cohort", "africa", {"shots": [5, 10]})
    assert path == paths.executed("africa", "01_cohort")
    assert os.environ == environment

    printed = nbformat.read(path, as_version=4).cells[3].outputs[0].text
    assert printed == places.hide(f"africa [5, 10] {paths.ROOT.name} {fetalkit.__file__}\n")
    record = records.record(path)
    assert (record["notebook"], record["cohort"]) == ("01_cohort", "africa")
    assert record["parameters"] == {"cohort": "africa", "shots": [5, 10]}
    assert record["started"].endswith("+00:00") and record["seconds"] > 0 and record["cores"] >= 1
    assert record["commit"] is None and record["dirty"] is None
    assert record["versions"]["papermill"] == papermill.__version__

    log = paths.work("africa", "logs", "01_cohort.log").read_text().splitlines()
    assert any("diffusion k=10 seed=0  1200/4000 step  loss=0.03125  left 0:" in line for line in log)
    assert any(line.endswith("diffusion k=10 seed=0  4000/4000 step  loss=0.01") for line in log)
    assert "finished after" in log[-1]
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines()[-1] == "diffusion k=10 seed=0  4000/4000 step  loss=0.01"
    files = {file.relative_to(paths.ROOT).as_posix() for file in paths.ROOT.rglob("*") if file.is_file()}
    assert files == {
        "notebooks/01_cohort.ipynb",
        "data/africa/executed/01_cohort.ipynb",
        "work/africa/lock",
        "work/africa/logs/01_cohort.log",
    }


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("{root}/data/africa/a.csv: bad; cwd={root}", "…/data/africa/a.csv: bad; cwd=…"),
        ("<td>{mirror}/x.png</td>", "<td>…/x.png</td>"),
        ("'/{home}/anna/x' /{users}/anna /{admin}/.cache (/{admin})", "'~/x' ~ ~/.cache (~)"),
        ("https://example.org/{home}/anna, up/{admin}, /{admin}less", None),
        ("{root}-2", None),
        ("data:image/png;base64,iVBO/{admin}/+/{home}/anna", None),
    ],
)
def test_places_of_this_machine_are_hidden(text, hidden, root, monkeypatch):
    monkeypatch.setenv("FETALKIT_MIRROR", "/srv/mirror")
    # In parts, since no file of the project may name such a folder.
    text = text.format(root=root, mirror="/srv/mirror", home="home", users="Users", admin="root")
    assert places.hide(text) == (text if hidden is None else hidden)


@pytest.mark.slow
def test_outputs_name_no_place():
    write(
        "01_cohort",
        "import sys\nfrom IPython.display import HTML\nprint(os.getcwd())\nprint(os.getcwd(), file=sys.stderr)",
        "HTML(f'<b>{os.getcwd()}/a.csv</b>')",
        "os.getcwd()",
    )
    path = execute.run("01_cohort", "africa")
    assert str(paths.ROOT) not in path.read_text(encoding="utf-8")
    assert "<b>…/a.csv</b>" in path.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("1 / 0", "fetalkit: 02_fail, cell 3: ZeroDivisionError: division by zero - see {failed}"),
        (
            "from fetalkit.utils.errors import FetalkitError\nraise FetalkitError('a.csv: no column x;\\n add it')",
            "fetalkit: 02_fail: a.csv: no column x; add it",
        ),
        (
            "from fetalkit.utils.errors import FetalkitError\nraise FetalkitError('3 jobs failed:' + ' trace' * 1000)",
            "fetalkit: 02_fail: 3 jobs failed:" + " trace" * 164 + " … - see {failed}",
        ),
        (
            "raise OSError(28, 'No space left on device')",
            "fetalkit: 02_fail, cell 3: the disk is full; free some space and run again to go on from the last "
            "checkpoint - see {failed}",
        ),
        ("import sys; sys.exit()", "fetalkit: 02_fail, cell 3: SystemExit:  - see {failed}"),
        (
            "print('x' * 3_000_000)",
            "fetalkit: 02_fail, cell 3: an output of 3.0 MB, allowed are 2.5 MB; show fewer or smaller figures"
            " - see {failed}",
        ),
        (
            "os.kill(os.getpid(), 9)",
            "fetalkit: 02_fail, cell 3: the kernel was killed, probably out of memory; "
            "run again to go on from the last checkpoint - see {log}",
        ),
        (
            "os.kill(os.getpid(), 11)",
            "fetalkit: 02_fail, cell 3: the kernel was ended by SIGSEGV; "
            "run again to go on from the last checkpoint - see {log}",
        ),
        (
            "os._exit(3)",
            "fetalkit: 02_fail, cell 3: the kernel has ended itself with exit code 3; what it said is in the log - see {log}",
        ),
    ],
    ids=["exception", "message", "long", "disk", "exit", "output", "killed", "crashed", "ended"],
)
def test_failure_is_one_line_and_keeps_the_copy(source, line, capfd):
    write("02_fail", source, "print('not reached')")
    assert cli.main(["run", "02_fail", "--cohort", "africa"]) == 1
    failed = paths.work("africa", "failed", "02_fail.ipynb")
    out, err = capfd.readouterr()
    assert out == ""
    assert err == line.format(failed=failed, log=paths.work("africa", "logs", "02_fail.log")) + "\n"
    assert any(source in cell.source for cell in nbformat.read(failed, as_version=4).cells)
    assert not paths.executed("africa", "02_fail").exists()


LONG = """import subprocess, sys, time
worker = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])
open('pids.part', 'w').write(f'{os.getpid()} {worker.pid}')
os.replace('pids.part', 'pids')
time.sleep(300)"""


@pytest.fixture
def start():
    """A function that starts a runner in a process of its own; its pid and those of its kernel and worker are returned."""
    started = []

    def start(name, cohort="africa"):
        code = (
            "import sys; from pathlib import Path; from fetalkit import cli; from fetalkit.utils import paths;"
            "paths.ROOT = Path(sys.argv[1]); paths.NOTEBOOKS = paths.ROOT / 'notebooks';"
            f"sys.exit(cli.main(['run', {name!r}, '--cohort', {cohort!r}]))"
        )
        package = os.path.dirname(os.path.dirname(fetalkit.__file__))
        environment = os.environ | {"PYTHONPATH": package}
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(paths.ROOT)], env=environment, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def reported():
    """Kernel and worker of the notebook `LONG`, as soon as both run."""
    pids = paths.ROOT / "pids"
    wait_for(pids.exists)
    processes = [psutil.Process(int(pid)) for pid in pids.read_text().split()]
    pids.unlink()
    # A busy machine may start the cell before its runner waits for it, and nbclient may lose a signal in between.
    time.sleep(1)
    return processes


@pytest.mark.slow
def test_terminated_runner_leaves_no_process(start):
    write("03_long", LONG)
    process = start("03_long")
    processes = reported()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 128 + signal.SIGTERM
    assert errors == ""
    wait_for(lambda: not any(alive(other) for other in processes))
    assert not paths.executed("africa", "03_long").exists()


@pytest.mark.slow
def test_interrupted_runner_says_so(start):
    write("03_long", LONG)
    process = start("03_long")
    processes = reported()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 128 + signal.SIGINT
    assert errors == "fetalkit: interrupted; run again to go on from the last checkpoint\n"
    wait_for(lambda: not any(alive(other) for other in processes))


@pytest.mark.slow
def test_a_second_runner_of_a_study_is_refused(start):
    write("03_long", LONG)
    write("04_short")
    first = start("03_long")
    reported()
    second, other = start("04_short"), start("04_short", cohort="spain")
    _, errors = second.communicate(timeout=600)
    assert second.returncode == 1
    line = r"fetalkit: africa: process {0} is at work on 03_long since \d{{4}}-.*; wait until it ends, or end it: kill {0}\n"
    assert re.fullmatch(line.format(first.pid), errors)
    assert not paths.executed("africa", "04_short").exists()
    assert other.wait(timeout=600) == 0, "another study's runner was refused"
    with pytest.raises(FetalkitError, match=f"process {first.pid} "), lock.study_lock("africa", "report"):
        pass
    with pytest.raises(FetalkitError, match=f"process {first.pid} "):
        lock.refuse_if_locked("africa")
    lock.refuse_if_locked("spain")


@pytest.mark.slow
def test_a_killed_runner_leaves_nothing_behind(start):
    write("03_long", LONG)
    write("04_short", "print(1)")
    first = start("03_long")
    processes = reported()
    # Stopped, the kernel cannot notice by itself that its runner is gone.
    processes[0].suspend()
    first.kill()
    first.wait()
    assert all(alive(process) for process in processes)
    second = start("04_short")
    _, errors = second.communicate(timeout=600)
    assert (second.returncode, errors) == (0, "")
    assert not any(alive(process) for process in processes)
    assert {path.name for path in paths.work("africa").iterdir()} == {"lock", "logs", "failed"}
    assert {path.name for path in paths.work("africa", "logs").iterdir()} == {"03_long.log", "04_short.log"}


def test_a_lock_whose_file_cannot_be_made_is_one_line():
    paths.work("africa").parent.mkdir()
    paths.work("africa").write_text("a file where a folder should be")
    with pytest.raises(FetalkitError, match="lock: cannot be locked"), lock.study_lock("africa", "report"):
        pass


@pytest.mark.slow
def test_the_kernel_is_the_own_python(tmp_path, monkeypatch):
    folder = tmp_path / "jupyter" / "kernels" / "python3"
    folder.mkdir(parents=True)
    spec = {"argv": ["/bin/false", "{connection_file}"], "display_name": "Old", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    write("01_cohort", "import sys\nprint(sys.executable == os.environ['EXPECTED'])")
    monkeypatch.setenv("EXPECTED", sys.executable)
    path = execute.run("01_cohort", "africa")
    assert nbformat.read(path, as_version=4).cells[3].outputs[0].text == "True\n"


@pytest.mark.slow
def test_a_parameter_may_be_called_like_those_of_the_runner():
    write("01_cohort", "print(name, parameters)", parameters="cohort = 'x'\nname = 'y'\nparameters = 1")
    path = execute.run("01_cohort", "africa", {"name": "z", "parameters": 2})
    assert nbformat.read(path, as_version=4).cells[3].outputs[0].text == "z 2\n"


@pytest.mark.slow
def test_the_mirror_may_be_relative(root, monkeypatch, tmp_path):
    (root / "mirror").mkdir()
    write("01_cohort", "from fetalkit.utils.paths import mirror\nos.chdir('notebooks')\nprint(mirror().is_dir())")
    monkeypatch.chdir(root)
    monkeypatch.setenv("FETALKIT_MIRROR", "mirror")
    path = execute.run("01_cohort", "africa")
    assert nbformat.read(path, as_version=4).cells[3].outputs[0].text == "True\n"
    monkeypatch.chdir(root / "notebooks")
    assert paths.mirror() == root / "mirror", "JupyterLab works in notebooks/"
    (root / "notebooks" / "mirror").mkdir()
    assert paths.mirror() == root / "notebooks" / "mirror"
    monkeypatch.setenv("FETALKIT_MIRROR", "")
    assert paths.mirror() is None


@pytest.mark.slow
@pytest.mark.parametrize(("module", "name"), [(signal, "SIGHUP"), (os, "sysconf"), (os, "sched_getaffinity")])
def test_what_windows_lacks_is_not_needed(module, name, monkeypatch, capsys):
    write("01_cohort")
    monkeypatch.delattr(module, name, raising=False)
    assert cli.main(["run", "01_cohort", "--cohort", "africa"]) == 0, capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "1 / 0", "pass"])
def test_a_notebook_leaves_no_worker_however_it_ends(end):
    # Of a parent that has ended: the kernel no longer knows it as a child of its own.
    start = (
        "import os, time; os.fork() and os._exit(0); open('part', 'w').write(str(os.getpid()));"
        "os.replace('part', 'pid'); time.sleep(300)"
    )
    write(
        "03_long",
        "import subprocess, sys, time\n"
        f"subprocess.run([sys.executable, '-c', {start!r}])\n"
        f"while not os.path.exists('pid'):\n    time.sleep(0.05)\n{end}",
    )
    with nullcontext() if end == "pass" else pytest.raises(FetalkitError):
        execute.run("03_long", "africa")
    pid = int((paths.ROOT / "pid").read_text())
    wait_for(lambda: not psutil.pid_exists(pid) or not alive(psutil.Process(pid)), seconds=5)


@pytest.mark.slow
def test_workers_of_an_earlier_run_are_ended_and_others_are_not():
    progress, other = paths.work("africa", "logs", "some.progress"), paths.work("spain", "logs", "some.progress")
    sleep = [sys.executable, "-c", "import time; time.sleep(300)"]
    # The leader of the session ends at once, its child goes on: what SIGKILL on a kernel leaves.
    leader = subprocess.run(
        [sys.executable, "-c", f"import subprocess; print(subprocess.Popen({sleep!r}, stdout=subprocess.DEVNULL).pid)"],
        env=os.environ | {"FETALKIT_PROGRESS": str(progress)},
        start_new_session=True,
        stdout=subprocess.PIPE,
        check=True,
    )
    orphan = psutil.Process(int(leader.stdout))
    running = subprocess.Popen(sleep, env=os.environ | {"FETALKIT_PROGRESS": str(other)}, start_new_session=True)
    try:
        kernel.end_orphans(progress.with_name("another.progress"))
        wait_for(lambda: not alive(orphan))
        assert running.poll() is None
    finally:
        running.kill()
        running.wait()


def alive(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def logged(line, log):
    return line in log.getvalue()


def wait_for(condition, seconds=90):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("09_none", [], "09_none: there is no such notebook in .*; there are: 04_strict, 05_untagged, 06_broken"),
        ("04_strict", ["-p", "cohort=spain"], "04_strict: two cohorts are given, africa and spain"),
        ("04_strict", ["-p", "name"], "-p name: is not of the form NAME=VALUE"),
        ("04_strict", ["-p", "seed=3", "-p", "seed=4"], "-p seed=4: seed is given twice"),
        ("04_strict", ["-p", "seeds=3"], "04_strict: unknown parameter seeds; it has: cohort, seed, rate, name"),
        ("04_strict", ["-p", "rate=0.5"], "04_strict: parameter seed has no default; give it: -p seed=VALUE"),
        ("05_untagged", [], "05_untagged: has no cell tagged `parameters`"),
        ("06_broken", [], "06_broken.ipynb: is not a valid notebook"),
    ],
)
def test_wrong_call_is_refused_before_anything_runs(name, given, message, capsys):
    write("04_strict", parameters=PARAMETERS + "\nseed: int\nrate: float = float('1e-3')  # a == b\nname = 'x'")
    write("05_untagged", parameters=None)
    (paths.NOTEBOOKS / "06_broken.ipynb").write_text("{")
    assert cli.main(["run", name, "--cohort", "africa", *given]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error)
    assert not paths.data("africa").exists()


def test_papermill_reads_the_parameters_cell_too():
    write("01_cohort")
    path = paths.NOTEBOOKS / "01_cohort.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.update(kernelspec={"name": "python3"}, language_info={"name": "python"})
    nbformat.write(notebook, path)
    assert list(papermill.inspect_notebook(execute._escaped(path))) == ["cohort"]
    assert parameters.declared("01_cohort", PARAMETERS) == {"cohort": True}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("seed=3", 3),
        ("rate=1e-3", 1e-3),
        ("on=true", True),
        ("shots=[5, 10]", [5, 10]),
        ("name=a=b", "a=b"),
        ("x=", ""),
    ],
)
def test_values_of_the_command_line(text, value):
    assert list(parameters.given([text]).values()) == [value]


def test_record_of_something_else_is_refused():
    write("01_cohort")
    with pytest.raises(FetalkitError, match="has no run record"):
        records.record(paths.NOTEBOOKS / "01_cohort.ipynb")
    with pytest.raises(FetalkitError, match="there is no such notebook"):
        records.record(paths.executed("africa", "01_cohort"))


def test_dirty_means_more_than_results(monkeypatch):
    def git(*arguments):
        subprocess.run(["git", "-C", paths.ROOT, "-c", "user.name=a", "-c", "user.email=b", *arguments], check=True)

    (paths.ROOT / "reports" / "africa").mkdir(parents=True)
    (paths.ROOT / "reports" / "africa" / "dvc.yaml").write_text("stages: {}\n")
    (paths.ROOT / "a file.py").write_text("1\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    (paths.ROOT / "reports" / "africa" / "index.html").write_text("new")
    (paths.ROOT / "reports" / "africa" / "dvc.lock").write_text("new")
    surroundings = records.surroundings()
    assert len(surroundings["commit"]) == 40 and surroundings["dirty"] is False
    (paths.ROOT / "a file.py").write_text("2\n")
    assert records.surroundings()["dirty"] is True


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.slow
def test_bars_on_a_terminal(monkeypatch, tmp_path):
    screen, log = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "100")
    source = tmp_path / "reports"
    reports = [
        {"label": "first", "done": 1, "total": 4, "unit": "step", "left": 125.0, "loss": 0.5},
        {"label": "second", "done": 4, "total": 8, "unit": "image", "left": None},
        {"label": "first", "done": 4, "total": 4, "unit": "step", "left": 0.0, "loss": 0.25},
    ]
    source.write_text("no report\n[]\n")
    with following.follow(source, log):
        for report in reports:
            with source.open("a") as stream:
                stream.write(json.dumps(report) + "\n")
            wait_for(partial(logged, following.compact(report), log))
        # A line that is being written is not read yet.
        with source.open("a") as stream:
            stream.write('{"label": "third"')
    drawn = screen.getvalue()
    assert "1/4 step" in drawn and "loss=0.5, left 0:02:" in drawn and "4/8 image" in drawn
    assert "third" not in drawn
    assert len(log.getvalue().splitlines()) == len(reports)
