"""A section whose cohort is of a kind that another section has: each stands for itself, in everything that is done with it."""

import json

import pytest
import yaml

from fetalkit import cohorts
from fetalkit.cohorts import source
from fetalkit.config import params
from fetalkit.experiments.transfer import settings as transfers
from fetalkit.runner import pipeline
from fetalkit.utils import paths

NAME = "barcelona"


@pytest.fixture
def barcelona(tmp_path, monkeypatch):
    """``params.yaml`` with the section, with a transfer study of its own, and with one between it and africa."""
    content = yaml.safe_load(paths.PARAMS.read_text())
    content[NAME] = content["spain"] | {"cohort": content["spain"]["cohort"] | {"kind": "spain", "title": "Barcelona"}}
    own = content["transfer"]["hospitals"]
    machines = {"cohort": NAME, "by": "machine", "places": ["Voluson E6"]}
    block = {"methods": ["unaligned", "pseudo-label", "adabn"], "classifiers": ["resnet10t-half"]}
    content["transfer"][NAME] = own | {
        "across": [], "leave_out": [machines], "primary": [], "blocks": [block | {"directions": [f"{NAME} to Voluson E6"]}],
    }  # fmt: skip
    content["transfer"]["pair"] = own | {
        "across": [[NAME, "africa"]], "leave_out": [], "primary": [], "blocks": [block | {"directions": [f"{NAME} to africa"]}],
    }  # fmt: skip
    monkeypatch.setattr(paths, "PARAMS", tmp_path / "params.yaml")
    paths.PARAMS.write_text(yaml.safe_dump(content, sort_keys=False))


def test_its_parameters_and_its_kind(barcelona):
    settings = params.load(NAME)
    cohort = cohorts.load(NAME, settings.cohort)
    assert NAME in params.names() and cohort.title == "Barcelona" and type(cohort) is type(cohorts.load("spain"))
    assert cohort.licence == "CC BY 4.0" and type(cohort).title != "Barcelona"


def test_its_pipelines(barcelona):
    stages = yaml.safe_load(pipeline.text(NAME))
    assert stages["vars"] == [{"cohort": NAME, "root": "../.."}] and "transfer" in stages["stages"]
    assert pipeline.file(NAME) == paths.reports(NAME, "dvc.yaml") and pipeline.needed("pair") == [
        NAME,
        "africa",
        "pair",
    ]
    between = yaml.safe_load(pipeline.text("pair"))["stages"]["transfer"]
    assert {f"{NAME}.images", "africa.images", "transfer.${cohort}"} <= set(between["params"])
    assert f"data/{NAME}/splits" in between["deps"]


def test_its_transfer_studies(barcelona):
    assert list(transfers.load(NAME).directions) == [f"{NAME} to Voluson E6"]
    assert transfers.between_cohorts("pair") and not transfers.between_cohorts(NAME)
    assert list(transfers.load("pair").cohorts) == ["africa", NAME]


@pytest.mark.slow
def test_its_files_are_those_of_the_mirror(barcelona, mirror, elsewhere):
    (elsewhere / "fetalkit" / "cohorts").mkdir(parents=True)
    lists = "fetalkit/cohorts/spain_subset.txt"
    (elsewhere / lists).write_bytes((paths.NOTEBOOKS.parent / lists).read_bytes())
    mine, theirs = (json.loads(source.fetch(name).read_text()) for name in (NAME, "spain"))
    assert mine == theirs and mine["images"] == 1743
