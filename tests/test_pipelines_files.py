"""Pipelines are written from one, and running one leaves what git tracks as it was."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

import fetalkit
from fetalkit import cli
from fetalkit.config import privacy
from fetalkit.runner import lock, pipeline
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError

ROOT = Path(__file__).parents[1]
STAGES = """\
# The study as a pipeline.
vars:
  - cohort: phantom
    root: .

stages:
  first:
    wdir: ${root}
    cmd: python stage.py data/${cohort}/cohort
    deps:
      - stage.py
    params:
      - ${cohort}.cohort
    outs:
      - data/${cohort}/cohort

  # <default> The transfer study.
  move:
    wdir: ${root}
    cmd: python stage.py data/${cohort}/moved
    deps:
      - stage.py
      - data/${cohort}/cohort/made
    params:
      - transfer.${cohort}
      - ${cohort}.cohort
    outs:
      - data/${cohort}/moved: {persist: true}

  # </default>
  pages:
    wdir: ${root}
    cmd: python stage.py data/${cohort}/pages
    deps:
      - data/${cohort}/cohort
      # <default>
      - data/${cohort}/moved/made
      # </default>
    params:
      - ${cohort}
      # <default>
      - transfer.${cohort}
      # </default>
    outs:
      - data/${cohort}/pages
"""
PARAMS = {
    "run": {"device": "cpu"},
    "phantom": {"cohort": {"seed": 0}},
    "ward": {"cohort": {"seed": 1}},
    "east": {"cohort": {"seed": 2}},
    "transfer": {
        "phantom": {"leave_out": [{"cohort": "phantom"}]},
        "regions": {"across": [["east", "phantom"]], "leave_out": [{"cohort": "ward"}, {"cohort": "east"}]},
    },
}
STAGE = """\
import os, sys, time
if os.path.exists("fail") and "pages" in sys.argv[1]:
    sys.exit(3)
os.makedirs(sys.argv[1], exist_ok=True)
open(sys.argv[1] + "/made", "w").write(sys.argv[1])
if os.path.exists("hang") and "pages" in sys.argv[1]:
    open("hanging", "w").write(str(os.getpid()))
    time.sleep(300)
"""
START = (
    "import sys; from pathlib import Path; from fetalkit import cli; from fetalkit.utils import paths;"
    "paths.ROOT = Path.cwd(); paths.PARAMS = paths.ROOT / 'params.yaml'; sys.exit(cli.main(sys.argv[1:]))"
)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A small project in git and DVC; a space and letters of another alphabet, as in "OneDrive - Hôpital"."""
    root = tmp_path / "a stúdy – клиника"
    root.mkdir()
    monkeypatch.setattr(paths, "ROOT", root)
    monkeypatch.setattr(paths, "PARAMS", root / "params.yaml")
    monkeypatch.setattr(privacy, "public", lambda study: True)  # the sections above are of no known kind
    monkeypatch.delenv("FETALKIT_MIRROR", raising=False)
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "test")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "test")
    (root / "dvc.yaml").write_text(STAGES)
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS, sort_keys=False))
    (root / "stage.py").write_text(STAGE)
    (root / ".gitignore").write_text("data/\nwork/\nhang*\nfail\n")
    return root


@pytest.fixture
def repository(root):
    git("init", "-q")
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, check=True)
    commit()
    return root


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=paths.ROOT, check=True, capture_output=True, text=True).stdout


def commit():
    git("add", "--all")
    git("commit", "-q", "-m", "state")


def status():
    return git("status", "--porcelain", "--untracked-files=all")


def repro(*arguments, code=0):
    """Run ``fetalkit repro``; return the names of the stages that ran, and what was printed."""
    process = start("repro", *arguments)
    out, err = process.communicate(timeout=600)
    assert process.returncode == code, out + err
    return (
        [line.split("'")[1].split(":")[-1] for line in out.splitlines() if line.startswith("Running stage")],
        out,
        err,
    )


