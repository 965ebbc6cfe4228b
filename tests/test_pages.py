"""Pages of a report are self-contained; and what notebooks show in them."""

import base64
import hashlib
import io
import json
import re

import matplotlib
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from executed_notebooks import execute
from nbformat.v4 import new_output
from PIL import Image

from fetalkit.analysis import names
from fetalkit.plots.palette import INK
from fetalkit.reporting import display, page_body, pages, rendering, tables
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError

matplotlib.use("Agg")
from matplotlib import pyplot as plt


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


def html(text):
    return new_output("display_data", {"text/html": str(text), "text/plain": "<HTML>"})


def render(*names, tables=(), settings=None):
    """Pages of a report with the front page 09_report: file name -> soup."""
    files = pages.render("africa", names, tables, "09_report", settings or {})
    return {name: BeautifulSoup(content.decode(), "html.parser") for name, content in files.items()}


def only_known_scripts_run(page):
    """How many scripts a page has; each is in it, and its hash in the page's policy, which allows no other."""
    policy = page.find("meta", {"http-equiv": "Content-Security-Policy"})["content"]
    allowed = re.search("script-src ([^;]*)", policy)[1].split()
    run = [script for script in page.select("script") if script["type"] != "application/json"]
    digests = [hashlib.sha256(script.string.encode()).digest() for script in run]
    assert allowed == [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
    assert not page.select("script[src]") and "form-action 'none'" in policy
    assert not [element.name for element in page.find_all(True) if any(key.startswith("on") for key in element.attrs)]
    return len(run)


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
    settings = {"shots": [5, "all"], "diffusion": {"steps": 4000}}
    report = render("01_cohort", "02_generate", "09_report", tables=["results.csv"], settings=settings)

    assert list(report) == ["index.html", "01_cohort.html", "02_generate.html"]
    cohort = report["01_cohort.html"]
    assert str(cohort.select_one("figure svg")) == str(drawn.svg)
    for page in report.values():
        assert not page.select("link, iframe")
        assert only_known_scripts_run(page) == 1
        assert all(element["src"].startswith("data:") for element in page.select("[src]"))
        assert "default-src 'none'" in page.find("meta", {"http-equiv": "Content-Security-Policy"})["content"]
        assert page.html["lang"] == "en" and len(page.select("h1")) == 1
        identifiers = [element["id"] for element in page.select("[id]")]
        assert len(identifiers) == len(set(identifiers))
        assert all(page.find(id=link["href"][1:]) for link in page.select("a[href^='#']") if "%" not in link["href"])
    assert report["02_generate.html"].h1.text == "2 Generate"
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


def test_dois_are_links_wherever_a_reader_sees_them_and_code_stays(shown):
    display.facts({"source": "Sendra-Balcells 2023 (10.5281/zenodo.7540448)"})
    table = "<table><tr><td>see DOI: 10.1000/182, or 10.1000/a(b)c.</td></tr></table>"
    printed = new_output("stream", name="stdout", text="doi 10.1000/printed")
    execute("09_report", "# Report\n\nTian et al. (doi 10.1049/ipr2.70151) and [this](https://doi.org/10.1/x); `10.1000/code`; "
            "10.1234/56 is a quotient.", [html(shown[-1]), html(table), printed])  # fmt: skip
    page = render(settings={"citation": "Wang & Li, doi 10.1000/foot"})["index.html"]
    links = [(link["href"].removeprefix("https://doi.org/"), link.text) for link in page.select("a[href*=doi]")]
    assert links == [
        ("10.1049/ipr2.70151", "doi 10.1049/ipr2.70151"),
        ("10.1/x", "this"),
        ("10.5281/zenodo.7540448", "10.5281/zenodo.7540448"),
        ("10.1000/182", "DOI: 10.1000/182"),
        ("10.1000/a(b)c", "10.1000/a(b)c"),
        ("10.1000/foot", "doi 10.1000/foot"),
    ]
    assert page.select_one("td").text == "see DOI: 10.1000/182, or 10.1000/a(b)c."
    assert [code.text for code in page.select("p code, .printed")] == ["10.1000/code", "doi 10.1000/printed"]
    assert "Wang & Li, doi 10.1000/foot" in page.footer.text


def test_code_is_folded_and_not_printed():
    execute("09_report", "# Title", [])
    page = render()["index.html"]
    (fold,) = page.select("details.code")
    assert not fold.has_attr("open")
    on_paper = page.style.text.partition("@media print")[2]
    hidden = [selectors for selectors, rule in re.findall(r"([^{}]+){([^{}]+)}", on_paper) if "display: none" in rule]
    assert ".code" in hidden[0].replace(",", " ").split()


def test_long_tables_can_be_sorted_and_wide_ones_unfolded(shown):
    """A page is complete without its scripts: no row and no column is added by them, and columns unfold without."""
    display.table(pd.DataFrame(np.zeros((3, 9)), columns=list("abcdefghi")), "wide", "Nine columns")
    display.table(pd.DataFrame(np.arange(30)), "long", "30 rows")
    execute("01_cohort", "# Short", [html(shown[0])])
    execute("09_report", "# Long", [html(shown[1])])
    report = render("01_cohort")
    short, long = report["01_cohort.html"], report["index.html"]
    # The bundle that sorts is in pages with a long table alone, and once.
    assert only_known_scripts_run(short) == 1 and only_known_scripts_run(long) == 2
    assert len(str(short)) < 100_000 < 500_000 < len(str(long)) < 800_000
    assert len(long.select("tbody tr")) == 30 and len(short.select("tbody td")) == 27
    label = short.select_one(".folds > label")
    assert label.text == " 2 more columns: h, i" and label.input["type"] == "checkbox"
    assert not long.select(".unfold")
    screen, _, paper = short.style.text.partition("@media print")
    assert ".folds:has(.unfold input:not(:checked)) .more { display: none; }" in screen
    assert ".more" not in paper and ".unfold" in paper.partition("display: none")[0]


def test_every_page_finds_what_stands_in_the_others(shown):
    display.table(pd.DataFrame({"arm": ["replay", "</script>"], "gain": [1.5, 2]}), "gains", "Gains. " + "Long " * 40)
    table = html(shown[0])
    execute("01_cohort", "# Cohort", "## Few & many\n\nWhat *is* here.", [html(figure(shown))], [table])
    execute("09_report", "# Report", "Above all.")
    report = render("01_cohort")
    for page in report.values():
        assert page.select_one("form#search").has_attr("hidden")  # without script there is nothing to search with
        stored = json.loads(page.select_one("#search-data").string)
        assert stored["pages"] == [["index.html", "Report"], ["01_cohort.html", "1 Cohort"]]
        front, top, section, picture, rows = stored["entries"]
        assert front == [0, "content", "Report", "Above all."] and top == [1, "content", "Cohort", ""]
        assert section == [1, "Few-&-many", "Few & many", "What is here."]
        assert picture == [1, "planes", "Planes & <centres>.", "Planes & <centres>."]
        assert rows[:2] == [1, "gains"] and len(rows[2]) < 100 and rows[3].endswith("arm gain replay </script>")
        assert all(report[stored["pages"][number][0]].find(id=place) for number, place, *_ in stored["entries"])


def test_settings_are_words_and_no_python():
    execute("09_report", "# Report")
    settings = {"arms": [{"arm": "real", "k": 10, "seeds": [0, 1], "none": None}], "grid": [[1, 2], [3]], "off": None}
    page = render(settings=settings)["index.html"]
    foot = {row.dt.text: row.dd.text for row in page.select("footer details dl div")}
    assert foot == {"arms": "arm real, k 10, seeds 0, 1", "grid": "1, 2; 3", "off": "none"}
    assert "footer details { display: none; }" in page.style.text.partition("@media print")[2]  # twelve sheets of them


def test_dark_pages_keep_pictures_on_white_and_draw_charts_in_their_own_colours():
    execute("09_report", "# Report")
    style = render()["index.html"].style.text
    assert "@media screen and (prefers-color-scheme: dark)" in style
    assert re.search(r":is\(figure, .view\) img \{[^}]*background: #fff", style)
    for colour in ("ink", "muted", "line", "paper"):  # that charts refer to
        assert style.count(f"--{colour}: #") == 2


def test_code_without_output_joins_the_code_after_it():
    execute("09_report", "# Title", [], [], [new_output("stream", name="stdout", text="1")], "Text", [])
    folds = [fold.pre.text.split() for fold in render()["index.html"].select("details.code")]
    assert [len(fold) // 3 for fold in folds] == [3, 1]


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
        (
            html("<svg><use xlink:href='https://example.org/a.svg'/></svg>"),
            "a drawing would need the file https://example.org/a.svg",
        ),
        (html("<figure class='fetalkit' id='a'></figure>" * 2), "01_cohort: two figures or tables are named a"),
    ],
    ids=["script", "image", "error", "size", "drawing", "twice"],
)
def test_page_that_is_not_complete_in_itself_is_refused(output, message):
    execute("01_cohort", "# Title", [output])
    execute("09_report", "# Report", [])
    with pytest.raises(FetalkitError, match=message) as caught:
        render("01_cohort")
    assert "\n" not in str(caught.value)


