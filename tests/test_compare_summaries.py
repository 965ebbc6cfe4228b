"""The weekly comparison of a run with the published one."""

import json
import runpy
from copy import deepcopy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
compare = runpy.run_path(str(ROOT / ".github" / "compare_summaries.py"))


def summary(shift: float = 0.0) -> dict:
    seeds = {"0": 0.70 + shift, "1": 0.74 + shift, "2": 0.72 + shift}  # standard deviation 0.02
    return {"arms": {arm: {"resnet": {"10": {"accuracy": {"per_seed": dict(seeds)}}}} for arm in ("real", "diffusion")}}


def test_the_tolerance_is_four_standard_errors():
    accuracies = compare["accuracies"](summary())
    assert compare["tolerance"](accuracies, accuracies) == pytest.approx(4 * 0.02 * (2 / 3) ** 0.5)


def test_equal_runs_and_other_seeds_pass():
    assert compare["differences"](summary(), summary()) == []
    assert compare["differences"](summary(), summary(0.06)) == []


def test_a_broken_run_is_named():
    broken = deepcopy(summary())
    broken["arms"]["real"]["resnet"]["10"]["accuracy"]["per_seed"] = {"0": 0.5, "1": 0.52, "2": 0.48}
    (line,) = compare["differences"](summary(), broken)
    assert line.startswith("real, resnet, 10: 50.0%, published 72.0%")


def test_a_gap_is_named_and_a_number_that_is_none():
    missing = deepcopy(summary())
    del missing["arms"]["diffusion"]
    assert compare["differences"](summary(), missing) == ["diffusion, resnet, 10: only in the published run"]
    nan = deepcopy(summary())
    nan["arms"]["real"]["resnet"]["10"]["accuracy"]["per_seed"]["0"] = float("nan")
    assert compare["differences"](summary(), nan)


def test_one_seed_says_nothing():
    one = {"arms": {"real": {"resnet": {"10": {"accuracy": {"per_seed": {"0": 0.7}}}}}}}
    with pytest.raises(ValueError, match="two seeds"):
        compare["differences"](one, one)


def test_the_published_summary_can_be_compared():
    published = json.loads((ROOT / "reports" / "phantom" / "summary.json").read_text())
    assert compare["differences"](published, published) == []
    assert 0.01 < compare["tolerance"](compare["accuracies"](published)) < 0.2
