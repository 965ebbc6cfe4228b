"""The tree keeps its rules: style, stripped notebooks, complete stage dependencies, nothing cached in git."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from dvc_data.hashfile.meta import Meta

from fetalkit.runner import dependencies, pipeline

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# 00_explore and those without a number need a person, or are run by hand.
STAGES = [path for path in NOTEBOOKS if path.stem[0].isdigit() and path.stem != "00_explore"]
PIPELINES = [ROOT / "dvc.yaml", *sorted((ROOT / "reports").glob("*/dvc.yaml"))]


def run(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def tracked():
    listed = run("git", "ls-files", "-z")
    if listed.returncode:
        pytest.skip("not a git checkout: nothing to compare with")
    return [name for name in listed.stdout.split("\0") if name]


@pytest.mark.parametrize("command", [("check",), ("format", "--check")])
def test_style(command):
    done = run(sys.executable, "-m", "ruff", *command, ".")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_notebooks_are_stored_without_outputs():
    done = run(sys.executable, "-m", "nbstripout", "--verify", *map(str, NOTEBOOKS))
    assert done.returncode == 0, done.stdout + done.stderr


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


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_captions_have_no_marks_of_markdown(path):
    """They are shown as they stand."""
    for cell in (cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"):
        for call in (node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)):
            if len(call.args) > 2 and ast.unparse(call.func) in ("display.figure", "display.table"):
                words = [node.value for node in ast.walk(call.args[2]) if isinstance(node, ast.Constant)]
                assert not [word for word in words if isinstance(word, str) and set(word) & set("*`")], words


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.stem != "09_report"], ids=lambda path: path.stem)
def test_a_notebook_opens_as_a_section_of_a_paper(path):
    """Question, method in five lines, what goes in and out, and a published page, so that it reads well with nothing run."""
    notebook = nbformat.read(path, 4)
    _, question, method, *rest = notebook.cells[0].source.split("\n\n")
    assert question.startswith("**Question.**") and question.endswith("?")
    assert method.startswith("**Method.**")
    steps, in_and_out, published = rest
    assert [line[:3] for line in steps.splitlines()] == ["1. ", "2. ", "3. ", "4. ", "5. "]
    assert in_and_out.startswith("**In:**") and "**Out:**" in in_and_out
    links = re.findall(r"\]\((\S+)\)", published)
    assert published.startswith("*As last published:*") and links
    assert [link for link in links if not (path.parent / link).is_file()] == []
    # Logic belongs into the library: what a cell computes by itself is a line or two.
    tree = [ast.parse(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    assert not [node for cell in tree for node in ast.walk(cell) if isinstance(node, (ast.FunctionDef, ast.ClassDef))]


def test_every_notebook_is_a_stage():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    commands = " ".join(stage["cmd"] for stage in stages.values())
    for path in STAGES:
        assert f" {path.stem} " in commands
        assert f"data/${{cohort}}/executed/{path.stem}.ipynb" in stages["report"]["deps"]


@pytest.mark.parametrize("study", pipeline.studies())
def test_pipelines_in_git_are_those_that_follow_from_dvc_yaml(study):
    path = pipeline.file(study)
    assert path.read_text(encoding="utf-8") == pipeline.text(study), "run `make pipelines`"


def test_stages_list_the_code_that_they_run():
    """Found from what notebooks and commands import: a stage whose code has changed is never up to date."""
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    assert dependencies.updated(text) == text, "run `make pipelines`"


def test_networks_of_the_projects_own_are_dependencies_wherever_one_may_be_named():
    """They are found by name, so no import tells."""
    for stage in ("04_generator", "05_synthesis", "07_classify"):
        code = dependencies.code_of(f"python -m fetalkit run {stage} --cohort phantom")
        assert {"fetalkit/classifiers", "fetalkit/classifiers/denoiser_encoder.py"} & set(code), stage


def test_no_output_of_a_stage_is_tracked_by_git():
    names = tracked()
    for path in PIPELINES:
        content = yaml.safe_load(path.read_text())
        cohort = content["vars"][0]["cohort"]
        for stage in content["stages"].values():
            for out in stage["outs"]:
                out = (out if isinstance(out, str) else next(iter(out))).replace("${cohort}", cohort)
                assert out.startswith(f"data/{cohort}/")
                assert not [name for name in names if name == out or name.startswith(f"{out}/")]


def _keys(content, prefix=""):
    if isinstance(content, dict):
        for key, value in content.items():
            yield f"{prefix}{key}"
            yield from _keys(value, f"{prefix}{key}.")


def test_no_parameter_has_a_name_that_the_run_cache_ignores():
    """DVC leaves keys called size and nfiles out of the key of its run cache: old results would come back under new values."""
    ignored = {Meta.PARAM_SIZE, Meta.PARAM_NFILES, Meta.PARAM_ISEXEC}
    keys = list(_keys(yaml.safe_load((ROOT / "params.yaml").read_text())))
    assert len(keys) > 300
    assert [key for key in keys if key.rpartition(".")[2] in ignored] == []


def test_source_files_are_looked_at_every_time():
    """They may lie outside the project, where DVC does not see that a label or an image has been corrected."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert stages["fetch"]["always_changed"] is True
    assert set(stages["fetch"]["outs"]) & set(stages["audit"]["deps"]) == {"data/${cohort}/source.json"}


def test_no_section_of_params_refers_to_another():
    """`dvc exp run -S` of one cohort writes into its section alone: an alias would carry the change to another one."""
    sections, anchors = {}, {}
    section = ""
    for line in (ROOT / "params.yaml").read_text().splitlines():
        if header := re.match(r"(\w[\w-]*):", line):
            section = header[1]
        code = line.partition(" #")[0]
        for name in re.findall(r"&(\w+)", code):
            anchors[name] = section
        for name in re.findall(r"[ :]\*(\w+)", code):
            sections[name] = sections.get(name, set()) | {section}
    assert sections and all(used == {anchors[name]} for name, used in sections.items())


def test_nothing_large_and_no_path_of_one_machine():
    for name in tracked():
        path = ROOT / name
        if path.exists():
            assert path.stat().st_size < (10_000_000 if name.startswith("models/") else 3_000_000), name
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


@pytest.mark.parametrize("path", STAGES, ids=lambda path: path.stem)
def test_no_variable_of_a_notebook_hides_what_it_imports(path):
    """An import that a later cell assigns to is gone where a loop comes back to it."""
    code = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    tree = ast.parse(code)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    imported = {alias.asname or alias.name.partition(".")[0] for node in imports for alias in node.names}
    assigned = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    assert imported.isdisjoint(assigned)