def test_relative_image_in_text_is_refused():
    execute("09_report", "# Report\n\n![picture](picture.png)")
    with pytest.raises(FetalkitError, match="09_report: the page would need the file picture.png"):
        render()


def test_missing_notebook_is_named():
    with pytest.raises(FetalkitError, match="09_report.ipynb: there is no such notebook"):
        render()


def test_pages_name_no_place_of_this_machine(root):
    """Whatever a notebook shows, is given or is set to; pictures stay as they are."""
    place, picture = f"{root}/data/a.csv", f"<img alt='' src='data:image/png;base64,iVBO{root}/+'>"
    execute("09_report", f"# Report\n\n{place}", [html(f"<b title='{place}'>{place}</b>"), html(picture)])
    page = render(settings={"folder": place})["index.html"]
    assert page.select_one("img")["src"].endswith(f"{root}/+")
    assert str(root) not in str(page).replace(page.select_one("img")["src"], "")
    assert page.b["title"] == page.b.text == "…/data/a.csv"


@pytest.mark.parametrize(
    ("printed", "tidy"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        (" 10%\r 50%\r100%\nend\r\n", "100%\nend\r"),
        ("/opt/lib/python3.11/site-packages/timm/models.py:5: note", "timm/models.py:5: note"),
    ],
)
def test_printed_text_is_tidied(printed, tidy):
    assert page_body._tidy(printed) == tidy


