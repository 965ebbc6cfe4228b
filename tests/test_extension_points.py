"""A generator, an arm, a metric and a cohort are each added from outside of the package, in params.yaml alone."""

import numpy as np
import pytest
import small_study
import test_gains
from own_package import own  # noqa: F401

from fetalkit import cohorts
from fetalkit.analysis import conclusions, results, summary
from fetalkit.config import listing, params, runs, sets
from fetalkit.config.shots import Shots
from fetalkit.data.study import Study
from fetalkit.experiments import classification, generator_training, synthesis, training_search
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError

MEAN = {"class": "own.mean:MeanImage", "title": "the mean image", "training": {"levels": 128}, "sampling": {"shift": 1}}
ARM = {
    "title": "pre-training on mean images, then mixup",
    "headline": True,
    "phases": [{"source": "mean", "steps": "2 * P"}, {"source": "real", "steps": "N", "mixing": "mixup"}],
}


@pytest.fixture
def with_mean(own, elsewhere):  # noqa: F811
    """A study with the own generator and the own arm."""

    def edit(content):
        content["arms"]["mean-then-mixup"] = ARM
        content["metrics"] = ["own.errors"]
        content["phantom"]["generators"]["mean"] = MEAN
        content["phantom"]["classify"] |= {"arms": ["real", "real-long", "mean-then-mixup"], "further": []}
        content["phantom"]["report"]["comparisons"] = []
        content["phantom"]["fidelity"] |= {"generators": [], "varied": ""}

    own(edit)
    return small_study.trainable(("real", "real-long", "mean-then-mixup"))


@pytest.mark.slow
def test_a_generator_is_trained_and_drawn(with_mean, monkeypatch):
    settings, k = with_mean.params, with_mean.params.splits.shots.largest
    assert sets.jobs(settings) == [dict(generator="mean", k=k, seed=0)]
    (trained,) = generator_training.train_all("phantom", settings)
    assert (trained.name, trained.losses) == (f"mean-k{k}-seed0", [])
    assert synthesis.draw_all("phantom", settings) == {
        f"mean-k{k}-seed0": settings.synthesis.images_per_plane * len(with_mean.planes)
    }
    seen, drawn = with_mean.train(k, 0), with_mean.synthetic("mean", k, 0)
    for plane in range(len(with_mean.planes)):
        mean = np.floor(seen.images[seen.labels == plane].mean(axis=0) / 2) * 2 + 1
        assert (drawn.images[drawn.labels == plane] == mean).all()
    assert not list(paths.data("phantom", "synthetic").glob("diffusion*")), "what no arm asks for is removed"
    # What is there is taken; other sampling draws anew, other training trains anew.
    module = __import__("own.mean", fromlist=["MeanImage"])
    fitted, fit = [], module.MeanImage._fit
    monkeypatch.setattr(module.MeanImage, "_fit", lambda self, *of, **more: (fitted.append(1), fit(self, *of, **more)))
    for changes, times, first in (
        ({}, 0, drawn.images[0]),
        ({"sampling": {"shift": 0}}, 0, drawn.images[0] - 1),
        ({"training": {"levels": 256}}, 1, None),
    ):
        changed = training_search.changed(settings, {"generators": {"mean": changes}})
        generator_training.train_all("phantom", changed)
        synthesis.draw_all("phantom", changed)
        assert len(fitted) == times
        if first is not None:
            assert (Study("phantom", changed).synthetic("mean", k, 0).images[0] == first).all()


@pytest.mark.slow
def test_an_arm_and_a_metric_go_through_the_study(with_mean):
    settings = with_mean.params
    generator_training.train_all("phantom", settings)
    synthesis.draw_all("phantom", settings)
    outcomes = classification.train_all("phantom", settings)
    assert [outcome.error for outcome in outcomes] == [""] * 3
    (mine,) = [outcome for outcome in outcomes if outcome.run.arm == "mean-then-mixup"]
    assert [(phase["source"], phase["steps"]) for phase in mine.budget] == [("mean", 2), ("real", 2)]
    table = results.long_table(with_mean, outcomes)
    values = table[table.arm == "mean-then-mixup"].set_index("metric").value
    n = (with_mean.part("test").dropped == "").sum()
    assert values["errors"] == pytest.approx(n * (1 - values["accuracy"]))
    assert sum(values[f"called[{plane}]"] for plane in with_mean.planes) == n


