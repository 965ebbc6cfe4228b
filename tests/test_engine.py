"""The engine of all runs: a failure is an outcome, what is finished is not trained again, a fingerprint has every cause."""

import json

import numpy as np
import pytest
import small_study

from fetalkit.classifiers import trainer
from fetalkit.config.runs import Run
from fetalkit.data.study import Study
from fetalkit.experiments import classification, engine, training_search
from fetalkit.experiments.outcome import Outcome
from fetalkit.experiments.phase_cache import PhaseCache
from fetalkit.utils import paths, provenance
from fetalkit.utils.errors import FetalkitError

IDS = ("b", "a", "c")


def called(run, suffix):
    if run.arm == "broken":
        raise ZeroDivisionError("by nothing")
    if run.arm == "wrong":
        raise FetalkitError("params.yaml: a clear line")
    return Outcome(run, IDS, np.eye(3, 2, dtype=np.float32), trainings=(run.arm + suffix,))


def test_a_run_that_fails_is_an_outcome_and_stops_no_other():
    runs = [Run(arm, "resnet", "all", 0) for arm in ("real", "broken", "wrong", "last")]
    outcomes = engine.attempt(
        called, runs, dict(suffix="!"), lambda run, error: Outcome.failed(run, IDS, 2, error), workers=1, label="runs"
    )
    assert list(outcomes) == runs
    made, broken, wrong, last = outcomes.values()
    assert made.trainings == ("real!",) and last.trainings == ("last!",) and not made.error and not last.error
    assert "ZeroDivisionError: by nothing" in broken.error and "Traceback" in broken.error
    assert wrong.error == "params.yaml: a clear line"
    for failed in (broken, wrong):
        assert failed.image_ids == IDS and failed.weights is None and not failed.trainings
        assert failed.of(["c", "a"]).shape == (2, 2) and np.isnan(failed.probabilities).all()
    assert made.of(["a", "b"]).tolist() == [[0, 1], [1, 0]], "by id, not by place"
    with pytest.raises(KeyError, match="unknown"):
        made.of(["unknown"])


@pytest.fixture
def study(elsewhere):
    return small_study.trainable(("real", "diffusion", "synthetic-only"))


@pytest.fixture
def fits(monkeypatch):
    """Labels of the trainings that really take place."""
    labels, fit = [], trainer.fit
    monkeypatch.setattr(trainer, "fit", lambda *of, **more: (labels.append(more["label"]), fit(*of, **more))[1])
    return labels


def test_equal_phases_are_trained_once_and_never_again(study, fits):
    first = classification.train_all("phantom", study.params)
    assert not any(outcome.error for outcome in first)
    assert len(fits) == 3, "real; diffusion and then real; synthetic-only is the first phase of that"
    assert {outcome.run.arm: len(outcome.trainings) for outcome in first} == {
        "real": 1,
        "diffusion": 2,
        "synthetic-only": 1,
    }
    fits.clear()
    again = classification.train_all("phantom", study.params)
    assert not fits
    for one, other in zip(first, again, strict=True):
        assert one.trainings == other.trainings and one.curve == other.curve and one.budget == other.budget
        assert np.array_equal(one.probabilities, other.probabilities) and one.seconds == other.seconds
    # Weights of a run that is to be a model are made again where they are gone; of others, predictions are enough.
    cache = PhaseCache.of("phantom", "classify")
    for outcome in first:
        cache.weights(outcome.trainings[-1]).unlink(missing_ok=True)
    trainee, phases, _ = classification._prepared(study, cache, first[0].run)
    images = study.store.images(study.predicted)
    assert engine.train_and_predict(cache, trainee, phases, images, model=False).weights is None and not fits
    model = engine.train_and_predict(cache, trainee, phases, images, model=True)
    assert model.weights.exists() and len(fits) == 1 and np.array_equal(model.probabilities, first[0].probabilities)
    classification.train_all("phantom", study.params)
    fits.clear()
    # One more arm trains what is new.
    more = training_search.changed(study.params, {"classify": {"arms": [*study.params.classify.arms, "mixup"]}})
    classification.train_all("phantom", more)
    assert [label.partition("_")[0] for label in fits] == ["mixup"]


def test_a_bad_loss_names_the_run_and_stops_no_other(study, monkeypatch):
    fit = trainer.fit

    def bad_for_diffusion(*of, **more):
        if more["label"].endswith(": diffusion"):
            raise FetalkitError(f"{more['label']}: the loss is not a number at step 1; lower classify.learning_rate")
        return fit(*of, **more)

    monkeypatch.setattr(trainer, "fit", bad_for_diffusion)
    errors = {outcome.run.arm: outcome.error for outcome in classification.train_all("phantom", study.params)}
    assert errors["real"] == ""
    # synthetic-only is the first phase of diffusion: it fails with it.
    for arm in ("diffusion", "synthetic-only"):
        assert errors[arm].startswith(f"{arm}_resnet") and "the loss is not a number at step 1" in errors[arm]


