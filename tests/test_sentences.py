"""Every sentence that is written from numbers, held against these numbers: none may say more, or other, than they do."""

import doctest
import itertools
import math
import re

import numpy as np
import pandas as pd
import pytest

from fetalkit.analysis import (
    answer,
    conclusions,
    convergence,
    fidelity_conclusions,
    generator_quality,
    reproduction_conclusions,
    transfer_conclusions,
    wording,
)
from fetalkit.analysis.intervals import Gain, Interval
from fetalkit.analysis.outline_effect import Drop
from fetalkit.analysis.terms import CLAIMED, MEAN, outcome
from fetalkit.config import params

NAN = float("nan")
OVERDONE = ("unlikely", "significant", "prove", "certain", "nan", "None")


def plain(text):
    """With ordinary spaces and minus signs, and without emphasis."""
    return text.replace("\u00a0", " ").replace("\u2212", "-").replace("*", "")


def test_the_examples_of_how_numbers_are_written():
    assert doctest.testmod(wording).failed == 0


# One primary comparison

KINDS = {  # gain, low, high, corrected p; all but the last three leave zero out of the interval that is not corrected
    "before correction alone": (-2.9, -5.5, -0.3, 0.116),
    "gain": (5.6, 2.1, 9.1, 0.004),
    "loss": (-4.2, -6.9, -1.5, 0.0004),
    "just": (3.0, 0.04, 5.96, 0.04996),
    "just not": (3.0, 0.04, 5.96, 0.0501),
    "tie": (0.0, -2.0, 2.0, 1.0),
    "nothing": (0.9, -8.9, 10.7, 0.734),
    "failed": (NAN, NAN, NAN, NAN),
}


def entry(kind, **changes):
    gain, low, high, p = KINDS[kind]
    reached = NAN if math.isnan(gain) else 0.75 + gain / 100
    made = dict(
        level="L0", arm="diffusion", control="real-long", classifier="net", k="10", converged=True, n_runs=3, n_seeds=3,
        sets=["diffusion"], diffusion=True, gain=gain, low=low, high=high, p=p, p_holm=p, accuracy=reached,
        accuracy_control=NAN if math.isnan(gain) else 0.75, accuracy_real=0.7, smallest_detectable_gain=4.5, flops=1.0,
    )  # fmt: skip
    return made | changes


VARIED = [
    {},
    {"n_seeds": 1, "n_runs": 1, "smallest_detectable_gain": NAN},
    {"converged": False},
    {"classifier": MEAN},
    {"k": "all"},
    {"accuracy_real": NAN},
    {"control": "real"},
    {"arm": "own-arm", "sets": [], "diffusion": False},
]


def agrees(text, one, number):
    """What is said of a comparison, one of `number`, is what its numbers say."""
    shown = outcome(one)
    assert shown == (
        "not measured"
        if math.isnan(one["p_holm"])
        else "neither"
        if one["p_holm"] >= 0.05
        else "gain"
        if one["gain"] > 0
        else "loss"
    )
    assert not any(word in text for word in OVERDONE)
    if shown == "not measured":
        assert "not measured" in text and "interval" not in text
        return
    gain = float(re.search(r"([+-]?\d+\.\d) points", text)[1])
    low, high = map(float, re.search(r"interval ([+-]?\d+\.\d) to ([+-]?\d+\.\d)", text).groups())
    assert (gain, low, high) == tuple(round(one[name], 1) for name in ("gain", "low", "high"))
    below, p = re.search(r"p = (< )?([\d.]+)", text).groups()
    assert (float(p) < 0.05) == (one["p_holm"] < 0.05) and (one["p_holm"] < 0.001 if below else True)
    assert (f"correction for {number} comparisons" in text) == (number > 1)


@pytest.mark.parametrize(("kind", "changes"), itertools.product(KINDS, VARIED))
def test_a_primary_comparison(kind, changes):
    one = entry(kind, **changes)
    for number in (1, 4):
        text = plain(conclusions.confirmed(one, number))
        agrees(text, one, number)
        assert (" a gain" in text.split("Such a study")[0], " a loss" in text) == tuple(
            outcome(one) == kind for kind in ("gain", "loss")
        )
        assert ("not converged" in text) == (not one["converged"] and outcome(one) != "not measured")
    none = entry("failed", n_runs=0, converged=False)
    assert "no classifier that trains both has converged" in conclusions.confirmed(none, 1)