def test_figure_is_escaped_closed_and_deterministic(shown):
    plt.close("all")  # of other tests
    first, second = figure(shown), figure(shown)
    assert first.figcaption.text == "Planes & <centres>." and first.svg["aria-label"] == "A rising line"
    assert first.figure["id"] == "planes" and not plt.get_fignums()
    assert str(first) == str(second)


def test_a_chart_is_part_of_the_page_with_words_and_names_of_its_own(shown):
    charts = []
    for name in ("one", "two"):
        fig, axes = plt.subplots(figsize=(3, 2))
        axes.plot([-1, 2], "o", color=INK, gid="gain|<a>")
        axes.set_xlabel("steps & more")
        display.figure(fig, name, "A gain of -2.5 points in 84.8% of 10 px (-3 to 4).")
        charts.append(shown[-1])
    page = BeautifulSoup("".join(map(str, charts)), "html.parser")
    assert "A gain of −2.5 points in 84.8 % of 10 px (−3 to 4)." in page.figcaption.text.replace("\u00a0", " ")
    identifiers = [element["id"] for element in page.select("[id]")]
    assert len(set(identifiers)) == len(identifiers) > 4
    for element in page.select("[href]"):
        assert element["href"].removeprefix("#") in identifiers
    assert "−1" in page.svg.text and "steps & more" in page.svg.text  # a true minus
    # As wide as in matplotlib's font, whatever font is there.
    (label,) = [text for text in page.svg.select("text") if text.text == "steps & more"]
    assert 60 < float(label["textlength"]) < 90 and "DejaVu Sans" not in label["style"]
    assert page.svg.select_one("[data-of]")["data-of"] == "gain|<a>"
    # Colours that the page may change.
    assert f"var(--ink, {INK})" in str(page.svg) and "<style" not in str(page.svg)


