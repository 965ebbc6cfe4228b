"""Sections that name defaults: short, complete, and never stale in the pipeline."""

from functools import cache

import pytest
import yaml

from fetalkit.config import defaults, params
from fetalkit.runner import pipeline
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError

COHORT = {
    "kind": "table", "folder": "/data/ward", "table": "labels.csv", "planes": ["Heart", "0"],
    "columns": {"image": "file", "patient": "mrn", "plane": "label"},
}  # fmt: skip


@pytest.fixture
def ward(tmp_path, monkeypatch):
    """Write ``params.yaml`` with a section ward; return its parameters and the keys that each stage depends on."""
    content = yaml.safe_load(paths.PARAMS.read_text())
    monkeypatch.setattr(paths, "PARAMS", tmp_path / "params.yaml")

    def write(name="quick", **sections):
        content["ward"] = {"defaults": name, "cohort": COHORT, **sections}
        paths.PARAMS.write_text(yaml.safe_dump(content, sort_keys=False))
        return params.load("ward"), dependencies()

    def dependencies():
        stages = yaml.safe_load(pipeline.text("ward"))["stages"]
        return {name: set(keys(stage["params"])) for name, stage in stages.items()}

    def keys(entries):
        for entry in entries:
            if isinstance(entry, str):
                yield entry.replace("${cohort}", "ward")
            for file, below in entry.items() if isinstance(entry, dict) else ():
                assert (paths.ROOT / file).is_file()
                yield from (f"{file}:{key}" for key in below)

    return write


@pytest.mark.parametrize("name", ["quick", "standard"])
def test_a_section_of_few_lines_is_complete(ward, name):
    settings, depends = ward(name)
    assert settings.cohort.planes == ["Heart", "0"] and settings.splits.shots.largest == "all"
    assert "ward.images" not in depends["decode"]
    assert depends["decode"] == {"ward.cohort", f"fetalkit/config/defaults/{name}.yaml:images"}
    assert all(not key.startswith("ward.") or key == "ward.cohort" for key in depends["fidelity"])


def test_what_the_section_says_takes_the_place_of_a_default(ward):
    settings, _ = ward(
        splits={"shots": [3], "seeds": [7]},
        classify={"arms": ["real", "interpolation"], "train_steps": 5},
        generators={"diffusion": None},
        fidelity={"varied": ""},
    )
    assert (list(settings.splits.shots), settings.splits.seeds) == (["3"], [7])
    assert settings.splits.validation_fraction == 0.2 and settings.classify.train_steps == 5
    assert list(settings.generators) == ["interpolation"]


def test_a_study_without_generators(ward):
    settings, depends = ward(generators=None, classify={"arms": ["real", "real-long", "mixup"]})
    assert settings.generators == {} and settings.fidelity.varied == ""
    assert "train-generators" not in depends and "classify" in depends
    with pytest.raises(FetalkitError, match="arms.diffusion: source 'diffusion' is no generator of this cohort"):
        ward(generators=None)


def test_a_change_deep_in_a_section_leaves_the_rest(ward):
    before, _ = ward()
    after, depends = ward(generators={"diffusion": {"training": {"steps": 7}}})
    assert after.generators["diffusion"].training.steps == 7
    changed = after.generators["diffusion"].training.model_copy(update={"steps": 300})
    assert changed == before.generators["diffusion"].training
    at = "fetalkit/config/defaults/quick.yaml:generators"
    assert {"ward.generators", f"{at}.diffusion.training.channels", f"{at}.interpolation"} <= depends[
        "train-generators"
    ]
    assert f"{at}.diffusion.training.steps" not in depends["train-generators"]


def test_every_change_is_noticed(ward):
    """DVC compares the values of the keys that a pipeline names with those in its lock: one must be new or another."""
    sections = (
        {},
        {"splits": {"shots": ["all"]}},
        {"splits": {"shots": ["all"], "seeds": [1]}},
        {"splits": {"seeds": [1]}, "images": {"image_size": 48}},
        {"images": {"image_size": 48}, "classify": {"train_steps": 3}},
        {"classify": {"train_steps": 3, "batch_size": 4}},
        {"name": "standard"},
    )
    locks = []
    for of in sections:
        settings, depends = ward(**of)
        read = cache(lambda file: yaml.safe_load((paths.ROOT / file if file else paths.PARAMS).read_text()))
        values = {key: value_of(key, read) for keys in depends.values() for key in keys}
        locks.append((settings, {stage: {key: values[key] for key in keys} for stage, keys in depends.items()}))
    for one, lock in locks:
        for other, now in locks:
            for stage, parts in {"decode": ["images"], "split": ["splits"], "classify": ["images", "classify"]}.items():
                if any(getattr(one, part) != getattr(other, part) for part in parts):
                    assert any(lock[stage].get(key, "new") != value for key, value in now[stage].items()), stage


def value_of(key, read):
    """Value of a key of params.yaml, or of another file before a colon, as DVC looks it up."""
    file, _, path = key.rpartition(":")
    value = read(file)
    for part in path.split("."):
        value = value[part]
    return value


@pytest.mark.parametrize(
    ("name", "sections", "words"),
    [
        ("slow", {}, r"^params.yaml: ward.defaults = 'slow' is not known; use one of quick, standard$"),
        ("quick", {"splits": {"shot": [3]}}, "ward.splits.shot = .* is not a known key"),
        ("quick", {"splits": {"shots": None}}, "ward.splits.shots is missing; add it"),
        ("quick", {"classify": {"arms": ["real", "gan"]}}, "arms.gan: source 'gan' is no generator of this cohort"),
    ],
)
def test_mistakes_are_one_line(ward, name, sections, words):
    with pytest.raises(FetalkitError, match=words) as error:
        ward(name, **sections)
    assert len(str(error.value).splitlines()) == 1


def test_cohorts_of_the_project_depend_on_no_defaults():
    for cohort in params.names():
        section = yaml.safe_load(paths.PARAMS.read_text())[cohort]
        assert defaults.KEY not in section and params.section(cohort) == section
