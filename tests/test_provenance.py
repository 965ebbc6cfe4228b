"""What made this: every cause of a result changes its fingerprint, and nothing else does."""

import shutil
import sys
from pathlib import Path

import pytest

from fetalkit.utils import provenance
from fetalkit.utils.errors import FetalkitError

PACKAGE = Path(__file__).parents[1] / "fetalkit"
TRAINING = "fetalkit.classifiers.trainer"


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the package that may be changed; the closure is found from files, so nothing has to be imported from it."""
    shutil.copytree(PACKAGE, tmp_path / "fetalkit", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "_root", lambda: tmp_path)
    provenance.forget()
    yield tmp_path / "fetalkit"
    provenance.forget()


def made_by(*modules, settings=None, data=()):
    provenance.forget()
    return provenance.fingerprint(modules, settings, data)


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("module", "file", "old", "new"),
    [
        # What a test of lists let pass before: the simulator, the working image, random streams.
        ("fetalkit.generators.simulated", "simulator/physics.py", "import numpy", "import math\nimport numpy"),
        ("fetalkit.generators.simulated", "data/images.py", "LONGEST_SIDE = 384", "LONGEST_SIDE = 383"),
        (TRAINING, "utils/streams.py", "digest[:8]", "digest[1:9]"),
        (TRAINING, "data/sampling.py", "randperm", "randn"),
        ("fetalkit.generators.diffusion.generator", "generators/trainer.py", "power=1", "power=2"),
    ],
)
def test_a_change_anywhere_in_the_closure_is_noticed(copied, module, file, old, new):
    before = made_by(module)
    edit(copied / file, old, new)
    assert made_by(module) != before


def test_comments_docstrings_and_layout_do_not_count(copied):
    before = made_by(TRAINING)
    path = copied / "classifiers" / "trainer.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        "# A remark.\n" + text.replace('"""', '"""Once more: ', 1).replace("\n\n", "\n\n\n"), encoding="utf-8"
    )
    assert made_by(TRAINING) == before


@pytest.mark.parametrize(
    "file",
    [
        "plots/results.py",
        "reporting/display.py",
        "utils/progress.py",
        "analysis/gains.py",
        "config/params.py",
        "config/runs.py",
    ],
)
def test_captions_colours_logs_and_the_design_of_a_study_train_nothing(copied, file):
    """What draws, tells, reports and plans is no cause of a training, a generator or a set."""
    classifiers = (TRAINING, "fetalkit.classifiers.models", "fetalkit.classifiers.loader")
    drawn = ("fetalkit.experiments.drawing", "fetalkit.experiments.pseudo_labels")
    modules = (*classifiers, *drawn, "fetalkit.generators.diffusion.generator", "fetalkit.experiments.stopping")
    before = made_by(*modules)
    path = copied / file
    path.write_text(path.read_text(encoding="utf-8") + "\n\nEXTRA = 1\n", encoding="utf-8")
    assert made_by(*modules) == before


def test_settings_data_and_versions_count(monkeypatch):
    before = made_by(TRAINING, settings={"steps": 1}, data=["a"])
    assert made_by(TRAINING, settings={"steps": 1}, data=["a"]) == before
    assert made_by(TRAINING, settings={"steps": 2}, data=["a"]) != before
    assert made_by(TRAINING, settings={"steps": 1}, data=["b"]) != before
    real = provenance.metadata.version
    for library in provenance.LIBRARIES:

        def other(name, library=library):
            return "0" if name == library else real(name)

        monkeypatch.setattr(provenance.metadata, "version", other)
        changed = made_by(TRAINING, settings={"steps": 1}, data=["a"]) != before
        assert changed == (library != "torch"), library  # torch is a way to round, told beside a fingerprint


@pytest.mark.parametrize("helper", ["own_generators.helper", ".helper"])
def test_a_module_from_outside_is_followed_with_its_own_helpers(tmp_path, monkeypatch, helper):
    package = tmp_path / "own_generators"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "mean.py").write_text(f"from {helper} import shift\nfrom fetalkit.utils.streams import rng\n")
    (package / "helper.py").write_text("shift = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = made_by("own_generators.mean")
    assert {"own_generators.mean", "own_generators.helper", "fetalkit.utils.streams"} <= set(
        provenance.closure(("own_generators.mean",))
    )
    (package / "helper.py").write_text("shift = 2\n")
    assert made_by("own_generators.mean") != before
    for name in [name for name in sys.modules if name.startswith("own_generators")]:
        del sys.modules[name]


def test_a_module_that_is_not_there_is_named():
    with pytest.raises(FetalkitError, match=r"module 'fetalkit.no_such' does not exist; correct the name"):
        made_by("fetalkit.no_such")
