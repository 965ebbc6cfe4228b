"""Publish executed notebooks as pages that need nothing but themselves: no script, no network, no other file.

nbconvert renders the cells (``templates/cells.html.j2``), Jinja2 the page around them (``templates/page.html.j2``).
"""

import base64
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import nbformat
from bs4 import BeautifulSoup, Tag
from markupsafe import Markup, escape
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

from fetalkit.runner import record
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.places import hide

STUDY = "Diffusion pre-training for fetal ultrasound planes"
LARGEST_PAGE = 3_000_000
TEMPLATES = Path(__file__).with_name("templates")
FOREIGN = "script, iframe, object, embed, video, audio, link, base"


@dataclass
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
    figures
        File name -> PNG.
    run
        The run record.
    """

    notebook: str
    file: str
    label: str
    title: str
    body: str
    contents: list[tuple[int, str, str]]
    figures: dict[str, bytes]
    run: dict[str, Any]


def publish(
    cohort: str,
    notebooks: Sequence[str],
    tables: Mapping[str, Path],
    front: str,
    settings: Mapping[str, Any],
    folder: Path | None = None,
) -> Path:
    """Write the report of a cohort to ``reports/<cohort>/``, or to another `folder`.

    All pages are made and checked before the first file is replaced: after a failure the earlier report is complete.
    Pages and figures of an earlier report that are not part of this one are removed; other files are left alone.

    Parameters
    ----------
    cohort
        Name of the cohort.
    notebooks
        Stems of the executed notebooks, in reading order; each becomes ``<stem>.html``.
    tables
        File name in the report -> file to copy.
    front
        Stem of the notebook that becomes ``index.html``; it may be one of `notebooks`.
    settings
        The cohort's section of ``params.yaml``, printed at the foot of each page.
    folder
        Where the report goes.

    Returns
    -------
    Path
        The front page.

    Raises
    ------
    FetalkitError
        When a notebook is missing, has failed or was not made by :mod:`fetalkit.runner`; when a page would need
        another file or the network, or has 3 MB or more; when a table is missing; when a file cannot be written.
    """
    pages = [_page(cohort, front, "index.html", "Report")]
    pages += [_page(cohort, name, f"{name}.html", _label(name)) for name in notebooks if name != front]
    files = {f"figures/{name}": png for page in pages for name, png in page.figures.items()}
    files |= {page.file: _html(number, pages, cohort, settings, tables) for number, page in enumerate(pages)}
    files |= {name: _table(name, Path(source)) for name, source in tables.items()}
    folder = folder or paths.reports(cohort)
    _replace(folder, files)
    return folder / "index.html"


def _page(cohort: str, name: str, file: str, label: str) -> Page:
    path = paths.executed(cohort, name)
    run = record(path)
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if any(output.output_type == "error" for output in cell.get("outputs", [])):
            raise FetalkitError(f"{path}: cell {cell.execution_count} has failed; run the notebook again")
    notebook.cells = _joined(notebook.cells)
    soup = BeautifulSoup(_exporter().from_notebook_node(notebook)[0], "html.parser")
    _check_self_contained(name, soup)
    figures = _figures(name, soup)
    title = _title(soup, label)
    contents = _contents(soup)
    return Page(name, file, label, title, str(soup), contents, figures, run)


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
    exporter = HTMLExporter(template_file=str(TEMPLATES / "cells.html.j2"), exclude_anchor_links=True)
    exporter.register_filter("tidy", _tidy)
    return exporter


def _tidy(text: str) -> str:
    """Printed text as a terminal would leave it, without colours and places on one machine's disk."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    text = re.sub(r"[^\n]*\r(?!\n)", "", text)
    text = re.sub(r"\S*/ipykernel_\d+/\d+\.py:\d+: ", "", text)
    text = re.sub(r"\S*/site-packages/", "", text)
    # Python repeats the line of code below a warning.
    return re.sub(r"(Warning: [^\n]*)\n  [^\n]*", r"\1", text).strip("\n")


# What is in a page


def _check_self_contained(name: str, soup: BeautifulSoup) -> None:
    if foreign := soup.select_one(FOREIGN):
        raise FetalkitError(f"{name}: an output holds <{foreign.name}>, which no page may; show a figure or a table")
    for element in soup.select("[src], [srcset]"):
        source = element.get("src") or element["srcset"]
        if not source.startswith("data:"):
            raise FetalkitError(f"{name}: the page would need the file {source}; show it with display.figure")


