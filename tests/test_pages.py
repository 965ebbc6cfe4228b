"""Published pages: self-contained, complete or not at all; and what notebooks show in them."""

import base64
import errno
import io
import json
import re
from pathlib import Path

import matplotlib
import nbformat
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from fetalkit.config import params
from fetalkit.reporting import display, pages
from fetalkit.reporting import publish as stage
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError

matplotlib.use("Agg")
from matplotlib import pyplot as plt

RECORD = {
    "started": "2026-11-22T11:54:00+00:00",
    "seconds": 190.4,
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "dirty": True,
    "python": "3.11.7",
    "platform": "Linux-6",
    "cpu": "A <fast> one",
    "cores": 2,
    "memory_gib": 23.5,
    "gpu": None,
    "versions": {"torch": "2.14.1"},
}


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def shown(monkeypatch):
    """What the functions of `display` show, as a list of soups."""
    soups = []
    monkeypatch.setattr(display, "display", lambda html: soups.append(BeautifulSoup(html.data, "html.parser")))
    return soups


def execute(name, *cells):
    """Store a notebook as the runner would: text is Markdown, a list is the outputs of a code cell."""
    made = [new_markdown_cell(c) if isinstance(c, str) else new_code_cell("x = 1", outputs=c) for c in cells]
    notebook = new_notebook(cells=made)
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "code":
            cell.execution_count = number
    notebook.metadata["fetalkit"] = RECORD | {"notebook": name, "cohort": "africa", "parameters": {"cohort": "africa"}}
    path = paths.executed("africa", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def html(text):
    return new_output("display_data", {"text/html": str(text), "text/plain": "<HTML>"})


def publish(*names, tables=None, settings=None):
    return pages.publish("africa", names, tables or {}, "09_report", settings or {})


def page(name):
    return BeautifulSoup(paths.reports("africa", name).read_text(encoding="utf-8"), "html.parser")


def report():
    return {file: file.read_bytes() for file in sorted(paths.reports("africa").rglob("*")) if file.is_file()}


def figure(shown, name="planes", caption="Planes & <centres>."):
    fig, axes = plt.subplots(figsize=(2, 1))
    axes.plot([0, 1])
    display.figure(fig, name, caption, alt="A rising line")
    return shown[-1]


def test_report_is_complete_and_needs_nothing_else(root, shown):
    drawn = figure(shown)
    warning = "/tmp/ipykernel_12/34.py:3: UserWarning: \x1b[31mlow & slow\x1b[0m\n  warnings.warn('low & slow')\n"
    execute(
        "01_cohort",
        "# Which images?\n\nSee [the paper](https://doi.org/10.1000/1).",
        [],
        "## Counts & more?\n\n### By plane\n\n## Counts\n\n## Counts",
        [new_output("stream", name="stderr", text=warning), new_output("stream", name="stdout", text="a < b\n")],
        [html(drawn)],
        [new_output("execute_result", {"text/plain": "<3>"})],
    )
    execute("02_generate", "No heading", [])
    execute("09_report", "# Does it help?", [])
    (root / "results.csv").write_text("arm,accuracy\n")
    settings = {"shots": [5, "all"], "diffusion": {"steps": 4000}}
    front = publish(
        "01_cohort", "02_generate", "09_report", tables={"results.csv": root / "results.csv"}, settings=settings
    )

    assert front == paths.reports("africa", "index.html")
    names = {file.relative_to(front.parent).as_posix() for file in report()}
    assert names == {"index.html", "01_cohort.html", "02_generate.html", "figures/01_cohort-planes.png", "results.csv"}
    assert paths.reports("africa", "results.csv").read_text() == "arm,accuracy\n"
    with Image.open(paths.reports("africa", "figures", "01_cohort-planes.png")) as png:
        assert f"{png.width} {png.height}" == f"{drawn.img['width']} {drawn.img['height']}"

    cohort = page("01_cohort.html")
    for found in (cohort, page("02_generate.html"), page("index.html")):
        assert not found.select("script, link, iframe")
        assert all(element["src"].startswith("data:") for element in found.select("[src]"))
        assert "default-src 'none'" in found.find("meta", {"http-equiv": "Content-Security-Policy"})["content"]
        assert found.html["lang"] == "en" and len(found.select("h1")) == 1
        identifiers = [element["id"] for element in found.select("[id]")]
        assert len(identifiers) == len(set(identifiers))
        assert all(found.find(id=link["href"][1:]) for link in found.select("a[href^='#']") if "%" not in link["href"])
    assert page("02_generate.html").h1.text == "2 Generate"
    assert cohort.title.text.startswith("Which images? – africa")

    contents = [(item["class"], item.a["href"], item.text) for item in cohort.select(".side ol li")]
    assert contents == [
        (["level2"], "#Counts-%26-more%3F", "Counts & more?"),
        (["level3"], "#By-plane", "By plane"),
        (["level2"], "#Counts", "Counts"),
        (["level2"], "#Counts-2", "Counts"),
    ]
    links = [(link.text, link["href"], link.get("aria-current")) for link in cohort.select(".side ul a")]
    assert links == [
        ("Report", "index.html", None),
        ("1 Cohort", "01_cohort.html", "page"),
        ("2 Generate", "02_generate.html", None),
    ]
    assert cohort.select_one(".messages pre").text == "UserWarning: low & slow"
    assert [pre.text for pre in cohort.select(".printed")] == ["a < b", "<3>"]
    # Code that shows nothing is folded together with the code after it, but not across text.
    assert [fold.pre.text.strip() for fold in cohort.select("details.code")] == ["x = 1"] * 4

    foot = {row.dt.text: row.dd.text for row in cohort.select("footer dl div")}
    assert foot["Commit"] == "0123456789ab with uncommitted changes"
    assert foot["Started"] == "2026-11-22 11:54 UTC" and foot["Duration"] == "0:03:10"
    assert foot["Processor"] == "A <fast> one, 2 cores" and foot["GPU"] == "none"
    assert foot["torch"] == "2.14.1" and foot["cohort"] == "africa"
    assert foot["shots"] == "5, all" and foot["diffusion.steps"] == "4000"
    assert cohort.select_one("footer a[href='results.csv']")


def test_code_is_folded_and_not_printed():
    execute("09_report", "# Title", [])
    publish()
    (fold,) = page("index.html").select("details.code")
    assert not fold.has_attr("open")
    on_paper = page("index.html").style.text.partition("@media print")[2]
    hidden = [selectors for selectors, rule in re.findall(r"([^{}]+){([^{}]+)}", on_paper) if "display: none" in rule]
    assert ".code" in hidden[0].replace(",", " ").split()


def test_code_without_output_joins_the_code_after_it():
    execute("09_report", "# Title", [], [], [new_output("stream", name="stdout", text="1")], "Text", [])
    publish()
    folds = [fold.pre.text.split() for fold in page("index.html").select("details.code")]
    assert [len(fold) // 3 for fold in folds] == [3, 1]


def test_what_earlier_reports_left_goes_and_nothing_else(shown):
    execute("01_cohort", "# Old", [html(figure(shown, "old"))])
    execute("09_report", "# Report", [])
    publish("01_cohort")
    others = ["dvc.yaml", "dvc.lock", "summary.json", "figures/notes.txt"]
    for name in others:
        paths.reports("africa", name).write_text("kept")
    publish()
    names = {file.relative_to(paths.reports("africa")).as_posix() for file in report()}
    assert names == {"index.html", *others}


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (html("<script>1</script>"), "01_cohort: an output holds <script>"),
        (
            html("<img src='https://example.org/a.png' alt=''>"),
            "the page would need the file https://example.org/a.png",
        ),
        (new_output("error", ename="ValueError", evalue="no"), "01_cohort.ipynb: cell 2 has failed; run"),
        (html("x" * 3_000_000), "01_cohort: its page has 3.0 MB, it must stay below 3.0 MB"),
        (html("<figure class='fetalkit' id='a'></figure>" * 2), "01_cohort: two figures or tables are named a"),
    ],
    ids=["script", "image", "error", "size", "twice"],
)
def test_refused_page_leaves_the_old_report(output, message):
    execute("01_cohort", "# Old", [])
    execute("09_report", "# Report", [])
    publish("01_cohort")
    old = report()
    execute("01_cohort", "# New", [output])
    execute("09_report", "# New report", [])
    with pytest.raises(FetalkitError, match=message) as caught:
        publish("01_cohort")
    assert "\n" not in str(caught.value)
    assert report() == old