def trainings(params, arm="diffusion", seed=0):
    cache = PhaseCache("phantom", paths.work("phantom", "prints"))
    run = Run(arm, "resnet", params.splits.shots.largest, seed)
    return classification.train("phantom", params, cache, run)[1].trainings


@pytest.fixture
def untrained(monkeypatch):
    """Only fingerprints are looked at: nothing is trained."""
    monkeypatch.setattr(trainer, "fit", lambda *_, **__: ([], 0.0))


OWN = "def augment(images, random):\n    return images {}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"classify": {"learning_rate": 0.002}},
        {"classify": {"weight_decay": 0.1}},
        {"classify": {"train_steps": 3}},
        {"classify": {"label_smoothing": 0.1}},
        {"classify": {"classifiers": {"resnet": {"arguments": {"stem_width": 8, "channels": [8, 8, 16, 24]}}}}},
    ],
)
def test_a_setting_changes_the_fingerprint(study, untrained, changes):
    before = trainings(study.params)
    assert trainings(study.params) == before
    if "arguments" in str(changes):
        spec = study.params.classify.classifiers["resnet"]
        spec = spec.model_copy(update=changes["classify"]["classifiers"]["resnet"])
        classify = study.params.classify.model_copy(update={"classifiers": {"resnet": spec}})
        after = trainings(study.params.model_copy(update={"classify": classify}))
    else:
        after = trainings(training_search.changed(study.params, changes))
    assert after[-1] != before[-1]
    # The first phase has its own number of steps, and does not know of that of the second.
    assert (after[0] == before[0]) == ("train_steps" in str(changes))


def test_an_augmentation_of_ones_own_is_followed(study, untrained, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("one_augmentation", "other_augmentation"):
        (tmp_path / f"{name}.py").write_text(OWN.format("* 1"))

    def of(augmentation):
        for function in (provenance.locate, provenance.imports, provenance.closure, provenance._digest):
            function.cache_clear()
        arm = study.params.arms["real"]
        arm = arm.model_copy(update={"phases": [arm.phases[0].model_copy(update={"augmentation": augmentation})]})
        return trainings(study.params.model_copy(update={"arms": study.params.arms | {"real": arm}}), "real")

    standard, one, other = of("standard"), of("one_augmentation:augment"), of("other_augmentation:augment")
    assert len({standard, one, other}) == 3, "another function, another file"
    assert of("one_augmentation:augment") == one
    (tmp_path / "one_augmentation.py").write_text("# A remark.\n" + OWN.format("* 1"))
    assert of("one_augmentation:augment") == one, "a remark trains nothing"
    (tmp_path / "one_augmentation.py").write_text(OWN.format("* 2"))
    assert of("one_augmentation:augment") != one and of("other_augmentation:augment") == other


@pytest.mark.slow
@pytest.mark.parametrize("part", ["train", "validation", "test", "synthetic", "label"])
def test_an_image_or_a_label_changes_the_fingerprint_of_what_reads_it(study, untrained, part):
    before = {arm: trainings(study.params, arm) for arm in ("real", "diffusion")}
    if part == "synthetic":
        (path,) = paths.data("phantom", "synthetic").glob("*.npz")
        content = dict(np.load(path))
        content["images"][0, 0, 0] ^= 1
        np.savez(path, **content)
    elif part == "label":
        path = paths.data("phantom", "splits", "splits.csv")
        table = Study("phantom", study.params).table
        row = table.index[(table.part == "train") & (table.plane == "Maternal cervix")][0]
        table.loc[row, "plane"] = "Fetal brain"
        table.to_csv(path, index=False)
    else:
        path = paths.data("phantom", "images", "images.npy")
        images, image_ids = np.load(path), json.loads((path.parent / "image_ids.json").read_text())
        images[image_ids.index(study.part(part).image_id.iloc[0]), 0, 0] ^= 1
        np.save(path, images)
    after = {arm: trainings(study.params, arm) for arm in ("real", "diffusion")}
    changed = {arm for arm in after if after[arm] != before[arm]}
    assert changed == {"synthetic": {"diffusion"}, "test": set()}.get(part, {"real", "diffusion"})


def test_seeds_and_arms_have_fingerprints_of_their_own(study, untrained):
    assert trainings(study.params, "synthetic-only") == trainings(study.params, "diffusion")[:1]
    assert trainings(study.params, "real")[0] not in trainings(study.params, "diffusion")
