"""A study that is not to read its test patients yet: no stage after 02_images sees one of their images."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import run_here
import small_study
import yaml

from fetalkit.config import params, runs
from fetalkit.data.study import Study
from fetalkit.experiments import classification
from fetalkit.experiments.transfer import settings as transfers
from fetalkit.reporting import build
from fetalkit.runner import pipeline
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import write_table


@pytest.fixture
def judged_by_validation(elsewhere, monkeypatch):
    """A small study of the two controls; its parameters are those of a file."""
    k, seed = "all", 0
    content = yaml.safe_load(paths.PARAMS.read_text())
    tiny = {"tiny": {"model": "resnet10t", "arguments": {"stem_width": 8, "channels": [8, 8, 16, 16]}}}
    content["run"] |= {"device": "cpu", "workers": 1}
    content["phantom"]["splits"] |= {"shots": [k], "seeds": [seed]}
    content["phantom"] |= {"generators": {}}
    content["phantom"]["classify"] |= {
        "arms": ["real", "real-long"], "further": [], "classifiers": tiny, "tested_on": "validation",
        "pretrain_steps": 1, "train_steps": 2, "batch_size": 4, "pseudo_labels": None,
    }  # fmt: skip
    content["phantom"]["report"] = {"bootstrap_resamples": 100, "bootstrap_seed": 0, "converged_within": 1.0}
    for name in ("synthesis", "fidelity"):
        del content["phantom"][name]
    small_study.trainable(("real", "real-long"))
    (elsewhere / "params.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setattr(paths, "PARAMS", elsewhere / "params.yaml")
    return Study("phantom", params.load("phantom"))


def spoil_test_images(study):
    """Make every test image white."""
    path = paths.data("phantom", "images", "images.npy")
    pixels = np.load(path)
    test = np.isin(study.store.image_ids, study.part("test").image_id)
    assert test.sum() > 50
    pixels[test] = 255
    np.save(path, pixels)


def test_test_images_are_refused(judged_by_validation):
    study = judged_by_validation
    assert study.tested_on == "validation" and set(study.tested.part) == {"validation"}
    assert study.predicted == list(study.part("validation").image_id)
    with pytest.raises(
        FetalkitError, match="is a test image, and classify.tested_on is validation: test images are not"
    ):
        study.labelled(study.part("test"))
    with pytest.raises(FetalkitError, match="is a test image"):
        study.store.images([study.part("train").image_id.iloc[0], study.part("test").image_id.iloc[0]])
    settings = study.params.classify.model_copy(update={"tested_on": "test"})
    tested = Study("phantom", study.params.model_copy(update={"classify": settings}))
    assert set(tested.tested.part) == {"test"} and len(tested.labelled(tested.tested).labels) == len(tested.tested)
    assert tested.predicted == [*study.predicted, *study.part("test").image_id]


@pytest.mark.slow
def test_nothing_of_the_test_patients_reaches_predictions_and_pages(judged_by_validation, monkeypatch):
    study = judged_by_validation
    first = classification.train_all("phantom", study.params)
    assert {outcome.error for outcome in first} == {""}
    assert all(set(outcome.image_ids) == set(study.part("validation").image_id) for outcome in first)
    spoil_test_images(study)
    paths.data("phantom", "trainings").rename(paths.data("phantom", "before"))
    for old, new in zip(first, classification.train_all("phantom", study.params), strict=True):
        np.testing.assert_array_equal(old.probabilities, new.probabilities)
    _, shown = run_here.run("07_classify", "phantom", monkeypatch)
    assert "**No test patient has been looked at**" in run_here.text_of(shown)
    with np.load(paths.data("phantom", "classify", "predictions.npz")) as arrays:
        assert set(arrays["image_id"]) == set(study.part("validation").image_id)
    pairs = pd.DataFrame(columns=["image_a", "image_b", "kind", "crosses_split"])
    write_table(pairs, paths.data("phantom", "cohort", "duplicates.csv"))
    variables, shown = run_here.run("09_report", "phantom", monkeypatch)
    text = run_here.text_of(shown)
    said = variables["answer"].sentences(variables["numbers"])
    assert said[0].startswith("**No result yet:** no test patient has been looked at.")
    assert "2\u00a0validation" in said[0]
    assert "Accuracy on the de-duplicated validation set" in text
    assert "there is no gain to show" in text and variables["numbers"]["tested_on"] == "validation"
    plt.close("all")


def test_its_report_has_no_pages_of_generators(judged_by_validation):
    assert build.stages("phantom")[:4] == ["01_cohort", "02_images", "03_splits", "07_classify"]
    with pytest.raises(FetalkitError, match="phantom: has no generators in params.yaml, so there is nothing to train"):
        runs.check_generators("phantom", judged_by_validation.params)


def test_its_pipeline_has_no_stages_of_generators(tmp_path, monkeypatch):
    known = yaml.safe_load(paths.PARAMS.read_text())
    known["brain"]["generators"] = {}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(known))
    monkeypatch.setattr(paths, "PARAMS", tmp_path / "params.yaml")
    content = yaml.safe_load(pipeline.text("brain"))["stages"]
    assert {"train-generators", "synthesise", "fidelity"}.isdisjoint(content)
    assert not [dep for stage in content.values() for dep in stage["deps"] if "synthetic" in dep or "04" in dep]
    assert {"train-generators", "synthesise", "fidelity"} <= set(yaml.safe_load(pipeline.text("spain"))["stages"])


def test_a_transfer_study_does_not_read_them_either():
    content = yaml.safe_load(paths.PARAMS.read_text())
    content["spain"]["classify"]["tested_on"] = "validation"
    path = paths.ROOT / "work" / "unused.yaml"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfers, "read", lambda _: content)
        patch.setattr(params.sections, "read", lambda _: content)
        with pytest.raises(FetalkitError, match="spain is not tested on its test patients yet"):
            transfers.load("hospitals", path)
