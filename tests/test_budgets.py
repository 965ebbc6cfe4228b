"""The table of what runs cost."""

import numpy as np
import pandas as pd
import pytest

from fetalkit.analysis import budgets


def test_costs_are_summed_over_phases_and_compared_with_the_control():
    columns = ["classifier", "k", "arm", "seed", "phase", "classifier_flops", "generator_flops", "drawing_flops"]
    rows = [
        ("resnet", "10", "real-long", 0, 1, 2e12, 0, 0),
        ("resnet", "10", "diffusion", 0, 1, 1e12, 6e12, 1e12),
        ("resnet", "10", "diffusion", 0, 2, 1e12, 0, 0),
        ("resnet", "10", "diffusion", 1, 1, 1e12, 8e12, 1e12),
        ("resnet", "10", "diffusion", 1, 2, 1e12, 0, 0),
        ("vit", "10", "diffusion", 0, 1, 1e12, 0, 0),
    ]
    table = pd.DataFrame(rows, columns=columns)
    parts = ["classifier_flops", "generator_flops", "drawing_flops"]
    made = budgets.costs(table.assign(total_flops=table[parts].sum(axis=1))).set_index(["classifier", "arm"])
    assert made.loc[("resnet", "diffusion"), "generator"] == pytest.approx(7)
    assert made.loc[("resnet", "diffusion"), "all"] == pytest.approx(10)
    assert made["× real-long"].loc["resnet"].to_dict() == pytest.approx({"real-long": 1, "diffusion": 5})
    assert np.isnan(made.loc[("vit", "diffusion"), "× real-long"])
