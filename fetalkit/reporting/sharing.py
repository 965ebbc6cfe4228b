"""A published report as one file to be sent: a zip whose ``START-HERE.html`` opens by double click, offline.

It holds what the report's own folder holds (`fetalkit.config.privacy` decides what that shows), licence and citation. It lies
beside that folder, where git ignores it: the zip of a private cohort never gets where git would add something.
"""

import posixpath
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

from bs4 import BeautifulSoup

from fetalkit.config import privacy
from fetalkit.reporting import contents, layout
from fetalkit.reporting.citations import FILE
from fetalkit.reporting.references import of_study, references
from fetalkit.utils import paths
from fetalkit.utils.files import replacing

START, LICENCE = "START-HERE.html", "LICENSE"
OF_REPORTS = (".html", ".csv", ".json")  # a pipeline and its lock, which lie there too, are no part of one
_LINK = re.compile(r"<a\b[^>]*?\bhref=\"(?P<href>[^\"#]*)[^\"]*\"[^>]*>(?P<text>.*?)</a>", re.DOTALL)
_LIKE_ANY_OTHER = (1980, 1, 1, 0, 0, 0)  # the time of every file: equal reports are equal bytes


def pack(study: str, page: Path, paper: Path | None = None) -> Path:
    """Write a published report as one file, all or nothing; return it.

    Parameters
    ----------
    study
        A cohort, or the folder of a transfer study between cohorts.
    page
        Front page of the published report.
    paper
        A PDF of it that is put in, too.

    Raises
    ------
    FetalkitError
        When the file cannot be written.
    """
    folder = page.parent
    report = {path.relative_to(folder.parent).as_posix(): path.read_bytes() for path in _files(folder)}
    files = {name: (paths.ROOT / name).read_bytes() for name in (LICENCE, FILE)}
    files |= {paper.name: paper.read_bytes()} if paper else {}
    files[START] = _start(study, page, list(report), paper)
    files |= report
    target = folder.with_name(f"{folder.name}.zip")
    with (
        replacing(target) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
    ):
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(f"fetalkit-{folder.name}/{name}", _LIKE_ANY_OTHER)
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # as on Linux, wherever it is made
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, _within(name, content, files) if name.endswith(".html") else content)
    return target


def _files(folder: Path) -> list[Path]:
    """What of a published folder is the report: not its pipeline and lock."""
    cards = (path for path in (folder / contents.CARDS).rglob("*") if path.is_file())
    pages = (path for path in folder.iterdir() if path.is_file() and path.suffix in OF_REPORTS)
    return sorted([*pages, *cards])


def _within(name: str, content: bytes, files: Mapping[str, bytes]) -> bytes:
    """A page without links to what is not in the file, as to other studies: their words stay, a way back to all does not."""

    def kept(link: re.Match[str]) -> str:
        href = link["href"]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), href))
        if not href or re.match(r"[a-z]+:", href) or target in files:
            return link[0]
        return "" if target == "index.html" else link["text"]

    return _LINK.sub(kept, content.decode("utf-8")).encode("utf-8")


def _start(study: str, page: Path, names: list[str], paper: Path | None) -> bytes:
    """The page that a reader opens first."""
    soup, folder = BeautifulSoup(page.read_bytes(), "html.parser"), page.parent.name
    pages = [(str(link["href"]), link.get_text()) for link in soup.select(".side ul a[href$='.html']")]
    tables = [name for name in names if posixpath.dirname(name) == folder and not name.endswith(".html")]
    cards = [name for name in names if name == f"{folder}/{contents.CARDS}/index.html"]
    start = layout.bare(
        "start.html.j2",
        title=soup.h1.get_text(" ", strip=True) if soup.h1 else layout.STUDY,
        folder=folder,
        pages=[
            (href, label) for href, label in dict.fromkeys(pages) if "/" not in href and f"{folder}/{href}" in names
        ],
        tables=tables,
        cards=cards,
        paper=paper.name if paper else "",
        cohorts=of_study(study),
        references=references(study),
        private=not privacy.public(study),
    )
    return start.encode("utf-8")