# The first screen


def summary(named, arms=None, quality=None, **changes):
    headline = {"primary": named, "generator": quality or {}, "best": [], "claimed": CLAIMED, "arms": arms or {}}
    made = dict(
        cohort="ward", title="A ward", simulated=False, image_size=64, planes=["a", "b"], n_train=90, n_validation=20,
        n_test=778, patients_validation=11, patients_test=422, tested_on="test", shots=["10", "all"], seeds=[0, 1, 2],
        headline=headline,
    )  # fmt: skip
    return made | changes


@pytest.mark.parametrize("kinds", itertools.product(KINDS, repeat=2))
def test_the_answer_says_what_the_comparisons_show(kinds):
    named = [entry(kind, k=k) for kind, k in zip(kinds, ("10", "all"), strict=True)]
    named.append(entry("gain", arm="simulation", sets=["simulation"], diffusion=False))
    first, sure, *_ = map(plain, answer.sentences(summary(named)))
    shown = [outcome(one) for one in named[:2]]
    word = first[: first.index("422 patients")].strip()
    gains, losses = shown.count("gain"), shown.count("loss")
    expected = {
        (0, 0): "No gain shown.", (2, 0): "A gain.", (0, 2): "A loss.", (1, 0): "A gain in 1 of 2 comparisons.",
        (0, 1): "A loss in 1 of 2 comparisons.", (1, 1): "A gain in 1 and a loss in 1 of 2 comparisons.",
    }[gains, losses]  # fmt: skip
    assert word == ("Not measured." if shown == ["not measured"] * 2 else expected)
    quoted = next(
        one for kind in ("gain", "loss", "neither", "not measured") for one in named[:2] if outcome(one) == kind
    )
    agrees(first.replace("%)", "% )"), quoted, 3)
    if outcome(quoted) != "not measured":
        accuracies = [float(found) for found in re.findall(r"(\d+\.\d) % (?:after)", first)]
        assert accuracies == pytest.approx([100 * quoted["accuracy"], 75.0, 70.0], abs=0.051)
    assert re.findall(r"(\d+) shows? a gain|(\d+) show a gain", sure)[0] == (str(gains + 1), "")
    assert bool(re.search("shows? a loss", sure)) == (losses > 0) and "simulation over real-long at k = 10" in sure
    missing = shown.count("not measured")
    failed = f"{missing} {'was' if missing == 1 else 'were'} not measured"
    assert "2 of them about a diffusion model" in sure and (failed in sure) == (missing > 0)


def test_the_answer_of_other_comparisons_of_validation_and_of_simulated_patients():
    other = entry("gain", arm="simulation", sets=["simulation"], diffusion=False)
    first = plain(answer.sentences(summary([other]))[0])
    assert first.startswith("No comparison named beforehand is about a diffusion model. 422 patients, 778 images")
    said = list(map(plain, answer.sentences(summary([entry("gain")], tested_on="validation"))))
    assert said[0].startswith(
        "No result yet: no test patient has been looked at. The numbers are of 11 validation patients"
    )
    said = list(map(plain, answer.sentences(summary([entry("gain", n_seeds=1)], simulated=True))))
    assert "422 simulated patients" in said[0] and "one seed" in said[1] and "simulated too" in said[-1]
    assert not any("simulated" in text for text in answer.sentences(summary([entry("gain")])))


@pytest.mark.parametrize("measured", [("few_shot",), ("full",), ("full", "few_shot"), ()])
def test_where_nothing_was_named_all_is_exploratory(measured):
    pooled = dict(
        gain=-3.2,
        low=-5.0,
        high=-1.4,
        p=0.001,
        n_runs=3,
        controls={"10": "replay"},
        accuracy=0.7,
        accuracy_control=0.732,
    )
    arms = {"diffusion": {"full": None, "few_shot": None} | dict.fromkeys(measured, pooled)}
    said = list(map(plain, answer.sentences(summary([], arms))))
    assert said[0].startswith("Nothing was named before test patients were read") and len(said) == 1 + max(
        1, len(measured)
    )
    text = " ".join(said[1:])
    assert not any(word in text for word in ("gain", "loss", "p =", *OVERDONE))
    assert text.count(
        "70.0 % after diffusion pre-training, 73.2 % with the better control (replay): -3.2 points"
    ) == len(measured)
    failed = {"diffusion": {"few_shot": pooled | {"gain": None}, "full": None}}
    assert "not measured, since a run failed" in answer.sentences(summary([], failed))[1]
    unread = answer.sentences(summary([], arms, tested_on="validation"))
    assert not any("before test patients were read" in text for text in unread)


