"""Gains, headline and conclusions against hand counts, on predictions that were made up."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from fetalkit.analysis import accuracies, conclusions, gains, intervals, primary, results, summary
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
    return table, gains.Comparison(predictions, table)


def plain(sentences):
    """With ordinary spaces and minus signs."""
    return [sentence.replace("\u00a0", " ").replace("\u2212", "-") for sentence in sentences]


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
def test_the_papers_comparison_is_measured_where_its_control_has_fewer_runs(study):
    further = [params.Block(arms=["real"], shots=[10], classifiers=["resnet14t"], seeds=[0, 1])]
    update = dict(arms=["real-long", "diffusion"], further=further)
    classify = study.params.classify.model_copy(update=update)
    fewer = MadeUp(study.params.model_copy(update={"classify": classify}))
    table, comparison = compared(fewer, outcomes(fewer, ACCURACY))
    (of,) = gains.by_arm(comparison).values()
    assert of["few_shot"]["n_runs"] == 2 * 2 * 3 and of["over_real"]["few_shot"]["n_runs"] == 2
    assert of["over_real"]["few_shot"]["gain"] == pytest.approx(20, abs=0.001) and of["over_real"]["full"] is None
    (said,) = plain([conclusions.claim(summary.headline(comparison, table, [], {}))])
    assert "+20.0 points" in said and "not measured" not in said


@pytest.mark.slow
def test_gains_by_hand(study):
    _, comparison = compared(study, outcomes(study, ACCURACY))
    table = gains.table(comparison).set_index(["arm", "classifier", "k", "control"]).sort_index()
    assert {comparison.better("diffusion", k, ["resnet14t"]) for k in study.params.splits.shots} == {"real-long"}
    for control, gain in (("real", 20.0), ("real-long", 10.0)):
        row = table.loc[("diffusion", gains.MEAN, "10", control)]
        assert row.gain == pytest.approx(gain, abs=0.001)
        assert row.low < gain < row.high
        assert row.better_control == (control == "real-long")
        assert (row.level, row.n_runs) == ("L0", 2 * 3)
    assert table.loc[("gan", "resnet10t-half", "5", "real-long")].gain == pytest.approx(-20, abs=0.001)
    assert ("gan", gains.MEAN, "10", "real") not in table.index
    assert "p_holm" not in table


@pytest.mark.slow
def test_validation_decides_which_control_is_the_better_one(study):
    better = {**ACCURACY, "real": 0.9}
    _, comparison = compared(study, outcomes(study, ACCURACY, validation=better))
    both = ["resnet10t-half", "resnet14t"]
    assert comparison.better("diffusion", "5", both) == "real"
    assert [(of.arm, of.control) for of in study.params.report.comparisons if of.k == "10"][1] == (
        "diffusion",
        "real-long",
    )
    assert comparison.better("diffusion", "10", both) == "real-long", "named beforehand, it is the one to read"


def with_further(study, *blocks, comparisons=()):
    classify = study.params.classify.model_copy(update={"further": [params.Block(**block) for block in blocks]})
    report = study.params.report.model_copy(
        update={"comparisons": [params.PrimaryComparison(**named) for named in comparisons]}
    )
    return MadeUp(study.params.model_copy(update={"classify": classify, "report": report}))


LEVELS = {**ACCURACY, "simulation": 0.75, "diffusion-guided": 0.9}
HALF = {"shots": [10], "classifiers": ["resnet10t-half"]}


@pytest.mark.slow
def test_an_arm_is_compared_with_controls_that_know_no_more_where_both_are_trained(study):
    """A control of L2 with two seeds and one classifier: for arms of L2, of this classifier, of these seeds alone."""
    study = with_further(
        study,
        HALF | dict(arms=["simulation"], seeds=[0, 1]),
        dict(arms=["diffusion-guided"], shots=[5, 10], classifiers=["resnet10t-half", "resnet14t"]),
    )
    _, comparison = compared(study, outcomes(study, LEVELS))
    table = gains.table(comparison).set_index(["arm", "classifier", "k", "control"]).sort_index()
    assert comparison.controls("diffusion-guided", "10") == ["real", "real-long", "simulation"]
    assert comparison.controls("diffusion-guided", "5") == ["real", "real-long"]
    assert comparison.controls("diffusion", "10") == comparison.controls("simulation", "10") == ["real", "real-long"]
    assert comparison.controls("real-long", "10") == []
    row = table.loc[("diffusion-guided", "resnet10t-half", "10", "simulation")]
    assert row.gain == pytest.approx(15, abs=0.001) and row.n_runs == 2 and row.better_control and row.level == "L2"
    # The mean is over both classifiers, and one of them has no such control.
    assert table.loc[("diffusion-guided", gains.MEAN, "10", "real-long")].better_control
    mean = table.loc[("diffusion-guided", gains.MEAN, "10", "simulation")]
    assert not mean.better_control and mean.n_runs == 2
    assert table.loc[("simulation", gains.MEAN, "10", "real-long")].gain == pytest.approx(5, abs=0.001)
    assert table.loc[("simulation", gains.MEAN, "10", "real-long")].n_runs == 2


@pytest.mark.slow
def test_the_primary_comparisons_alone_are_corrected_and_each_has_one_p(study):
    named = [
        dict(arm="diffusion", control="real-long", k="10", classifier="resnet14t"),
        dict(arm="diffusion", control="real-long", k=10, classifier="mean"),
        dict(arm="mixup", control="real", k="5", classifier="mean"),
    ]
    study = with_further(study, comparisons=named)
    table, comparison = compared(study, outcomes(study, ACCURACY))
    runs_of = [run for run in runs.all_runs(study.params) for _ in ("phase 1", "phase 2")]
    budgets = pd.DataFrame([vars(run) | {"total_flops": 1.0} for run in runs_of if run.arm == "diffusion"])
    entries = primary.compared(comparison, primary.costs(budgets))
    assert [entry["gain"] for entry in entries] == pytest.approx([10, 10, 5], abs=0.001)
    assert [entry["n_runs"] for entry in entries] == [3, 6, 6]
    assert [entry["flops"] for entry in entries] == pytest.approx([2.0, 2.0, np.nan], nan_ok=True)
    assert [entry["p_holm"] for entry in entries] == pytest.approx(intervals.holm([e["p"] for e in entries]), abs=2e-5)
    gained = primary.with_corrected(gains.table(comparison), entries)
    shown = gained.dropna(subset="p_holm")
    keys = [tuple(entry[key] for key in ("arm", "control", "classifier", "k", "p_holm", "gain")) for entry in entries]
    assert set(shown[["arm", "control", "classifier", "k", "p_holm", "gain"]].itertuples(index=False)) == set(keys)
    assert all(5 < entry["smallest_detectable_gain"] < 30 for entry in entries)
    reached = [[entry[name] for name in ("accuracy", "accuracy_control", "accuracy_real")] for entry in entries]
    assert reached == [pytest.approx(of, abs=0.001) for of in ([0.8, 0.7, 0.6], [0.8, 0.7, 0.6], [0.65, 0.6, 0.6])]
    assert [entry["diffusion"] for entry in entries] == [True, True, False] and entries[0]["sets"] == ["diffusion"]

    answer = summary.headline(comparison, table, entries, {})
    first, second = plain(conclusions.details(answer)[:2])
    assert first.startswith("**resnet14t, k = 10: diffusion over real-long (L0): +10.0 points (95 % interval +")
    # The interval leaves out zero, and yet nothing is confirmed: the p is corrected.
    assert "(95 % interval +0.3 to " in first and "8 times in 10" in first
    assert "not told from zero after correction for 3 comparisons (p = 0." in first
    assert "mean over the classifiers that have converged, k = 10" in second
    assert "and no primary comparison of the two tells it from zero" in " ".join(conclusions.recipes(answer))
    entries[1] |= {"p_holm": 0.03}
    assert ", a gain after correction for 3 comparisons (p = 0.030, two-sided)" in conclusions.details(answer)[1]
    assert len(conclusions.primary_table(answer)) == 3
    few = next(one for one in answer["best"] if one["images"] == "few_shot")
    assert (few["arm"], few["among"], few["level"]) == ("diffusion", 2, "L0")
    assert "it beats this control in a primary comparison (mean, k = 10)" in " ".join(conclusions.recipes(answer))


@pytest.mark.slow
def test_the_mean_over_one_classifier_is_the_comparison_named_of_it(study):
    single = params.Classifier(model="resnet10t-half", arguments={})
    classify = study.params.classify.model_copy(update={"classifiers": {"resnet10t-half": single}})
    named = [dict(arm="diffusion", control="real-long", k="10", classifier="resnet10t-half")]
    alone = with_further(MadeUp(study.params.model_copy(update={"classify": classify})), comparisons=named)
    _, comparison = compared(alone, outcomes(alone, ACCURACY))
    (entry,) = primary.compared(comparison, lambda run: 1.0)
    shown = primary.with_corrected(gains.table(comparison), [entry]).dropna(subset="p_holm")
    assert list(shown.classifier) == ["resnet10t-half", gains.MEAN] and set(shown.p_holm) == {entry["p_holm"]}


@pytest.mark.slow
def test_a_classifier_that_has_not_converged_stands_apart_and_in_no_mean(study):
    named = [dict(arm="diffusion", control="real", k=k, classifier="mean") for k in ("10", "5")]
    study = with_further(study, comparisons=named)
    table, comparison = compared(study, outcomes(study, ACCURACY))
    apart = gains.Comparison(comparison.predictions, table, frozenset({("resnet14t", "10")}))
    rows = gains.table(apart).set_index(["arm", "classifier", "k", "control"])
    assert rows.loc[("diffusion", gains.MEAN, "10", "real")].n_runs == 3
    assert not rows.loc[("diffusion", "resnet14t", "10", "real")].converged
    assert primary.compared(apart, lambda run: 1.0)[0]["n_runs"] == 3
    none = gains.Comparison(comparison.predictions, table, frozenset({("resnet14t", "10"), ("resnet10t-half", "10")}))
    assert ("diffusion", gains.MEAN, "10", "real") not in gains.table(none).set_index(list(rows.index.names)).index
    (entry, other) = primary.compared(none, lambda run: 1.0)
    assert entry["n_runs"] == 0 and np.isnan(entry["p_holm"])
    assert other["p_holm"] == pytest.approx(2 * other["p"], abs=2e-5), (
        "what was named counts though it was not measured"
    )
    assert "no classifier that trains both has converged" in conclusions.confirmed(entry, 1)


@pytest.mark.slow
def test_headline_by_hand(study):
    table, comparison = compared(study, outcomes(study, ACCURACY))
    arms = gains.by_arm(comparison)
    assert list(arms) == ["diffusion", "gan", "mixup"]
    few = arms["diffusion"]["few_shot"]
    assert few["gain"] == pytest.approx(10, abs=0.001) and few["n_runs"] == 2 * 2 * 3
    assert few["controls"] == {"5": "real-long", "10": "real-long"}
    assert [few["accuracy"], few["accuracy_control"]] == pytest.approx([0.8, 0.7], abs=0.001)
    assert arms["diffusion"]["over_real"]["full"]["gain"] == pytest.approx(20, abs=0.001)
    assert arms["gan"]["full"] is None and arms["gan"]["few_shot"]["n_runs"] == 3
    # The controls are as accurate with five images as with all: more images are worth nothing, so a gain is a bound.
    assert arms["diffusion"]["worth_bound"] == "at least"
    assert arms["gan"]["worth_factor"] is None
    # Five images and the one classifier that has the GAN there; full data has no such run.
    assert {arm: of["same_runs"]["few_shot"]["gain"] for arm, of in arms.items()} == pytest.approx(
        {"diffusion": 10, "gan": -20, "mixup": -5}, abs=0.001
    )
    assert all(of["same_runs"]["few_shot"]["n_runs"] == 3 and of["same_runs"]["full"] is None for of in arms.values())
    answer = summary.headline(comparison, table, [], {})
    assert answer["arms"] == arms
    text = " ".join(plain(conclusions.details(answer)))
    assert "Nothing was named before test patients were read" in text
    assert (
        "of 3 recipes *diffusion* does best, and stands on validation patients, in the seeds that both have, at +"
        in text
        and "+10.0 points" in text
    )
    assert "exploratory: no comparison of the two was named beforehand" in text
    assert "+5.2 points on average, +11.7 points with 50 or fewer" in text and "+20.0 points" in text
    assert not any(word in text for word in ("significant", "differ", "unlikely", "p ="))
    unread = " ".join(plain(conclusions.details(answer, tested=False)))
    assert "No primary comparison is named yet" in unread and "what it does on others is not known yet" in unread
    assert "test" not in unread
    entry = dict(arm="diffusion", control="real-long", classifier="resnet", k="10")
    waiting = plain(conclusions.details(answer | {"primary": [entry]}, tested=False))[0]
    assert waiting == "1 primary comparison named; what it shows, test decides."
    shown = conclusions.arms_table(answer)
    assert len(shown) == 5 and "claimed over real" not in shown, "what is claimed on average belongs to no row"


QUALITY = {
    "diffusion": {
        "cas_share": 0.62,
        "by_k": {
            "10": dict(recognised=0.72, recognised_real=0.81, fd=205.4, fd_real=43.2, near_copies=0.012),
            "all": dict(recognised=None, recognised_real=None, fd=132.0, fd_real=43.2, near_copies=None),
        },
    }
}


def test_how_good_the_generator_was_is_said():
    answer = {"primary": [], "generator": QUALITY, "best": [], "claimed": {"full": 5.2, "few_shot": 11.7}, "arms": {}}
    first = plain(conclusions.details(answer))[1]
    assert first.startswith(
        "The images of *diffusion*: at k = 10: weak, 72 % recognised as what they were asked for (81 %), "
    )
    assert (
        "Fréchet distance 205 (43), 1.2 % near-copies of train images; at k = all: Fréchet distance 132 (43)" in first
    )
    assert "reaches 62 % of the accuracy of one trained on real images" in first and "ImageNet" in first


@pytest.mark.slow
@pytest.mark.parametrize("shots", [[5, 10], [5]])
def test_a_study_without_all_images_goes_all_the_way(study, shots):
    splits = study.params.splits.model_copy(update={"shots": Shots.of(shots)})
    study = MadeUp(study.params.model_copy(update={"splits": splits}))
    table, comparison = compared(study, outcomes(study, ACCURACY))
    gained = primary.with_corrected(gains.table(comparison), [])
    answer = summary.headline(comparison, table, [], {})
    arms = answer["arms"]
    assert all(of["full"] is None and of["same_runs"]["full"] is None for of in arms.values())
    assert arms["diffusion"]["few_shot"]["gain"] == pytest.approx(10, abs=0.001)
    assert arms["diffusion"]["few_shot"]["n_runs"] == 2 * len(shots) * 3
    assert (arms["diffusion"]["worth_factor"] is None) == (len(shots) == 1), "one number of images is no curve"
    shown = conclusions.arms_table(answer)
    assert set(shown.images) == {"k ≤ 50"} and len(shown) == 3
    text = " ".join(
        plain([*conclusions.details(answer), *conclusions.replacement(arms), *conclusions.each(gained, "diffusion")])
    )
    assert "+10.0 points" in text and "nan" not in text and "full data" not in text
    numbers = gains.numbers_of_images(comparison)
    assert numbers == {str(k): k for k in shots}
    content = summary.summary(comparison, table, pd.DataFrame(columns=["kind", "crosses_split"]), gained, answer)
    assert content["shots"] == [str(k) for k in shots]
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert set(summary.metrics(table, gained, [])["gain"]["diffusion"]) == {str(k) for k in shots}


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
    answer = summary.headline(comparison, table, [], {})
    assert np.isnan(answer["arms"]["diffusion"]["few_shot"]["gain"])
    # What has failed on validation too is no candidate for the best recipe.
    assert {one["arm"] for one in answer["best"] if one["images"] == "few_shot"} == {"mixup"}
    pairs = pd.DataFrame(columns=["kind", "crosses_split"])
    content = summary.summary(comparison, table, pairs, primary.with_corrected(gained, []), answer)
    assert content["failed_runs"] == [name]
    assert content["arms"]["diffusion"]["resnet10t-half"]["10"]["accuracy"]["per_seed"]["1"] is None
    assert json.loads(json.dumps(content, allow_nan=False)) == content


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(further=[dict(arms=["gan"], shots=[7], classifiers=[])]), "classify.further.0.shots: 7 unknown"),
        (dict(further=[dict(arms=["real-long"], shots=[10], classifiers=[])]), "already in classify.arms"),
        (dict(arms=["gan"]), "no control"),
    ],
)
def test_an_impossible_study_is_refused(tmp_path, change, words):
    content = yaml.safe_load(paths.PARAMS.read_text())
    content["phantom"]["classify"] |= change
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(FetalkitError, match=words):
        params.load("phantom", tmp_path / "params.yaml")


# --- accuracies that figures draw


@pytest.mark.slow
def test_accuracies_of_figures_are_those_of_the_table_with_the_interval_of_patients_and_seeds(study):
    table, comparison = compared(study, outcomes(study, ACCURACY, failed=["diffusion_resnet14t_kall_seed1"]))
    predictions, patients = comparison.predictions, comparison.predictions.test.group.to_numpy()
    each = accuracies.of_arms(predictions, table).set_index(["arm", "classifier", "k"])
    row = each.loc[("diffusion", "resnet10t-half", "10")]
    expected = intervals.accuracy(predictions.correct("diffusion", "resnet10t-half", "10", [0, 1, 2]), patients)
    assert tuple(row) == (expected.estimate, expected.low, expected.high) and row.accuracy == pytest.approx(0.8)
    assert each.loc[("diffusion", "resnet14t", "all")].isna().all()
    against = accuracies.against_k(comparison, ["real", "diffusion"]).set_index(["arm", "k"])
    assert list(against.index) == [(arm, k) for arm in ("real", "diffusion") for k in ("5", "10", "all")]
    assert against.loc[("diffusion", "all")].isna().all() and against.loc[("real", "all")].notna().all()
    assert accuracies.at_every_k(comparison) == ["real", "real-long", "diffusion", "mixup"], "gan has one k alone"
    by_plane = accuracies.by_place(comparison, ["real", "diffusion"], "10", "plane")
    assert list(by_plane.plane) == [PLANES[0]] * 2 + [PLANES[1]] * 2 and by_plane.n.sum() == 2 * PATIENTS * EACH
    weighted = (by_plane.accuracy * by_plane.n)[by_plane.arm == "diffusion"].sum() / (PATIENTS * EACH)
    assert weighted == pytest.approx(0.8) and (by_plane.low <= by_plane.accuracy).all()
    assert accuracies.by_place(comparison, ["real", "diffusion"], "10", "machine").empty, "no machine is known"
    counts = accuracies.confusion(predictions, "diffusion", "resnet10t-half", "10")
    assert counts is not None and counts.sum() == 3 * PATIENTS * EACH and np.trace(counts) == 0.8 * counts.sum()
    assert accuracies.confusion(predictions, "diffusion", "resnet14t", "all") is None
