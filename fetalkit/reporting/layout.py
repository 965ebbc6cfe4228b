"""What all pages share: the environment of Jinja2, what is around each (``templates/base.html.j2``), how large one may be."""

import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup, escape
from pygments.formatters import HtmlFormatter

from fetalkit.analysis import wording
from fetalkit.reporting import dois, scripts
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.places import hide

STUDY = "Diffusion pre-training for fetal ultrasound planes"
LARGEST_PAGE = 3_000_000
TEMPLATES = Path(__file__).with_name("templates")


def render(template: str, name: str, **values: Any) -> bytes:
    """A page in UTF-8, without places on one machine's disk.

    Parameters
    ----------
    template
        Name of a file in ``templates/`` that extends ``base.html.j2``.
    name
        What the page shows, for messages.
    values
        What the template asks for.

    Raises
    ------
    FetalkitError
        When the page has 3 MB or more.
    """
    rendered = _environment().get_template(template).render(study=STUDY, **_code_styles(), **values)
    html = scripts.embedded(hide(rendered)).encode()
    if len(html) >= LARGEST_PAGE:
        raise FetalkitError(
            f"{name}: its page has {len(html) / 1e6:.1f} MB, it must stay below {LARGEST_PAGE / 1e6:.1f} MB; "
            "show fewer or smaller figures"
        )
    return html


def bare(template: str, **values: Any) -> str:
    """As `render`, from a template that is a whole page without a script."""
    return hide(_environment().get_template(template).render(study=STUDY, **values))


@cache
def _code_styles() -> dict[str, Markup]:
    """Colours of code by day and by night, both with enough contrast."""
    styles = {"code_style": "vs", "dark_code_style": "github-dark"}
    return {name: Markup(HtmlFormatter(style=of).get_style_defs(".highlight")) for name, of in styles.items()}


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["fragment"] = quote
    environment.filters["breakable"] = _breakable
    environment.filters["dois"] = lambda value: dois.linked(str(value))
    environment.filters |= {
        "number": wording.number,
        "span": wording.span,
        "p_value": wording.p_value,
        "percent": wording.percent,
    }
    return environment


def _breakable(key: str) -> Markup:
    """`key` with places where a narrow column may break it: after a dot or an underscore."""
    return Markup(re.sub(r"([._])", r"\1<wbr>", str(escape(key))))
