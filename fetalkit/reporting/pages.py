"""Pages that need nothing but themselves: no script, no network, no other file.

Each holds the body of one executed notebook (`fetalkit.reporting.page_body`); Jinja2 writes what is around it
(``templates/page.html.j2``).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup, escape
from pygments.formatters import HtmlFormatter

from fetalkit.reporting import page_body
from fetalkit.reporting.page_body import Page, Reveal
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.places import hide

STUDY = "Diffusion pre-training for fetal ultrasound planes"
LARGEST_PAGE = 3_000_000
TEMPLATES = Path(__file__).with_name("templates")


def render(
    cohort: str,
    notebooks: Sequence[str],
    tables: Sequence[str],
    front: str,
    settings: Mapping[str, Any],
    reveal: Reveal | None = None,
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
    return {page.file: _html(number, pages, cohort, settings, tables) for number, page in enumerate(pages)}


def _html(number: int, pages: Sequence[Page], cohort: str, settings: Mapping[str, Any], tables: Sequence[str]) -> bytes:
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
