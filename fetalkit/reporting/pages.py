"""Pages that need nothing but themselves: no script, no network, no other file.

Each holds the body of one executed notebook (`fetalkit.reporting.page_body`); Jinja2 writes what is around it
(``templates/page.html.j2``).
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup

from fetalkit.reporting import layout, page_body, search_index
from fetalkit.reporting.page_body import Page, Reveal


def render(
    cohort: str,
    notebooks: Sequence[str],
    tables: Sequence[str],
    front: str,
    settings: Mapping[str, Any],
    reveal: Reveal | None = None,
    cards: str = "",
) -> dict[str, bytes]:
    """All pages of a report.

    Parameters
    ----------
    cohort
        Name of the cohort.
    notebooks
        Stems of the executed notebooks, in reading order; each becomes ``<stem>.html``.
    tables
        Names of the tables beside the pages, which link them.
    front
        Stem of the notebook that becomes ``index.html``; it may be one of `notebooks`.
    settings
        The cohort's section of ``params.yaml``, printed at the foot of each page.
    reveal
        What the pages may show; all by default.
    cards
        The page that lists the cards of generators and sets, where there are any.

    Returns
    -------
    dict
        File name -> HTML, in UTF-8.

    Raises
    ------
    FetalkitError
        As `fetalkit.reporting.page_body.read`; and when a page has 3 MB or more.
    """
    pages = [page_body.read(cohort, front, "index.html", "Report", reveal)]
    pages += [page_body.read(cohort, name, reveal=reveal) for name in notebooks if name != front]
    shared = {
        "cohort": cohort,
        "settings": dict(_flat(settings)),
        "tables": tables,
        "cards": cards,
        "search": search_index.index(pages),
    }
    return {page.file: _html(number, pages, shared) for number, page in enumerate(pages)}


def _html(number: int, pages: Sequence[Page], shared: Mapping[str, Any]) -> bytes:
    page = pages[number]
    return layout.render(
        "page.html.j2",
        page.notebook,
        page=page,
        pages=pages,
        body=Markup(page.body),
        earlier=pages[number - 1] if number else None,
        later=pages[number + 1] if number + 1 < len(pages) else None,
        run=_run(page.run),
        parameters=page.run["parameters"],
        versions=page.run["versions"],
        **shared,
    )


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
        else:
            yield f"{prefix}{key}", _value(value)


def _value(value: Any) -> str:
    """A setting in words; what is nested in a list has its parts named."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value(of)}" for key, of in value.items() if of is not None)
    if isinstance(value, list | tuple):
        return ("; " if any(isinstance(of, Mapping | list | tuple) for of in value) else ", ").join(map(_value, value))
    return "none" if value is None else str(value)