# How good the generator was


@pytest.mark.parametrize(
    ("share", "worst", "word"),
    [(0.80, 0.7, "good"), (0.72, 0.41, "good"), (0.72, 0.39, "fair"), (0.71, 0.7, "fair"), (0.56, 0.5, "fair"),
     (0.56, 0.2, "weak"), (0.55, 0.5, "weak"), (0.1, 0.0, "weak")],
)  # fmt: skip
def test_the_word_for_a_generator_follows_a_fixed_rule(share, worst, word):
    of = dict(
        recognised=share,
        recognised_real=0.8,
        weakest="Fetal brain",
        weakest_recognised=worst,
        weakest_recognised_real=0.8,
    )
    assert generator_quality.grade(of) == word
    quality = {"diffusion": {"cas_share": None, "by_k": {"10": of | dict(fd=1.0, fd_real=1.0, near_copies=None)}}}
    text = plain(answer.sentences(summary([entry("gain")], quality=quality))[-1])
    assert (
        text.startswith(f"The generator was {word}: ")
        and f"{100 * share:.0f} % of the images of diffusion (k = 10)" in text
    )
    assert f"worst plane: 'Fetal brain', {100 * worst:.0f} % (real: 80 %)" in text


@pytest.mark.parametrize(
    ("fd", "word"), [(60.0, "good"), (61.0, "fair"), (120.0, "fair"), (121.0, "weak"), (None, "good")]
)
def test_a_generator_far_from_real_images_is_not_good_however_often_it_is_recognised(fd, word):
    of = dict(recognised=0.8, recognised_real=0.8, fd=fd, fd_real=30.0)
    assert generator_quality.grade(of) == word
    quality = {"diffusion": {"cas_share": None, "by_k": {"10": of | dict(near_copies=None)}}}
    text = plain(answer.sentences(summary([entry("gain")], quality=quality))[-1])
    assert text.startswith(f"The generator was {word}: ") and ("Fréchet" in text) == (fd is not None)
    assert fd is None or f"Fréchet distance {fd:.0f} (real: 30)" in text
    assert (f"which makes it {word}: by what is recognised alone it would be good" in text) == (word != "good")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("gain", "and it is ahead here ("),
        ("loss", "but here it is behind ("),
        ("just not", "are too few to tell it from zero after correction ("),
        ("failed", "which was not measured, since a run failed."),
    ],
)
def test_of_simulated_images_the_simulator_is_the_positive_control(kind, says):
    for arm, told in (("simulation", True), ("diffusion", False)):
        said = answer.sentences(summary([entry(kind) | {"arm": arm}]) | {"simulated": True})[-1]
        assert said.startswith(answer.SIMULATED) and ("positive control" in said) == (says in said) == told


def test_a_generator_that_nobody_has_judged():
    assert generator_quality.grade({"recognised": None}) is None
    assert "nobody has measured" in answer.sentences(summary([entry("gain")]))[-1]


# Below the first screen


@pytest.mark.parametrize(
    ("kinds", "among"), itertools.product([["gain"], ["loss"], ["nothing"], ["failed"], ["gain", "loss"], []], (1, 3))
)
def test_a_recipe_beats_its_control_where_a_primary_comparison_says_so_and_nowhere_else(kinds, among):
    named = [entry(kind) for kind in kinds]
    best = dict(
        level="L0", images="few_shot", arm="diffusion", among=among, validation_gain=-4.4, gain=-4.8, low=-7.9, high=-1.6,
        controls={"10": "real-long"},
    )  # fmt: skip
    (text,) = map(plain, conclusions.recipes(summary(named)["headline"] | {"best": [best]}))
    assert ("beats" in text, "falls behind" in text) == ("gain" in kinds, "loss" in kinds)
    assert (
        ("exploratory" in text) == (not kinds)
        and "validation patients, in the seeds that both have, at -4.4 points" in text
        and "-4.8 points" in text
    )
    assert ("only recipe" in text) == (among == 1) and ("does best" in text) == (among > 1) and "gains most" not in text
    (text,) = conclusions.recipes(summary(named)["headline"] | {"best": [{**best, "gain": NAN}]})
    assert "not measured" in text