def test_relative_image_in_text_is_refused():
    execute("09_report", "# Report\n\n![picture](picture.png)")
    with pytest.raises(FetalkitError, match="09_report: the page would need the file picture.png"):
        publish()


def test_full_disk_leaves_the_old_report(monkeypatch):
    execute("01_cohort", "# Old", [])
    execute("09_report", "# Report", [])
    publish("01_cohort")
    old = report()
    execute("01_cohort", "# New", [])
    write = Path.write_bytes

    def full(path, content):
        if path.name == "01_cohort.html":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FetalkitError, match="cannot be written .No space left on device."):
        publish("01_cohort")
    assert report() == old


def test_pages_name_no_place_of_this_machine(root):
    """Whatever a notebook shows, is given or is set to; pictures stay as they are."""
    place, picture = f"{root}/data/a.csv", f"<img alt='' src='data:image/png;base64,iVBO{root}/+'>"
    execute("09_report", f"# Report\n\n{place}", [html(f"<b title='{place}'>{place}</b>"), html(picture)])
    publish(settings={"folder": place})
    found = page("index.html")
    assert found.select_one("img")["src"].endswith(f"{root}/+")
    assert str(root) not in str(found).replace(found.select_one("img")["src"], "")
    assert found.b["title"] == found.b.text == "…/data/a.csv"


