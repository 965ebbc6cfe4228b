"""The page of all studies: it says what the published files say, also of earlier editions, and all links resolve."""

import copy
import json
import re
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from test_readme import SUMMARY as EARLIER

from fetalkit.analysis import fidelity_tables
from fetalkit.analysis import overview as words
from fetalkit.analysis.wording import number, p_value, span
from fetalkit.metrics.features import IMAGENET
from fetalkit.reporting import citations, layout, overview
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError

FOOT = (
    "<footer><dl><div><dt>Commit</dt><dd>abc123</dd></div>"
    "<div><dt>Started</dt><dd>2026-11-27 16:00 UTC</dd></div></dl></footer>"
)
# Pages that an earlier edition published link it where it is not; they go as the studies are published anew.
EARLIER_FAULT = "test_readings.csv"
NAMED = {
    "level": "L0", "arm": "diffusion", "control": "real-long", "classifier": "resnet", "k": "10", "converged": True,
    "n_runs": 3, "gain": 4.25, "low": 1.5, "high": 7.0, "p": 0.004, "p_holm": 0.008,
}  # fmt: skip
BEST = {
    "level": "L2", "images": "few_shot", "arm": "diffusion-guided", "controls": {"10": "simulation"},
    "gain": 1.0, "low": -2.0, "high": 4.0,
}  # fmt: skip


def headline(*named, best=()):
    return {"primary": list(named), "generator": {}, "best": list(best), "arms": {}}


PRESENT = EARLIER | {"cohort": "brain", "gains": [], "headline": headline(NAMED, best=[BEST]), "simulated": False}


@pytest.fixture
def publish(elsewhere):
    """Write published reports: folder -> summary, or None for a report without one; return the page of all studies."""

    def write(pages=("index.html",), **summaries):
        for folder, summary in summaries.items():
            paths.reports(folder).mkdir(parents=True, exist_ok=True)
            for name in pages:
                paths.reports(folder, name).write_text(
                    f"<title>About &amp; {folder} – x</title>{FOOT}", encoding="utf-8"
                )
            if summary is not None:
                paths.reports(folder, "summary.json").write_text(json.dumps(summary))
        return BeautifulSoup(overview.write().read_bytes().decode(), "html.parser")

    return write


def said(page):
    return " ".join(page.select_one(".answer").text.split())


def rows(page):
    return [
        [" ".join(cell.get_text(" ").split()) for cell in row.select("th, td")]
        for row in page.select("#gains tbody tr")
    ]


def test_the_committed_page_is_that_of_the_committed_reports():
    """What it says, that is; a change of the style that all pages share is no news of a study."""
    file = paths.reports(overview.FILE)
    made, committed = (
        content.partition(b"<main")[2].partition(b"</main")[0] for content in (overview.render(), file.read_bytes())
    )
    assert committed and made == committed, "run `fetalkit readme`"
    assert file.stat().st_size < layout.LARGEST_PAGE


def test_links_of_all_published_pages_resolve():
    """Within the pages, to other pages and to tables; pages hold too much to be parsed within seconds."""
    files = sorted(paths.reports(overview.FILE).parent.rglob("*.html"))
    texts = {file.resolve(): file.read_text(encoding="utf-8") for file in files}
    names = {file: set(re.findall(r'\sid="([^"]+)"', text)) for file, text in texts.items()}
    broken, leads = [], {file: set() for file in texts}
    for file, text in texts.items():
        for link in re.findall(r'<a [^>]*?href="([^"]*)"', text):
            place, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", place) or place == EARLIER_FAULT:
                continue
            target = (file.parent / unquote(place)).resolve() if place else file
            leads[file].add(target)
            if not target.is_file() or (anchor and target in names and unquote(anchor) not in names[target]):
                broken.append(f"{file.parent.name}/{file.name}: {link}")
    assert not broken
    reached, left = set(), {paths.reports(overview.FILE).resolve()}
    while left:
        file = left.pop()
        reached.add(file)
        left |= leads.get(file, set()) - reached
    assert set(texts) <= reached, "the page of all studies leads to every page, cards by the list of them"


