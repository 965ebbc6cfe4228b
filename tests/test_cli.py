"""The command line: what it passes on, how it ends, and that it starts without heavy libraries."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fetalkit import cli
from fetalkit.cohorts import source
from fetalkit.config import listing
from fetalkit.reporting import build, export, publish, readme, verify
from fetalkit.runner import execute, lock, pipeline, reproduce
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError

ROOT = Path(__file__).parents[1]
COMMANDS = (
    "run", "repro", "new", "fetch", "report", "publish", "verify", "export", "predict", "draw", "readme",
    "list", "pipelines",
)  # fmt: skip


@pytest.fixture
def calls(monkeypatch):
    """Replace a function by one that notes its arguments and returns a value."""
    calls = []

    def replace(module, name, value=None):
        def noting(*arguments):
            calls.append((name, *arguments))
            if isinstance(value, BaseException):
                raise value
            return value

        monkeypatch.setattr(module, name, noting)
        return calls

    return replace


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    assert cli.main([command, "--help"]) == 0
    assert f"Usage: fetalkit {command}" in capsys.readouterr().out


def test_the_help_names_every_command(capsys):
    assert cli.main(["--help"]) == 0
    listed = [
        line.split()[0] for line in capsys.readouterr().out.partition("Commands:")[2].splitlines() if line.strip()
    ]
    assert set(COMMANDS) <= set(listed)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "none", "--cohort", "phantom"], ["repro", "typo"]]
    + [["list", kind] for kind in ("arms", "generators", "classifiers")],
)
def test_the_start_waits_for_no_heavy_library(arguments):
    heavy = {"torch", "dvc", "matplotlib", "sklearn"} | ({"papermill", "nbformat"} if arguments[0] != "run" else set())
    code = f"import sys; from fetalkit import cli; cli.main(sys.argv[1:]);print(*{heavy} & set(sys.modules))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.splitlines()[-1] == "", "imported before it is needed"


@pytest.mark.slow
def test_python_m_is_the_same_command():
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "fetalkit", "run", "none", "--cohort", "phantom"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("fetalkit: none: there is no such notebook in ") and done.stderr.count("\n") == 1


def test_run_passes_parameters_on(calls):
    noted = calls(execute, "run")
    assert cli.main(["run", "01_cohort", "--cohort", "africa", "-p", "seed=3", "--parameter", "shots=[5, 10]"]) == 0
    assert noted == [("run", "01_cohort", "africa", {"seed": 3, "shots": [5, 10]})]


@pytest.mark.parametrize(
    ("given", "expected"),
    [(["repro"], ("phantom", [])), (["repro", "spain", "decode", "split"], ("spain", ["decode", "split"]))],
)
def test_repro_runs_the_pipeline(given, expected, calls, capsys, elsewhere):
    shutil.copy(ROOT / "dvc.yaml", elsewhere)
    noted = calls(reproduce, "repro", None if expected[1] else Path("data/phantom/pages/index.html"))
    assert cli.main(given) == 0
    assert noted == [("repro", *expected)]
    printed = "The report is at data/phantom/pages/index.html\nTo publish it: fetalkit publish phantom\n"
    assert capsys.readouterr().out == ("" if expected[1] else printed)


def test_reports_are_built_and_published(calls, capsys, elsewhere, monkeypatch):
    shutil.copy(ROOT / "dvc.yaml", elsewhere)
    calls(build, "build", Path("data/phantom/pages/index.html"))
    noted = calls(publish, "publish", Path("reports/phantom/index.html"))
    calls(publish, "to_share", [])
    calls(pipeline, "keep_published_lock")
    assert cli.main(["report", "phantom"]) == 0
    assert cli.main(["publish", "phantom"]) == 0
    assert cli.main(["publish", "spain", "--search", "training"]) == 0
    assert noted == [
        ("build", "phantom"),
        ("publish", "phantom"),
        ("keep_published_lock", "phantom"),
        ("to_share", "phantom", Path("reports/phantom/index.html"), False, False),
        ("publish", "spain", "training"),
        ("to_share", "spain", Path("reports/phantom/index.html"), False, False),
    ]
    assert "The report is at reports/phantom/index.html" in capsys.readouterr().out
    assert cli.main(["publish", "typo"]) == 1
    assert capsys.readouterr().err.startswith("fetalkit: typo: there is no such study; params.yaml has: phantom, ")


def test_what_is_published_is_packed_where_there_is_no_run(calls, capsys, elsewhere):
    shutil.copy(ROOT / "dvc.yaml", elsewhere)
    page = paths.reports("phantom", "index.html")
    page.parent.mkdir(parents=True)
    page.write_text("<h1>The answer</h1>")
    noted = calls(publish, "publish", page)
    calls(publish, "to_share", [page.parent.with_suffix(".zip")])
    calls(pipeline, "keep_published_lock")
    assert cli.main(["publish", "phantom", "--zip"]) == 0
    assert noted == [("to_share", "phantom", page, True, False)] and "reports/phantom.zip" in capsys.readouterr().out
    paths.data("phantom", "pages").mkdir(parents=True)
    assert cli.main(["publish", "phantom", "--zip", "--pdf"]) == 0
    assert noted[1:] == [
        ("publish", "phantom"),
        ("keep_published_lock", "phantom"),
        ("to_share", "phantom", page, True, True),
    ]


def test_a_run_ends_with_what_has_become_of_the_published_tables(calls, capsys, monkeypatch):
    calls(reproduce, "repro", Path("data/phantom/pages/index.html"))
    monkeypatch.setattr(verify, "published", lambda study: study == "phantom")
    verdict = verify.Verification(["phantom: ...", "results.csv  OUT OF TOLERANCE"], False, True)
    monkeypatch.setattr(verify, "verify", lambda study: verdict)
    assert cli.main(["repro"]) == 0, "another machine is no error"
    said = capsys.readouterr().out.splitlines()
    assert said[-3:-1] == verdict.lines and "no error of the run" in said[-1]
    assert cli.main(["repro", "spain"]) == 0
    assert "OUT OF" not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(("command", "module", "name"), [("fetch", source, "fetch"), ("report", build, "build")])
def test_a_stage_does_not_work_beside_another_process(command, module, name, calls, elsewhere, capsys):
    noted = calls(module, name)
    with lock.study_lock("africa", "07_classify"):
        assert cli.main([command, "africa"]) == 1
    assert noted == []
    assert f"africa: process {os.getpid()} is at work on 07_classify since " in capsys.readouterr().err
    assert cli.main([command, "africa"]) == 0
    assert noted == [(name, "africa")]


def test_export_readme_and_fetch(calls, elsewhere):
    shutil.copyfile(ROOT / "dvc.yaml", elsewhere / "dvc.yaml")
    noted = calls(export, "export")
    calls(readme, "update")
    calls(source, "fetch")
    assert cli.main(["export", "africa", "diffusion-kall-seed0", "out"]) == 0
    assert cli.main(["readme"]) == 0
    assert cli.main(["fetch", "africa"]) == 0
    assert noted == [("export", "africa", "diffusion-kall-seed0", Path("out")), ("update",), ("fetch", "africa")]


def test_lists_have_a_name_and_a_line(calls, capsys):
    calls(listing, "rows", [("real", "images of patients"), ("real-long", "")])
    assert cli.main(["list", "arms"]) == 0
    assert capsys.readouterr().out == "real       images of patients\nreal-long\n"


@pytest.mark.parametrize("kind", listing.KINDS)
def test_every_kind_has_entries(kind, capsys):
    assert cli.main(["list", kind]) == 0
    assert capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["list", "colours"],
        ["run", "01_cohort"],
        ["publish", "phantom", "--search", "luck"],
        ["export", "a"],
    ],
)
def test_a_wrong_call_is_explained(arguments, capsys):
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("Usage: fetalkit") and "Error: " in err


def test_errors_for_the_user_are_a_line_each(calls, capsys):
    calls(readme, "update", FetalkitError("params.yaml: a = 1: too small\nparams.yaml: b is missing; add it"))
    assert cli.main(["readme"]) == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", "fetalkit: params.yaml: a = 1: too small\nfetalkit: params.yaml: b is missing; add it\n")


def test_errors_of_the_program_keep_their_trace(calls):
    calls(readme, "update", ZeroDivisionError("a fault of ours"))
    with pytest.raises(ZeroDivisionError, match="a fault of ours"):
        cli.main(["readme"])


def test_interrupts_and_exits_have_their_codes(calls, capsys):
    calls(readme, "update", KeyboardInterrupt())
    assert cli.main(["readme"]) == 130
    assert capsys.readouterr().err.startswith("fetalkit: interrupted; ")
    calls(readme, "update", SystemExit(143))
    assert cli.main(["readme"]) == 143


@pytest.mark.slow
def test_make_works_in_a_folder_with_a_space_and_letters_of_another_alphabet(tmp_path):
    folder = tmp_path / "One Drive – Больница" / "fetalkit"
    folder.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, folder)
    (folder / "fetalkit").mkdir()
    command = ["make", ".venv/ready", f"PYTHON={sys.executable}"]
    environment = os.environ | {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    # No index: pip, which was found, can install nothing, and what is not ready is not marked as ready.
    assert "No matching distribution found" in done.stdout + done.stderr
    assert done.returncode != 0 and not (folder / ".venv" / "ready").exists()
