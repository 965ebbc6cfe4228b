"""What an executed notebook shows, as the body of a page: one HTML fragment that needs nothing but itself.

nbconvert renders the cells by ``templates/cells.html.j2``; sections get names and links, DOIs become links.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
from bs4 import BeautifulSoup, Tag
from nbconvert import HTMLExporter
from nbconvert.filters import strip_ansi

from fetalkit.reporting import dois
from fetalkit.runner.records import record
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError

CELLS = Path(__file__).with_name("templates") / "cells.html.j2"
LEFT_OUT = "This picture is left out: pages of private cohorts show no images unless report.show_images says so."
PUBLISHED = "../reports/"  # as seen from a notebook
FOREIGN = "script, iframe, object, embed, video, audio, link, base"


@dataclass(frozen=True)
class Page:
    """One executed notebook on its way to a file.

    Attributes
    ----------
    notebook, file, label, title
        Stem of the notebook, name of the page, short name for the navigation, first heading.
    body
        HTML of the cells.
    contents
        Level (2 or 3), id and text of each section.
    run
        The run record.
    """

    notebook: str
    file: str
    label: str
    title: str
    body: str
    contents: list[tuple[int, str, str]]
    run: dict[str, Any]


@dataclass(frozen=True)
class Reveal:
    """What a page may show.

    Attributes
    ----------
    images
        Pictures: of the cohort's images, of what generators have drawn, and whatever is not known to be a chart.
    messages
        What was printed while the notebook ran: libraries may name a file, or quote what stands in one.
    """

    images: bool = True
    messages: bool = True


def read(
    cohort: str, name: str, file: str | None = None, label: str | None = None, reveal: Reveal | None = None
) -> Page:
    """Page of the executed notebook `name` of a cohort; by default its file and label follow from the name.

    Raises
    ------
    FetalkitError
        When the notebook is missing, has failed or was not made by :mod:`fetalkit.runner`; when the page would need another
        file or the network; when two figures or tables have one name.
    """
    label, reveal = label or short_name(name), reveal or Reveal()
    path = paths.executed(cohort, name)
    run = record(path)
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if any(output.output_type == "error" for output in cell.get("outputs", [])):
            raise FetalkitError(f"{path}: cell {cell.execution_count} has failed; run the notebook again")
    if not reveal.messages:
        for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
            cell.outputs = [output for output in cell.outputs if output.output_type != "stream"]
    notebook.cells = _joined(notebook.cells)
    soup = BeautifulSoup(_exporter().from_notebook_node(notebook)[0], "html.parser")
    _check(name, soup)
    _leave_out_published(soup)
    _answer_first(soup)
    if not reveal.images:
        _leave_out_pictures(soup)
    _let_unfold(soup)
    dois.link(soup)
    title, contents = _title(soup, label), _contents(soup)
    return Page(name, file or f"{name}.html", label, title, str(soup), contents, run)


def _joined(cells: Sequence[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Cells in which code that shows nothing is part of the code after it: one fold on the page instead of several."""
    joined: list[nbformat.NotebookNode] = []
    for cell in cells:
        if joined and cell.cell_type == joined[-1].cell_type == "code" and not joined[-1].outputs:
            cell.source = f"{joined.pop().source.strip()}\n\n{cell.source}"
        joined.append(cell)
    return joined


@cache
def _exporter() -> HTMLExporter:
    exporter = HTMLExporter(template_file=str(CELLS), exclude_anchor_links=True)
    exporter.register_filter("tidy", _tidy)
    return exporter


def _tidy(text: str) -> str:
    """Printed text as a terminal would leave it, without colours and places on one machine's disk."""
    text = re.sub(r"[^\n]*\r(?!\n)", "", strip_ansi(text))
    text = re.sub(r"\S*/ipykernel_\d+/\d+\.py:\d+: ", "", text)
    text = re.sub(r"\S*/site-packages/", "", text)
    # Python repeats the line of code below a warning.
    return re.sub(r"(Warning: [^\n]*)\n  [^\n]*", r"\1", text).strip("\n")


