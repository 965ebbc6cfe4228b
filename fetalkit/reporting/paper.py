"""The front page of a report as a paper: a PDF of A4 sheets with numbered figures and tables, references and page numbers.

It is made of the page itself, so that both say the same. WeasyPrint [1]_ sets it: with text, links and SVG figures as such,
no browser and no network. It is an extra, ``pip install 'fetalkit[pdf]'``, and draws text with the library Pango.

References
----------
.. [1] https://weasyprint.org
"""

import base64
import logging
import re
from pathlib import Path
from typing import Any

import matplotlib
from bs4 import BeautifulSoup, Tag
from markupsafe import Markup

from fetalkit.reporting import layout, rendering
from fetalkit.reporting.references import references
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing

TEMPLATE = "paper.html.j2"
MISSING = "a PDF needs WeasyPrint, which is not installed: pip install 'fetalkit[pdf]'"
NO_PANGO = "a PDF needs the library Pango, which this machine lacks; docs/install.md says how to install it"
# Of matplotlib, so that they are there, and the same, on every machine: family, style, weight -> file.
FONTS = {
    ("Text", "normal", "normal"): "STIXGeneral.ttf",
    ("Text", "italic", "normal"): "STIXGeneralItalic.ttf",
    ("Text", "normal", "bold"): "STIXGeneralBol.ttf",
    ("DejaVu Sans", "normal", "normal"): "DejaVuSans.ttf",
    ("DejaVu Sans", "normal", "bold"): "DejaVuSans-Bold.ttf",
    ("Code", "normal", "normal"): "DejaVuSansMono.ttf",
}
ON_SCREEN = (  # and on no sheet of paper
    "script, style, nav, template, button, input, select, form, dialog, [hidden], "
    ".menu, .code, .anchor, .turn, .skip, .messages, .unfold"
)
WIDEST, HIGHEST = 170.0, 200.0  # mm, on a sheet of A4 with its margins
_MM_PER_INCH = 25.4
MANY_COLUMNS = 8  # a table of more has smaller type
_COLOUR = re.compile(r"var\(--[\w-]+, *(#\w+)\)")
_SIGN = re.compile("[▲▼★](?=[^<>]*<)")  # of tables, in words and not in tags; the font of the text lacks them in bold
_LINK = "https://doi.org/"
_PRODUCER = "fetalkit"


def write(study: str, page: Path, target: Path) -> None:
    """Write the paper of a report, all or nothing; the same page gives the same bytes.

    Parameters
    ----------
    study
        A cohort, or the folder of a transfer study between cohorts.
    page
        Front page of its report.
    target
        The PDF file.

    Raises
    ------
    FetalkitError
        When WeasyPrint or Pango is missing, or the file cannot be written.
    """
    weasyprint = _weasyprint()
    html = source(study, page.read_text(encoding="utf-8"))
    logging.getLogger("weasyprint").setLevel(
        logging.ERROR
    )  # It names every CSS property of screens that it leaves out.
    # Nothing but what is in the page: no file of this machine, and nothing of another one.
    fetcher = weasyprint.URLFetcher(allowed_protocols=("data",))
    document = weasyprint.HTML(string=html, url_fetcher=fetcher)
    with replacing(target) as temporary:
        document.write_pdf(temporary, pdf_identifier=_PRODUCER.encode(), optimize_images=False)


def _weasyprint() -> Any:
    try:
        import weasyprint
    except ImportError:
        raise FetalkitError(MISSING) from None
    except OSError:  # as its message is about files of the dynamic loader
        raise FetalkitError(NO_PANGO) from None
    return weasyprint


def source(study: str, page: str) -> str:
    """The paper as HTML, from the HTML of a front page."""
    # The colours of charts are those of the page, light or dark; each names the one that it has on paper.
    soup = BeautifulSoup(_COLOUR.sub(r"\1", page), "html.parser")
    body, run = soup.select_one("main"), _run(soup)
    if body is None:
        raise FetalkitError(f"{study}: its front page has no content; build the report again")
    for element in body.select(ON_SCREEN):
        element.decompose()
    title = body.h1.extract().get_text(" ", strip=True) if body.h1 else layout.STUDY
    _number(body, "figure", "figcaption", "Figure")
    _number(body, "table", "caption", "Table")
    for table in body.select("table"):
        _leave_out_columns(table)
        if len(table.select("tr:first-child > *")) > MANY_COLUMNS:
            table["class"] = " ".join([*(str(name) for name in table.get_attribute_list("class") if name), "many"])
    for picture in body.select("figure img[width][height], figure svg[width][height]"):
        _scale(picture)
    listed = references(study)
    _keep_links(body, [reference["doi"] for reference in listed])
    about = {"report": study, "title": title, "run": run, "references": listed}
    shown = _SIGN.sub(r'<span class="sign">\g<0></span>', str(body))
    return layout.bare(TEMPLATE, body=Markup(shown), fonts=_fonts(), **about)


def _fonts() -> list[tuple[str, str, str, str]]:
    """Family, style, weight and content of `FONTS`, in Base64."""
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    return [(*about, base64.b64encode((folder / file).read_bytes()).decode()) for about, file in FONTS.items()]


def _run(soup: BeautifulSoup) -> dict[str, str]:
    """What the foot of a page says of the run that made it."""
    terms = soup.select("footer dl div")
    pairs = [(term.dt, term.dd) for term in terms if term.dt and term.dd]
    return {name.get_text(): value.get_text() for name, value in pairs if not name.find_parent("details")}


def _number(body: Tag, kind: str, caption: str, word: str) -> None:
    """Number what has a caption, in the order of the page."""
    captions = [each for element in body.select(kind) if (each := element.select_one(caption)) is not None]
    for number, each in enumerate(captions, 1):
        label = BeautifulSoup(f'<b class="number">{word} {number}.</b> ', "html.parser")
        each.insert(0, label)


def _scale(picture: Tag) -> None:
    """Give a figure its size on paper: that of the screen, or as much as a sheet holds."""
    wide, high = (float(str(picture[side])) / rendering.DPI * _MM_PER_INCH for side in ("width", "height"))
    scale = min(1.0, WIDEST / wide, HIGHEST / high)
    picture["style"] = f"{picture.get('style', '')};width:{scale * wide:.1f}mm;height:{scale * high:.1f}mm"


def _leave_out_columns(table: Tag) -> None:
    """Keep the columns that a page shows at first, and say where the others are."""
    folded = table.select("th.more, td.more")
    for cell in folded:
        cell.decompose()
    if folded and table.caption:
        (table.caption.select_one("span") or table.caption).append(" More columns are on the page.")


def _keep_links(body: Tag, listed: list[str]) -> None:
    """Make a link to a DOI that is listed a link with its number; take off those that lead to other pages."""
    identifiers = {str(element["id"]) for element in body.select("[id]")}
    for link in body.select("a"):
        href = str(link.get("href", ""))
        if href.removeprefix(_LINK) in listed:
            link.insert_after(
                BeautifulSoup(f"<sup>[{listed.index(href.removeprefix(_LINK)) + 1}]</sup>", "html.parser")
            )
        elif not href.startswith(("https://", "http://")) and href[1:] not in identifiers:
            link.unwrap()
