"""Make the report of a run the published one: ``reports/<study>``, which git versions. Nothing else writes there.

That of a private cohort goes into ``reports-private/<study>``, which git ignores.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fetalkit.analysis import checks
from fetalkit.config import privacy
from fetalkit.reporting import build, contents, front, machine, overview, pages, paper, sharing, test_log
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing

# Searches, which are no stages: notebook, tables in data/<cohort>/search/, folder of the report.
SEARCHES = {
    "generator": ("search_generator", ("candidates.csv",), "search"),
    "training": ("search_training", ("steps.csv", "rounds.csv"), "search-training-{cohort}"),
}
_OWN = {*contents.EVERY_TABLE, contents.TEST_LOG, contents.CARDS, machine.FILE}


def publish(study: str, search: str | None = None) -> Path:
    """Replace the published report of a study by that of its latest run, all or nothing; return the front page.

    Its readings of test patients are added to ``reports/test_readings.csv``. Files of its folder
    that are no part of a report, e.g. its pipeline and lock, stay as they are.

    Parameters
    ----------
    study
        A cohort, or the folder of a transfer study between cohorts.
    search
        One of `SEARCHES`: build and publish the report of this search on the cohort `study` instead.

    Raises
    ------
    FetalkitError
        When there is no report of a run or no such search, when a search has not run, or when a file cannot be written.
    """
    if search is not None:
        return _publish_search(study, search)
    built = paths.data(study, contents.FOLDER)
    if not (built / "index.html").is_file():
        raise FetalkitError(f"{built}: no report of a run is here; run `fetalkit repro {study}` first")
    published = privacy.published(study)
    # First: a line too many is no harm, a report without one would be.
    test_log.add(build.published_log(study), built / contents.TEST_LOG)
    with _replacing_report(published, public=privacy.public(study)) as temporary:
        build.copy(built, temporary)
        (temporary / contents.TEST_LOG).unlink()
    return published / "index.html"


def published_alone(study: str) -> Path | None:
    """Front page of what is published of a study that has no run on this machine, as in a fresh clone; else None."""
    page = privacy.published(study, "index.html")
    return page if page.is_file() and not paths.data(study, contents.FOLDER).exists() else None


def to_share(study: str, page: Path, zipped: bool, pdf: bool) -> list[Path]:
    """Files beside the folder of a published report, to be sent: its front page as a paper, and all of it as one file.

    Parameters
    ----------
    study
        As for `publish`.
    page
        What `publish` returned.
    zipped, pdf
        Which of them are made; the zip holds the paper where both are.

    Raises
    ------
    FetalkitError
        As `fetalkit.reporting.paper.write` and `fetalkit.reporting.sharing.pack`.
    """
    target = page.parent.with_name(f"{page.parent.name}.pdf")
    if pdf:
        paper.write(study, page, target)
    return [target] * pdf + ([sharing.pack(study, page, target if pdf else None)] if zipped else [])


def _publish_search(cohort: str, search: str) -> Path:
    if search not in SEARCHES:
        raise FetalkitError(f"there is no search {search!r}; choose one of: {', '.join(SEARCHES)}")
    notebook, names, folder = SEARCHES[search]
    tables = build.made(cohort, {name: ("search", name) for name in names})
    content = pages.render(cohort, [notebook], names, notebook, build.cohort_settings(cohort), build.reveal(cohort))
    public = privacy.public(cohort)
    published = (paths.reports if public else paths.private_reports)(folder.format(cohort=cohort))
    with _replacing_report(published, public) as temporary:
        build.write(content, tables, temporary)
    return published / "index.html"


def _judged_anew(page: bytes) -> bytes:
    """A page without the finding that its results differ from those that it now replaces."""
    failed = rf'<li class="failed">(?:(?!</li>).)*?<strong>{checks.REPRODUCED}</strong>.*?</li>'.encode()
    return re.sub(failed, lambda _: front.line(checks.not_reproduced_yet()).encode(), page, flags=re.DOTALL)


@contextmanager
def _replacing_report(folder: Path, public: bool) -> Iterator[Path]:
    """As `fetalkit.utils.files.replacing`; what is no part of a report is taken over.

    Pages of a public report are linked with the overview of all studies, which is then written anew.
    """
    with replacing(folder) as temporary:
        yield temporary
        for other in folder.iterdir() if folder.is_dir() else ():
            if other.suffix != ".html" and other.name not in _OWN and not (temporary / other.name).exists():
                build.copy(other, temporary / other.name)
        for page in temporary.glob("*.html"):
            content = _judged_anew(page.read_bytes())
            page.write_bytes(overview.linked(content) if public else content)
    if public:
        overview.write()