def test_publish_writes_all_tables_and_the_summary(root, monkeypatch):
    monkeypatch.setattr(paths, "NOTEBOOKS", root / "notebooks")
    paths.NOTEBOOKS.mkdir()
    for name in ("01_cohort", "07_classify", "09_report"):
        (paths.NOTEBOOKS / f"{name}.ipynb").touch()
        execute(name, f"# Title of {name}", [])
    files = {name: paths.data("africa", *parts) for name, parts in stage.TABLES.items()}
    files |= {kind: paths.data("africa", "timings", f"{kind}.csv") for kind in ("generators", "classifiers")}
    files["summary"] = paths.data("africa", "report", "summary.json")
    for name, file in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('{"n_test": 3}' if name.endswith(("summary", "json")) else "seconds\n1.25\n2\n")
    with pytest.raises(FetalkitError, match="cards: not found; run the stage"):
        stage.publish("africa")
    card = paths.data("africa", "cards", "diffusion-k5-seed0", "dataset.md")
    card.parent.mkdir(parents=True)
    card.write_text("# A set")

    assert stage.publish("africa") == paths.reports("africa", "index.html")
    names = {file.relative_to(paths.reports("africa")).as_posix() for file in report()}
    assert names == {
        "index.html",
        "01_cohort.html",
        "07_classify.html",
        "test_readings.csv",
        "summary.json",
        "cards/diffusion-k5-seed0/dataset.md",
        *stage.TABLES,
    }
    summary = json.loads(paths.reports("africa", "summary.json").read_text())
    assert summary == {
        "n_test": 3,
        "wall_seconds": 571.2,
        "wall_seconds_by_notebook": {"01_cohort": 190.4, "07_classify": 190.4, "09_report": 190.4},
        "training_core_seconds": {"generators": 3.2, "classifiers": 3.2},
        "test_readings": 1,
    }
    foot = {row.dt.text: row.dd.text for row in page("index.html").select("footer details dl div")}
    assert foot["classify.train_steps"] == str(params.load("africa").classify.train_steps)

    old = report()
    files["generators"].unlink()
    monkeypatch.setattr("sys.argv", ["publish", "africa"])
    with pytest.raises(SystemExit, match="fetalkit: publish: .*generators.csv: cannot be read .*; run the stage"):
        stage.main()
    monkeypatch.setattr("sys.argv", ["publish", "nowhere"])
    with pytest.raises(SystemExit, match="fetalkit: publish: cohort 'nowhere' is not known"):
        stage.main()
    assert report() == old


def test_missing_parts_are_named(root):
    with pytest.raises(FetalkitError, match="09_report.ipynb: there is no such notebook"):
        publish()
    execute("09_report", "# Report")
    with pytest.raises(FetalkitError, match="none.csv: cannot be read"):
        publish(tables={"results.csv": root / "none.csv"})
    with pytest.raises(FetalkitError, match="dvc.lock: is no name for a table"):
        publish(tables={"dvc.lock": root / "none.csv"})
    assert not paths.reports("africa").exists()


