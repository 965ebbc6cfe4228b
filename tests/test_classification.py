"""Runs that fail are marked and stop no other; searches never look at test images."""

import numpy as np
import pandas as pd
import pytest
import small_study

from fetalkit.config.variants import Variant
from fetalkit.data.study import Study
from fetalkit.experiments import classification, generator_training, synthesis, training_search
from fetalkit.utils import parallel, paths
from fetalkit.utils.errors import FetalkitError


def reciprocal(number):
    return 1 / number


@pytest.mark.slow
def test_attempts_keep_order_and_errors():
    attempts = parallel.attempt(reciprocal, [dict(number=number) for number in (1, 0, 4)], workers=2)
    assert [each.result for each in attempts] == [1.0, None, 0.25]
    assert [bool(each.error) for each in attempts] == [False, True, False]
    assert "ZeroDivisionError" in attempts[1].error and "Traceback" in attempts[1].error


@pytest.fixture
def study(elsewhere):
    return small_study.trainable()


def test_a_failed_run_is_an_outcome_with_its_error(study):
    (path,) = paths.data("phantom", "synthetic").glob("*.npz")
    content = path.read_bytes()
    path.write_bytes(b"broken")
    outcomes = {outcome.run.arm: outcome for outcome in classification.train_all("phantom", study.params)}
    assert f"{path}: not a complete synthetic set" in outcomes["diffusion"].error
    assert "run 05_synthesis again" in outcomes["diffusion"].error
    assert np.isnan(outcomes["diffusion"].probabilities).all() and outcomes["diffusion"].weights is None
    assert outcomes["diffusion"].image_ids == outcomes["real"].image_ids
    assert list(study.part("test").image_id) == list(outcomes["real"].image_ids)[-len(study.part("test")) :]
    assert not outcomes["real"].error and not np.isnan(outcomes["real"].probabilities).any()
    classification.keep_weights("phantom", list(outcomes.values()))
    kept = {path.name.split("_")[0] for path in paths.data("phantom", "models").iterdir()}
    assert kept == {"real", "real-long"}
    # Mended, only what failed is trained.
    path.write_bytes(content)
    before = {path: path.stat().st_mtime_ns for path in paths.data("phantom", "trainings").rglob("weights.safetensors")}
    assert len(before) == 2
    again = classification.train_all("phantom", study.params)
    assert not any(outcome.error for outcome in again)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


@pytest.mark.slow
def test_the_search_for_a_protocol_reads_no_test_image(study, monkeypatch):
    def without_test(self, name):
        if name == "test":
            raise AssertionError("a search has looked at the test part")
        return part(self, name)

    part = Study.part
    monkeypatch.setattr(Study, "part", without_test)
    table = training_search.compare(
        "phantom",
        study.params,
        {"as it is": {}, "longer": {"classify": {"train_steps": 3}}},
        arms=["real", "real-long", "diffusion"],
        classifiers=["resnet"],
        shots=[study.params.splits.shots.largest],
        seeds=study.params.splits.seeds,
    )
    assert list(table.candidate) == 3 * ["as it is"] + 3 * ["longer"]
    gained = training_search.gains(table, study.params)
    assert gained.control.isin(["", "real", "real-long"]).all() and (gained.control == "").sum() == 4
    mine, accuracy = gained[gained.arm == "diffusion"], table.set_index(["candidate", "arm"]).accuracy
    better = [accuracy[name][["real", "real-long"]].max() for name in mine.candidate]
    assert np.allclose(mine.gain, mine.accuracy - better) and gained.gain.isna().sum() == 4
    with pytest.raises(AssertionError, match="looked at the test part"):  # as the study does
        classification.train_all("phantom", study.params)


def test_a_search_judges_by_patients_that_the_run_has_not_seen(study):
    k, seed = "2", study.params.splits.seeds[0]
    train, validation = study.part("train"), study.part("validation")
    chosen = train[train.patient == "train2"].groupby("plane").head(2)[["plane", "image_id"]]
    study.shots = pd.concat([study.shots, chosen.assign(seed=seed, k=k)])
    others = pd.concat([train[train.patient != "train2"], validation])
    images = {image.tobytes() for image in study.labelled(others).images}
    assert {image.tobytes() for image in study.unseen(k, seed).images} == images
    assert len(study.unseen(study.params.splits.shots.largest, seed).labels) == len(validation)


@pytest.mark.slow
def test_a_candidate_that_draws_differently_has_sets_of_its_own(study):
    k, seed = study.params.splits.shots.largest, study.params.splits.seeds[0]
    generator_training.train("phantom", study.params, "interpolation", k, seed)
    own = Variant("interpolation", "interpolation", k, seed)
    synthesis.draw("phantom", study.params, own, study.params.synthesis.images_per_plane)

    def compare(changes):
        options = dict(arms=["real", "interpolation"], classifiers=["resnet"], shots=[k], seeds=[seed])
        return training_search.compare("phantom", study.params, {"as it is": {}, "other": changes}, **options)

    before = study.synthetic("interpolation", k, seed).images
    compare({"synthesis": {"images_per_plane": 3}, "generators": {"interpolation": {"sampling": {"neighbours": 2}}}})
    assert not list(paths.data("phantom", "synthetic").glob("*search*")), "no stage may find it among its own"
    (path,) = paths.work("phantom", "search").rglob("interpolation-search-*.npz")
    assert len(np.load(path)["images"]) == 3 * len(study.planes)
    assert np.array_equal(study.synthetic("interpolation", k, seed).images, before)
    for changes, words in (
        ({"classify": {"colour": 1}}, "classify: no setting colour; correct"),
        ({"generators": {"magic": {"sampling": {}}}}, "generators: no setting magic; correct"),
        ({"classify": {"train_steps": 0}}, r"classify.train_steps = 0: .*greater than or equal to 1"),
        ({"generators": {"interpolation": {"sampling": {"neighbours": 0}}}}, "neighbours = 0"),
    ):
        with pytest.raises(FetalkitError, match=words):
            compare(changes)
