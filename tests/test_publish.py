"""The report of a run is complete or not there; what is published changes only when somebody publishes."""

import errno
import json
import posixpath
import shutil
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from executed_notebooks import RECORD, execute
from nbformat.v4 import new_output

from fetalkit.analysis import checks
from fetalkit.config import params, privacy
from fetalkit.experiments import reader_study
from fetalkit.experiments.reader_study import Quiz
from fetalkit.experiments.transfer import settings as transfers
from fetalkit.reporting import build, front, overview, publish
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError

pytestmark = pytest.mark.slow

NOTEBOOKS = ("01_cohort", "07_classify", "09_report")


@pytest.fixture(autouse=True)
def root(elsewhere, monkeypatch):
    monkeypatch.setattr(paths, "NOTEBOOKS", elsewhere / "notebooks")
    paths.NOTEBOOKS.mkdir()
    return elsewhere


@pytest.fixture
def run(root):
    """Files of a finished run of africa."""
    for name in NOTEBOOKS:
        (paths.NOTEBOOKS / f"{name}.ipynb").touch()
        execute(name, f"# Title of {name}", [])
    files = {name: paths.data("africa", *parts) for name, parts in build.TABLES.items()}
    files |= {kind: paths.data("africa", "timings", f"{kind}.csv") for kind in ("generators", "classifiers")}
    files["summary"] = paths.data("africa", "report", "summary.json")
    files["card"] = paths.data("africa", "cards", "diffusion-k5-seed0", "dataset.md")
    for name, file in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('{"n_test": 3}' if name.endswith(("summary", "json")) else "seconds\n1.25\n2\n")
    return files


def content(folder):
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def built():
    return content(paths.data("africa", "pages"))


def published():
    return content(paths.reports("africa"))


def test_build_writes_pages_tables_cards_and_summary(run):
    assert build.build("africa") == paths.data("africa", "pages", "index.html")
    report = built()
    assert set(report) == {
        "index.html",
        "01_cohort.html",
        "07_classify.html",
        "test_readings.csv",
        "summary.json",
        "machine.json",
        "cards/diffusion-k5-seed0/dataset.md",
        "cards/diffusion-k5-seed0/dataset.html",
        "cards/index.html",
        *build.TABLES,
    }
    assert all(report[name] == run[name].read_bytes() for name in build.TABLES)
    assert json.loads(report["summary.json"]) == {
        "n_test": 3,
        "wall_seconds": 571.2,
        "wall_seconds_by_notebook": {"01_cohort": 190.4, "07_classify": 190.4, "09_report": 190.4},
        "training_core_seconds": {"generators": 3.2, "classifiers": 3.2},
        "test_readings": 1,
    }
    page = BeautifulSoup(report["index.html"], "html.parser")
    foot = {row.dt.text: row.dd.text for row in page.select("footer details dl div")}
    assert foot["classify.train_steps"] == str(params.load("africa").classify.train_steps)
    links = [link["href"] for link in page.select("footer li a")]
    assert links == [*build.TABLES, "summary.json"]
    made_on = json.loads(report["machine.json"])
    assert made_on["processor"] == RECORD["cpu"]
    assert made_on["libraries"]["torch"] == metadata.version("torch") and made_on["blas"]
    assert not paths.reports("africa").exists(), "a run publishes nothing"


@pytest.mark.parametrize("missing", ["generators", "summary", "results.csv", "card"])
def test_missing_part_is_named_and_the_earlier_report_stays(run, missing):
    build.build("africa")
    old = built()
    gone = run[missing].parents[1] if missing == "card" else run[missing]
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    with pytest.raises(FetalkitError, match=f"{gone.name}: not found; run the notebook that makes it"):
        build.build("africa")
    assert built() == old


def test_refused_page_leaves_the_earlier_report(run):
    build.build("africa")
    old = built()
    execute("01_cohort", "# New", [new_output("error", ename="ValueError", evalue="no")])
    with pytest.raises(FetalkitError, match=r"01_cohort.ipynb: cell 2 has failed; run"):
        build.build("africa")
    assert built() == old