def _figures(name: str, soup: BeautifulSoup) -> dict[str, bytes]:
    """Files of the figures that :func:`fetalkit.reporting.display.figure` has shown."""
    identifiers = [element["id"] for element in soup.select("figure.fetalkit[id], .fetalkit table[id]")]
    if twice := sorted({identifier for identifier in identifiers if identifiers.count(identifier) > 1}):
        raise FetalkitError(f"{name}: two figures or tables are named {', '.join(twice)}; give each its own name")
    return {
        f"{name}-{figure['id']}.png": base64.b64decode(figure.img["src"].partition(",")[2])
        for figure in soup.select("figure.fetalkit[id]")
    }


def _title(soup: BeautifulSoup, label: str) -> str:
    """Text of the first heading, which is made from `label` when the notebook has none."""
    if soup.h1 is None:
        heading = soup.new_tag("h1")
        heading.string = label
        soup.insert(0, heading)
    return _text(soup.h1)


def _contents(soup: BeautifulSoup) -> list[tuple[int, str, str]]:
    """Sections of the page; gives every heading an id of its own and a link to itself."""
    taken = {element["id"] for element in soup.select("[id]") if not re.fullmatch("h[1-6]", element.name)}
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


def _label(name: str) -> str:
    """Name for the navigation: ``01_cohort`` -> ``1 Cohort``."""
    number, _, words = name.partition("_")
    if not number.isdigit() or not words:
        return name.replace("_", " ").capitalize()
    return f"{int(number)} {words.replace('_', ' ').capitalize()}"


# What is around it


def _html(
    number: int, pages: Sequence[Page], cohort: str, settings: Mapping[str, Any], tables: Mapping[str, Path]
) -> bytes:
    page = pages[number]
    rendered = _template().render(
        page=page,
        pages=pages,
        body=Markup(page.body),
        earlier=pages[number - 1] if number else None,
        later=pages[number + 1] if number + 1 < len(pages) else None,
        study=STUDY,
        cohort=cohort,
        run=_run(page.run),
        parameters=page.run["parameters"],
        settings=dict(_flat(settings)),
        versions=page.run["versions"],
        tables=tables,
        code_style=Markup(HtmlFormatter(style="vs").get_style_defs(".highlight")),
    )
    html = hide(rendered).encode()
    if len(html) >= LARGEST_PAGE:
        raise FetalkitError(
            f"{page.notebook}: its page has {len(html) / 1e6:.1f} MB, it must stay below {LARGEST_PAGE / 1e6:.1f} MB; "
            "show fewer or smaller figures"
        )
    return html


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["fragment"] = quote
    environment.filters["breakable"] = _breakable
    return environment.get_template("page.html.j2")


def _breakable(key: str) -> Markup:
    """`key` with places where a narrow column may break it: after a dot or an underscore."""
    return Markup(re.sub(r"([._])", r"\1<wbr>", str(escape(key))))


def _run(run: Mapping[str, Any]) -> dict[str, str]:
    """The run record in words."""
    commit = "not under version control"
    if run["commit"]:
        commit = run["commit"][:12] + (" with uncommitted changes" if run["dirty"] else "")
    return {
        "Notebook": f"{run['notebook']}.ipynb",
        "Started": datetime.fromisoformat(run["started"]).strftime("%Y-%m-%d %H:%M UTC"),
        "Duration": str(timedelta(seconds=round(run["seconds"]))),
        "Commit": commit,
        "Processor": f"{run['cpu']}, {run['cores']} cores",
        "Memory": f"{run['memory_gib']} GiB",
        "GPU": run["gpu"] or "none",
        "System": f"Python {run['python']}, {run['platform']}",
    }


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as ``group.key`` and the value in words."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{key}", ", ".join(map(str, value))
        else:
            yield f"{prefix}{key}", str(value)


# Files


def _table(name: str, source: Path) -> bytes:
    if Path(name).name != name or Path(name).suffix not in (".csv", ".json"):
        raise FetalkitError(f"{name}: is no name for a table of the report; use one that ends in .csv or .json")
    try:
        return source.read_bytes()
    except OSError as error:
        raise FetalkitError(f"{source}: cannot be read ({error.strerror}); run the stage that makes it") from error


def _replace(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make `files` the report in `folder`; they are written completely before the first old one goes."""
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".publish-*"):
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=".publish-", dir=folder) as temporary:
            (Path(temporary) / "figures").mkdir()
            for name, content in files.items():
                (Path(temporary) / name).write_bytes(content)
            for name in files:
                os.replace(Path(temporary) / name, folder / name)
        for old in [*folder.glob("*.html"), *folder.glob("figures/*.png")]:
            if old.relative_to(folder).as_posix() not in files:
                old.unlink()
    except OSError as error:
        advice = "free some space or check rights"
        raise FetalkitError(f"{folder}: cannot be written ({error.strerror}); {advice}") from error
