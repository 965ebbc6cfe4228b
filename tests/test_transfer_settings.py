"""Plans of transfer studies: any number of them by name, methods with equal budgets, and bad values named."""

import pytest
import small_transfer
import yaml
from small_transfer import DIRECTION, blocks

from fetalkit.experiments.transfer import domains, methods, runs, settings
from fetalkit.experiments.transfer.methods import CONTROL, LABELLED, LEVELS, METHODS, NONE, UNLABELLED
from fetalkit.runner import pipeline
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError

pytestmark = pytest.mark.slow


def test_all_methods_spend_the_same_number_of_steps():
    for name, method in METHODS.items():
        planned = methods.phases(method, 5, 7)
        assert sum(phase.steps for phase in planned) == 12, name
        assert [phase.source for phase in planned] == (["synthetic", "real"] if method.pretraining else ["real"])


def test_levels_are_those_of_the_study_s_description():
    of = {level: {name for name in METHODS if METHODS[name].level == level} for level in LEVELS}
    assert of[UNLABELLED] == {
        "pseudo-label", "coral", "mmd", "dann", "adabn", "histogram", "fourier", "synthetic-target",
    }  # fmt: skip
    assert of[LABELLED] == {"target-only", "joint", "joint+coral", "joint+synthetic-target"}
    without = {"multi-scale", "multi-resolution", "ultrasound", "synthetic-source", "synthetic-aligned"}
    assert {CONTROL} | without < of[NONE]


def test_the_published_studies_are_valid():
    assert settings.names() == ["phantom", "hospitals"]
    assert [settings.between_cohorts(name) for name in ("phantom", "hospitals", "africa")] == [False, True, False]
    hospitals = settings.load("hospitals")
    assert list(hospitals.cohorts) == ["africa", "spain"]
    across = [name for name, of in hospitals.directions.items() if not of.source.by]
    assert across == ["spain to africa", "africa to spain"]
    assert len(hospitals.views["each centre of africa"]) == 5
    assert len(hospitals.seeds) >= 3
    planned = runs.all_runs(hospitals)
    assert {run.method for run in planned} == set(METHODS)
    assert len({run.name for run in planned}) == len(planned)


def test_a_third_study_needs_a_section_and_nothing_else(elsewhere, monkeypatch):
    content = yaml.safe_load(paths.PARAMS.read_text())
    (elsewhere / "dvc.yaml").write_text((paths.PARAMS.parent / "dvc.yaml").read_text())
    monkeypatch.setattr(paths, "PARAMS", elsewhere / "params.yaml")
    third = content["transfer"]["hospitals"] | {
        "across": [["phantom", "phantom"]],
        "leave_out": [],
        "primary": [],
        "blocks": [dict(methods=[CONTROL], directions=["phantom to phantom"], classifiers=["resnet10t-half"])],
    }
    content["transfer"]["northern-scanners"] = third
    paths.PARAMS.write_text(yaml.safe_dump(content, sort_keys=False))
    study = "northern-scanners"
    assert settings.names() == ["phantom", "hospitals", study] and settings.between_cohorts(study)
    plan = settings.load(study)
    assert list(plan.cohorts) == ["phantom"] and list(plan.directions) == ["phantom to phantom"]
    assert pipeline.studies()[-1] == study and pipeline.needed(study) == ["phantom", study]
    text = yaml.safe_load(pipeline.text(study))
    assert text["vars"] == [{"cohort": study, "root": "../.."}]
    assert any("08_transfer" in stage["cmd"] for stage in text["stages"].values())
    of_cohort = [dep for stage in text["stages"].values() for dep in stage["deps"] if "data/phantom/images" in dep]
    assert of_cohort, "the study's pipeline depends on the images of its cohort"


@pytest.mark.parametrize("section", [None, {}, {"phantom": None, "hospitals": {}}])
def test_an_empty_section_holds_no_studies(elsewhere, monkeypatch, section):
    content = yaml.safe_load(paths.PARAMS.read_text()) | {"transfer": section}
    (elsewhere / "dvc.yaml").write_text((paths.PARAMS.parent / "dvc.yaml").read_text())
    monkeypatch.setattr(paths, "PARAMS", elsewhere / "params.yaml")
    paths.PARAMS.write_text(yaml.safe_dump(content))
    assert settings.names() == [] and not settings.between_cohorts("hospitals")
    with pytest.raises(FetalkitError, match=r"^params.yaml: transfer has no study 'phantom'; there are: none$"):
        settings.load("phantom")
    assert set(pipeline.studies()) == {"phantom", "africa", "spain", "brain", "spain-128", "brain-128"}
    assert "08_transfer" not in pipeline.text("africa")


