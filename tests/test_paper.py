"""A report's front page as a paper: what is numbered, cited and left out; and one line where the library is missing."""

import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from fetalkit.reporting import paper
from fetalkit.reporting.references import references
from fetalkit.utils.errors import FetalkitError

SVG = "<svg viewBox='0 0 10 10' width='10'><rect width='9' height='9'/></svg>"
PAGE = f"""<html><head><title>x</title></head><body><header><a href="index.html">top</a></header>
<main><details class="menu">menu</details><h1>Does it help?</h1>
<script>alert(1)</script><details class="code"><summary>code</summary>x = 1</details>
<p id="here">As <a href="https://doi.org/10.1049/ipr2.70151">Tian</a> says, <a href="07_classify.html">there</a>
and <a href="#here">here</a>.</p>
<figure id="a"><div>{SVG}</div><figcaption>First.</figcaption></figure>
<figure id="b"><div>{SVG}</div><figcaption>Second.</figcaption></figure>
<table><caption><span>Numbers.</span></caption><thead><tr><th>a</th><th class="more">b</th></tr></thead>
<tbody><tr><td title="▲">1 ▲</td><td class="more">2</td></tr></tbody></table></main>
<footer><dl><div><dt>Started</dt><dd>2026-11-25 18:26 UTC</dd></div><div><dt>Commit</dt><dd>0123456789ab</dd></div></dl>
<details><dl><div><dt>Commit</dt><dd>a setting</dd></div></dl></details></footer></body></html>"""


def test_figures_tables_and_references_are_numbered():
    soup = BeautifulSoup(paper.source("spain", PAGE), "html.parser")
    assert soup.h1.text == "Does it help?" and len(soup.select("h1")) == 1
    assert [of.text for of in soup.select("figcaption")] == ["Figure 1. First.", "Figure 2. Second."]
    assert soup.caption.text == "Table 1. Numbers. More columns are on the page." and len(soup.select("td")) == 1
    assert [of.text for of in soup.select("td .sign")] == ["▲"] and soup.td["title"] == "▲"
    assert soup.select("script, .menu, .code, .more") == [] and len(soup.select("svg")) == 2
    assert soup.select_one("#here").text.split() == ["As", "Tian[1]", "says,", "there", "and", "here."]
    assert [link["href"] for link in soup.select("#here a")] == ["https://doi.org/10.1049/ipr2.70151", "#here"]
    about = soup.select_one(".about").text
    assert "study spain" in about and "0123456789ab" in about and "2026-11-25 18:26 UTC" in about
    cited = [link["href"] for link in soup.select(".references a")]
    assert cited[0] == "https://doi.org/10.1049/ipr2.70151" and "https://doi.org/10.5281/zenodo.3904280" in cited


def test_a_study_cites_its_own_images_alone():
    texts = {study: " ".join(of["text"] + of["doi"] for of in references(study)) for study in ("phantom", "hospitals")}
    assert "Burgos-Artizzu" in texts["hospitals"] and "Sendra-Balcells" in texts["hospitals"]
    assert "zenodo" not in texts["phantom"] and "10.1049/ipr2.70151" in texts["phantom"]


@pytest.mark.parametrize(("error", "line"), [(ImportError, paper.MISSING), (OSError, paper.NO_PANGO)])
def test_a_missing_library_is_one_line(monkeypatch, tmp_path, error, line):
    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "weasyprint":
                raise error("cannot load libpango")

    monkeypatch.delitem(sys.modules, "weasyprint", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(FetalkitError, match="^a PDF needs") as raised:
        paper.write("spain", tmp_path / "index.html", tmp_path / "spain.pdf")
    assert str(raised.value) == line and not list(tmp_path.iterdir())


def test_the_same_page_is_the_same_file(tmp_path):
    try:
        import weasyprint  # noqa: F401
    except (ImportError, OSError):
        pytest.skip("WeasyPrint, or the library Pango, is not here")
    page = Path(tmp_path, "index.html")
    page.write_text(PAGE)
    made = []
    for name in ("a.pdf", "b.pdf"):
        paper.write("spain", page, tmp_path / name)
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1] and made[0].startswith(b"%PDF") and len(made[0]) > 10_000