@pytest.mark.parametrize("step", [build.build, publish.publish])
def test_full_disk_leaves_the_earlier_report(run, step, monkeypatch):
    build.build("africa")
    publish.publish("africa")
    old = built(), published()
    execute("01_cohort", "# New", [])
    copy = shutil.copyfile

    def full(source, target, **more):
        if Path(target).name == "gains.csv":
            raise OSError(errno.ENOSPC, "No space left on device")
        return copy(source, target, **more)

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(FetalkitError, match=r"cannot be written \(No space left on device\)"):
        step("africa")
    assert (built(), published()) == old
    assert not list(paths.data("africa").glob(".pages-*")) and not list((paths.ROOT / "reports").glob(".*"))


def test_unknown_study_is_named():
    with pytest.raises(FetalkitError, match="no section 'nowhere'"):
        build.build("nowhere")
    with pytest.raises(FetalkitError, match="pages: no report of a run is here; run `fetalkit repro nowhere` first"):
        publish.publish("nowhere")
    assert not (paths.ROOT / "reports").exists()


def test_publishing_takes_the_run_s_report_and_keeps_what_is_not_of_it(run):
    build.build("africa")
    others = {"dvc.yaml": b"stages", "dvc.lock": b"locked", "notes/mine.txt": b"mine", "first_round.csv": b"a\n"}
    old = {"02_images.html": b"old", "transfer.csv": b"old", "cards/gone/dataset.md": b"old", "index.html": b"old"}
    for name, text in (others | old).items():
        file = paths.reports("africa", name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text)
    paths.data("africa", "pages", "gains.csv").chmod(0o444)  # as DVC does where its cache is linked

    assert publish.publish("africa") == paths.reports("africa", "index.html")
    report = {name: overview.linked(text) for name, text in built().items() if name != "test_readings.csv"}
    assert published() == report | others
    assert all(b'href="../index.html"' in text for name, text in published().items() if name.endswith("html"))
    # Cards lie one folder below, where that is the report's own front page.
    beside = [text for name, text in built().items() if not name.startswith("cards")]
    assert not any(b'href="../index.html"' in text for text in beside), "there is no overview beside a run"
    page = BeautifulSoup(paths.reports("index.html").read_bytes(), "html.parser")
    pages = [name for name in report if name.endswith("html") and not name.startswith("cards")]
    assert {f"africa/{name}" for name in pages} <= {link["href"] for link in page.select("a")}
    publish.publish("africa")
    assert published() == report | others


def test_that_results_differ_from_those_they_replace_is_not_published(run):
    failed = checks.Check(checks.REPRODUCED, False, "1 of 13 tables within tolerance of what is published")
    passed = checks.Check("Runs finished", True, "0 of 50 runs failed")
    listed = "".join(map(front.line, (passed, failed, checks.Check("No leak", False, "3 shared"))))
    execute(
        "09_report", "# New", [new_output("display_data", {"text/html": f'<ul class="fetalkit checks">{listed}</ul>'})]
    )
    build.build("africa")
    assert b"1 of 13" in built()["index.html"]
    publish.publish("africa")
    (shown,) = BeautifulSoup(published()["index.html"], "html.parser").select("ul.checks")
    told = {line.strong.text: (line["class"], line.text) for line in shown.select("li")}
    assert told[checks.REPRODUCED][0] == ["unknown"] and "these results are new" in told[checks.REPRODUCED][1]
    assert told["Runs finished"][0] == ["passed"] and told["No leak"][0] == ["failed"], "others stand as they were"


def test_the_test_log_unites_what_was_published_and_earlier_runs(run):
    def readings():
        return pd.read_csv(paths.data("africa", "pages", "test_readings.csv")).results_sha256.tolist()

    build.build("africa")
    publish.publish("africa")
    (first,) = readings()
    run["results.csv"].write_text("another")
    build.build("africa")
    run["results.csv"].write_text("a third")
    build.build("africa")
    assert len(readings()) == len(set(readings())) == 3 and readings()[0] == first
    assert json.loads(built()["summary.json"])["test_readings"] == 3
    # In a fresh clone, and of results that have been published already.
    shutil.rmtree(paths.data("africa", "pages"))
    run["results.csv"].write_text("seconds\n1.25\n2\n")
    build.build("africa")
    assert readings() == [first]
    line = pd.read_csv(paths.data("africa", "pages", "test_readings.csv")).iloc[0]
    assert (line.started, line.commit) == (RECORD["started"], RECORD["commit"])
    assert (line.cohort, line.study, line.what_for) == ("africa", "africa", "accuracy of the arms")