def test_pictures_and_charts_of_thousands_of_points_are_png_of_twice_the_pixels(shown):
    few, many = plt.subplots(figsize=(3, 2))
    many.plot(*np.random.default_rng(0).random((2, 3000)), "o")
    display.figure(few, "many", "Many points.")
    picture, axes = plt.subplots(figsize=(3, 2))
    axes.imshow(np.zeros((4, 4)))
    display.figure(picture, "picture", "A picture.")
    for drawn, kind in zip(shown[-2:], ("chart", "pictures"), strict=True):
        assert kind in drawn.figure["class"] and not drawn.svg
        with Image.open(io.BytesIO(base64.b64decode(drawn.img["src"].partition(",")[2]))) as png:
            assert not png.info and png.width == pytest.approx(2 * int(drawn.img["width"]), abs=1)


@plt.style.context("default")  # the study's has text that is not quite grey
def test_figures_are_stored_with_as_few_colours_as_nobody_sees():
    def stored(draw):
        fig, axes = plt.subplots(figsize=(4, 3))
        draw(axes)
        content, width, height = rendering.png(fig)
        stream = io.BytesIO()
        plt.close(fig)
        with Image.open(io.BytesIO(content)) as picture:
            assert picture.size == pytest.approx((2 * width, 2 * height), abs=1)
            picture.convert("RGB").save(stream, format="png", optimize=True)
            return picture.mode, len(content), len(stream.getvalue())

    noise = np.random.default_rng(0).random((60, 60, 3))
    mode, palette, full = stored(lambda axes: [axes.plot(np.sin(np.arange(50) / n)) for n in (3, 5, 7)])
    assert mode == "P" and palette < 0.6 * full
    assert stored(lambda axes: axes.imshow(noise[:, :, 0], cmap="gray"))[0] == "L"
    # A photograph in colours keeps them.
    assert stored(lambda axes: axes.imshow(noise))[0] == "RGB"


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
        ["Ghana <b>", "1,200 images", "25.0\xa0%", "0.1235", "yes"],
        ["Uganda", "3 images", "–", "12.5", "no"],
        ["–", "4 images", "12.3\xa0%", "123,457", "yes"],
    ]
    aligned = [cell["style"].partition(":")[2] for cell in table.select_one("tbody tr").select("td")]
    assert aligned == ["left", "right", "right", "right", "left"]
    display.table(pd.DataFrame(np.zeros((7, 8))), "wide", "Eight columns")
    display.table(pd.DataFrame(np.zeros((26, 1))), "long", "26 rows")
    kinds = [soup.div["class"][1:] for soup in shown]
    assert kinds == [["table"], ["table", "folds"], ["table", "sorts", "long"]]


def test_table_folds_what_is_asked_for_and_what_comes_after_seven_columns(shown):
    frame = pd.DataFrame([range(9)], columns=list("abcdefghi"))
    display.table(frame, "wide", "Nine columns", more=["b"])
    heads = [(cell.text, "more" in cell.get("class", [])) for cell in shown[0].select("thead th")]
    assert heads == [(name, False) for name in "acdefgh"] + [("i", True), ("b", True)]
    cells = [(cell.text, "more" in cell.get("class", [])) for cell in shown[0].select("tbody td")]
    assert cells == [(str("abcdefghi".index(name)), folded) for name, folded in heads]