@pytest.mark.parametrize("bound", ["", "at least", "at most", "unclear"])
def test_a_factor_is_given_where_there_is_one(bound):
    of = {"worth_factor": 1.0, "worth_low": 1.0, "worth_high": 1.0, "worth_bound": bound}
    (text,) = conclusions.replacement({"gan": of})
    assert ("no factor can be given" in text) == bool(bound) and "at most 1.00" not in text
    (text,) = map(plain, conclusions.replacement({"gan": of | {"worth_factor": 1.4, "worth_high": 2.0}}))
    assert "1.40 times the real images (95 % interval 1.00 to 2.00)" in text and (bound in text or bound == "unclear")


def test_a_gain_of_each_k_says_where_its_interval_lies():
    rows = [dict(arm="a", k=str(number), control="real", classifier=MEAN, better_control=True, gain=gain, low=low, high=high)
            for number, (gain, low, high, _) in enumerate(KINDS.values())]  # fmt: skip
    for text, (gain, low, high, _) in zip(conclusions.each(pd.DataFrame(rows), "a"), KINDS.values(), strict=True):
        where = "above" if low > 0 else "below" if high < 0 else "around"
        assert (f"interval {where} zero, not corrected" in text) if not math.isnan(gain) else ("not measured" in text)


def test_what_converged_is_said_of_what_was_judged_alone():
    settings = params.load("phantom")
    row = dict(classifier="net", k="10", accuracy=0.8, rise=0.0, below_best=0.0, converged=True)
    late = row | dict(k="all", rise=0.031, below_best=0.2, converged=False)
    gap = row | dict(k="5", rise=np.nan, below_best=np.nan)
    said = {
        name: " ".join(map(plain, convergence.sentences(pd.DataFrame(rows), settings)))
        for name, rows in {
            "all": [row],
            "late": [row, late],
            "gap": [row, gap],
            "both": [late, gap],
            "none": [gap],
        }.items()
    }
    assert {name for name, text in said.items() if "Not converged" in text} == {"late", "both"}
    assert {name for name, text in said.items() if "could not be judged" in text} == {"gap", "both", "none"}
    assert {name for name, text in said.items() if "have converged at every k" in text} == {"all", "gap"}
    assert "All other classifiers" in said["gap"] and "net at k = all (rise +3.1, 20.0 below the best)" in said["late"]


# Fidelity


def overall(**sets):
    columns = ["fd", "kid", "precision", "recall", "density", "coverage"]
    return pd.DataFrame(
        [{"space": "s", "set": name, "plane": "all"} | dict(zip(columns, of, strict=True)) for name, of in sets.items()]
    )


@pytest.mark.parametrize(
    ("fd", "best", "says"),
    [
        (30, 10, "3.0 times nearer"),
        (10.2, 10, "about as near"),
        (5, 10, "no nearer"),
        (5, -0.1, ", nearer"),
        (NAN, 10, "too few"),
    ],
)
def test_distances_are_compared_as_they_are_printed(fd, best, says):
    table = overall(gan=[fd, 0.3, 0.5, 0.25, 1, 0.2], real_train=[best, 0.1, 0.9, 0.8, 1, 0.9])
    assert says in fidelity_conclusions.distance(table, "gan", "real_train", "s", "5")


def test_no_set_is_better_by_what_nobody_sees():
    nearly = overall(
        gan=[30, 0.3, 0.5, 0.25, 1, 0.2], other=[30.001, 0.30001, 0.5001, 0.2501, 1.001, 0.2], real_train=[1] * 6
    )
    assert fidelity_conclusions.rivals(nearly, "gan", "real_train", "s") == ""


