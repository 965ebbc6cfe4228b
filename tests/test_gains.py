"""Gains, headline and conclusions against hand counts, on predictions that were made up."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from fetalkit.analysis import conclusions, gains, results, summary
from fetalkit.config import params, runs
from fetalkit.config.shots import Shots
from fetalkit.data.study import Study
from fetalkit.experiments.outcome import Outcome
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError

PLANES = ["Fetal brain", "Fetal femur"]
PATIENTS, EACH = 40, 3  # test patients and images of each


class MadeUp(Study):
    """A study whose tables are made here."""

    def __init__(self, settings):
        super().__init__("phantom", settings)
        rows = []
        for part, patients in (("train", 8), ("validation", 4), ("test", PATIENTS)):
            for patient in range(patients):
                for number in range(EACH):
                    name = f"{part}{patient}-{number}"
                    rows.append((name, f"{part}{patient}", f"{part}{patient}", PLANES[number % 2], "Here", part))
        columns = ["image_id", "patient", "group", "plane", "centre", "part"]
        table = pd.DataFrame(rows, columns=columns).assign(machine="", dropped="", linked=False)
        self.__dict__["table"] = table.assign(official_split=table.part.replace("validation", "train"))

    def number_of_images(self, k, seed):
        return len(self.part("train"))


@pytest.fixture
def study():
    settings = params.load("phantom")
    classify = settings.classify.model_copy(
        update=dict(
            arms=["real", "real-long", "diffusion", "mixup"],
            classifiers={name: params.Classifier(model=name, arguments={}) for name in ("resnet10t-half", "resnet14t")},
            further=[params.Block(arms=["gan"], shots=[5], classifiers=["resnet10t-half"])],
        )
    )
    updates = {
        "cohort": settings.cohort.model_copy(update={"planes": PLANES}),
        "splits": settings.splits.model_copy(update={"shots": Shots.of([5, 10, "all"]), "seeds": [0, 1, 2]}),
        "classify": classify,
        "report": settings.report.model_copy(update={"bootstrap_resamples": 200}),
    }
    return MadeUp(settings.model_copy(update=updates))


def outcomes(study, accuracy, validation=None, failed=()):
    """Runs that get a given share of the images right: always the first so many patients', the same in all seeds."""
    outcomes = []
    image_ids = tuple(name for part in ("validation", "test") for name in study.part(part).image_id)
    for run in runs.all_runs(study.params):
        parts = []
        for part, shares in (("validation", validation or accuracy), ("test", accuracy)):
            labels = study.labels(study.part(part))
            right = np.arange(len(labels)) < round(shares[run.arm] * len(labels))
            called = np.where(right, labels, 1 - labels)
            parts.append(np.where(np.eye(2)[called] > 0, 0.9, 0.1))
        probabilities = np.concatenate(parts).astype(np.float32)
        if run.name in failed:
            outcomes.append(Outcome.failed(run, image_ids, 2, "it broke"))
        else:
            outcomes.append(Outcome(run, image_ids, probabilities))
    return outcomes


def compared(study, made):
    table = results.long_table(study, made)
    predictions = results.Predictions(study, results.predictions(made))
    return table, gains.Comparison(predictions, gains.better_controls(table, study.params))


ACCURACY = {"real": 0.6, "real-long": 0.7, "diffusion": 0.8, "mixup": 0.65, "gan": 0.5}


def test_runs_of_further_arms(study):
    listed = [run for run in runs.all_runs(study.params) if run.arm == "gan"]
    assert {(run.classifier, run.k) for run in listed} == {("resnet10t-half", "5")} and len(listed) == 3
    assert ("gan", "5", 0) in runs.stored_sets(study.params) and ("gan", "10", 0) not in runs.stored_sets(study.params)


