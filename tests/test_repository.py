"""The tree keeps its rules: style, stripped notebooks, complete stage dependencies, nothing cached in git."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from fetalkit.experiments.transfer import settings
from fetalkit.reporting import build

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
STAGES = [path for path in NOTEBOOKS if path.stem[0].isdigit()]  # the others need a person, or are run by hand
PIPELINES = [ROOT / "dvc.yaml", *sorted((ROOT / "reports").glob("*/dvc.yaml"))]
BETWEEN = ROOT / "reports" / "transfer" / "dvc.yaml"  # the study between cohorts
COPIES = [path for path in PIPELINES[1:] if path != BETWEEN]
READ = ("cohort/index.csv", "images", "splits")  # of every cohort, by the study between them
# Modules that say where and how things run, or what a setting may be, but not what comes out.
INFRASTRUCTURE = {"archives", "cohorts", "devices", "errors", "parallel", "params", "paths", "progress"}


def run(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def tracked():
    listed = run("git", "ls-files", "-z")
    if listed.returncode:
        pytest.skip("not a git checkout: nothing to compare with")
    return [name for name in listed.stdout.split("\0") if name]


@pytest.mark.parametrize("command", [("check",), ("format", "--check")])
def test_style(command):
    found = run(sys.executable, "-m", "ruff", *command, ".")
    assert found.returncode == 0, found.stdout + found.stderr


def test_notebooks_are_stored_without_outputs():
    found = run(sys.executable, "-m", "nbstripout", "--verify", *map(str, NOTEBOOKS))
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_built_alike(path):
    notebook = nbformat.read(path, 4)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith("# ")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code[0].metadata.get("tags") == ["parameters"]
    assert len(notebook.cells) <= 25
    assert all(len(cell.source.splitlines()) <= 40 for cell in code), "a long cell belongs into the library"


def test_every_notebook_is_a_stage_and_published():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    commands = " ".join(stage["cmd"] for stage in stages.values())
    published = " ".join(map(str, stages["publish"]["outs"]))
    for path in STAGES:
        assert f" {path.stem} " in commands
        page = "index" if path.stem == build.FRONT else path.stem
        assert f"/{page}.html" in published
    for table in build.TABLES | build.TRANSFER_TABLES:
        assert f"/{table}" in published


@pytest.mark.parametrize("path", COPIES, ids=lambda path: path.parent.name)
def test_pipelines_are_copies(path):
    """A cohort's pipeline is the one at the top, less what is marked as the default's alone, but for two lines."""
    mine, top = path.read_text(), (ROOT / "dvc.yaml").read_text()
    top = re.sub(r"(?m)^ *# <default>.*\n(?:.*\n)*? *# </default>\n", "", top)
    assert "<default>" not in mine + top
    differing = [(a, b) for a, b in zip(mine.splitlines(), top.splitlines(), strict=True) if a != b]
    assert differing == [
        (f"  - cohort: {path.parent.name}", "  - cohort: phantom"),
        ("    root: ../..", "    root: ."),
    ], "run `make pipelines`"


def test_both_transfer_stages_run_the_same_code():
    """The study between hospitals is no copy: it reads other cohorts. What it runs is what the default one runs."""
    stages = [yaml.safe_load(path.read_text())["stages"]["transfer"] for path in (ROOT / "dvc.yaml", BETWEEN)]
    code = [[name for name in stage["deps"] if not name.startswith("data/")] for stage in stages]
    assert code[0] == code[1]
    assert stages[0]["outs"] == stages[1]["outs"] and stages[0]["cmd"] == stages[1]["cmd"]
    used = {f"data/{cohort}/{name}" for cohort in settings.load("transfer").cohorts for name in READ}
    assert used == {name for name in stages[1]["deps"] if name.startswith("data/")}
    published = " ".join(map(str, yaml.safe_load(BETWEEN.read_text())["stages"]["publish"]["outs"]))
    assert build.TRANSFER in build.stages("phantom") and build.TRANSFER not in build.stages("africa")
    assert all(f"/{table}" in published for table in (*build.BETWEEN_TABLES, build.TEST_LOG, "index.html"))


def imported(source: str) -> set[str]:
    """Modules of fetalkit that a piece of Python imports."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name.split(".")[1] for name in names if name.startswith("fetalkit.") and module(name.split(".")[1])}


def module(name: str) -> Path | None:
    for path in (ROOT / "fetalkit" / f"{name}.py", ROOT / "fetalkit" / name):
        if path.exists():
            return path
    return None


def sources(path: Path) -> str:
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return "\n".join(file.read_text() for file in files)


def closure(source: str) -> set[str]:
    """What a piece of Python imports, directly or not; infrastructure is not looked into."""
    reached, left = set(), imported(source)
    while left:
        name = left.pop()
        if name not in reached | INFRASTRUCTURE:
            reached.add(name)
            left |= imported(sources(module(name)))
    return reached


@pytest.mark.parametrize("path", STAGES, ids=lambda path: path.stem)
def test_stages_list_the_code_that_they_run(path):
    notebook = nbformat.read(path, 4)
    needed = closure("\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code"))
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    (stage,) = [stage for stage in stages.values() if f" {path.stem} " in stage["cmd"]]
    code = [name for name in stage["deps"] if name.startswith("fetalkit/") and "/templates/" not in name]
    listed = {Path(name).stem for name in code}
    assert needed <= listed, "add the missing modules to the stage's deps"
    assert listed - needed - INFRASTRUCTURE - {"__init__", "${cohort}"} == set(), "the stage does not use these"


def test_no_cached_output_is_tracked_by_git():
    names = tracked()
    for path in PIPELINES:
        content = yaml.safe_load(path.read_text())
        cohort = content["vars"][0]["cohort"]
        for stage in content["stages"].values():
            for out in stage["outs"]:
                if isinstance(out, str):  # one with options has cache: false
                    out = out.replace("${cohort}", cohort)
                    assert not [name for name in names if name == out or name.startswith(f"{out}/")]
                else:
                    assert all(options.get("cache") is False for options in out.values())


def test_nothing_large_and_no_path_of_one_machine():
    for name in tracked():
        path = ROOT / name
        if path.exists():
            assert path.stat().st_size < 3_000_000, name
            if path.suffix in {".py", ".md", ".yaml", ".yml", ".toml", ".ipynb", ".json", ".csv"}:
                home = re.search(r"(?<![\w.])/(home|root|Users)/\w+", path.read_text(encoding="utf-8"))
                assert home is None, f"{name}: {home}"


def test_locked_versions_are_installed():
    """The environment is the locked one, so that a green suite says something about a fresh install."""
    from importlib.metadata import version

    locked = dict(re.findall(r"^([\w.-]+)==([\w.+]+)$", (ROOT / "requirements.lock").read_text(), re.M))
    assert len(locked) > 100
    for name in ("torch", "diffusers", "timm", "papermill", "dvc", "pydantic", "scikit-learn"):
        assert version(name).split("+")[0] == locked[name], name
    assert sys.version_info >= (3, 11)