def test_table_marks_the_best_of_each_group_and_what_survives_correction(shown):
    frame = pd.DataFrame(
        {
            "k": ["5", "5", "5", "10", "10", "all", "all"],
            "accuracy": [0.5, 0.7001, 0.7, 0.8, np.nan, 0.9, 0.9],
            "kid": [0.3, 0.1, 0.2, 0.5, 0.4, 0.0, 0.0],
            "p_holm": [0.049, 0.05, np.nan, 0.5, 0.0001, 0.2, 0.3],
        }
    )
    marks = tables.Marks({"accuracy": "highest", "kid": "lowest"}, per=["k"], corrected="p_holm")
    display.table(frame, "a", "All.", formats={"accuracy": ".1%", "p_holm": "{:.3f}"}, marks=marks)
    columns = list(
        zip(
            *([cell.text.replace("\xa0", " ") for cell in row.select("td")] for row in shown[0].select("tbody tr")),
            strict=True,
        )
    )
    # What reads alike is equally good, and where all are equal, or alone, none is best.
    assert columns[1] == ("50.0 %", "70.0 % ▲", "70.0 % ▲", "80.0 %", "–", "90.0 %", "90.0 %")
    assert columns[2] == ("0.3", "0.1 ▼", "0.2", "0.5", "0.4 ▼", "0", "0")
    assert columns[3] == ("0.049 ★", "0.050", "–", "0.500", "0.000 ★", "0.200", "0.300")
    assert {(sign.text, sign["role"], sign["aria-label"]) for sign in shown[0].select("td strong span")} == {
        ("▲", "img", "best"), ("▼", "img", "best"), ("★", "img", "corrected p below 0.05"),
    }  # fmt: skip
    legend = "Bold ▲: the highest for each k. Bold ▼: the lowest for each k. ★: corrected p below 0.05."
    assert shown[0].caption.text == f"All. {legend}"
    # Sets of real images do not compete; and where nothing is certain, the legend says so.
    display.table(
        frame[3:], "b", "Some.", marks=tables.Marks({"accuracy": "highest"}, among=[True, False, True, False])
    )
    assert [row.select("td")[1].text for row in shown[1].select("tbody tr")] == ["0.8", "–", "0.9\xa0▲", "0.9"]
    display.table(frame[:1], "c", "One.", marks=tables.Marks(corrected="accuracy"))
    assert shown[2].caption.text == "One. ★: corrected p below 0.05, which none is."


def test_table_has_plain_names_and_true_minus_signs_and_sorts_by_numbers(shown):
    frame = pd.DataFrame(
        {
            "image_id": ["real_train", "Patient1_Plane2_1_of_3"],
            "k": ["10", "all"],
            "gain": ["-2.7 (-4.4 to -0.9)", ""],
            "n_runs": [-1, 1200],
        }
    )
    display.table(frame, "a", "Names")
    assert [cell.text for cell in shown[0].select("thead th")] == ["image", "k", "gain", "runs"]
    first, second = shown[0].select("tbody tr")
    assert [cell.text for cell in first.select("td")] == ["real train", "10", "−2.7 (−4.4 to −0.9)", "−1"]
    assert second.td.text == "Patient1_Plane2_1_of_3"
    keys = [[cell.get("data-order") for cell in row.select("td")] for row in (first, second)]
    assert keys == [[None, "10", "-2.7", "-1"], [None, "1e+09", "", "1200"]]


def test_table_shows_index_and_joins_levels(shown):
    frame = pd.DataFrame({("real", "k=5"): [0.5], ("real", "k=10"): [0.75]}, index=pd.Index(["resnet"], name="network"))
    display.table(frame, "gain", "Gain", formats={("real", "k=10"): lambda value: f"{value:.0%} <"}, index=True)
    row = shown[0].select_one("tbody tr")
    assert row.th["scope"] == "row" and [cell.text for cell in row.select("th, td")] == ["resnet", "0.5", "75\xa0% <"]
    assert [cell.text for cell in shown[0].select("thead th")] == ["network", "real · k=5", "real · k=10"]


def test_note_and_facts_are_escaped(shown):
    display.note("**22** of 47 pairs; p < 0.05 <script>")
    display.facts({"images & masks": 450, "gain": 0.123456, "unknown": None})
    display.facts({"arms": ["real", "<b>"], "further": []})
    assert [item.text for item in shown[2].select("dd li")] == ["real", "<b>"]
    assert shown[2].select("dd")[1].text == "none"
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


def test_names_are_plain():
    raw = ["real_train", "macro_f1", "error@0.05", "images_per_second", "real-long", "Patient_Plane_1_of_2", "k"]
    assert [names.plain(name) for name in raw] == [
        "real train", "mean F1", "error at noise 0.05", "images per second", "real-long", "Patient_Plane_1_of_2", "k",
    ]  # fmt: skip
    assert [names.per_plane(k) for k in (189.5, 10, 3.4)] == ["190", "10", "3"]