def start(*arguments):
    package = str(Path(fetalkit.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-c", START, *arguments],
        cwd=paths.ROOT,
        env=os.environ | {"PYTHONPATH": package},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background, a shell has had them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def hanging():
    """The stage that hangs, once it does."""
    file, end = paths.ROOT / "hanging", time.monotonic() + 60
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < end, "no stage hangs"
        time.sleep(0.05)
    process = psutil.Process(int(file.read_text()))
    file.unlink()
    return process


def test_a_cohorts_pipeline_is_the_default_one_less_its_transfer_study(root):
    assert pipeline.default() == "phantom"
    assert pipeline.studies() == ["phantom", "ward", "east", "regions"]
    assert pipeline.text("phantom") == STAGES
    content = yaml.safe_load(pipeline.text("ward"))
    assert content["vars"] == [{"cohort": "ward", "root": "../.."}]
    assert list(content["stages"]) == ["first", "pages"]
    assert content["stages"]["first"] == yaml.safe_load(STAGES)["stages"]["first"]
    assert content["stages"]["pages"]["deps"] == ["data/${cohort}/cohort"]
    assert content["stages"]["pages"]["params"] == ["${cohort}"]
    assert "<default>" not in pipeline.text("ward")


def test_a_cohort_may_have_a_transfer_study_of_its_own(root):
    PARAMS_OF_WARD = {"transfer": PARAMS["transfer"] | {"ward": {"leave_out": [{"cohort": "ward", "by": "centre"}]}}}
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS | PARAMS_OF_WARD))
    content = yaml.safe_load(pipeline.text("ward"))
    assert content["stages"] == yaml.safe_load(STAGES)["stages"]
    assert content["vars"] == [{"cohort": "ward", "root": "../.."}]
    PARAMS_OF_WARD["transfer"]["ward"] = {"across": [["east", "ward"]]}
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS | PARAMS_OF_WARD))
    with pytest.raises(
        FetalkitError, match=r"params.yaml: transfer.ward also reads east; a study between cohorts needs"
    ):
        pipeline.text("ward")


def test_a_cohort_whose_arms_begin_with_another_one_reads_that(root):
    marked = """\
      - data/${cohort}/cohort
      # <other-cohort> - data/${other}/images
    """.rstrip(" ")
    (root / "dvc.yaml").write_text(STAGES.replace("      - data/${cohort}/cohort\n", marked, 1))
    assert "data/${other}" not in pipeline.text("ward") and pipeline.needed("ward") == ["ward"]
    changed = PARAMS | {"ward": PARAMS["ward"] | {"classify": {"other_cohort": "east"}}}
    (root / "params.yaml").write_text(yaml.safe_dump(changed))
    assert "\n      - data/east/images\n" in pipeline.text("ward") and pipeline.needed("ward") == ["east", "ward"]
    assert "data/east" not in pipeline.text("east") and "# <other-cohort> -" in pipeline.text("phantom")


def test_a_study_between_cohorts_has_the_data_of_all_of_them(root):
    content = yaml.safe_load(pipeline.text("regions"))
    assert content["vars"] == [{"cohort": "regions", "root": "../.."}]
    move, pages = content["stages"].values()
    read = ["east", "phantom", "ward"]
    assert move["cmd"] == "python stage.py data/${cohort}/moved"
    assert move["deps"] == ["stage.py", *(f"data/{cohort}/cohort/made" for cohort in read)]
    assert move["params"] == ["transfer.${cohort}", *(f"{cohort}.cohort" for cohort in read)]
    assert move["outs"] == [{"data/${cohort}/moved": {"persist": True}}]
    assert pages["deps"] == ["data/${cohort}/moved/made"]
    assert pages["params"] == ["transfer.${cohort}"]
    assert pipeline.needed("regions") == [*read, "regions"] and pipeline.needed("ward") == ["ward"]


