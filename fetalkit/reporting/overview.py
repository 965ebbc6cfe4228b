"""``reports/index.html``: all published studies on one page, written from the files in ``reports/`` alone."""

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from markupsafe import Markup
from PIL import Image

from fetalkit.analysis import overview as words
from fetalkit.analysis.generator_quality import quality
from fetalkit.analysis.published import current
from fetalkit.analysis.terms import SUBJECT
from fetalkit.plots import overview as plots
from fetalkit.reporting import citations, layout, page_body
from fetalkit.reporting.bench_tables import read_json
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing

FILE = "index.html"
MARK = b"<!-- overview -->"  # where ``templates/page.html.j2`` has room for the link to this page
LINK = '<a href="../index.html">All studies</a> · '.encode()
SHEET = "first-samples"  # figure of the page `FIDELITY`: real images beside drawn ones, of every plane
FIDELITY = "06_fidelity.html"
SAMPLES = ("docs", "images", "samples.png")
ENLARGED = 1.25  # of such a figure, so that each image has at least 128 px
MOST_SHEETS = 1_600_000  # characters of all sheets together; the page has to stay below `layout.LARGEST_PAGE`
VERSIONS = ("torch", "diffusers", "timm")


@dataclass(frozen=True)
class Report:
    """One published report.

    Attributes
    ----------
    folder, title
        In ``reports/``; of its front page.
    pages
        File and label of each, the front page first.
    record
        What the foot of the front page says: run, versions and settings.
    summary
        Of ``summary.json`` in the present form; empty where a report has none.
    """

    folder: str
    title: str
    pages: list[tuple[str, str]]
    record: dict[str, str]
    summary: dict[str, Any]

    @property
    def of_cohort(self) -> bool:
        """Whether it is the study of one cohort."""
        return "arms" in self.summary

    @property
    def of_transfer(self) -> bool:
        """Whether it is a study between cohorts."""
        return "directions" in self.summary

    @property
    def image_size(self) -> str:
        """Side of its images in px."""
        known = [
            self.record.get(f"images.{name}") for name in ("image_size", "size")
        ]  # the latter of an earlier edition
        return str(self.summary.get("image_size") or next(filter(None, known), "–"))

    @property
    def made(self) -> str:
        """Commit and date."""
        return ", ".join(filter(None, [self.record.get("Commit"), self.record.get("Started", "").partition(" ")[0]]))

    @property
    def made_with(self) -> str:
        """Processor, Python and libraries."""
        libraries = [f"{name} {self.record[name]}" for name in VERSIONS if name in self.record]
        gpu = self.record.get("GPU", "none")
        known = [
            self.record.get("Processor"),
            "" if gpu == "none" else gpu,
            self.record.get("System", "").partition(",")[0],
        ]
        return ", ".join(filter(None, [*known, *libraries]))


def linked(page: bytes) -> bytes:
    """A page of a report that is published, with its link to the overview."""
    return page.replace(MARK, LINK)


def write() -> Path:
    """Write the overview anew and return it.

    Raises
    ------
    FetalkitError
        When a published file is damaged, or it cannot be written.
    """
    content, file = render(), paths.reports(FILE)
    with replacing(file) as temporary:
        temporary.write_bytes(content)
    return file


def render() -> bytes:
    """The overview of what is published.

    Raises
    ------
    FetalkitError
        When a published file is damaged.
    """
    try:
        return _render(_reports())
    except (KeyError, TypeError, AttributeError) as error:
        raise FetalkitError(
            f"{paths.reports(FILE).parent}: a summary.json is damaged or of another edition ({error!r}); "
            "get it back from git, or publish the study again"
        ) from error


def _render(reports: list[Report]) -> bytes:
    cohorts = {report.folder: _cohort(report) for report in reports if report.of_cohort}
    version, entries = "", []
    if (paths.ROOT / citations.FILE).is_file():
        version, entries = citations.read(paths.ROOT / citations.FILE)
    return layout.render(
        "overview.html.j2",
        "The overview of all studies",
        reports=reports,
        cohorts=cohorts,
        answer=words.answer(list(cohorts.values())),
        forest=Markup(plots.forest({name: cohort.rows for name, cohort in cohorts.items() if cohort.rows})),
        transfer={report.folder: _transfer(report.summary) for report in reports if report.of_transfer},
        unpublished=[path.parent.name for path in _found("dvc.yaml") if not path.with_name(FILE).is_file()],
        sheets=list(_sheets(reports)),
        fidelity=[report.folder for report in reports if FIDELITY in dict(report.pages)],
        citations=entries,
        version=version,
        beside_real=words.beside_real,
    )


def _found(name: str) -> list[Path]:
    return sorted(paths.reports(FILE).parent.glob(f"*/{name}"))


def _reports() -> list[Report]:
    """All published reports, by name."""
    return [_read(path.parent) for path in _found(FILE)]


def _read(folder: Path) -> Report:
    front = (folder / FILE).read_text(encoding="utf-8")
    foot = BeautifulSoup(front[front.rfind("<footer") :], "html.parser")
    title = re.search("<title>(.*?)( – |</title>)", front)
    file = folder / "summary.json"
    others = sorted(path.name for path in folder.glob("*.html") if path.name != FILE)
    return Report(
        folder.name,
        BeautifulSoup(title[1], "html.parser").text if title else folder.name,
        [(FILE, "Report"), *((name, page_body.short_name(Path(name).stem)) for name in others)],
        {row.dt.text: row.dd.text for row in foot.select("dl div") if row.dt and row.dd},
        current(read_json(file)) if file.is_file() else {},
    )


def _cohort(report: Report) -> words.Cohort:
    headline = report.summary.get("headline", {})
    entries = [*headline.get("primary", []), *headline.get("best", [])]
    sets = dict.fromkeys([SUBJECT, *(name for one in entries for name in one.get("sets", [one["arm"]]))])
    measured = quality(paths.reports(report.folder), list(sets), report.summary.get("shots", []))
    return words.cohort(report.folder, report.summary, measured)


def _transfer(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What validation patients of the source choose at each level: the mean over all classifiers, which comes first."""
    rows = summary.get("chosen", [])
    return [next(same) for _, same in groupby(rows, key=lambda row: (row["view"], row["level"]))]


def _sheets(reports: list[Report]) -> Iterator[tuple[str, str, str, str]]:
    """Caption, picture as a data URL, alternative text and width in px of samples that are published already."""
    room = MOST_SHEETS
    for report in reports:
        figure = _sheet(report)
        if figure is not None and len(figure[1]) <= room:
            room -= len(figure[1])
            yield figure
    file = paths.ROOT.joinpath(*SAMPLES)
    if file.is_file():
        with Image.open(file) as picture:
            width, height = picture.size
        text = f"Real images of four planes on the left, drawn ones on the right, {width} × {height} px in all"
        yield "", f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}", text, str(width)


def _sheet(report: Report) -> tuple[str, str, str, str] | None:
    """The sheet that the page `FIDELITY` of a report shows; those of earlier editions have none."""
    file = paths.reports(report.folder, FIDELITY)
    content = file.read_text(encoding="utf-8") if file.is_file() else ""
    start = content.find(f'<figure id="{SHEET}"')
    if start < 0:
        return None
    figure = BeautifulSoup(content[start : content.find("</figure>", start)], "html.parser")
    if figure.img is None or figure.figcaption is None:
        return None
    source, text, width = (str(figure.img[name]) for name in ("src", "alt", "width"))
    return f"{report.folder}: {figure.figcaption.text}", source, text, f"{ENLARGED * float(width):.0f}"
