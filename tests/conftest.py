"""Fixtures that several test modules share."""

import os
import sys
from typing import Any

import yaml

# The parser in C reads the same in a tenth of the time, and hundreds of tests read params.yaml. It has to be in place before
# the project is imported, whose own loader is made from it; the commands that tests start read with the other one.
if yaml.__with_libyaml__:
    yaml.SafeLoader, yaml.SafeDumper = yaml.CSafeLoader, yaml.CSafeDumper

import numpy as np
import pandas as pd
import pytest
import small_transfer
import torch
from PIL import Image

from fetalkit.experiments.transfer import settings
from fetalkit.utils import paths

# Files that take longest, in the order in which workers take them: none is left for the end, where the others would wait.
LONGEST = (
    "pipeline",
    "explore",
    "publish",
    "release",
    "generators",
    "training",
    "cluster",
    "surroundings",
    "runner",
)
PLANES = ("Fetal abdomen", "Fetal brain", "Fetal femur")
# What belongs to the user of this checkout: the results of studies, and what is published.
USERS = tuple(f"{paths.ROOT / name}{os.sep}" for name in ("data", "work", "reports", "reports-private", "models"))
# What it is not: the networks that were looked at, which holds for tests as well.
SHARED = f"{paths.ROOT / 'work' / 'networks'}"
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def _keep_what_is_the_users(event: str, arguments: tuple[Any, ...]) -> None:
    """Stop a test that is about to write to the folders of this checkout, or to delete something there."""
    if event == "open":
        path, _, flags = arguments
        touched = [path] if flags & WRITING else []
    elif event in ("os.mkdir", "os.remove", "os.rmdir", "os.rename", "shutil.rmtree"):
        touched = arguments[: 2 if event == "os.rename" else 1]
    else:
        return
    for path in (os.path.abspath(os.fsdecode(path)) for path in touched if isinstance(path, str | os.PathLike)):
        if path.startswith(USERS) and not path.startswith(SHARED):
            # No kind of error that code under test could catch.
            pytest.fail(f"{path}: a test may not write here; let it use the fixture `elsewhere`")


sys.addaudithook(_keep_what_is_the_users)


@pytest.hookimpl(tryfirst=True)  # before pytest looks at the marks
def pytest_collection_modifyitems(items):
    """The longest files first, so that the others run beside them; what waits for a trained generator is slow."""
    for item in items:
        if "learned" in item.fixturenames:
            item.add_marker(pytest.mark.slow)
    longest = [f"test_{name}.py" for name in LONGEST]
    items.sort(key=lambda item: longest.index(item.path.name) if item.path.name in longest else len(longest))


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """One thread, as in the workers: tests neither fight for cores nor depend on their number."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Make all paths of the project lie in a temporary folder."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def mirror():
    """Folder with the real images; tests that need it are skipped where it is absent."""
    folder = paths.mirror()
    if folder is None:
        pytest.skip("FETALKIT_MIRROR is not set: no real images to test with")
    return folder


@pytest.fixture
def image_folder(tmp_path):
    """A folder of small random images with a cohort table: 12 patients of 3 images, one of each plane."""
    random = np.random.default_rng(0)
    rows = []
    for patient in range(12):
        for number, plane in enumerate(PLANES):
            name = f"p{patient:02d}_{number}"
            Image.fromarray(random.integers(0, 255, (60, 90), np.uint8)).save(tmp_path / f"{name}.png")
            rows.append((name, f"p{patient:02d}", plane, "", "", "", "train" if patient < 8 else "test", f"{name}.png"))
    columns = ["image_id", "patient", "plane", "centre", "machine", "operator", "official_split", "source"]
    return tmp_path, pd.DataFrame(rows, columns=columns)


@pytest.fixture
def transfer_content(elsewhere):
    """Content of the ``params.yaml`` that `transfer_plan` writes; a test may change it before."""
    return small_transfer.parameters()


@pytest.fixture
def transfer_plan(transfer_content, elsewhere):
    """Write a small study; return a function that loads its plan after changes of its section."""
    small_transfer.write()

    def load(**changes):
        transfer_content["transfer"][small_transfer.STUDY] |= changes
        path = elsewhere / "params.yaml"
        path.write_text(yaml.safe_dump(transfer_content))
        return settings.load(small_transfer.STUDY, path)

    return load