@pytest.mark.parametrize(
    ("printed", "tidy"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        (" 10%\r 50%\r100%\nend\r\n", "100%\nend\r"),
        ("/opt/lib/python3.11/site-packages/timm/models.py:5: note", "timm/models.py:5: note"),
    ],
)
def test_printed_text_is_tidied(printed, tidy):
    assert pages._tidy(printed) == tidy


def test_figure_is_escaped_closed_and_deterministic(shown):
    first, second = figure(shown), figure(shown)
    assert first.figcaption.text == "Planes & <centres>." and first.img["alt"] == "A rising line"
    assert first.figure["id"] == "planes" and not plt.get_fignums()
    assert first.img["src"] == second.img["src"]
    with Image.open(io.BytesIO(base64.b64decode(first.img["src"].partition(",")[2]))) as png:
        assert not png.info


def test_table_formats_aligns_and_escapes(shown):
    frame = pd.DataFrame(
        {
            "centre": ["Ghana <b>", "Uganda", None],
            "images": [1200, 3, 4],
            "share": [0.25, np.nan, 0.123456],
            "seconds": [0.123456, 12.5, 123456.7],
            "ok": [True, False, True],
        }
    )
    display.table(frame, "counts", "Counts & more", formats={"share": ".1%", "images": "{:,} images"})
    table = shown[0].table
    assert table["id"] == "counts" and table.caption.text == "Counts & more"
    assert [cell.text for cell in table.select("thead th[scope=col]")] == list(frame.columns)
    assert [[cell.text for cell in row.select("td")] for row in table.select("tbody tr")] == [
        ["Ghana <b>", "1,200 images", "25.0%", "0.1235", "yes"],
        ["Uganda", "3 images", "–", "12.5", "no"],
        ["–", "4 images", "12.3%", "123,457", "yes"],
    ]
    aligned = [cell["style"].partition(":")[2] for cell in table.select_one("tbody tr").select("td")]
    assert aligned == ["left", "right", "right", "right", "left"]
    display.table(pd.DataFrame(np.zeros((1, 11))), "wide", "Eleven columns")
    display.table(pd.DataFrame(np.zeros((26, 1))), "long", "26 rows")
    kinds = [soup.div["class"] for soup in shown]
    assert kinds == [["fetalkit", "table"], ["fetalkit", "table", "wide"], ["fetalkit", "table", "long"]]


def test_table_shows_index_and_joins_levels(shown):
    frame = pd.DataFrame({("real", "k=5"): [0.5], ("real", "k=10"): [0.75]}, index=pd.Index(["resnet"], name="network"))
    display.table(frame, "gain", "Gain", formats={("real", "k=10"): lambda value: f"{value:.0%} <"}, index=True)
    row = shown[0].select_one("tbody tr")
    assert row.th["scope"] == "row" and [cell.text for cell in row.select("th, td")] == ["resnet", "0.5", "75% <"]
    assert [cell.text for cell in shown[0].select("thead th")] == ["network", "real · k=5", "real · k=10"]


def test_note_and_facts_are_escaped(shown):
    display.note("**22** of 47 pairs; p < 0.05 <script>")
    display.facts({"images & masks": 450, "gain": 0.123456, "unknown": None})
    assert shown[0].strong.text == "22" and shown[0].text.strip() == "22 of 47 pairs; p < 0.05 <script>"
    assert json.loads(json.dumps({row.dt.text: row.dd.text for row in shown[1].select("dl div")})) == {
        "images & masks": "450",
        "gain": "0.1235",
        "unknown": "–",
    }


def test_wrong_names_are_refused(shown):
    with pytest.raises(ValueError, match="is no name for a figure or table"):
        figure(shown, "a b")
    with pytest.raises(ValueError, match="no column speed in the table t"):
        display.table(pd.DataFrame({"a": [1]}), "t", "Caption", formats={"speed": ".1f"})


def test_style_and_image(shown):
    with plt.rc_context():
        display.style()
        assert plt.rcParams["figure.constrained_layout.use"]
        fig, axes = plt.subplots()
        display.image(axes, np.zeros((4, 6), np.uint8), "patient 1")
        assert axes.images[0].get_clim() == (0, 255) and not axes.axison
        plt.close(fig)