def test_who_was_shown_test_images_in_the_blind_test_is_in_the_log(run):
    quiz = Quiz("quiz", np.zeros((2, 4, 4), np.uint8), ("a", "a"), ("real", "synthetic"), ("x", "0"))
    reader_study.save(quiz, quiz.score(["real", "real"]), "R", "none", paths.work("africa", "blind_test.csv"))
    build.build("africa")
    log = pd.read_csv(paths.data("africa", "pages", "test_readings.csv")).set_index("what_for")
    assert set(log.cohort) == {"africa"} and set(log.commit) == {RECORD["commit"]} and len(log) == 2
    assert "real images that a person was to tell from synthetic ones" in log.index


def test_one_log_has_the_readings_of_all_studies(run):
    log = paths.ROOT / "reports" / "test_readings.csv"
    build.build("africa")
    publish.publish("africa")
    lines = pd.read_csv(log)
    other = lines.assign(study="hospitals", what_for="accuracy in places that classifiers were not trained in")
    other.to_csv(log, index=False)
    run["results.csv"].write_text("another")
    build.build("africa")
    publish.publish("africa")
    kept = pd.read_csv(log)
    assert sorted(kept.study) == ["africa", "africa", "hospitals"] and set(kept.cohort) == {"africa"}
    # A report tells of its own study alone.
    assert set(pd.read_csv(paths.data("africa", "pages", "test_readings.csv")).study) == {"africa"}


def test_a_study_between_cohorts_is_one_page(run, monkeypatch):
    folder = "between"
    monkeypatch.setattr(transfers, "between_cohorts", lambda study: study == folder)
    monkeypatch.setattr(privacy, "public", lambda study: True)
    monkeypatch.setattr(build, "_transfer_settings", lambda study: {"seeds": [0]})
    monkeypatch.setattr(build, "_whose_patients", lambda study: ["spain", "africa"])
    execute(build.TRANSFER, "# Between", [], cohort=folder)
    for name in build.BETWEEN_TABLES:
        paths.data(folder, "transfer").mkdir(parents=True, exist_ok=True)
        paths.data(folder, "transfer", name).write_text("{}")
    build.build(folder)
    assert publish.publish(folder) == paths.reports(folder, "index.html")
    names = set(content(paths.reports(folder)))
    assert names == {"index.html", "machine.json", *build.BETWEEN_TABLES}
    lines = pd.read_csv(paths.ROOT / "reports" / "test_readings.csv")
    assert lines.cohort.tolist() == ["spain", "africa"] and set(lines.study) == {folder}


@pytest.mark.parametrize("search", publish.SEARCHES)
def test_a_search_is_built_and_published_in_one_go(search):
    notebook, names, folder = publish.SEARCHES[search]
    execute(notebook, "# Search", [])
    with pytest.raises(FetalkitError, match=f"{names[0]}: not found; run the notebook that makes it"):
        publish.publish("africa", search)
    for name in names:
        paths.data("africa", "search").mkdir(parents=True, exist_ok=True)
        paths.data("africa", "search", name).write_text("a\n")
    place = paths.reports(folder.format(cohort="africa"))
    place.mkdir(parents=True)
    (place / "first_round.csv").write_text("kept")
    assert publish.publish("africa", search) == place / "index.html"
    assert set(content(place)) == {"index.html", "first_round.csv", *names}
    assert (place / "first_round.csv").read_text() == "kept"
    assert b'href="../index.html"' in (place / "index.html").read_bytes()
    assert f'href="{place.name}/index.html"' in paths.reports("index.html").read_text()


def test_unknown_search_is_named():
    with pytest.raises(FetalkitError, match="there is no search 'x'; choose one of: generator, training"):
        publish.publish("africa", "x")


