"""Figures of the search for a training protocol show what their tables hold."""

import pandas as pd
import pytest
from figures import fits

from fetalkit.plots import search


def title(axis):
    return axis.get_title() or axis.get_title(loc="left")  # as the style that is set has it


def test_a_line_per_k_and_a_tick_per_budget():
    curves = pd.DataFrame(
        [
            (classifier, k, seed, steps, 0.5 + steps / 4000 + seed / 100)
            for classifier in ("resnet", "vit")
            for k in ("10", "all")
            for seed in (0, 1)
            for steps in (100, 400, 1600)
        ],
        columns=["classifier", "k", "seed", "steps", "accuracy"],
    )
    figure = search.accuracy_against_steps(curves)
    assert [title(axis) for axis in figure.axes] == ["resnet", "vit"]
    for axis in figure.axes:
        lines = [line for line in axis.lines if len(line.get_xdata())]
        # Two seeds and their mean for each k.
        assert len(lines) == 6 and list(lines[2].get_xdata()) == [100, 400, 1600]
        assert [list(line.get_ydata()) for line in lines[:3]] == [
            pytest.approx([52.5, 60, 90]),
            pytest.approx([53.5, 61, 91]),
            pytest.approx([53, 60.5, 90.5]),
        ]
        assert [text.get_text() for text in axis.get_xticklabels()] == ["100", "400", "1600"]
    fits(figure, "accuracy against steps")


def test_arms_stand_by_level_with_a_dot_per_candidate():
    gained = pd.DataFrame(
        [
            (candidate, "resnet", k, arm, level, accuracy + (candidate == "longer") / 10)
            for candidate in ("as it is", "longer")
            for k in ("10", "50")
            for arm, level, accuracy in (("real", "L0", 0.7), ("simulation", "L2", 0.8), ("diffusion", "L0", 0.6))
        ],
        columns=["candidate", "classifier", "k", "arm", "level", "accuracy"],
    )
    figure = search.arms_by_candidate(gained, ["as it is", "longer"])
    first = figure.axes[0]
    assert [text.get_text() for text in first.get_yticklabels()] == ["L0  real", "L0  diffusion", "L2  simulation"]
    assert [title(axis) for axis in figure.axes] == ["resnet, k = 10", "resnet, k = 50"]
    plain, longer = first.lines
    assert list(plain.get_xdata()) == pytest.approx([70, 80, 60]) and list(plain.get_ydata()) == [0, 2, 1]
    assert list(longer.get_xdata()) == pytest.approx([80, 90, 70])
    fits(figure, "arms by candidate")
