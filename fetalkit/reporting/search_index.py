"""What the search box of a report looks through: sections, figures and tables with their texts, for each page to hold."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from bs4 import BeautifulSoup, Tag

from fetalkit.reporting.page_body import Page

TOP = "content"  # id of what every page holds
_TEXTS = ".text p, .text li, .note, .facts > div"
_TITLE = 90  # letters of a caption that stand for it


def index(pages: Sequence[Page]) -> dict[str, list[Any]]:
    """``pages``: file and label; ``entries``: number of the page, id, title and text of each section, figure and table."""
    entries = [[number, *entry] for number, page in enumerate(pages) for entry in _entries(page)]
    return {"pages": [[page.file, page.label] for page in pages], "entries": entries}


def _entries(page: Page) -> list[list[str]]:
    soup, named = BeautifulSoup(page.body, "html.parser"), {identifier for _, identifier, _ in page.contents}
    entries = [[TOP, page.title, ""]]
    section = entries[0]
    texts = set(map(id, soup.select(_TEXTS)))
    for element in soup.find_all(True):
        if element.name in ("h2", "h3") and element.get("id") in named:
            section = [str(element["id"]), _words(element).removesuffix(" #").removesuffix("#"), ""]
            entries.append(section)
        elif element.name == "figure" and element.get("id"):
            entries.append(_captioned(element, element.figcaption, ()))
        elif element.name == "table" and element.get("id"):
            cells = (_words(cell) for cell in element.select("th, td"))
            entries.append(_captioned(element, element.caption, dict.fromkeys(cells)))
        elif id(element) in texts:
            section[2] = f"{section[2]} {_words(element)}".strip()
    return entries


def _captioned(element: Tag, caption: Tag | None, cells: Iterable[str]) -> list[str]:
    """A figure or table; of a table's cells those with words: numbers are looked up in it."""
    about = _words(caption) if caption else str(element["id"])
    title = about if len(about) <= _TITLE else f"{about[:_TITLE].rpartition(' ')[0]} …"
    return [str(element["id"]), title, " ".join([about, *(cell for cell in cells if re.search("[a-z]{3}", cell))])]


def _words(tag: Tag) -> str:
    return " ".join(tag.get_text(" ").split())