CARD = """---
license: cc-by-4.0
tags:
- ultrasound
- class-conditional
---
# A set

| plane | images |
|---|---|
| Fetal brain | 5 |

[Its generator](../../04_generator.html), and <b>no</b> HTML.
"""


def links(content, name):
    soup = BeautifulSoup(content, "html.parser")
    found = [str(link["href"]).partition("#")[0] for link in soup.select("a[href]")]
    return [
        posixpath.normpath(posixpath.join(posixpath.dirname(name), href)) for href in found if href and ":" not in href
    ]


def test_cards_are_pages_reached_from_the_front_page(run):
    run["card"].write_text(CARD)
    build.build("africa")
    report = built()
    assert report["cards/diffusion-k5-seed0/dataset.md"].decode() == CARD  # as a hub reads it
    page = report["cards/diffusion-k5-seed0/dataset.html"].decode()
    soup = BeautifulSoup(page, "html.parser")
    assert soup.h1.text == "A set" and [cell.text for cell in soup.select("td")] == ["Fetal brain", "5"]
    assert "---" not in soup.main.text and "class-conditional" in soup.main.text and soup.b is None
    assert "cards/index.html" in links(report["index.html"], "index.html")
    assert "cards/diffusion-k5-seed0/dataset.html" in links(report["cards/index.html"], "cards/index.html")
    there = links(page, "cards/diffusion-k5-seed0/dataset.html")
    assert set(there) - {"04_generator.html"} <= set(report) and "index.html" in there


def test_a_report_as_one_file_opens_anywhere(run, monkeypatch):
    shutil.copy(Path(__file__).parents[1] / "CITATION.cff", paths.ROOT)
    shutil.copy(Path(__file__).parents[1] / "LICENSE", paths.ROOT)
    execute(
        "07_classify",
        "# Title of it",
        "[All](../index.html) studies, [another](../spain/index.html), [home](index.html)",
    )
    build.build("africa")
    page = publish.publish("africa")
    (page.parent / "dvc.yaml").write_text("stages: {}")
    (made,) = publish.to_share("africa", page, zipped=True, pdf=False)
    assert made == paths.reports("africa.zip")
    first = made.read_bytes()
    with zipfile.ZipFile(made) as archive:
        files = {info.filename: archive.read(info) for info in archive.infolist()}
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert {name.partition("/")[0] for name in files} == {"fetalkit-africa"}
    files = {name.partition("/")[2]: content for name, content in files.items()}
    report = {f"africa/{name}": content for name, content in published().items() if name != "dvc.yaml"}
    assert set(files) == {"START-HERE.html", "LICENSE", "CITATION.cff", *report}
    assert all(files[name] == content for name, content in report.items() if not name.endswith(".html"))
    for name in files:
        if name.endswith(".html"):
            assert set(links(files[name], name)) <= set(files), name
    start = links(files["START-HERE.html"], "START-HERE.html")
    assert {"africa/index.html", "africa/07_classify.html", "africa/cards/index.html", "LICENSE"} <= set(start)
    assert "CC BY 4.0" in files["START-HERE.html"].decode()
    text = BeautifulSoup(files["africa/07_classify.html"], "html.parser").main.text
    assert " studies, another, home" in text and "All" not in text
    monkeypatch.setattr("time.time", lambda: 2e9)
    publish.to_share("africa", page, zipped=True, pdf=False)
    assert made.read_bytes() == first


def test_a_private_report_as_one_file_stays_where_git_ignores_it(run, monkeypatch):
    shutil.copy(Path(__file__).parents[1] / "CITATION.cff", paths.ROOT)
    shutil.copy(Path(__file__).parents[1] / "LICENSE", paths.ROOT)
    monkeypatch.setattr(privacy, "public", lambda study: False)
    build.build("africa")
    (made,) = publish.to_share("africa", publish.publish("africa"), zipped=True, pdf=False)
    assert made == paths.private_reports("africa.zip") and not paths.reports("africa.zip").exists()
    with zipfile.ZipFile(made) as archive:
        assert "Pass this file on to nobody" in archive.read("fetalkit-africa/START-HERE.html").decode()
