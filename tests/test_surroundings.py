"""A run in places that are not as they should be: no git, full and read-only disks, folders that are gone, damaged files.

Everything works, or says in one line why not, and leaves nothing half-written.
"""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import run_here
import small_study
import test_pipelines_files as small
import torch
import yaml
from safetensors.torch import save_file
from test_pipelines_files import repository, root  # noqa: F401

from fetalkit import cli
from fetalkit.config import params, sections
from fetalkit.runner import execute, lock, pipeline, watched
from fetalkit.utils import parallel, paths
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing, write_json, write_table


def without_git(tmp_path):
    """A search path on which there is a shell, and no git."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "env"):
        (tools / name).symlink_to(shutil.which(name))
    return f"{os.path.dirname(sys.executable)}{os.pathsep}{tools}"


@pytest.mark.slow
@pytest.mark.parametrize("program", [True, False], ids=["git", "no-git"])
@pytest.mark.long
def test_a_zip_of_the_project_runs(program, repository, tmp_path, monkeypatch):  # noqa: F811
    shutil.rmtree(repository / ".git")
    if not program:
        monkeypatch.setenv("PATH", without_git(tmp_path))
    assert small.repro("ward")[0] == ["first", "pages"]
    assert small.repro("ward")[0] == []
    assert small.repro()[0] == ["first", "move", "pages"]
    assert (repository / "dvc.yaml").read_text() == small.STAGES


@pytest.mark.slow
@pytest.mark.long
def test_a_zip_that_becomes_a_repository_is_one(repository):  # noqa: F811
    shutil.rmtree(repository / ".git")
    small.repro("ward")
    small.git("init", "-q")
    small.commit()
    assert small.repro("ward")[0] == []
    assert small.status() == ""
    assert "no_scm = true" not in (repository / ".dvc" / "config.local").read_text().lower()


@pytest.mark.slow
@pytest.mark.parametrize("why", ["no program", "no user", "owner"])
@pytest.mark.long
def test_a_repository_stays_clean_also_where_git_does_not_help(why, repository, tmp_path, monkeypatch):  # noqa: F811
    small.repro("ward")
    pipeline.keep_published_lock("phantom")
    path = os.environ["PATH"]
    if why == "no program":
        monkeypatch.setenv("PATH", without_git(tmp_path))
    elif why == "no user":
        for name in [name for name in os.environ if name.startswith("GIT_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    elif os.geteuid() == 0:
        os.chown(repository, 12345, 12345)  # git: dubious ownership
        os.chown(repository / ".git", 12345, 12345)
    else:
        pytest.skip("only root can give a folder away")
    assert small.repro("phantom")[0] == ["first", "move", "pages"]
    assert small.repro("ward")[0] == []
    monkeypatch.setenv("PATH", path)
    if why == "owner":
        os.chown(repository, 0, 0)
        os.chown(repository / ".git", 0, 0)
    assert small.status() == ""


@pytest.mark.slow
@pytest.mark.long
def test_a_project_that_has_moved_runs_nothing_again(repository, monkeypatch):  # noqa: F811
    small.repro("ward")
    moved = repository.parent / "else where"
    repository.rename(moved)
    monkeypatch.setattr(paths, "ROOT", moved)
    assert small.repro("ward")[0] == []


@pytest.mark.slow
def test_a_pull_without_a_remote_says_so_and_harms_nothing(repository):  # noqa: F811
    small.repro("ward")
    pipeline.keep_published_lock("ward")
    small.commit()
    shutil.rmtree(paths.data("ward"))
    shutil.rmtree(repository / ".dvc" / "cache")
    command = [sys.executable, "-m", "dvc", "pull", "reports/ward/dvc.yaml"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "No remote provided and no default remote set" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr and small.status() == ""
    assert small.repro("ward")[0] == ["first", "pages"], "what cannot be pulled is computed"


@pytest.mark.slow
def test_a_run_is_started_from_anywhere(repository, tmp_path, monkeypatch, capfd):  # noqa: F811
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert cli.main(["repro", "ward", "first"]) == 0, capfd.readouterr()
    os.chdir(repository)
    assert (repository / "data" / "ward" / "cohort").is_dir()


DAMAGED = [
    ("dvc.yaml", "stages: [", ["repro"], "dvc.yaml line 1: damaged; get it back from git"),
    ("dvc.yaml", "- a\n", ["repro"], "dvc.yaml: damaged; get it back from git"),
    ("dvc.yaml", "stages: {}\n", ["repro"], "dvc.yaml: `vars` has no cohort; put it back"),
    ("dvc.yaml", None, ["repro"], "dvc.yaml: cannot be read (No such file or directory); get it back from git"),
    ("dvc.lock", "<<<<<<< HEAD\nschema: '2.0'\n", ["repro"], "dvc.lock line 2: damaged; get it back from git"),
    (
        "work/ward/pipeline/dvc.lock",
        "\0",
        ["repro", "ward"],
        "work/ward/pipeline/dvc.lock: damaged; get it back",
    ),
    (
        "work/ward/pipeline/dvc.lock",
        "schema",
        ["repro", "ward"],
        "or delete it if it lies in work/: the run then goes on",
    ),
    ("params.yaml", "ward: {cohort: {}}\nward: {}\n", ["repro"], "params.yaml line 2: 'ward' stands twice; remove one"),
    ("params.yaml", "ward:\n\tcohort: 1\n", ["repro"], "params.yaml line 2: not valid YAML"),
    ("params.yaml", "", ["repro"], "params.yaml: must hold one section per cohort"),
    ("params.yaml", None, ["repro"], "params.yaml: not found; run from a checkout of the project"),
    ("params.yaml", "ward: {cohort: 1}\n# \xe9\n".encode("latin-1"), ["repro"], "params.yaml: not in UTF-8; save it"),
    (
        "work/ward",
        "a file",
        ["repro", "ward"],
        "work/ward/pipeline/lock: cannot be locked (Not a directory); check rights",
    ),
    (".dvc/config", "[core\n", ["repro", "ward"], ".dvc: "),
    (None, None, ["repro", "ward", "nonsense"], "ward: no stage nonsense; there are: first, pages"),
    (None, None, ["repro", "Ward"], "Ward: there is no such study; params.yaml has: phantom, ward, east, regions"),
    (None, None, ["repro", "../ward"], "../ward: there is no such study; params.yaml has: "),
    (None, None, ["publish", "ward"], "data/ward/pages: no report of a run is here; run `fetalkit repro ward` first"),
    (None, None, ["publish", "a/b"], "a/b: there is no such study; params.yaml has: "),
    (
        None,
        None,
        ["verify", "ward"],
        "reports/ward: nothing of ward is published; `fetalkit publish ward` publishes its",
    ),
    (None, None, ["verify", "Ward"], "Ward: there is no such study; params.yaml has: "),
    (None, None, ["fetch", "typo"], "typo: there is no such study; params.yaml has: "),
    (None, None, ["report", ".."], "..: there is no such study; params.yaml has: "),
    (None, None, ["run", "01_cohort", "--cohort", "Phantom"], "Phantom: there is no such study; params.yaml has: "),
    (None, None, ["run", "../params", "--cohort", "ward"], "../params: there is no such notebook in "),
    (None, None, ["run", "01_cohort.ipynb", "--cohort", "ward"], "01_cohort.ipynb: there is no such notebook in "),
]


@pytest.mark.parametrize(("name", "text", "command", "line"), DAMAGED)
def test_what_is_damaged_or_misspelt_is_one_line(name, text, command, line, root, capfd, monkeypatch):  # noqa: F811
    monkeypatch.setattr(yaml, "SafeLoader", yaml.loader.SafeLoader)  # whose count of lines users see
    (root / ".dvc").mkdir()
    (root / ".git").mkdir()
    (root / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    if name is not None and text is None:
        (root / name).unlink()
    elif name is not None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    before = sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
    assert cli.main(command) == 1
    err = capfd.readouterr().err
    assert line in err and len(err.splitlines()) == 1 and err.startswith("fetalkit: "), err
    after = {path.relative_to(root) for path in root.rglob("*") if path.is_file() and path.name != "lock"}
    assert after <= set(before), "something is left behind"


@pytest.mark.parametrize("kind", ["folder", "rights"])
def test_parameters_that_cannot_be_read_are_one_line(kind, tmp_path, monkeypatch):
    path = tmp_path / "params.yaml"
    if kind == "folder":
        path.mkdir()
    else:
        monkeypatch.setattr(
            type(path), "read_text", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "Denied"))
        )
    with pytest.raises(FetalkitError, match=r"params.yaml: cannot be read \(.*\); it must be a file that you may read"):
        sections.read(path)


def test_a_key_that_stands_twice_in_a_section_is_refused_and_anchors_are_not(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("a: &a {x: 1}\nb:\n  <<: *a\n  x: 2\n")
    assert sections.read(path) == {"a": {"x": 1}, "b": {"x": 2}}
    path.write_text("b:\n  seeds: [0]\n  shots: [1]\n  seeds: [1]\n")
    with pytest.raises(FetalkitError, match=r"params.yaml line 4: 'seeds' stands twice; remove one of them"):
        sections.read(path)


@pytest.fixture
def small_disk(tmp_path):
    """A function that mounts an empty file system of some kB; it may be made read-only."""
    mounted = tmp_path / "disk"
    mounted.mkdir()

    def mount(size="1500k", *options):
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", mounted], capture_output=True)
        if done.returncode:
            pytest.skip("mounting a file system needs the right to")
        return mounted

    yield mount
    subprocess.run(["umount", "-l", mounted], capture_output=True)


def read_only(mounted):
    subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)


def weights():
    return {"w": torch.rand(1_000_000)}


RANDOM = np.random.default_rng(0)
WRITERS = {
    "checkpoint": lambda path: Checkpoint(path, "x").save(weights()),
    "safetensors": lambda path: _replace(path, lambda temporary: save_file(weights(), temporary)),
    "torch": lambda path: _replace(path, lambda temporary: torch.save(weights(), temporary)),
    "numpy": lambda path: _replace(path, lambda temporary: np.savez(temporary, x=RANDOM.random(500_000))),
    "table": lambda path: write_table(pd.DataFrame(RANDOM.random((200_000, 1))), path),
    "json": lambda path: write_json({"x": list(range(400_000))}, path),
    "text": lambda path: pipeline.write(path, "x" * 4_000_000),
}


def _replace(path, write):
    with replacing(path) as temporary:
        write(temporary)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_one_line_and_what_was_there_stays(writer, small_disk):
    folder = small_disk()
    path = folder / f"kept.{'npz' if writer == 'numpy' else 'safetensors'}"
    path.write_text("earlier")
    with pytest.raises(
        FetalkitError, match=r"kept.*: cannot be written \(.*(No space left|disk is full).*\); free some space"
    ):
        WRITERS[writer](path)
    assert path.read_text() == "earlier" and [file.name for file in folder.iterdir()] == [path.name]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("where", ["read-only", "below a file", "no such place"])
def test_a_folder_that_cannot_be_written_is_one_line(writer, where, small_disk, tmp_path):
    if where == "read-only":
        read_only(small_disk())
    (tmp_path / "file").write_text("x")
    place = {
        "read-only": tmp_path / "disk",
        "below a file": tmp_path / "file",
        "no such place": paths.Path("/proc/nowhere"),
    }
    with pytest.raises(FetalkitError, match=r"cannot be written \(.*\); free some space or check rights"):
        WRITERS[writer](place[where] / "kept.npz")


def test_a_runner_on_a_read_only_disk_says_so(small_disk, monkeypatch, capsys):
    folder = small_disk()
    monkeypatch.setattr(paths, "ROOT", folder)
    shutil.copy(small.ROOT / "dvc.yaml", folder)
    read_only(folder)
    assert cli.main(["run", "01_cohort", "--cohort", "phantom"]) == 1
    assert capsys.readouterr().err == (
        f"fetalkit: {folder / 'work' / 'phantom' / 'lock'}: cannot be locked (Read-only file system); check rights and space\n"
    )
    with pytest.raises(FetalkitError, match="cannot be locked"), lock.pipeline_lock("phantom"):
        pass


@pytest.mark.slow
def test_a_disk_that_fills_up_while_a_notebook_runs_is_one_line(small_disk, monkeypatch, tmp_path):
    from nbformat import write
    from nbformat.v4 import new_code_cell, new_notebook

    folder = small_disk("300k")
    monkeypatch.setattr(paths, "ROOT", folder)
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path / "notebooks")
    paths.NOTEBOOKS.mkdir()
    head = new_code_cell("cohort = 'phantom'", metadata={"tags": ["parameters"]})
    write(new_notebook(cells=[head, new_code_cell("print('x' * 600_000)")]), paths.NOTEBOOKS / "01_cohort.ipynb")
    with pytest.raises(FetalkitError, match=r"01_cohort.*: the disk is full; free some space and run again") as error:
        execute.run("01_cohort", "phantom")
    assert len(str(error.value).splitlines()) == 1
    assert not paths.executed("phantom", "01_cohort").exists()


def test_what_is_edited_while_a_stage_runs_is_named(tmp_path, monkeypatch):
    content = yaml.safe_load(paths.PARAMS.read_text())
    monkeypatch.setattr(paths, "PARAMS", tmp_path / "params.yaml")
    notebook = tmp_path / "01_cohort.ipynb"
    shutil.copy(paths.NOTEBOOKS / "01_cohort.ipynb", notebook)

    def seen(**changes):
        for section, keys in changes.items():
            content[section] = content[section] | keys
        paths.PARAMS.write_text(yaml.safe_dump(content, sort_keys=False))
        return watched.state("phantom", notebook)

    before = seen()
    assert "fetalkit.cohorts.audit" in before and "fetalkit.runner.execute" not in before
    assert watched.edited(before, seen(run={"device": "cpu"}, africa={"splits": {}})) == []
    assert watched.edited(before, seen(phantom={"metrics": 1})) == ["params.yaml: phantom"]
    assert watched.edited(before, seen(transfer={"phantom": None})) == [
        "params.yaml: phantom", "params.yaml: transfer.phantom",
    ]  # fmt: skip
    text = notebook.read_text()
    notebook.write_text(text.replace("display.style()", "display.style()  # looks"))
    assert "01_cohort.ipynb" not in watched.edited(before, seen()), "a comment makes nothing else"
    notebook.write_text(text.replace("display.style()", "display.style(); 1 / 1"))
    assert "01_cohort.ipynb" in watched.edited(before, seen())


@pytest.mark.slow
def test_a_stage_whose_parameters_are_edited_is_not_finished(tmp_path, monkeypatch):
    from nbformat import write
    from nbformat.v4 import new_code_cell, new_notebook

    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path)
    shutil.copy(paths.PARAMS, tmp_path)
    monkeypatch.setattr(paths, "PARAMS", tmp_path / "params.yaml")
    edit = (
        "import re\nfrom pathlib import Path\nfile = Path('params.yaml')\n"
        "file.write_text(re.sub('train_patients: [0-9]+', 'train_patients: 7', file.read_text(), count=1))"
    )
    head = new_code_cell("cohort = 'phantom'", metadata={"tags": ["parameters"]})
    write(new_notebook(cells=[head, new_code_cell(edit)]), tmp_path / "01_cohort.ipynb")
    with pytest.raises(
        FetalkitError, match=r"01_cohort: params.yaml: phantom edited while it ran, so its results are of"
    ):
        execute.run("01_cohort", "phantom")
    assert not paths.executed("phantom", "01_cohort").exists()
    execute.run("01_cohort", "phantom")


STAGES = sorted(path.stem for path in paths.NOTEBOOKS.glob("0[1-9]*.ipynb"))


@pytest.mark.parametrize("name", STAGES[1:])
def test_a_notebook_out_of_order_says_what_to_run_first(name, elsewhere, tmp_path, monkeypatch):
    outside = tmp_path / "outside"
    outside.mkdir()
    monkeypatch.chdir(outside)
    with pytest.raises(FetalkitError, match=r"run 0\d_\w+ (first|again)") as error:
        run_here.run(name, "phantom", monkeypatch)
    assert len(str(error.value).splitlines()) == 1
    assert not list(outside.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("absent", "name", "message"),
    [
        ("splits", "04_generator", "splits/shots.csv: not found; run 03_splits first, or `dvc repro`"),
        ("splits", "07_classify", "splits/splits.csv: not found; run 03_splits first, or `dvc repro`"),
        ("images", "04_generator", "data/phantom/images: not found; run 02_images first, or `dvc repro`"),
        ("images", "06_fidelity", "data/phantom/images: not found; run 02_images first, or `dvc repro`"),
        ("images", "07_classify", "data/phantom/images: not found; run 02_images first, or `dvc repro`"),
        ("generators", "05_synthesis", "-seed0 and [0-9]+ others: not found; run 04_generator first, or `dvc repro`"),
        ("synthetic", "07_classify", "-seed0.npz and [0-9]+ others: not found; run 05_synthesis first, or `dvc repro`"),
        ("synthetic", "06_fidelity", "-seed0.npz: not found; run 05_synthesis first, or `dvc repro`"),
    ],
)
def test_one_line_names_the_stage_that_was_left_out(absent, name, message, elsewhere, monkeypatch):
    """Before any job begins, however many would fail for it: here splits, images and one set are there, apart from one."""
    small_study.write()
    shutil.rmtree(paths.data("phantom", absent), ignore_errors=True)
    began = set(paths.data("phantom").iterdir())
    with pytest.raises(FetalkitError) as error:
        run_here.run(name, "phantom", monkeypatch)
    assert re.search(f"{message}$", str(error.value)) and len(str(error.value).splitlines()) == 1
    assert set(paths.data("phantom").iterdir()) == began


def _reads(name):
    raise FetalkitError(f"{name}: not found")


def test_a_reason_that_many_jobs_share_is_told_once():
    with pytest.raises(FetalkitError) as error:
        parallel.run(_reads, [{"name": name} for name in "aabaa"], 1)
    assert str(error.value) == "5 of 5 jobs failed:\na: not found\nb: not found"


@pytest.mark.slow
def test_a_terminal_without_letters_and_a_pipe_that_is_closed_are_no_traces():
    command = [sys.executable, "-m", "fetalkit"]
    environment = os.environ | {"PYTHONPATH": str(small.ROOT), "PYTHONIOENCODING": "ascii"}
    for arguments in (["list", "classifiers"], ["--help"], ["run", "ünknown", "--cohort", "phantom"]):
        done = subprocess.run([*command, *arguments], capture_output=True, env=environment)
        assert b"Traceback" not in done.stderr and b"UnicodeEncodeError" not in done.stderr
    piped = subprocess.run(
        f"'{sys.executable}' -m fetalkit list arms | true", shell=True, capture_output=True, env=environment
    )
    assert b"Traceback" not in piped.stderr and piped.returncode == 0


def test_windows_is_told_of_wsl(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "win32")
    assert cli.main(["list", "arms"]) == 1
    out, err = capsys.readouterr()
    assert (
        out == "" and err.startswith("fetalkit: Windows is not supported; install it in WSL") and err.count("\n") == 1
    )


def test_settings_of_a_device_that_is_not_known(tmp_path):
    content = yaml.safe_load(paths.PARAMS.read_text())
    for key, value in (("device", "gpu"), ("workers", 0), ("precision", "half")):
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(content | {"run": content["run"] | {key: value}}))
        with pytest.raises(FetalkitError, match=rf"params.yaml: phantom.run.{key} = .*") as error:
            params.load("phantom", path)
        assert len(str(error.value).splitlines()) <= 2