@pytest.mark.slow
def test_an_arm_so_marked_reaches_the_headline(own):  # noqa: F811
    def edit(content):
        content["arms"]["mean-then-mixup"] = ARM
        content["phantom"]["generators"]["mean"] = MEAN
        content["phantom"]["classify"] |= {"arms": ["real", "real-long", "mean-then-mixup"], "further": []}
        content["phantom"]["report"] |= {"bootstrap_resamples": 100, "comparisons": []}

    own(edit)
    settings = params.load("phantom")
    cohort = settings.cohort.model_copy(update={"planes": test_gains.PLANES})
    splits = settings.splits.model_copy(update={"shots": Shots.of([5, 10])})
    study = test_gains.MadeUp(settings.model_copy(update={"cohort": cohort, "splits": splits}))
    assert {run.arm for run in runs.all_runs(study.params)} == {"real", "real-long", "mean-then-mixup"}
    accuracy = {"real": 0.6, "real-long": 0.7, "mean-then-mixup": 0.8}
    table, comparison = test_gains.compared(study, test_gains.outcomes(study, accuracy))
    answer = summary.headline(comparison, table, [], {})
    assert list(answer["arms"]) == ["mean-then-mixup"]
    assert answer["arms"]["mean-then-mixup"]["few_shot"]["gain"] == pytest.approx(10, abs=0.001)
    assert conclusions.arms_table(answer).arm.tolist() == ["mean-then-mixup"]


def test_what_is_added_is_listed(own, tmp_path):  # noqa: F811
    def edit(content):
        content["arms"]["mean-then-mixup"] = ARM
        content["metrics"] = ["own.errors"]
        content["phantom"]["generators"]["mean"] = MEAN
        tiny = {"model": "resnet10t", "arguments": {}, "pretrained": True}
        content["phantom"]["classify"]["classifiers"]["tiny"] = tiny
        planes = ["Fetal brain", "Fetal femur"]
        ward = {"kind": "own.ward:Ward", "planes": planes, "folder": str(tmp_path)}
        content["ward"] = content["phantom"] | {"cohort": ward}

    own(edit)
    assert ("mean-then-mixup", ARM["title"] + " (headline)") in listing.rows("arms")
    assert ("mean", "the mean image [own.mean:MeanImage]") in listing.rows("generators")
    assert ("tiny", "resnet10t, pretrained") in listing.rows("classifiers")
    assert ("ward", "own.ward:Ward") in listing.rows("cohorts")
    assert {("errors", "errors (images)"), ("called", "images called a plane")} <= set(listing.rows("metrics"))
    with pytest.raises(FetalkitError, match="no colours to list; choose one of: arms, generators"):
        listing.rows("colours")


@pytest.mark.slow
def test_a_cohort_is_loaded_by_its_class(own, image_folder):  # noqa: F811
    root, table = image_folder
    table.to_csv(root / "table.csv", index=False)
    ward = {"kind": "own.ward:Ward", "planes": ["Fetal femur", "Fetal brain"], "folder": str(root)}
    own(lambda content: content.update(ward=content["phantom"] | {"cohort": ward}))
    settings = params.load("ward")
    assert settings.cohort.folder == str(root) and settings == params.load("ward")
    cohort = cohorts.load("ward", settings.cohort)
    rows = cohort.table(settings.cohort, cohort.fetch(settings.cohort, root))
    assert len(rows) == 24 and set(rows.plane) == {"Fetal brain", "Fetal femur"}
    own(lambda content: content["ward"]["cohort"].update(colour="red"))
    with pytest.raises(FetalkitError, match=r"params.yaml: ward.cohort.colour = 'red' is not a known key"):
        params.load("ward")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"class": "own.mean:Median"}, r"phantom.generators.mean.*class 'own.mean:Median' cannot be imported"),
        (
            {"class": "nowhere.mean:MeanImage"},
            r"phantom.generators.mean.*class 'nowhere.mean:MeanImage' cannot be imported",
        ),
        (
            {"class": "own.mean"},
            r"phantom.generators.mean.*class 'own.mean' is no generator; give one as package.module:Name",
        ),
        ({"class": "own.mean:LEVELS"}, r"phantom.generators.mean.*class 'own.mean:LEVELS' is no generator"),
        ({"training": {"colours": 3}}, r"phantom.generators.mean.*training.colours = 3 is not a known key"),
        ({"training": {"levels": 1}}, r"phantom.generators.mean.*training.levels = 1: .*greater than or equal to 2"),
        (
            {"training": {"levels": 3}},
            r"phantom.*generators.mean.training: levels = 3: give at least one for each of 5",
        ),
        ({"sampling": {"shift": "far"}}, r"phantom.generators.mean.*sampling.shift = 'far'"),
        ({"title": None}, r"phantom.generators.mean.title"),
    ],
)
def test_a_mistake_in_an_own_generator_is_one_line(own, changes, words):  # noqa: F811
    own(lambda content: content["phantom"]["generators"].update(mean=MEAN | changes))
    with pytest.raises(FetalkitError, match=words) as error:
        params.load("phantom")
    assert str(error.value).startswith("params.yaml: ") and len(str(error.value).splitlines()) == 1
