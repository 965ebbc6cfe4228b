"""The first screen of a report: where the answer stands, what explains its terms, and how checks are marked."""

import pytest
from bs4 import BeautifulSoup
from executed_notebooks import execute
from nbformat.v4 import new_output

from fetalkit.analysis.checks import Check
from fetalkit.reporting import front, page_body
from fetalkit.utils import paths

GLOSSARY = {"k": "Images of *each* plane.", "arm, control": "Ways to train.", "p, corrected": "How often."}


@pytest.fixture
def shown(monkeypatch):
    soups = []
    monkeypatch.setattr(front, "display", lambda html: soups.append(BeautifulSoup(html.data, "html.parser")))
    return soups


def test_terms_are_explained_at_a_click_and_to_the_pointer(shown):
    front.answer(["**No gain shown.** k = 10, <b>k = 20</b>; p = 0.1", "More."], ["64 px", "a & b"], GLOSSARY)
    (soup,) = shown
    assert [term.text for term in soup.select("details dt")] == list(GLOSSARY)
    assert [(term.text, term["title"]) for term in soup.select("abbr")] == [
        ("k", "Images of each plane."),
        ("p", "How often."),
    ]
    assert soup.select_one(".said strong").text == "No gain shown." and not soup.select("b"), "HTML counts as text"
    assert "64 px · a & b" in soup.text and "k, arm, control" in soup.summary.text


def test_a_check_is_marked_by_words_and_leads_to_its_evidence(shown):
    front.checks([Check("A", True, "0 of 3", "03_splits.html"), Check("B", False, "2 & 1"), Check("C", None, "no")])
    lines = shown[0].select("li")
    assert [line.select_one(".mark").text for line in lines] == ["✓ pass", "✗ FAIL", "– not checked"]
    assert [line.a and line.a["href"] for line in lines] == ["03_splits.html", None, None]


def test_the_answer_and_its_figure_come_first_on_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)

    def output(html):
        return new_output("display_data", {"text/html": html})

    section = '<style>p { }</style><section class="fetalkit answer"><p>No gain.</p></section>'
    figure, other = ('<figure id="f" class="fetalkit chart"></figure>', "<p>other</p>")
    execute("09_report", "# Title\n\nWhat was asked?\n\n**Method.** As ever.", [output(other)])
    plain = page_body.read("africa", "09_report").body
    assert "As ever" in plain
    execute(
        "09_report",
        "# Title\n\nWhat was asked?\n\n**Method.** As ever.",
        [output("<p>before</p>"), output(section), output(figure), output(other)],
    )
    body = page_body.read("africa", "09_report").body
    places = [body.index(text) for text in ("What was asked", "No gain.", "<figure", "As ever", "before", "other")]
    assert places == sorted(places)
    assert BeautifulSoup(body, "html.parser").h1.find_parent(class_="text").find("figure") is None
