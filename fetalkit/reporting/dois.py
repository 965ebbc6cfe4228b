"""DOIs as links: in the body of a page, which is parsed, and in a plain text that a template writes."""

import re
from collections.abc import Iterator

from bs4 import BeautifulSoup, Tag
from bs4.element import NavigableString
from markupsafe import Markup, escape

# With a word that says what it is, or with a letter, so that no quotient of two numbers is taken for one.
_DOI = re.compile(
    r"(?:https?://(?:dx\.)?doi\.org/|\bdoi:?\s*)(?P<named>10\.\d{4,9}/[^\s<>\"]+)"
    r"|(?<![\w./])(?P<bare>10\.\d{4,9}/(?=\S*[A-Za-z])[^\s<>\"]+)",
    re.IGNORECASE,
)
_AFTER = ".,;:!?'*_)]}"  # what ends a sentence or a bracket is no part of a DOI
_UNTOUCHED = ["a", "code", "pre", "script", "style", "svg", "textarea", "button", "h1", "h2", "h3", "h4"]


def link(soup: BeautifulSoup) -> None:
    """Make every DOI in the text of a page a link; code, headings and what is a link already stay as they are."""
    for text in soup.find_all(string=_DOI):
        if type(text) is not NavigableString or text.find_parent(_UNTOUCHED):
            continue
        parts: list[NavigableString | Tag] = []
        for words, doi in _parts(text):
            if doi:
                anchor = soup.new_tag("a", attrs={"href": f"https://doi.org/{doi}"})
                anchor.string = words
                parts.append(anchor)
            elif words:
                parts.append(NavigableString(words))
        text.replace_with(*parts)


def linked(text: str) -> Markup:
    """`text`, escaped, with its DOIs as links."""
    return Markup("").join(
        Markup('<a href="https://doi.org/{}">{}</a>').format(doi, words) if doi else escape(words)
        for words, doi in _parts(text)
    )


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """Pieces of `text` in order: words, and the DOI that they are, or nothing."""
    end = 0
    for match in _DOI.finditer(text):
        doi = match["named"] or match["bare"]
        kept = doi
        while kept[-1] in _AFTER and not (kept[-1] == ")" and kept.count("(") >= kept.count(")")):
            kept = kept[:-1]
        stop = match.end() - len(doi) + len(kept)
        yield text[end : match.start()], ""
        yield text[match.start() : stop], kept
        end = stop
    yield text[end:], ""