def test_an_earlier_summary_explores_and_confirms_nothing(publish):
    page = publish(africa=EARLIER)
    assert said(page).startswith(
        "Nothing is confirmed: in no study was a comparison named before test patients were read."
    )
    assert "Diffusion pre-training gains +1.2 points over controls" in said(page).replace("\u00a0", " ")
    (row,) = rows(page)
    assert row[0] == "africa – px abc123, 2026-11-27"
    assert row[1:5] == [
        "12 (5) no comparison was named beforehand",
        "diffusion over real-long k = 10, mean of classifiers, L0",
        f"+1.2 {span(0.25, 2.25)}".replace("\u00a0", " "),
        "exploratory",
    ]
    assert not page.select(".told") and page.select(".comparison")


def test_the_figure_shows_the_numbers_of_the_table(publish):
    page = publish(africa=EARLIER, brain=PRESENT)
    drawn = [
        tuple(float(group[f"data-{name}"]) for name in ("gain", "low", "high")) for group in page.select(".comparison")
    ]
    assert drawn == [(1.25, 0.25, 2.25), (4.25, 1.5, 7.0), (1.0, -2.0, 4.0)]
    written = [row[-4].split(" ", 1) for row in rows(page)]
    assert written == [[number(gain, sign=True), span(low, high).replace("\u00a0", " ")] for gain, low, high in drawn]
    assert [row[-3] for row in rows(page)] == ["exploratory", p_value(0.008), "exploratory"]
    (told,) = page.select(".comparison.told")
    assert told["data-gain"] == "4.25" and [group["data-gain"] for group in page.select(".chosen")] == ["1.0"]
    # Places follow from the numbers: the axis is linear.
    (ticks,) = [{text.text: float(text["x"]) for text in page.select(".tick")}]
    unit = (ticks["+4"] - ticks["0"]) / 4 if "+4" in ticks else (ticks["+5"] - ticks["0"]) / 5
    for group, (gain, low, high) in zip(page.select(".comparison"), drawn, strict=True):
        line = group.select_one(".interval")
        ends = [(float(line[end]) - ticks["0"]) / unit for end in ("x1", "x2")]
        assert ends == pytest.approx([low, high], abs=0.1)
        if circle := group.circle:
            assert (float(circle["cx"]) - ticks["0"]) / unit == pytest.approx(gain, abs=0.1)


@pytest.mark.parametrize(
    ("named", "first", "second"),
    [
        ([NAMED], "1 gain confirmed.", "1 comparison was named before test patients were read, in brain: 1 gain, 0 losses"),
        ([NAMED | {"p_holm": 0.06}], "No gain is confirmed.", "0 gains, 0 losses and 1 not told from zero, after"),
        ([NAMED | {"gain": -4.0, "low": -6.0, "high": -2.0}], "No gain is confirmed.", "0 gains, 1 loss and 0 not told"),
        ([NAMED, NAMED | {"arm": "gan", "gain": None, "low": None, "high": None, "p_holm": None}], "1 gain confirmed.",
         "Beside it, 1 comparison without a diffusion model: 0 gains."),
        ([NAMED | {"arm": "simulation"}], "Nothing is confirmed: in no study was a comparison about a diffusion model",
         "named before test patients were read."),
        ([NAMED | {"p_holm": 0.06}, NAMED | {"arm": "simulation"}], "No gain is confirmed.",
         "Beside it, 1 comparison without a diffusion model: 1 gain."),
    ],
    ids=["gain", "not after correction", "loss", "failed", "positive control alone", "positive control"],
)  # fmt: skip
def test_the_answer_says_what_the_corrected_tests_say(named, first, second, publish):
    text = said(publish(brain=PRESENT | {"headline": headline(*named)})).replace("\u00a0", " ")
    assert text.startswith(first) and second in text