def test_the_ceiling_is_not_trained_where_it_would_be_the_arm_itself(study):
    classify = study.params.classify.model_copy(update={"arms": ["real", "diffusion-ceiling"]})
    settings = study.params.model_copy(update={"classify": classify})
    assert {run.k for run in runs.all_runs(settings) if run.arm == "diffusion-ceiling"} == {"5", "10"}
    assert {k for name, k, _ in runs.stored_sets(settings) if name == "diffusion"} == {"all"}


@pytest.mark.slow
def test_gains_by_hand(study):
    _, comparison = compared(study, outcomes(study, ACCURACY))
    table = gains.table(comparison).set_index(["arm", "classifier", "k", "control"]).sort_index()
    assert set(comparison.better.values()) == {"real-long"}
    for control, gain in (("real", 20.0), ("real-long", 10.0)):
        row = table.loc[("diffusion", gains.MEAN, "10", control)]
        assert row.gain == pytest.approx(gain, abs=0.001)
        assert row.low < gain < row.high
        assert row.better_control == (control == "real-long")
    assert table.loc[("gan", "resnet10t-half", "5", "real-long")].gain == pytest.approx(-20, abs=0.001)
    assert ("gan", gains.MEAN, "10", "real") not in table.index
    # Holm's correction is over what is reported: the better control, the mean of all classifiers.
    corrected = table[table.p_holm.notna()]
    assert len(corrected) == 3 + 3 + 1
    assert (corrected.p_holm >= corrected.p).all()


@pytest.mark.slow
def test_validation_decides_which_control_is_the_better_one(study):
    better = {**ACCURACY, "real": 0.9}
    _, comparison = compared(study, outcomes(study, ACCURACY, validation=better))
    assert set(comparison.better.values()) == {"real"}


@pytest.mark.slow
def test_headline_by_hand(study):
    _, comparison = compared(study, outcomes(study, ACCURACY))
    headline = gains.headline(comparison)
    assert list(headline) == ["diffusion", "gan", "mixup"]
    few = headline["diffusion"]["few_shot"]
    assert few["gain"] == pytest.approx(10, abs=0.001) and few["n_runs"] == 2 * 2 * 3
    assert headline["diffusion"]["over_real"]["full"]["gain"] == pytest.approx(20, abs=0.001)
    assert headline["gan"]["full"] is None and headline["gan"]["few_shot"]["n_runs"] == 3
    # The controls are as accurate with five images as with all: more images are worth nothing, so a gain is a bound.
    assert headline["diffusion"]["worth_bound"] == "at least"
    assert headline["gan"]["worth_factor"] is None
    # Five images and the one classifier that has the GAN there; full data has no such run.
    assert {arm: of["same_runs"]["few_shot"]["gain"] for arm, of in headline.items()} == pytest.approx(
        {"diffusion": 10, "gan": -20, "mixup": -5}, abs=0.001
    )
    assert all(
        of["same_runs"]["few_shot"]["n_runs"] == 3 and of["same_runs"]["full"] is None for of in headline.values()
    )
    text = " ".join(conclusions.opening(headline))
    assert (
        "In the 3 runs at k ≤ 50 that all of them have, " in text
        and "rank diffusion +10.0, mixup -5.0, gan -20.0" in text
    )
    assert "+10.0 points" in text and "a gain that chance alone is unlikely to give" in text
    for of in headline.values():
        of["few_shot"]["p_holm"] = 0.5
    few["p_holm"] = 0.04
    assert "Holm), diffusion differs from the better control at k ≤ 50." in conclusions.opening(headline)[2]
    headline["gan"]["few_shot"]["p_holm"] = 0.01
    assert "Holm), diffusion, gan differ from the better control at k ≤ 50." in conclusions.opening(headline)[2]
    shown = conclusions.headline_table(headline)
    assert len(shown) == 5 and shown["claimed"].notna().sum() == 2