def test_pipelines_are_brought_up_to_date(root, capsys, monkeypatch):
    monkeypatch.setattr(
        pipeline.dependencies, "updated", lambda text: text.replace("      - stage.py\n", "      - new.py\n")
    )
    for study in ("ward", "regions"):
        paths.reports(study).mkdir(parents=True)
        paths.reports(study, "dvc.yaml").write_text("old")
    assert cli.main(["pipelines"]) == 0
    assert capsys.readouterr().out.count("rewritten") == 3
    assert pipeline.text("phantom").count("      - new.py\n") == 2 and "stage.py\n" not in pipeline.text("phantom")
    assert all(paths.reports(study, "dvc.yaml").read_text() == pipeline.text(study) for study in ("ward", "regions"))
    assert cli.main(["pipelines"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("path", sorted(ROOT.glob("reports/*/dvc.yaml")), ids=lambda path: path.parent.name)
def test_published_pipelines_are_up_to_date(path):
    assert path.read_text(encoding="utf-8") == pipeline.text(path.parent.name), "run `fetalkit pipelines`"


@pytest.mark.slow
def test_an_unknown_study_is_one_line_and_leaves_nothing(repository):
    ran, out, err = repro("typo", code=1)
    assert (ran, out) == ([], "")
    assert err == "fetalkit: typo: there is no such study; params.yaml has: phantom, ward, east, regions\n"
    assert not (repository / "reports").exists() and not (repository / "work").exists()


@pytest.mark.slow
@pytest.mark.parametrize("study", ["phantom", pytest.param("ward", marks=pytest.mark.long)])
def test_a_run_leaves_git_clean_and_is_remembered(study, repository):
    ran, out, err = repro(study)
    assert ran == (["first", "move", "pages"] if study == "phantom" else ["first", "pages"])
    assert out.endswith(
        f"The report is at {paths.data(study, 'pages', 'index.html')}\nTo publish it: fetalkit publish {study}\n"
    )
    assert "git add" not in out + err
    assert status() == ""
    assert sorted(path.name for path in paths.work(study, "pipeline").iterdir()) == ["dvc.lock", "lock"]
    assert not paths.reports(study).exists() and not (repository / "dvc.lock").exists()
    ran, out, _ = repro(study)
    assert ran == [] and "up to date" in out
    assert status() == ""


@pytest.mark.slow
def test_the_default_study_and_single_stages(repository):
    ran, out, _ = repro("phantom", "move")
    assert ran == ["first", "move"] and "The report is at" not in out
    ran, _, _ = repro()
    assert ran == ["pages"]


@pytest.mark.slow
def test_published_files_are_put_back_and_replaced_only_by_publishing(repository):
    repro("ward")
    assert not paths.reports("ward").exists()
    pipeline.keep_published_lock("ward")
    published = paths.reports("ward", "dvc.lock").read_bytes()
    assert published == pipeline.kept_lock("ward").read_bytes()
    assert paths.reports("ward", "dvc.yaml").read_text() == pipeline.text("ward")
    commit()
    # A fresh clone has the published lock alone: nothing need run again.
    pipeline.kept_lock("ward").unlink()
    assert repro("ward")[0] == []
    (repository / "params.yaml").write_text(yaml.safe_dump(PARAMS | {"ward": {"cohort": {"seed": 5}}}, sort_keys=False))
    commit()
    assert repro("ward")[0] == ["first", "pages"]
    assert status() == ""
    assert paths.reports("ward", "dvc.lock").read_bytes() == published != pipeline.kept_lock("ward").read_bytes()
    assert repro("ward")[0] == []
    assert cli.main(["publish", "ward"]) == 1, "there are no pages"
    assert status() == ""


@pytest.mark.slow
def test_a_study_between_cohorts_runs_what_it_needs_of_them(repository):
    repro("ward")
    ran, _, _ = repro("regions")
    # What ward has done already is not done again; of the others only what is read.
    assert sorted(ran) == ["first", "first", "move", "pages"]
    assert status() == ""
    assert not any((repository / "reports").iterdir())
    assert repro("regions")[0] == []
    assert repro("east")[0] == ["pages"]


@pytest.mark.slow
def test_a_failing_stage_puts_everything_back(repository):
    (repository / "fail").touch()
    ran, _, err = repro("ward", code=1)
    assert ran == ["first", "pages"]
    assert err.endswith(
        "fetalkit: ward: the pipeline has stopped, see above; `fetalkit repro ward` goes on from there\n"
    )
    assert "Traceback" not in err
    assert status() == ""
    (repository / "fail").unlink()
    assert repro("ward")[0] == ["pages"]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, 1)])