def test_failed_runs_validation_studies_and_missing_keys_are_said(publish):
    failed = PRESENT | {"headline": headline(NAMED | {"gain": None, "low": None, "high": None, "p_holm": None})}
    absent = copy.deepcopy(EARLIER) | {"gains": [], "headline": {}}
    page = publish(brain=failed, ward=EARLIER | {"tested_on": "validation"}, other=absent, tiny={"n_test": 3})
    by_study = {row[0].split()[0]: row for row in rows(page)}
    assert by_study["brain"][3:5] == ["a run failed", "–"]
    assert by_study["ward"][-1] == "read on validation patients alone: no result yet"
    assert by_study["other"][-1] == "diffusion pre-training is not among its arms"
    assert "tiny" not in by_study and page.find("a", href="tiny/index.html")
    assert "What diffusion pre-training gains was not measured." in said(page)
    assert "a run failed" in page.select_one(".comparison").text and not page.select(".interval, .mark")


def test_what_is_chosen_and_named_stands_once(publish):
    best = BEST | {"arm": "diffusion", "controls": {"10": "real-long"}}
    page = publish(brain=PRESENT | {"headline": headline(NAMED, best=[best])})
    (row,) = rows(page)
    assert row[2] == "diffusion over real-long k = 10, resnet, L0; chosen on validation" and row[4] == "0.008"
    assert len(page.select(".comparison.told.chosen")) == 1


def test_images_stand_beside_real_ones(publish):
    publish(brain=PRESENT)
    table = pd.DataFrame(
        [("diffusion", "10", 100.0), ("real_train", "", 40.4)], columns=["set", "k", "fd"]
    ).assign(feature_space=IMAGENET, plane="all")  # fmt: skip
    table.to_csv(paths.reports("brain", "fidelity.csv"), index=False)
    known = {"10": {"diffusion": {"all": 0.716}, "real_test": {"all": 0.81}}}
    paths.reports("brain", "fidelity.json").write_text(json.dumps({"recognised_by_k": known}))
    page = publish()
    assert rows(page)[0][-2:] == ["72 (81)", "100 (40)"] and rows(page)[1][-2:] == ["–", "–"]
    assert "recognises 72 % of the diffusion images as the plane that was asked for (81 % of real ones)" in said(
        page
    ).replace("\u00a0", " ")


def test_reports_of_all_kinds_are_listed_with_their_pages(publish):
    chosen = {
        "view": "a to b", "level": "none", "among": "x, y", "failed": "x", "method": "y", "accuracy": 0.81, "baseline": "x",
        "baseline_accuracy": 0.7, "gain": None, "gain_low": None, "gain_high": None,
    }  # fmt: skip
    page = publish(pages=("index.html", "06_fidelity.html"), search=None, africa=EARLIER)
    page = publish(old={"directions": {}}, hospitals={"directions": {}, "chosen": [chosen, chosen | {"method": "z"}]})
    links = {link["href"]: link.text for link in page.select(".reports a")}
    assert links["africa/06_fidelity.html"] == "6 Fidelity" and links["search/index.html"] == "Report"
    assert page.select_one(".reports section p").text == "About & africa"
    (transfer,) = page.select("#transfer ~ .table tbody tr")
    cells = [" ".join(cell.get_text(" ").split()) for cell in transfer.select("th, td")]
    assert cells == ["a to b", "none", "y of 2; failed: x", "81.0 %", "70.0 % x", "– –"]
    assert "old is published, but by an edition that chose methods on test images" in page.text.replace("\n", " ")
    (paths.reports("later")).mkdir()
    paths.reports("later", "dvc.yaml").touch()
    assert "Set up, and not published yet: later." in publish().text