def _check(name: str, soup: BeautifulSoup) -> None:
    """Refuse what would need another file, and a name that two figures or tables bear."""
    if foreign := soup.select_one(FOREIGN):
        raise FetalkitError(f"{name}: an output holds <{foreign.name}>, which no page may; show a figure or a table")
    for element in soup.select("[src], [srcset]"):
        source = str(element.get("src") or element["srcset"])
        if not source.startswith("data:"):
            raise FetalkitError(f"{name}: the page would need the file {source}; show it with display.figure")
    for element in soup.select("svg *"):
        for key in ("href", "xlink:href"):
            if not str(element.get(key, "#")).startswith(("#", "data:")) and element.name != "a":
                raise FetalkitError(
                    f"{name}: a drawing would need the file {element[key]}; show it with display.figure"
                )
    identifiers = [str(element["id"]) for element in soup.select("figure.fetalkit[id], .fetalkit table[id]")]
    if twice := sorted({identifier for identifier in identifiers if identifiers.count(identifier) > 1}):
        raise FetalkitError(f"{name}: two figures or tables are named {', '.join(twice)}; give each its own name")


def _answer_first(soup: BeautifulSoup) -> None:
    """Move the answer of a study, and the figure right after it, up to below the question: the first screen is theirs."""
    answer, heading = soup.select_one("section.fetalkit.answer"), soup.h1
    question = heading.find_next_sibling("p") if heading else None
    text = question.find_parent("div") if question else None
    if answer is None or question is None or text is None:
        return
    shown = answer.find_parent(class_="shown") or answer
    after = shown.find_next_sibling(class_="shown")
    moved = [shown, after] if isinstance(after, Tag) and after.find("figure") else [shown]
    rest = soup.new_tag("div", attrs={"class": "text"})
    for element in list(question.next_siblings):
        rest.append(element.extract())
    text["class"] = "text question"
    for element in (rest, *reversed(moved)):
        text.insert_after(element.extract())


def _leave_out_published(soup: BeautifulSoup) -> None:
    """Take out the line that leads from a notebook, which has no outputs in git, to its published pages."""
    for link in soup.select(f'p a[href^="{PUBLISHED}"]'):
        if paragraph := link.find_parent("p"):
            paragraph.decompose()


def _leave_out_pictures(soup: BeautifulSoup) -> None:
    """Put a sentence in the place of every picture that is not known to be a chart; captions stay."""
    for picture in soup.select("img, svg, canvas"):
        # Pixels inside a drawing are a picture, whatever its figure says that it is.
        if picture.find_parent("figure", class_="chart") is None or picture.select_one("image, foreignobject"):
            sentence = soup.new_tag("p", attrs={"class": "left-out"})
            sentence.string = LEFT_OUT
            picture.replace_with(sentence)


def _let_unfold(soup: BeautifulSoup) -> None:
    """Put a box above every table with folded columns that shows them when it is ticked, without a script."""
    for table in soup.select(".fetalkit.folds"):
        heads = [_text(head) for head in table.select("thead th.more")]
        label = soup.new_tag("label", attrs={"class": "unfold"})
        label.append(soup.new_tag("input", attrs={"type": "checkbox"}))
        label.append(f" {len(heads)} more column{'s' * (len(heads) > 1)}: {', '.join(heads)}")
        table.insert(0, label)


def _title(soup: BeautifulSoup, label: str) -> str:
    """Text of the first heading, which is made from `label` when the notebook has none."""
    heading = soup.h1
    if heading is None:
        heading = soup.new_tag("h1")
        heading.string = label
        soup.insert(0, heading)
    return _text(heading)


def _contents(soup: BeautifulSoup) -> list[tuple[int, str, str]]:
    """Sections of the page; gives every heading an id of its own and a link to itself."""
    taken = {str(element["id"]) for element in soup.select("[id]") if not re.fullmatch("h[1-6]", element.name)}
    sections = []
    for heading in soup.select("h2, h3, h4"):
        text = _text(heading)
        # As in JupyterLab, so that a link to a section works in both.
        identifier = wanted = text.replace(" ", "-")
        number = 1
        while identifier in taken:
            number += 1
            identifier = f"{wanted}-{number}"
        taken.add(identifier)
        heading["id"] = identifier
        link = soup.new_tag("a", attrs={"class": "anchor", "href": f"#{quote(identifier)}"})
        link["aria-label"] = f"Link to the section {text}"
        link.string = "#"
        heading.append(link)
        if heading.name != "h4":
            sections.append((int(heading.name[1]), identifier, text))
    return sections


def _text(tag: Tag) -> str:
    return " ".join(tag.get_text().split())


def short_name(name: str) -> str:
    """Name for the navigation: ``01_cohort`` -> ``1 Cohort``."""
    number, _, words = name.partition("_")
    if not number.isdigit() or not words:
        return name.replace("_", " ").capitalize()
    return f"{int(number)} {words.replace('_', ' ').capitalize()}"
