"""Cards as pages that a browser shows, beside the Markdown that a hub of models and data sets reads."""

from pathlib import Path
from typing import Any

import mistune
import yaml
from markupsafe import Markup

from fetalkit.reporting import layout

INDEX = "index.html"
_KINDS = {"generator": "generator", "dataset": "images"}  # name of a card's file -> what it is about
_markdown = mistune.create_markdown(escape=True, plugins=["table"])


def write(folder: Path, study: str) -> None:
    """Write a page beside every card of a report, and one that lists them.

    Parameters
    ----------
    folder
        With ``<name of a set>/generator.md`` and ``dataset.md``, as `fetalkit.reporting.card_contents.write` makes them; it
        lies in the folder of the report.
    study
        What the report is about.
    """
    listed: dict[str, dict[str, str]] = {}
    for card in sorted(folder.rglob("*.md")):
        name = card.relative_to(folder).parent.as_posix()
        listed.setdefault(name, {})[_KINDS.get(card.stem, card.stem)] = f"{name}/{card.stem}.html"
        about, text = read(card)
        body = Markup(
            str(_markdown(text)).replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
        )
        page = layout.bare("card.html.j2", report=study, file=card.name, about=about, title=name, body=body)
        card.with_suffix(".html").write_text(page, encoding="utf-8")
    (folder / INDEX).write_text(layout.bare("cards.html.j2", report=study, cards=listed), encoding="utf-8")


def read(card: Path) -> tuple[dict[str, Any], str]:
    """Metadata of a card, and its Markdown without them."""
    text = card.read_text(encoding="utf-8")
    front, _, rest = text.removeprefix("---\n").partition("\n---\n")
    if not text.startswith("---\n") or not rest:
        return {}, text
    return yaml.safe_load(front), rest