def test_first_samples_are_real_ones_and_those_of_the_first_generator(monkeypatch):
    def images(*values):
        planes = np.array([0, 0, 0, 1])[: len(values)]
        return SimpleNamespace(images=np.stack([np.full((4, 4), value, np.uint8) for value in values]), labels=planes)

    real = images(1, 2, 3, 4)
    drawn = {
        "5": {"diffusion": images(11, 12, 13), "gan": images(21, 22, 23, 24)},
        "all": {"diffusion": images(31, 32, 33, 34)},
    }
    monkeypatch.setattr(fidelity_tables, "shown_sets", lambda evaluation, k: {"real_test": real} | drawn[k])
    study = SimpleNamespace(planes=["abdomen", "brain"])
    evaluation = SimpleNamespace(study=study, test=real, shown=["5", "all"])
    rows, columns = fidelity_tables.first_samples(cast("Any", evaluation))
    assert columns == ["real test"] * 2 + ["diffusion\nk = 5"] * 2 + ["diffusion\nk = all"] * 2
    assert {plane: of[:, 0, 0].tolist() for plane, of in rows.items()} == {
        "abdomen": [1, 2, 11, 12, 31, 32],
        "brain": [4, 255, 255, 255, 34, 255],
    }


def test_samples_that_a_report_shows_are_shown_and_nothing_else(publish):
    publish(brain=PRESENT)
    figure = (
        '<figure id="first-samples" class="fetalkit pictures"><img src="data:image/png;base64,AA" alt="A" width="700">'
    )
    figure += "<figcaption>Real & drawn.</figcaption></figure>"
    paths.reports("brain", "06_fidelity.html").write_text(
        f"<figure id='other'><img src='data:x'></figure>{figure}{FOOT}"
    )
    (shown,) = publish().select("figure:has(.sheet)")
    assert (
        shown.img["src"] == "data:image/png;base64,AA"
        and shown.img["width"] == "875"
        and "brain: Real & drawn." in shown.figcaption.text
    )
    paths.reports("brain", "06_fidelity.html").write_text(figure.replace("AA", "A" * overview.MOST_SHEETS))
    page = publish()
    assert not page.select(".sheet") and page.select("a[href='brain/06_fidelity.html']")


def test_citations_are_those_of_the_citation_file(publish):
    version, entries = citations.read(paths.PARAMS.parent / citations.FILE)
    assert [re.search(r"{(.*),", entry)[1] for entry in entries] == [
        f"fetalkit{entries[0].partition('year = {')[2][:4]}", "tian2025", "sendra-balcells2023", "burgos-artizzu2020",
    ]  # fmt: skip
    assert "doi = {10.1049/ipr2.70151}" in entries[1] and "Torrents-Barrena, Jordina and others}" in entries[2]
    assert all(entry.count("{") == entry.count("}") for entry in entries)
    (paths.ROOT / citations.FILE).write_text((paths.PARAMS.parent / citations.FILE).read_text())
    page = publish(brain=PRESENT)
    assert page.select_one(".bibtex").text == "\n\n".join(entries) and f"fetalkit {version}" in page.footer.text
    (paths.ROOT / citations.FILE).write_text("version: [")
    with pytest.raises(FetalkitError, match=r"CITATION.cff: damaged .*; get it back from git") as error:
        overview.write()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", ["{", '{"arms": {}, "headline": {"primary": [{}], "arms": {}}}', '{"arms": 1, "gains": 3}']
)
def test_a_damaged_file_is_one_line_and_the_page_stays(content, publish):
    publish(brain=PRESENT)
    before = paths.reports(overview.FILE).read_bytes()
    paths.reports("brain", "summary.json").write_text(content)
    with pytest.raises(FetalkitError, match=r"damaged.*get it back from git") as error:
        overview.write()
    assert "\n" not in str(error.value) and paths.reports(overview.FILE).read_bytes() == before


def test_the_page_needs_nothing_else(publish):
    page = publish(brain=PRESENT, africa=EARLIER)
    assert "default-src 'none'" in page.find("meta", {"http-equiv": "Content-Security-Policy"})["content"]
    assert all(element["src"].startswith("data:") for element in page.select("[src]")) and not page.select(
        "link, iframe"
    )
    assert len(page.select("h1")) == 1
    identifiers = [element["id"] for element in page.select("[id]")]
    assert len(identifiers) == len(set(identifiers))
    assert all(page.find(id=link["href"][1:]) for link in page.select("a[href^='#']"))
    assert words.answer([]) == [["No result on test patients is published yet."]]
