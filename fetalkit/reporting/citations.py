"""What to cite, from ``CITATION.cff``: the project and its references as BibTeX."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from fetalkit.utils.errors import FetalkitError

FILE = "CITATION.cff"
_OTHERS = "et al."


def read(file: Path) -> tuple[str, list[str]]:
    """Version of the project, and BibTeX: an entry for itself and one per reference.

    Parameters
    ----------
    file
        In the Citation File Format, https://citation-file-format.github.io.

    Raises
    ------
    FetalkitError
        When the file is damaged.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        entries = [_entry("misc", content | {"year": str(content["date-released"])[:4]})]
        entries += [_entry("article", reference) for reference in content.get("references", [])]
        return str(content["version"]), entries
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise FetalkitError(f"{file}: damaged ({error!r}); get it back from git") from None


def _entry(kind: str, of: Mapping[str, Any]) -> str:
    fields = {
        "author": " and ".join(map(_author, of["authors"])),
        "title": f"{{{of['title']}}}",
        "journal": of.get("journal"),
        "year": of["year"],
        "volume": of.get("volume"),
        "pages": of.get("start"),
        "version": of.get("version"),
        "doi": of.get("doi"),
        "note": of.get("notes"),
    }
    lines = [f"  {name} = {{{value}}}" for name, value in fields.items() if value is not None]
    first = of["authors"][0]
    key = (first.get("family-names") or of["title"].partition(":")[0]).lower().replace(" ", "-") + str(of["year"])
    return f"@{kind}{{{key},\n" + ",\n".join(lines) + "\n}"


def _author(author: Mapping[str, str]) -> str:
    if author.get("name") == _OTHERS:
        return "others"
    if "name" in author:
        return f"{{{author['name']}}}"
    return f"{author['family-names']}, {author['given-names']}"
