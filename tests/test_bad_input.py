"""Whatever is given to a command that cannot be right is one line, exit code 1, and nothing half-written."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fetalkit import cli
from fetalkit.config import params, sections
from fetalkit.experiments import trained
from fetalkit.reporting import export, readme
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import refuse_unwritable

ROOT = Path(__file__).parents[1]
LONG = "x" * 5000


def refused(capsys, *arguments):
    """The one line that a command ends with."""
    assert cli.main(list(arguments)) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("fetalkit: ") and err.count("\n") == 1, err
    return err.removeprefix("fetalkit: ").rstrip("\n")


# params.yaml

OWN = "ward: {defaults: quick, cohort: {kind: %s, planes: [A, B]}}\n"
FILES = {
    "a list": ("- phantom\n", "must hold one section per cohort"),
    "a number": ("5\n", "must hold one section per cohort"),
    "UTF-16": ("ward: {}\n".encode("utf-16"), "not in UTF-8; save it in that encoding"),
    "a zero byte": ("ward: {}\n\0", "not valid YAML"),
    "an anchor that is not there": ("ward: {<<: *nothing}\n", "line 1: not valid YAML"),
    "an unfinished merge": ("<<<<<<< HEAD\nward: {}\n=======\n", "not valid YAML"),
    "a key twice": ("ward: {cohort: {}, cohort: {}}\n", "line 1: 'cohort' stands twice; remove one of them"),
    "Python": ("ward: !!python/object/apply:os.system [ls]\n", "line 1: not valid YAML"),
    "a number as a name": ("1: {cohort: {kind: phantom}}\n", "section 1: use letters, digits, _ and - alone, in quotes"),
    "a date as a name": ("2024-03-01: {cohort: {}}\n", "section datetime.date(2024, 3, 1): use letters"),
    "true as a name": ("yes: {cohort: {}}\n", "section True: use letters"),
    "a slash": ("a/b: {cohort: {}}\n", "section 'a/b': use letters"),
    "a space": ("a b: {cohort: {}}\n", "section 'a b': use letters"),
    "a folder above": ("'..': {cohort: {}}\n", "section '..': use letters"),
    "a dot": ("a.b: {cohort: {}}\n", "section 'a.b': use letters"),
    "an option": ("-x: {cohort: {}}\n", "section '-x': use letters"),
    "nothing as a name": ("'': {cohort: {}}\n", "section '': use letters"),
    "an empty section": ("ward:\n", "no section 'ward'; there are: "),
    "a list as section": ("ward: [1]\n", "no section 'ward'; there are: "),
    "a list as cohort": ("ward: {cohort: [1]}\n", "ward.cohort = [1]: input should be a valid dictionary"),
    "a list as defaults": ("ward: {defaults: [quick], cohort: {}}\n", "ward.defaults = ['quick'] is not known; use one of"),
    "unknown defaults": ("ward: {defaults: slow, cohort: {}}\n", "ward.defaults = 'slow' is not known; use one of"),
    "a list as kind": (OWN % "[phantom]", "ward.cohort.kind = ['phantom']: input should be a valid string"),
    "no kind": (OWN % "", "ward.cohort.kind = 'ward' is not known; use one of africa, phantom"),
    "a kind of no class": (OWN % "os:getcwd", "ward.cohort.kind = 'os:getcwd' is not known"),
    "a kind that is not there": (OWN % "nowhere.at:All", "ward.cohort.kind = 'nowhere.at:All' is not known"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_parameters_that_cannot_be_is_one_line(name, tmp_path):
    content, words = FILES[name]
    path = tmp_path / "params.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FetalkitError) as error:
        params.load_cohort("ward", path)
    message = str(error.value)
    assert message.startswith("params.yaml") and words in message and "\n" not in message, message


@pytest.mark.slow
def test_more_brackets_than_can_be_read_are_one_line(tmp_path):
    """In a process of its own, where YAML is read as users read it (conftest.py)."""
    path = tmp_path / "params.yaml"
    path.write_text("[" * 3000)
    script = (
        f"from pathlib import Path; from fetalkit.config import params; params.load_cohort('ward', Path({str(path)!r}))"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=600)
    assert done.stderr.splitlines()[-1].startswith(
        "fetalkit.utils.errors.FetalkitError: params.yaml: more brackets within"
    )


def test_names_in_letters_of_any_alphabet_and_sections_of_anchors_are_allowed(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(".base: &base {planes: [A, B]}\nÖstra_2-a: {cohort: {<<: *base, kind: table}}\n", encoding="utf-8")
    assert params.names(path) == ["Östra_2-a"]
    assert sections.read(path)[".base"] == {"planes": ["A", "B"]}


VALUES = {
    "metrics that are not there": (("metrics",), ["nowhere.metrics"], "metrics: nowhere.metrics cannot be imported"),
    "weights from elsewhere": (
        ("phantom", "classify", "classifiers", "resnet10t-half", "arguments"),
        {"checkpoint_path": "/tmp/weights.pth"},
        "arguments: checkpoint_path is not allowed, since it names weights or files",
    ),
    "more images than a disk has": (("phantom", "synthesis", "images_per_plane"), 10**12, "less than or equal to 1000000"),
    "a seed beyond those of scikit-learn": (("phantom", "splits", "seeds"), [2**32], "seeds.0 = 4294967296: input should be"),
    "a seed below": (("phantom", "splits", "seeds"), [-1], "seeds.0 = -1: input should be greater than or equal to 0"),
    "no number": (("phantom", "classify", "learning_rate"), float("nan"), "learning_rate = nan: input should be less than 1"),
    "a decimal comma": (("phantom", "classify", "learning_rate"), "0,001", "learning_rate = '0,001': input should be a valid"),
    "a batch of one": (("phantom", "classify", "batch_size"), 1, "batch_size = 1: input should be greater than or equal to 2"),
    "a k in words": (("phantom", "splits", "shots"), ["ten"], "phantom.splits.shots"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", VALUES)
def test_a_value_that_cannot_be_is_told_before_anything_is_trained(name, tmp_path):
    keys, value, words = VALUES[name]
    content = yaml.safe_load(paths.PARAMS.read_text())
    section = content
    for key in keys[:-1]:
        section = section[key]
    section[keys[-1]] = value
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(FetalkitError) as error:
        params.load("phantom", tmp_path / "params.yaml")
    message = str(error.value).splitlines()[0]
    assert message.startswith("params.yaml: ") and words in message, message


TRANSFERS = {
    "a list": ([1], "transfer = [1]: must hold one section per study, or nothing"),
    "a number as a name": ({5: {}}, "transfer: name 5: use letters"),
    "a number as a study": ({"x": 5}, "transfer.x = 5: must be a section; correct or remove it"),
    "a cohort for a list of pairs": ({"x": {"across": "spain"}}, "transfer.x.across = 'spain': input should be a valid list"),
    "a cohort for a pair": ({"x": {"across": ["spain"]}}, "transfer.x.across.0 = 'spain': input should be a valid tuple"),
    "three for a pair": ({"x": {"across": [["a", "b", "c"]]}}, "transfer.x.across.0 = ['a', 'b', 'c']: tuple should have"),
    "a number to leave out": ({"x": {"leave_out": [5]}}, "transfer.x.leave_out.0 = 5: input should be a valid dictionary"),
    "nothing to leave out of": ({"x": {"leave_out": [{"by": "centre"}]}}, "transfer.x.leave_out.0.cohort is missing; add it"),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSFERS)
def test_a_transfer_study_that_cannot_be_is_one_line(name, checkout, capsys):
    section, words = TRANSFERS[name]
    content = yaml.safe_load((checkout / "params.yaml").read_text()) | {"transfer": section}
    (checkout / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    assert words in refused(capsys, "repro", "x", "nothing")


def test_a_transfer_study_of_an_unknown_cohort_is_one_line_and_there_may_be_none(checkout, capsys):
    content = yaml.safe_load((checkout / "params.yaml").read_text())
    content["transfer"] = {"x": content["transfer"]["hospitals"] | {"across": [["mars", "spain"]], "leave_out": []}}
    (checkout / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    assert "params.yaml: no section 'mars'; there are: phantom" in refused(capsys, "repro", "x", "nothing")
    (checkout / "params.yaml").write_text(yaml.safe_dump(content | {"transfer": None}, sort_keys=False))
    assert "params.yaml has that name already" in refused(capsys, "new", "phantom", ".")


# Command lines

CALLS = {
    "a frame that is no number": (["predict", "x", ".", "--frame", "²"], "--frame ²: say first, middle or a number from 1"),
    "a long model": (["predict", LONG, "."], "xxx...: File name too long; check the name, rights and space"),
    "a long table": (["predict", "x", ".", "--out", LONG], "xxx...: File name too long"),
    "a table below a file": (
        ["predict", "x", ".", "--out", "params.yaml/out.csv"],
        "params.yaml/out.csv: cannot be written (a file stands where a folder is needed)",
    ),
    "no image": (["draw", "x", "--plane", "Fetal brain", "-n", "0"], "-n 0: give a number of images of at least 1"),
    "a long folder of drawings": (["draw", "x", "--plane", "Fetal brain", "--out", LONG], "File name too long"),
    "drawings below a file": (
        ["draw", "x", "--plane", "Fetal brain", "--out", "params.yaml/out"],
        "params.yaml/out: cannot be written (a file stands where a folder is needed)",
    ),
    "a folder that is a file": (["draw", "x", "--plane", "Fetal brain", "--out", "params.yaml"], "is there already"),
    "no folder for an own cohort": (["new", "ward", LONG], "File name too long"),
    "a file for a folder": (["new", "ward", "params.yaml"], "params.yaml: no such folder or archive"),
    "a search of no study": (["publish", "mars", "--search", "training"], "mars: there is no such study; params.yaml has: "),
    "a release of no pair": (["release", "phantom", "x", "out", "--about", "Device"], "--about Device: is not of the form"),
}  # fmt: skip


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder with what commands look for at the top of the project."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "PARAMS", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_cannot_be_is_one_line_and_writes_nothing(name, checkout, capsys):
    arguments, words = CALLS[name]
    assert words in refused(capsys, *arguments)
    assert sorted(path.name for path in checkout.rglob("*") if path.is_file()) == ["dvc.yaml", "params.yaml"]


def test_what_cannot_be_written_is_told_before_the_work(checkout, monkeypatch, capsys):
    for work in ("predict", "draw"):
        monkeypatch.setattr(trained, work, lambda *_, **__: pytest.fail("worked in vain"))
    (checkout / "file").write_text("mine")
    for arguments in (
        ["predict", "x", ".", "--out", "file/a.csv"],
        ["draw", "x", "--plane", "y", "--out", "/proc/x/y"],
    ):
        assert "cannot be written (" in refused(capsys, *arguments)
    with pytest.raises(FetalkitError, match=r"file/out: cannot be written \(a file stands where a folder is needed\)"):
        export.target("phantom", checkout / "file" / "out")
    refuse_unwritable(checkout / "new" / "folder")
    assert sorted(path.name for path in checkout.iterdir()) == ["dvc.yaml", "file", "params.yaml"], (
        "no trace of the trial"
    )


ERRORS = [
    (PermissionError(errno.EACCES, "Permission denied", "ward/a.csv"), "ward/a.csv: Permission denied; check the name"),
    (OSError(errno.ENOSPC, "No space left on device", "out.csv"), "out.csv: the disk is full; free some space"),
    (OSError(errno.ENOSPC, "No space left on device"), "the output: the disk is full; free some space"),
    (MemoryError("Unable to allocate 7 TiB"), "not enough memory; ask for less at a time (Unable to allocate 7 TiB)"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "words"), ERRORS)
def test_errors_of_the_machine_are_one_line_wherever_they_arise(error, words, monkeypatch, capsys):
    monkeypatch.setattr(readme, "update", lambda: (_ for _ in ()).throw(error))
    assert words in refused(capsys, "readme")


def test_an_error_of_no_file_keeps_its_trace(monkeypatch):
    monkeypatch.setattr(readme, "update", lambda: (_ for _ in ()).throw(OSError("a fault of ours")))
    with pytest.raises(OSError, match="a fault of ours"):
        cli.main(["readme"])


# Models

CARDS = {
    "class": (5, "class = 5 is not what a generator has"),
    "planes": ([1, 2], r"planes = [1, 2] is not what a generator has"),
    "image_size": ("big", "image_size = 'big' is not what a generator has"),
    "training": ("long", "training = 'long' is not what a generator has"),
    "kind": ("segmenter", "kind = 'segmenter' is not what a generator has"),
    "nested": (None, "fetalkit.json: damaged; export the generator again"),
}


@pytest.mark.parametrize("key", CARDS)
def test_a_card_that_no_generator_has_is_one_line(key, tmp_path):
    value, words = CARDS[key]
    content = json.loads((ROOT / "models" / "spain-64" / "fetalkit.json").read_text())
    (tmp_path / "fetalkit.json").write_text("[" * 100_000 if key == "nested" else json.dumps(content | {key: value}))
    with pytest.raises(FetalkitError) as error:
        trained.generator(tmp_path)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_the_names_of_exported_images_stay_in_their_folder(tmp_path):
    from fetalkit.reporting.drawings import file_name

    assert file_name("Fetal brain") == "fetal-brain" and file_name("Trans-thalamic") == "trans-thalamic"
    assert file_name("../../Fetal / brain") == "fetal-brain" and file_name("..") == "plane"


# Killed

WRITING = """
import os, signal, sys
from pathlib import Path
from fetalkit.utils.files import replacing
with replacing(Path(sys.argv[1])) as temporary:
    if sys.argv[2] == "folder":
        temporary.mkdir()
        temporary = temporary / "index.html"
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("earlier", [True, False], ids=["replaced", "new"])
def test_what_is_killed_while_it_writes_leaves_nothing_half_written(kind, earlier, tmp_path):
    """All that is published, exported, released, drawn and predicted is written so."""
    target = tmp_path / "report"
    if earlier and kind == "folder":
        target.mkdir()
        (target / "index.html").write_text("whole")
    elif earlier:
        target.write_text("whole")
    command = [sys.executable, "-c", WRITING, str(target), kind]
    killed = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert target.exists() == earlier
    if earlier:
        assert (target / "index.html" if kind == "folder" else target).read_text() == "whole"
    assert all(path.name.startswith(".report-") for path in tmp_path.iterdir() if path != target)


# The machine


@pytest.mark.slow
def test_an_odd_environment_does_no_harm(tmp_path):
    odd = {"HOME": "/nowhere", "TMPDIR": "/nowhere", "OMP_NUM_THREADS": "abc", "LC_ALL": "C", "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        "-m",
        "fetalkit",
        "draw",
        "spain-64",
        "--plane",
        "Fetal brain",
        "-n",
        "1",
        "--steps",
        "2",
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")} | odd
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    drawn = tmp_path / "drawn" / "spain-64-fetal-brain-seed0"
    assert sorted(path.name for path in drawn.iterdir()) == ["fetal-brain-0000.png", "sheet.png"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_cannot_be_written_is_one_line():
    command = [sys.executable, "-m", "fetalkit", "list", "arms"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "fetalkit: the output: the disk is full; free some space and run again\n"