def test_what_was_not_measured_of_a_set_is_said():
    row = dict(generator="gan", k="5", share=NAN, low=NAN, high=NAN, threshold=0.1, n=80)
    assert "not measured" in fidelity_conclusions.copies(pd.DataFrame([row]), "5", 0.01, "pixels")[0]
    called = pd.DataFrame([("real_test", "", 0.8)], columns=["set", "k", "accuracy"]).assign(plane="all")
    assert "– of the images of **gan**" in fidelity_conclusions.labels(called, ["gan"], "5", "net")
    columns = ["guidance", "scale", "accuracy", "recall", "coverage", "fd"]
    guided = pd.DataFrame([("a", 1.0, 0.5, 0.2, 0.4, 7.0), ("a", 2.0, 0.5, 0.6, 0.4, 7.0)], columns=columns)
    assert "recall 20 % → 60 %" in plain(fidelity_conclusions.guidance(guided)[0]), "it may rise"


# From one hospital or scanner to another


def transferred(*kinds):
    own = dict(
        view="a to b", level="none", method="unaligned", classifier=MEAN, n_runs=3, accuracy=0.75, low=0.7, high=0.8,
        macro_f1=0.7, baseline="unaligned", baseline_accuracy=0.75, gain=NAN, gain_low=NAN, gain_high=NAN, p_holm=NAN,
        primary=False,
    )  # fmt: skip
    rows = [
        own
        | dict(method=f"method {number}", accuracy=0.75 + gain / 100, primary=True)
        | dict(gain=gain, gain_low=low, gain_high=high, p_holm=p)
        for number, (gain, low, high, p) in enumerate(KINDS[kind] for kind in kinds)
    ]
    return pd.DataFrame([own, *rows])


@pytest.mark.parametrize("kinds", [*itertools.product(KINDS, repeat=2), ("gain",), ()])
def test_the_answer_between_hospitals(kinds):
    gained = transferred(*kinds)
    first, view = map(plain, transfer_conclusions.answer(gained, {"a to b": (197, 57)}))
    told = transfer_conclusions.answer(gained, {"a to b": (197, 57)}, simulated=True)
    assert told[-1] == answer.SIMULATED
    shown = [outcome(row) for row in gained[gained.primary].to_dict("records")]
    assert (
        "75.0 % (70.0 % to 80.0 %) knowing nothing of the target (unaligned)" in view
        and "197 test images of 57 patients" in view
    )
    assert not any(word in first for word in OVERDONE)
    every = [plain(text) for text in transfer_conclusions.corrected(gained)]
    if not kinds:
        assert first.startswith("Nothing was named") and "names none" in every[0]
        return
    for kind in ("gain", "loss"):
        found = re.search(rf"(\d+) shows? a {kind} after correction", first)
        assert (int(found[1]) if found else 0) == shown.count(kind)
        assert sum(f": a {kind};" in text for text in every[1:]) == shown.count(kind)
    assert sum("not measured" in text for text in every[1:]) == shown.count("not measured")
    for text, row in zip(every[1:], gained[gained.primary].to_dict("records"), strict=True):
        agrees(text, row | {"low": row["gain_low"], "high": row["gain_high"]}, 1)


def test_what_accuracy_owes_to_the_outline():
    known, none = Interval(0.9, 0.8, 1.0), Interval(NAN, NAN, NAN)
    drops = {
        "x": Drop(known, Interval(0.88, 0.8, 0.9), Gain(-0.02, -0.05, 0.01, 0.2)),
        "y": Drop(known, none, Gain(NAN, NAN, NAN, NAN)),
    }
    first, second = map(plain, transfer_conclusions.outline(drops))
    assert (
        "90.0 % with the images as they are, 88.0 % with one outline for all, -2.0 points (95 % interval -5.0 to +1.0)"
        in first
    )
    assert second == "y: not measured, since a run failed."


# Held against another run


@pytest.mark.parametrize("kind", KINDS)
def test_conclusions_that_runs_are_compared_by(kind):
    one = {
        name: None if isinstance(value, float) and math.isnan(value) else value for name, value in entry(kind).items()
    }
    said = reproduction_conclusions.statements({"headline": {"primary": [one], "arms": {}}})
    corrected = said["diffusion over real-long, net, k = 10, corrected"]
    assert (corrected == "differs after correction") == (outcome(one) in ("gain", "loss"))
    assert (corrected == "not tested") == (outcome(one) == "not measured")
