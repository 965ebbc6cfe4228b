"""Networks are looked at before anything is trained, and once: to import timm takes longer than all else that a load does."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from fetalkit.config import networks
from fetalkit.utils import paths

SCRIPT = """
import sys
from types import SimpleNamespace
from fetalkit.config import networks
from fetalkit.utils import paths
from pathlib import Path
paths.ROOT = Path(sys.argv[1])
spec = SimpleNamespace(model=sys.argv[2], arguments={}, pretrained=False, input_size=None)
print(*networks.problems(SimpleNamespace(classifiers={"net": spec}), 64, "classify"), "timm" in sys.modules)
"""


def asked(folder, model):
    """What a new process says of a network, and whether it has imported timm."""
    command = [sys.executable, "-c", SCRIPT, str(folder), model]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_network_that_passed_is_known_to_the_next_process_without_timm(tmp_path):
    assert [asked(tmp_path, "resnet10t") for _ in range(2)] == ["True", "False"]


@pytest.fixture
def passed(tmp_path, monkeypatch):
    """Networks that timm was asked for."""
    made = []
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr("fetalkit.classifiers.models.check", lambda *about, **size: made.append(about[0]))
    return made


def test_a_network_that_did_not_pass_is_refused_again(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    spec = SimpleNamespace(model="resnet11t", arguments={}, pretrained=False, input_size=None)
    for _ in range(2):
        (said,) = networks.problems(SimpleNamespace(classifiers={"net": spec}), 64, "classify")
        assert said.startswith("classify.classifiers.net: timm has no model 'resnet11t'")


def test_each_change_of_a_network_is_looked_at(passed, monkeypatch):
    def ask(**changes):
        spec = dict(model="resnet10t", arguments={"stem_width": 8}, pretrained=False, input_size=None) | changes
        section = SimpleNamespace(classifiers={"net": SimpleNamespace(**spec)})
        return list(networks.problems(section, 64, "classify"))

    for number, changes in enumerate(
        [{}, dict(arguments={"stem_width": 16}), dict(pretrained=True), dict(input_size=32), dict(model="resnet18")], 1
    ):
        assert ask(**changes) == ask(**changes) == [] and len(passed) == number
    monkeypatch.setattr("fetalkit.utils.provenance.versions", lambda: {"timm": "0.1"})
    assert ask() == [] and len(passed) == 6


def test_where_nothing_can_be_written_it_is_looked_at_every_time(passed, tmp_path):
    (tmp_path / "work").write_text("a file where the folder should be")
    spec = SimpleNamespace(model="resnet10t", arguments={}, pretrained=False, input_size=None)
    for _ in range(2):
        assert list(networks.problems(SimpleNamespace(classifiers={"net": spec}), 64, "classify")) == []
    assert len(passed) == 2