@pytest.mark.parametrize(
    ("section", "words"),
    [(["hospitals"], "one section per study"), ({"x": 3}, "x = 3: must be"), ({"x y": {}}, "'x y': use letters")],
)
def test_a_section_of_another_kind_is_one_clear_line(elsewhere, monkeypatch, section, words):
    monkeypatch.setattr(paths, "PARAMS", elsewhere / "params.yaml")
    content = {"phantom": {"cohort": {}}, "transfer": section}
    paths.PARAMS.write_text(yaml.safe_dump(content))
    for ask in (settings.names, pipeline.studies, lambda: settings.load("x")):
        with pytest.raises(FetalkitError, match=r"^params.yaml: transfer[^\n]*" + words + r"[^\n]*$"):
            ask()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"joint_share": 1.0}, ["transfer.phantom.joint_share", "= 1.0", "less than 1"]),
        ({"colour": 1}, ["transfer.phantom.colour", "not a known key"]),
        ({"blocks": blocks("magic")}, ["magic", "adabn"]),
        ({"blocks": blocks("coral")}, ["no pseudo-label to compare coral with; add it"]),
        ({"blocks": blocks("multi-scale")}, ["no unaligned to compare multi-scale with; add it"]),
        ({"primary": ["magic"]}, ["primary: magic is no method of the blocks", "synthetic-target"]),
        ({"primary": ["joint"]}, ["primary: joint is no method of the blocks beside the baselines"]),
        ({"primary": ["coral", "coral"]}, ["primary", "twice"]),
        ({"blocks": blocks("coral", directions=["moon"])}, ["moon", DIRECTION]),
        ({"across": [["phantom", "mars"]]}, ["no section 'mars'"]),
        ({"across": [["phantom", "phantom"]] * 2}, ["phantom to phantom is asked for twice; name it once"]),
        (
            {"leave_out": [{"cohort": "phantom", "by": by, "places": ["b"]} for by in ("machine", "centre")]},
            ["across and leave_out: phantom to b is asked for twice"],
        ),
        ({"scales": [1, float("inf")]}, ["transfer.phantom.scales.1", "less than or equal to 8"]),
        ({"weights": {"coral": float("inf"), "mmd": 1, "dann": 1}}, ["weights.coral", "finite"]),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(transfer_plan, changes, words):
    with pytest.raises(FetalkitError) as error:
        transfer_plan(**changes)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_unknown_studies_and_places_are_named(transfer_plan):
    with pytest.raises(FetalkitError, match=r"transfer has no study 'africa'; there are: phantom, hospitals"):
        settings.load("africa")
    elsewhere = [{"cohort": "phantom", "by": "machine", "places": ["c"]}]
    plan = transfer_plan(leave_out=elsewhere, blocks=blocks(CONTROL, directions=["phantom to c"]))
    with pytest.raises(FetalkitError, match="no test image where machine is 'c'"):
        domains.test(plan, plan.directions["phantom to c"])
    there = [{"cohort": "phantom", "by": "machine", "places": ["b"]}]
    plan = transfer_plan(labelled=7, leave_out=there, blocks=blocks(CONTROL))
    with pytest.raises(FetalkitError, match=r"transfer.labelled, phantom to b: .*k = 7.*only 6"):
        domains.material(plan, plan.directions[DIRECTION], LABELLED, seed=0)


def test_a_source_without_the_generator_is_told_before_anything_is_trained(transfer_plan, transfer_content):
    phantom = transfer_content["phantom"]
    del phantom["generators"]["diffusion"]
    phantom["generators"] = {name: phantom["generators"][name] for name in ("simulation", "interpolation")}
    phantom["fidelity"]["varied"] = ""
    phantom["classify"] |= {"arms": ["real", "real-long"], "further": []}
    phantom["report"]["comparisons"] = []
    transfer_plan(blocks=blocks(CONTROL, "coral"))
    with pytest.raises(FetalkitError, match=r"synthetic-source begins with images of generators.diffusion, which the"):
        transfer_plan(blocks=blocks(CONTROL, "synthetic-source"))


def test_seeds_are_in_ascending_order_whatever_the_order_in_the_file(transfer_plan):
    plan = transfer_plan(seeds=[3, 0, 1], blocks=blocks(CONTROL))
    assert list(plan.seeds) == [0, 1, 3]
    assert [run.seed for run in runs.all_runs(plan)] == [0, 1, 3]
    assert plan.planes == small_transfer.PLANES and plan.image_size == small_transfer.SIZE
