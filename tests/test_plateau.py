"""Step budgets are read off validation curves by a fixed rule."""

import numpy as np
import pandas as pd
import pytest
import small_study

from fetalkit.data.study import Study
from fetalkit.experiments import plateau


def curves(**means):
    """Two seeds around the mean accuracy (percent) of every budget: classifier_k = {steps: mean}."""
    return pd.DataFrame(
        [
            {"classifier": name, "k": "10", "seed": seed, "steps": steps, "accuracy": (mean + 2 * seed - 1) / 100}
            for name, of in means.items()
            for steps, mean in of.items()
            for seed in (0, 1)
        ]
    )


def test_the_budget_is_the_smallest_that_no_larger_one_beats_by_more_than_a_point():
    found = plateau.budgets(
        curves(
            rising={100: 60, 200: 70, 400: 80},
            flat={100: 60, 200: 79.5, 400: 80, 800: 79},
            dip={100: 80, 200: 75, 400: 82},  # what is good at first and is beaten later has not been enough
            falling={100: 90, 200: 85, 400: 80},
        )
    ).set_index("classifier")
    assert found.steps.to_dict() == {"rising": 400, "flat": 200, "dip": 400, "falling": 100}
    assert (found.steps == found.P + found.N).all() and found.N.to_dict()["flat"] == 67
    assert found.flat.to_dict() == {"rising": False, "flat": True, "dip": False, "falling": True}
    assert found.accuracy["flat"] == pytest.approx(0.795) and found.best["flat"] == pytest.approx(0.80)


@pytest.mark.slow
def test_curves_train_the_control_for_every_budget_and_read_no_test_image(elsewhere, monkeypatch):
    study, part = small_study.trainable(), Study.part
    monkeypatch.setattr(Study, "part", lambda self, name: pytest.fail("test") if name == "test" else part(self, name))
    # Some train patients must be left for the judgement.
    shots = study.shots.groupby("plane").head(2)
    shots.to_csv(elsewhere / "data" / "phantom" / "splits" / "shots.csv", index=False)
    found = plateau.curves("phantom", study.params, classifiers=["resnet"], shots=["all"], seeds=[0], steps=[1, 3])
    assert found.steps.tolist() == [1, 3] and np.isfinite(found.accuracy).all() and (found.n > 0).all()
    assert found.columns.tolist() == ["classifier", "k", "seed", "n", "accuracy", "seconds", "steps"]
