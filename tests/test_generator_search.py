"""The search gives every candidate the same processor time, judges it once, and keeps what it has measured."""

import numpy as np
import pandas as pd
import pytest
import small_study

from fetalkit.config import params
from fetalkit.data.images import Labelled
from fetalkit.experiments import cas, generator_search, training_search
from fetalkit.generators.diffusion.generator import DiffusionGenerator
from fetalkit.utils import paths


@pytest.fixture
def tiny(elsewhere):
    """Settings of a study of 32 px with a validation part, written to a temporary folder."""
    study, _ = small_study.write()
    table = pd.read_csv(paths.data("phantom", "splits", "splits.csv"), keep_default_na=False)
    table.loc[table.image_id.str.contains("_0[0-6]"), "part"] = "validation"
    table.to_csv(paths.data("phantom", "splits", "splits.csv"), index=False)
    network = {"channels": [8, 16, 32]}
    return training_search.changed(
        study.params, {"generators": {"diffusion": {"training": network}}, "run": {"workers": 1}}
    )


@pytest.mark.slow
def test_candidates_are_compared_and_kept(tiny, monkeypatch):
    candidates = {"base": {}, "other": {"augment": 0.0}, "fewer steps": {"sampler": {"steps": 2}}}
    budget = dict(minutes=0.01, each=8, steps=2)
    trained = []
    fit = DiffusionGenerator.fit
    monkeypatch.setattr(
        DiffusionGenerator, "fit", lambda self, *a, **k: (trained.append(k["label"]), fit(self, *a, **k))
    )
    monkeypatch.setattr(
        generator_search.parallel, "run", lambda function, jobs, workers: [function(**job) for job in jobs]
    )
    compared = generator_search.compare("phantom", tiny, candidates, **budget)
    assert list(compared.candidate) == list(candidates)
    assert compared.filter(like="error@").shape == (3, len(generator_search.LEVELS))
    # Noise that hides everything leaves a larger error than noise that hides nearly nothing.
    assert (compared["error@3.2"] > compared["error@0.05"]).all()
    assert compared[["cas", "precision", "recall", "near_copies"]].stack().between(0, 1).all()
    # What differs in the sampler alone shares its training, and gives the same errors but other images.
    assert sorted(label for label in trained if label.endswith("trial")) == ["base: trial", "other: trial"]
    assert compared["error@0.4"][0] == compared["error@0.4"][2] != compared["error@0.4"][1]
    assert compared.fd[0] != compared.fd[2]
    monkeypatch.setattr(DiffusionGenerator, "fit", lambda *a, **k: pytest.fail("trained again"))
    monkeypatch.setattr(DiffusionGenerator, "sample", lambda *a, **k: pytest.fail("drawn again"))
    monkeypatch.setattr(generator_search, "train", lambda *a, **k: None)
    pd.testing.assert_frame_equal(generator_search.compare("phantom", tiny, candidates, **budget), compared)


def test_the_denoising_error_is_that_of_the_images():
    """An untrained network predicts zero: what is left is the image shrunk towards the mean, whose error is known."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (64, 16, 16), np.uint8)
    labels = np.arange(64) % 2
    generator = DiffusionGenerator(
        ("a", "b"),
        16,
        dict(channels=(16, 32), attention=(False, False), steps=1, learning_rate=1e-9),
        device="cpu",
    )
    generator.fit(images, labels, seed=0)
    for sigma in (0.1, 1.0):
        shrunk = sigma**2 / (sigma**2 + 0.25)  # for images of standard deviation 0.5
        expected = shrunk * generator.scale.std**2
        assert generator.denoising_error(images, labels, sigma, seed=0) == pytest.approx(expected, rel=0.05)


@pytest.mark.slow
def test_the_classification_accuracy_score_tells_good_sets_from_useless_ones():
    settings = params.load("phantom")
    classifiers = dict([next(iter(settings.classify.classifiers.items()))])
    settings = settings.model_copy(
        update={"classify": settings.classify.model_copy(update={"classifiers": classifiers})}
    )
    labels = np.arange(60) % 5
    images = np.zeros((60, 32, 32), np.uint8)
    for row, label in enumerate(labels):
        images[row, 4 + 4 * label : 8 + 4 * label, 8:24] = 220
    real = Labelled(images, labels)
    assert cas.score(real, real, settings, steps=40, seed=0) > 0.8
    assert cas.score(Labelled(images[::-1].copy(), (labels + 1) % 5), real, settings, steps=40, seed=0) < 0.5
