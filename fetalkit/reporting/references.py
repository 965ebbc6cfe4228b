"""What a report has to cite, from ``CITATION.cff`` and from what its cohorts say of themselves."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from fetalkit import cohorts
from fetalkit.cohorts import Cohort
from fetalkit.config import params
from fetalkit.config.sections import cohorts_of, transfer_sections
from fetalkit.reporting.citations import FILE
from fetalkit.utils import paths


def references(study: str) -> list[dict[str, str]]:
    """What a paper on a study cites: the claim, the images of its cohorts, and the project; ``text`` and ``doi`` of each."""
    content = yaml.safe_load((paths.ROOT / FILE).read_text(encoding="utf-8"))
    claim, *data = content["references"]
    listed, said = [_reference(claim)], []
    for name, about in ((name, cohort.citation) for name, cohort in of_study(study).items()):
        of_zenodo = re.findall(r"[Zz]enodo[. ](\d+)", about)
        known = [of for of in data if any(number in str(of.get("notes")) for number in of_zenodo)]
        said += [_reference(of) for of in known] or [{"text": f"Images of {name}: {about}.", "doi": ""}]
        said += [{"text": "The images: Zenodo.", "doi": f"10.5281/zenodo.{number}"} for number in of_zenodo]
    listed += [each for place, each in enumerate(said) if each not in said[:place]]
    return [*listed, {"text": f"{_authors(content)}. {content['title']} Version {content['version']}.", "doi": ""}]


def of_study(study: str) -> dict[str, Cohort[Any]]:
    """Cohorts that a study is about, by name."""
    section = transfer_sections(paths.PARAMS).get(study, {})
    names = [study] if study in params.names() else cohorts_of(section)
    return {name: cohorts.load(name, params.load_cohort(name)) for name in names}


def _reference(of: Mapping[str, Any]) -> dict[str, str]:
    where = " ".join(str(of[name]) for name in ("journal", "volume") if of.get(name))
    pages = f", {of['start']}" if of.get("start") else ""
    return {"text": f"{_authors(of)}. {of['title']}. {where}{pages} ({of['year']}).", "doi": of.get("doi", "")}


def _authors(of: Mapping[str, Any]) -> str:
    names = [
        each.get("name") or f"{each['family-names']} {each.get('given-names', '')[:1]}".strip()
        for each in of["authors"]
    ]
    return ", ".join(names).removesuffix(".")
