"""README and documentation: links lead somewhere, commands exist, examples run, and the wording is that of the field."""

import re
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml

from fetalkit import cli
from fetalkit.cohorts.base import check
from fetalkit.config import params
from fetalkit.config.arms import Arm
from fetalkit.metrics import classification

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
CURRENT = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS]
PAGES = [*CURRENT, ROOT / "CHANGELOG.md"]  # which also names what is gone
INSTALLS = [
    ROOT / "requirements.lock", ROOT / "environment.yml", ROOT / "Dockerfile", ROOT / "Makefile",
    *ROOT.glob(".devcontainer/*"), *ROOT.glob(".github/workflows/*"),
]  # fmt: skip
PRIVATE_WORDS = r"\b(cells? of the (grid|study)|k-shot cells?|ledger|dossier|exhibits?|glance|verdict|settle|calm)\b"


def names(pages):
    return [str(page.relative_to(ROOT)) for page in pages]


def anchors(page: Path) -> set[str]:
    """Those that the headings of a page get."""
    titles = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?ms)^```.*?^```", "", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_links_lead_somewhere(page):
    text = re.sub(r"(?ms)^```.*?^```", "", page.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), f"{page.name}: {target}"
        if page in DOCS:
            assert path.resolve().is_relative_to(ROOT / "docs"), f"{target} is not part of the site"
        if anchor:
            assert anchor in anchors(path), f"{page.name}: {target}"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().split()) <= 1500


def test_every_page_stands_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    assert sorted(re.findall(r"[\w-]+\.md", navigation)) == [page.name for page in DOCS]


@pytest.mark.parametrize("page", CURRENT, ids=names(CURRENT))
def test_commands_exist(page):
    commands = set(typer.main.get_command(cli.app).commands)
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))
    code = "\n".join(_code(page))
    assert set(re.findall(r"\bfetalkit ([a-z]+)\b(?! *\.)", code)) <= commands
    assert set(re.findall(r"\bmake ([a-z-]+)\b", code)) <= targets
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert set(re.findall(r"\bCOHORT=(\w+)", code)) <= {*settings, *settings["transfer"], "ourhospital"}


def _code(page: Path) -> list[str]:
    """Code within lines, and lines that are code."""
    text = page.read_text()
    return re.findall(r"`([^`\n]+)`", text) + re.findall(r"(?m)^ {4}((?:fetalkit|make|dvc) .+)$", text)


@pytest.mark.parametrize("page", CURRENT, ids=names(CURRENT))
def test_words_are_those_of_the_field(page):
    assert not re.findall(PRIVATE_WORDS, page.read_text(), re.IGNORECASE)


@pytest.mark.parametrize("path", INSTALLS, ids=names(INSTALLS))
def test_packages_come_from_where_the_user_s_tools_take_them(path):
    assert not re.findall(r"https?://\S+|--(?:extra-)?index-url|--find-links", path.read_text())


def block(title: str, language: str) -> str:
    """The first block of code in a section of docs/extending.md."""
    section = (ROOT / "docs" / "extending.md").read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return section.partition(f"```{language}\n")[2].partition("```")[0]


def executed(title: str) -> dict:
    namespace: dict = {"__name__": f"documentation.{title.replace(' ', '_')}"}
    exec(compile(block(title, "python"), f"docs/extending.md: {title}", "exec"), namespace)
    return namespace


def test_the_arm_of_the_documentation_is_one():
    for name, arm in yaml.safe_load(block("An arm", "yaml"))["arms"].items():
        assert Arm.model_validate(arm).sources == ["diffusion", "gan"], name


def test_the_generator_of_the_documentation_draws_and_is_saved(tmp_path):
    made = executed("A generator")["Averages"]
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16), np.uint8)
    generator = made(["a", "b"], 16)
    generator.fit(images, np.arange(8) % 2, seed=0)
    drawn = generator.sample(np.array([0, 1, 0]), seed=1, sampling={"images": 2})
    assert drawn.shape == (3, 16, 16)
    generator.save(tmp_path / "saved")
    again = made.load(tmp_path / "saved").sample(np.array([0, 1, 0]), seed=1, sampling={"images": 2})
    np.testing.assert_array_equal(drawn, again)
    entry = yaml.safe_load(block("A generator", "yaml"))["phantom"]["generators"]["averages"]
    made.Sampling.model_validate(entry["sampling"])
    made.Training.model_validate(entry["training"])


def test_the_metric_of_the_documentation_is_registered(monkeypatch):
    monkeypatch.setattr(classification, "_REGISTRY", dict(classification._REGISTRY))
    executed("A metric")
    values = classification.metrics(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]), ["a", "b"])
    assert values["errors"] == 1


def test_the_sections_of_own_images_are_complete(tmp_path, monkeypatch):
    text = (ROOT / "docs" / "own-images.md").read_text()
    blocks = [part.partition("```")[0] for part in text.split("```yaml\n")[1:]]
    first, *others = (yaml.safe_load(block)["ward"] for block in blocks)
    assert len(blocks[0].splitlines()) <= 12
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section in (first, *(first | other for other in others)):
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(content | {"ward": section}, sort_keys=False))
        settings = params.load("ward", tmp_path / "params.yaml")
        planes = section["cohort"]["planes"]
        assert settings.cohort.planes == list(planes.values() if isinstance(planes, dict) else planes)
        assert len(settings.cohort.planes) == 2
    assert list(settings.generators) == ["diffusion", "interpolation"]


def test_the_cohort_of_the_documentation_makes_a_valid_table(tmp_path):
    cohort = executed("A cohort")["OurHospital"]()
    (tmp_path / "images.csv").write_text(
        "file,patient,plane,machine,split\n1,p1,Fetal brain,m,train\n2,p2,Fetal femur,m,test\n"
    )
    settings = cohort.settings(planes=["Fetal brain", "Fetal femur"])
    table = cohort.table(settings, tmp_path)
    check(table, cohort.planes)
    assert sorted(table.source) == ["images/1.png", "images/2.png"]
    assert set(table.patient) == {"patient-1", "patient-2"}, "it is private"