def test_an_ended_run_puts_everything_back(number, code, repository):
    (repository / "hang").touch()
    process = start("repro", "ward")
    stage = hanging()
    assert "reports/ward/dvc.yaml" in status()
    if number == signal.SIGINT:
        stage.send_signal(number)  # as a terminal does, which sends it to all
    process.send_signal(number)
    _, err = process.communicate(timeout=600)
    assert process.returncode == code, err
    assert not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE
    assert status() == ""
    assert not any((repository / "reports").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("study", ["phantom", pytest.param("ward", marks=pytest.mark.long)])
def test_a_killed_run_is_gone_on_from(study, repository):
    repro(study)
    pipeline.keep_published_lock(study)
    commit()
    (repository / "params.yaml").write_text(yaml.safe_dump(PARAMS | {study: {"cohort": {"seed": 5}}}, sort_keys=False))
    commit()
    (repository / "hang").touch()
    process = start("repro", study)
    stage = hanging()
    process.kill()
    process.wait()
    stage.kill()
    process.communicate()
    assert "dvc.lock" in status()
    (repository / "hang").unlink()
    assert repro(study)[0] == ["pages"], "what the killed run had finished is done again"
    assert status() == ""
    assert repro(study)[0] == []


@pytest.mark.slow
def test_after_a_kill_files_that_a_person_has_put_back_stay(repository):
    repro("phantom")
    pipeline.keep_published_lock("phantom")
    commit()
    (repository / "params.yaml").write_text(
        yaml.safe_dump(PARAMS | {"phantom": {"cohort": {"seed": 5}}}, sort_keys=False)
    )
    commit()
    (repository / "hang").touch()
    process = start("repro")
    stage = hanging()
    process.kill()
    process.wait()
    stage.kill()
    process.communicate()
    (repository / "hang").unlink()
    git("checkout", "dvc.lock")
    (repository / "dvc.lock").write_text((repository / "dvc.lock").read_text() + "# newer\n")
    commit()
    repro()
    assert status() == ""
    assert (repository / "dvc.lock").read_text().endswith("# newer\n")


@pytest.mark.slow
def test_two_runs_of_one_study_are_refused(repository, capfd):
    (repository / "hang").touch()
    process = start("repro", "ward")
    hanging()
    try:
        for command in (["repro", "ward"], ["publish", "ward"], ["repro", "regions"]):
            assert cli.main(command) == 1
            err = capfd.readouterr().err
            assert err.startswith(f"fetalkit: ward: process {process.pid} is at work on its pipeline since ")
            assert err.endswith(f"; wait until it ends, or end it: kill {process.pid}\n")
    finally:
        process.terminate()
        process.communicate(timeout=600)
    assert status() == ""


@pytest.mark.slow
def test_a_runner_that_outlived_its_pipeline_is_named(repository):
    code = START.replace("sys.exit(cli.main(sys.argv[1:]))", "") + (
        "from fetalkit.runner import lock; import time\n"
        "with lock.study_lock('ward', '07_classify'):\n    print('held', flush=True)\n    time.sleep(300)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    runner = subprocess.Popen(
        [sys.executable, "-c", code], cwd=repository, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert runner.stdout.readline() == "held\n"
        ran, _, err = repro("ward", code=1)
        assert ran == []
        assert err.startswith(f"fetalkit: ward: process {runner.pid} is at work on 07_classify since ")
    finally:
        runner.kill()
        runner.communicate()
    assert status() == ""
    with lock.study_lock("ward", "report"):
        assert repro("east")[0] == ["first", "pages"]
