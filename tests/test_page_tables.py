"""Tables and sentences of the pages, computed from small made-up results: each number is counted by hand."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from fetalkit.analysis import cohort_tables, generator_tables, run_tables, search_conclusions, transfer_tables
from fetalkit.cohorts.galleries import Gallery
from fetalkit.config import params, runs
from fetalkit.data import images
from fetalkit.experiments.generator_training import Trained
from fetalkit.experiments.outcome import Outcome


def test_what_was_dropped_is_counted():
    table = pd.DataFrame(
        {
            "image_id": list("abcdef"),
            "patient": list("ppqqrr"),
            "plane": ["Fetal brain"] * 3 + ["Fetal femur"] * 3,
            "part": ["train", "train", "test", "test", "test", "test"],
            "dropped": ["", "", "", "also in train: a", "repeats c", "also in train: b"],
            "linked": [False, False, True, False, False, False],
        }
    )
    assert list(cohort_tables.dropped(table).image_id) == ["d", "e", "f"]
    sentence = cohort_tables.what_was_dropped(table)
    assert sentence.startswith(
        "3 of 4 test images are dropped: 2 also occur in train, 1 repeat another test image. 1 further"
    )
    assert cohort_tables.parts(table).to_dict("records") == [
        {"part": "test", "plane": "Fetal brain", "images": 1, "patients": 1},
        {"part": "train", "plane": "Fetal brain", "images": 2, "patients": 1},
    ]
    shots = pd.DataFrame({"image_id": ["a", "b", "a"], "k": ["2", "2", "1"], "seed": 0})
    assert cohort_tables.subsets(shots, table).to_numpy().tolist() == [["2", 0, 2, 1], ["1", 0, 1, 1]]


def test_centres_are_shown_where_they_are_known():
    assert cohort_tables.place(pd.DataFrame({"centre": ["", "A"]})) == "centre"
    assert cohort_tables.place(pd.DataFrame({"centre": ["", ""]})) == "machine"


def test_a_gallery_shows_what_it_says(tmp_path):
    for number in range(4):
        images.Image.fromarray(np.full((16, 16), 60 * number, np.uint8)).save(tmp_path / f"{number}.png")
    index = pd.DataFrame(
        {
            "image_id": list("abcd"),
            "source": [f"{number}.png" for number in range(4)],
            "plane": ["x", "x", "y", "y"],
            "overlay_share": [0.1, 0.3, 0.2, 0.4],
        }
    )
    gallery = Gallery(tmp_path, index)
    by_plane = gallery.of_planes(["y", "x"], each=1, size=4)
    assert list(by_plane) == ["y", "x"] and by_plane["y"][0].shape == (4, 4)
    assert by_plane["y"][0][0, 0] in (120, 180) and by_plane["x"][0][0, 0] in (0, 60)
    assert [image[0, 0] for image in gallery.marked(2, size=4)] == [180, 60]
    pairs = pd.DataFrame(
        [("a", "b", "near", False), ("c", "d", "near", True), ("a", "c", "exact", False)],
        columns=["image_a", "image_b", "kind", "crosses_split"],
    )
    shown, titles = gallery.duplicates(pairs, 2, size=4)
    assert titles == ["near, crosses split", "near"]
    assert [tuple(int(image[0, 0]) for image in pair) for pair in shown] == [(120, 180), (0, 60)]


def trained(generator, seed, losses, states=()):
    return Trained(generator, "10", seed, losses, 1.26, pd.DataFrame(states))


def test_losses_are_means_over_seeds_and_curves_over_windows():
    settings = params.load("phantom")
    made = [
        trained("diffusion", 0, [1.0] * 80, [{"step": 4}]),
        trained("diffusion", 1, [3.0] * 80),
        trained("simulation", 0, []),
    ]
    assert generator_tables.window(made) == 2 and generator_tables.window([]) == 1
    losses = generator_tables.losses(made, settings)
    assert {kind: {name: set(of) for name, of in runs.items()} for kind, runs in losses.items()} == {
        "DiffusionGenerator": {"diffusion, k = 10": {2.0}}
    }
    curves = generator_tables.denoiser_curves(made, settings)
    assert list(curves.groupby("run", sort=False).loss.agg(["size", "mean"]).to_numpy().ravel()) == [39, 1.0, 39, 3.0]
    assert generator_tables.times(made).seconds.tolist() == [1.3] * 3
    states = generator_tables.states(made)
    assert states.to_dict("records") == [{"step": 4, "generator": "diffusion", "k": "10", "seed": 0}]
    assert generator_tables.states(made[1:]).empty


def test_generators_are_shown_with_what_their_training_took():
    made = [trained("diffusion", 0, [1.0] * 80), trained("diffusion", 1, [1.0] * 40), trained("simulation", 0, [])]
    table = generator_tables.overview(made, params.load("phantom"))
    assert table[["generator", "k", "runs"]].to_numpy().tolist() == [["diffusion", "10", 2], ["simulation", "10", 1]]
    assert table.steps[0] == 60 and table.seconds[0] == pytest.approx(1.26) and table.what[0].startswith("a class-cond")
    assert table[["steps", "seconds"]].iloc[1].isna().all(), "nothing is trained"


@pytest.mark.parametrize(
    ("last", "says"), [(0.15, "; it still falls there, by 25 % since the state before"), (0.25, "")]
)
def test_how_near_the_states_of_a_training_have_come(last, says):
    rows = [
        dict(generator="diffusion", k="10", seed=seed, share=share, step=400 * share, kid=kid, near_copies=0.02)
        for seed in (0, 1)
        for share, kid in ((0.25, 0.4), (0.5, 0.2), (1.0, last))
    ]
    table = pd.DataFrame(rows).assign(kept=lambda rows: rows.share == 1)
    (said,) = generator_tables.learnt(table)
    assert said.replace("\u00a0", " ") == (
        f"*diffusion*, k = 10: the kernel distance from validation images goes from 0.400 at step 100 to {last:.3f} at step "
        f"400, the last, mean of 2 seeds{says}. Near-copies in the states that are kept: 2.0 %, judged while "
        "training, on fewer images and by validation images; page 06 judges the sets that classifiers learn from."
    )


def outcome(seed, curve):
    run = SimpleNamespace(arm="real", classifier="resnet10t-half", k="10", seed=seed, name=f"real-{seed}")
    phases = [
        {"source": "a", "steps": 2, "images": 3, "images_seen": 4},
        {"source": "b", "steps": 5, "images": 6, "images_seen": 7},
    ]
    return Outcome(run, curve=curve, budget=phases, seconds=2.5)


def test_learning_curves_count_on_in_the_second_phase():
    training = params.load("phantom").classify
    before = training.steps("resnet10t-half")[0]
    points = [{"phase": phase, "step": 7, "validation_accuracy": 0.5} for phase in (1, 2)]
    curves = run_tables.learning_curves([outcome(0, points), outcome(1, [])], training)
    assert curves.total_step.tolist() == [7, before + 7, 0]
    assert curves.validation_accuracy.isna().tolist() == [False, False, True]  # the run that failed stays a gap
    spent = run_tables.spent([outcome(0, points), outcome(1, [])])
    assert spent.phase.tolist() == [1, 2, 1, 2]
    assert run_tables.phases(spent).to_numpy().tolist() == [
        ["10", "real", 1, "a", 2, 3, 4],
        ["10", "real", 2, "b", 5, 6, 7],
    ]
    assert run_tables.times([outcome(0, points)]).to_dict("records") == [{"run": "real-0", "seconds": 2.5}]


def test_every_classifier_has_its_budget():
    training = params.load("phantom").classify
    table = run_tables.classifiers(training)
    assert list(table.classifier) == list(training.classifiers)
    assert [tuple(row) for row in table[["P", "N"]].to_numpy()] == [training.steps(name) for name in table.classifier]


def test_every_arm_that_runs_says_what_it_is_and_what_it_knows():
    settings = params.load("phantom")
    table = run_tables.arms(settings).set_index("arm")
    assert set(table.index) == {run.arm for run in runs.all_runs(settings)} and (table["what it is"] != "").all()
    assert set(table.index[table.control == "yes"]) == {name for name in table.index if settings.arms[name].control}
    knows = table["its training knows"]
    assert knows["diffusion"] == knows["real-long"] != knows["pseudo-label"] != knows["simulation"]


def test_the_best_candidate_is_named_with_its_error():
    measured = pd.DataFrame(
        {"candidate": ["base", "wide"], "cas": [0.5, 0.8], "parameters": [9, 8], "steps": [100, 50]}
    )
    sentence = search_conclusions.candidates(measured, 0.9, 70, 400)
    assert "reaches 90.0% of 400 validation images. Best candidate: *wide* with 80.0%" in sentence
    assert "about 2.0 points" in sentence and "between 100 and 100 steps" in sentence


def test_groups_that_are_empty_are_no_rows():
    part = pd.DataFrame({"group": ["A", "B"], "n": [3, 4]})
    stacked = transfer_tables.stacked({"centre": {"x": part, "y": pd.DataFrame()}, "plane": {"x": part[:1]}})
    assert stacked[["of", "view", "group"]].to_numpy().tolist() == [
        ["centre", "x", "A"],
        ["centre", "x", "B"],
        ["plane", "x", "A"],
    ]
