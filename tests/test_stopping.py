"""Which state of a training is kept, and how long trainings are."""

import pandas as pd
import pytest
import small_study

from fetalkit.config.generation import Budget, GeneratorSettings, Stopping
from fetalkit.config.sections import validated
from fetalkit.experiments import stopping
from fetalkit.generators.diffusion.generator import DiffusionGenerator
from fetalkit.plots import cohort as cohort_plots
from fetalkit.plots.palette import PAPER
from fetalkit.utils.errors import FetalkitError


@pytest.mark.parametrize(
    "kid, copies, kept",
    [
        ([0.3, 0.2, 0.1], [0, 0, 0], 1.0),
        ([0.3, 0.1, 0.2], [0, 0, 0], 0.5),
        ([0.3, 0.2, 0.1], [0, 0, 0.03], 0.5),
        # Copies that come and go: what follows the first state with too many is not trusted.
        ([0.3, 0.2, 0.1], [0, 0.03, 0], 0.25),
        ([0.3, 0.2, 0.1], [0.5, 0.6, 0.7], 0.25),
    ],
)
def test_the_nearest_state_with_few_copies_is_kept(kid, copies, kept):
    states = pd.DataFrame({"share": [0.25, 0.5, 1.0], "kid": kid, "near_copies": copies})
    assert stopping.chosen(states, 0.02) == kept


def test_budgets_follow_from_the_number_of_images():
    budget = Budget(seen_per_image=400, seen_at_least=40_000)
    assert budget.steps(40, 8, 100_000) == 5_000
    assert budget.steps(1_000, 8, 100_000) == 50_000
    assert budget.steps(1_000, 8, 37_500) == 37_500


def section(**changes):
    training = {"channels": [8, 8], "attention": [False, False], "steps": 8, "batch_size": 4, "snapshots": [0.5]}
    return {"class": DiffusionGenerator.class_path(), "title": "t", "training": training} | changes


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(FetalkitError, match="stopping: there are no training.snapshots"):
        validated(
            GeneratorSettings,
            section(stopping={"near_copies": 0.02}, training={"channels": [8, 8], "attention": [False, False]}),
            "params.yaml",
            "g",
        )
    smote = {"class": "fetalkit.generators.smote:SmoteGenerator", "title": "t", "budget": {"seen_per_image": 10}}
    with pytest.raises(FetalkitError, match="budget: the training of this class has no steps"):
        validated(GeneratorSettings, smote, "params.yaml", "g")


@pytest.mark.slow
def test_a_trained_generator_goes_back_to_the_state_that_is_kept(elsewhere, monkeypatch):
    study = small_study.trainable()
    data = study.train(study.params.splits.shots.largest, study.params.splits.seeds[0])
    spec = validated(GeneratorSettings, section(), "params.yaml", "g")
    made = DiffusionGenerator(study.planes, study.params.images.image_size, spec.training, device="cpu")
    made.fit(data.images, data.labels, seed=0)
    monkeypatch.setattr(stopping, "chosen", lambda states, near_copies: 0.5)
    rule = Stopping(near_copies=0.02, images_per_plane=10)
    validation = study.labelled(study.part("validation"))
    table = stopping.stop(made, data, validation, 0, spec.sampling.model_copy(update={"steps": 2}), rule, 0.01)
    assert list(table.share) == [0.5, 1.0] and list(table.step) == [4, 8] and list(table.kept) == [True, False]
    assert made.denoiser is made.snapshots[0.5] and made.kept_share == 0.5
    made.save(elsewhere / "g")
    assert DiffusionGenerator.load(elsewhere / "g", device="cpu").kept_share == 0.5


def test_the_figure_marks_the_state_that_is_kept():
    judged = pd.DataFrame(
        dict(
            generator="diffusion",
            k=["10", "10", "all", "all"],
            seed=0,
            step=[10, 20, 10, 40],
            kid=[0.2, 0.1, 0.2, 0.1],
            near_copies=[0.0, 0.5, 0.0, 0.01],
            kept=[True, False, False, True],
        )
    )
    distance, copies = cohort_plots.states(judged).axes
    filled = [line for line in distance.lines if line.get_marker() == "o" and line.get_markerfacecolor() != PAPER]
    assert [tuple(map(float, line.get_data()[0])) for line in filled] == [(10,), (40,)]
    assert copies.get_ylabel() == "near-copies (%)" and max(max(line.get_ydata()) for line in copies.lines) == 50