@pytest.mark.slow
@pytest.mark.parametrize("shots", [[5, 10], [5]])
def test_a_study_without_all_images_goes_all_the_way(study, shots):
    splits = study.params.splits.model_copy(update={"shots": Shots.of(shots)})
    study = MadeUp(study.params.model_copy(update={"splits": splits}))
    table, comparison = compared(study, outcomes(study, ACCURACY))
    gained, headline = gains.table(comparison), gains.headline(comparison)
    assert all(of["full"] is None and of["same_runs"]["full"] is None for of in headline.values())
    assert headline["diffusion"]["few_shot"]["gain"] == pytest.approx(10, abs=0.001)
    assert headline["diffusion"]["few_shot"]["n_runs"] == 2 * len(shots) * 3
    assert (headline["diffusion"]["worth_factor"] is None) == (len(shots) == 1), "one number of images is no curve"
    shown = conclusions.headline_table(headline)
    assert set(shown.images) == {"k ≤ 50"} and len(shown) == 3
    text = " ".join(
        [*conclusions.opening(headline), *conclusions.replacement(headline), *conclusions.each(gained, "diffusion")]
    )
    assert "+10.0 points" in text and "nan" not in text and "full data" not in text
    numbers = gains.numbers_of_images(comparison)
    assert numbers == {str(k): k for k in shots}
    content = summary.summary(
        comparison.predictions, table, pd.DataFrame(columns=["kind", "crosses_split"]), gained, headline
    )
    assert content["shots"] == [str(k) for k in shots]
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert set(summary.metrics(table, gained)["gain"]["diffusion"]) == {str(k) for k in shots}


@pytest.mark.slow
def test_gains_by_plane(study):
    _, comparison = compared(study, outcomes(study, ACCURACY))
    by_plane = gains.by_group(comparison, "diffusion", "plane")
    assert set(by_plane.plane) == set(PLANES) and by_plane.groupby("k").n.sum().eq(PATIENTS * EACH).all()
    weighted = (by_plane.gain * by_plane.n).groupby(by_plane.k).sum() / (PATIENTS * EACH)
    assert weighted.to_numpy() == pytest.approx(10, abs=0.01)
    assert gains.by_group(comparison, "diffusion", "machine").empty


@pytest.mark.slow
def test_a_failed_run_is_marked_and_never_vanishes_from_a_mean(study):
    name = "diffusion_resnet10t-half_k10_seed1"
    table, comparison = compared(study, outcomes(study, ACCURACY, failed={name}))
    assert summary.failed(table) == [name]
    mean = results.mean(table[table.metric == "accuracy"], ["arm", "k"])
    assert np.isnan(mean["diffusion", "10"]) and mean["diffusion", "5"] == pytest.approx(0.8)
    gained = gains.table(comparison)
    touched = gained[(gained.arm == "diffusion") & (gained.k == "10") & (gained.classifier == gains.MEAN)]
    assert touched[["gain", "low", "high", "p"]].isna().all(axis=None)
    other = gained[(gained.arm == "diffusion") & (gained.classifier == "resnet14t")]
    assert other.gain.notna().all()
    headline = gains.headline(comparison)
    assert np.isnan(headline["diffusion"]["few_shot"]["gain"])
    assert "not measured, since a run failed" in " ".join(conclusions.opening(headline))
    pairs = pd.DataFrame(columns=["kind", "crosses_split"])
    content = summary.summary(comparison.predictions, table, pairs, gained, headline)
    assert content["failed_runs"] == [name]
    assert content["arms"]["diffusion"]["resnet10t-half"]["10"]["accuracy"]["per_seed"]["1"] is None
    assert json.loads(json.dumps(content, allow_nan=False)) == content


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(further=[dict(arms=["gan"], shots=[7], classifiers=[])]), "classify.further.0.shots: 7 unknown"),
        (dict(further=[dict(arms=["real"], shots=[10], classifiers=[])]), "already in classify.arms"),
        (dict(arms=["diffusion"]), "no control"),
    ],
)
def test_an_impossible_study_is_refused(tmp_path, change, words):
    content = yaml.safe_load(paths.PARAMS.read_text())
    content["phantom"]["classify"] |= change
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(FetalkitError, match=words):
        params.load("phantom", tmp_path / "params.yaml")
