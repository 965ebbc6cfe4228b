"""Figures of fidelity and of near-copies: every set is there, and what could not be measured is seen to be missing."""

from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from figures import crosses, fits, marks

from fetalkit.metrics import compare, memorisation, speckle
from fetalkit.plots import fidelity as fidelity_plots
from fetalkit.plots import memorisation as memorisation_plots
from fetalkit.plots.palette import set_styles
from fetalkit.reporting import display

pytestmark = pytest.mark.slow

PLANES = ("Fetal abdomen", "Fetal brain")
SETS = ["real_test", "real_train", *(f"generator {number}" for number in range(12))]
SYNTHETIC = SETS[2:]


@pytest.fixture(autouse=True)
def closed():
    display.style()
    yield
    plt.close("all")


def compared(sets=SETS[1:]):
    rows = [
        dict(space="space", set=name, plane=plane, n=9, **dict.fromkeys(compare.METRICS, 0.1 + 0.02 * number))
        for (number, name), plane in product(enumerate(sets), (compare.ALL, *PLANES))
    ]
    return pd.DataFrame(rows)


def colours(lines):
    return {tuple(line.get_color()) for line in lines}


def looks(names=SYNTHETIC):
    return [set_styles(SETS)[name] for name in names]


# --- metrics


def test_metrics_of_every_set():
    figure = fidelity_plots.metrics_by_set(compared(), "space", SETS)
    for axis in figure.axes:
        dots = [line for line in axis.lines if line.get_marker() == "o"]
        assert [line.get_xdata()[0] for line in dots] == pytest.approx(0.12 + 0.02 * np.arange(12))
        assert [tuple(line.get_color()) for line in dots] == [style.colour for style in looks()]
    assert not marks(figure)
    fits(figure, "metrics")
    alone = fidelity_plots.metrics_by_set(compared(["generator 5"]), "space", SETS)
    assert colours(alone.axes[0].lines) == {set_styles(SETS)["generator 5"].colour}
    fits(alone, "metrics alone")


def test_metrics_that_are_missing_are_marked():
    table = compared()
    table.loc[(table.set == "generator 3") & (table.plane == compare.ALL), "recall"] = np.nan
    figure = fidelity_plots.metrics_by_set(table, "space", SETS)
    assert marks(figure) == ["× not measured"]
    (axis,) = [axis for axis in figure.axes if axis.texts]
    assert axis.get_xlabel() == "recall ↑" and axis.texts[0].get_position()[1] == 3
    nothing = table.assign(**dict.fromkeys(compare.METRICS, np.nan))
    figure = fidelity_plots.metrics_by_set(nothing, "space", SETS)
    assert len(marks(figure)) == len(compare.METRICS) * len(SYNTHETIC)
    fits(figure, "metrics of too few")


# --- embedding, textures


def test_no_set_of_an_embedding_is_lost():
    names = np.repeat(SETS, 4)
    planes = np.tile(np.repeat(PLANES, 2), len(SETS))
    points = np.random.default_rng(0).normal(size=(len(names), 2))
    figure = fidelity_plots.embedding(points, names, planes, SETS)
    for axis in figure.axes:
        sets = axis.lines[1:]
        assert sum(len(line.get_xdata()) for line in sets) == 2 * len(SETS)
        assert len({(tuple(line.get_color()), line.get_marker()) for line in sets}) == len(SETS)
    fits(figure, "embedding")


@pytest.mark.parametrize("number", [1, 2, 4, 5])
def test_every_plane_has_a_panel(number):
    planes = [f"plane {n}" for n in range(number)]
    figure = fidelity_plots.embedding(np.zeros((number, 2)), ["real_test"] * number, planes, SETS)
    assert [axis.get_title(loc="left") for axis in figure.axes if axis.axison] == planes


def test_textures():
    images = np.random.default_rng(0).integers(40, 255, (6, 32, 32), np.uint8)
    measured = {"real_test": speckle.measure(images), "generator 1": speckle.measure(images[::2])}
    figure = fidelity_plots.textures(measured, SETS)
    assert not marks(figure)
    assert colours(figure.axes[3].lines) == {style.colour for style in looks(measured)}
    fits(figure, "textures")


def test_a_set_without_any_fan_is_marked_in_the_panel_of_the_contrast():
    images = np.random.default_rng(0).integers(40, 255, (6, 32, 32), np.uint8)
    black = speckle.Texture(np.full(256, 1 / 256), np.full(4, np.nan), np.ones(9), np.ones(9), np.ones(16))
    figure = fidelity_plots.textures({"real_test": speckle.measure(images), "generator 1": black}, SETS)
    assert [text.get_text() for text in figure.axes[1].texts] == ["× not measured"]
    assert figure.axes[1].texts[0].get_position()[1] == 1


# --- guidance


def guided():
    kinds = [f"kind {number}" for number in range(12)]
    rows = [dict(guidance=kind, scale=s, recall=1 / s, accuracy=1 - 0.2 / s) for kind, s in product(kinds, (1, 2, 3))]
    return pd.DataFrame(rows)


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_kind_of_guidance_has_a_line():
    figure = fidelity_plots.accuracy_against_diversity(guided())
    lines = figure.axes[0].lines
    assert [len(line.get_xdata()) for line in lines] == [3] * 12
    assert len({(tuple(line.get_color()), line.get_marker()) for line in lines}) == 12
    assert legend(figure) == [f"kind {n}" for n in range(12)]
    fits(figure, "guidance")


@pytest.mark.parametrize("column", ["recall", "accuracy"])
def test_a_scale_that_is_missing_breaks_the_line(column):
    table = guided()[:6]
    table.loc[1, column] = np.nan
    figure = fidelity_plots.accuracy_against_diversity(table)
    first, second = figure.axes[0].lines
    assert np.isnan(first.get_xdata()).tolist() == np.isnan(first.get_ydata()).tolist() == [False, True, False]
    assert np.isfinite(second.get_xdata()).all()
    assert legend(figure) == ["kind 0 (× not measured: 2)", "kind 1"]
    scales = [text.get_text() for text in figure.axes[0].texts if text.get_text() in "123"]
    assert scales == ["1", "3", "1", "2", "3"]


def test_guidance_without_any_recall():
    figure = fidelity_plots.accuracy_against_diversity(guided()[:6].assign(recall=np.nan))
    assert legend(figure) == [f"kind {n} (× not measured: 1, 2, 3)" for n in (0, 1)]
    fits(figure, "guidance without recall")


# --- near-copies


def test_distances_of_every_set():
    distances = {name: np.random.default_rng(n).random(20) for n, name in enumerate(SETS)}
    figure = memorisation_plots.nearest_distances(distances, 0.1, SETS)
    assert [tuple(line.get_color()) for line in figure.axes[1].lines[:-1]] == [style.colour for style in looks(SETS)]
    fits(figure, "distances")


def test_distances_that_are_missing_are_named():
    distances = {"real_test": np.array([0.1, 0.4]), "generator 1": np.array([0.2, np.nan])}
    figure = memorisation_plots.nearest_distances(distances, 0.1, SETS)
    labels = [line.get_label() for line in figure.axes[1].lines]
    assert labels == ["real test", "generator 1: not measured", "threshold of near-copies"]
    assert len(figure.axes[0].patches) == 1 and len(figure.axes[1].lines[1].get_xdata()) == 0


def test_every_pair_is_drawn():
    image = np.zeros((8, 8), np.uint8)
    figure = memorisation_plots.closest_pairs([(image, image)] * 5, np.arange(5) / 10)
    assert [axis.get_title() for axis in figure.axes if axis.images] == ["0.000", "0.100", "0.200", "0.300", "0.400"]
    fits(figure, "pairs")


def shares(generators=SYNTHETIC):
    return pd.DataFrame(
        [
            dict(generator=name, k=k, step=step, **memorisation.share(np.arange(20) / 20, 0.1 * step))
            for name, k, step in product(generators, (5, "all"), (1, 2))
        ]
    )


def of_containers(axis):
    return {bars.get_label(): bars.lines[0] for bars in axis.containers}


def test_near_copies_of_every_generator():
    table, over_time = shares(), shares(["generator 0"])
    figure = memorisation_plots.near_copy_shares(table[table.step == 2], over_time, 0.01, SETS)
    by_k, by_step = figure.axes
    drawn = of_containers(by_k)
    assert list(drawn) == SYNTHETIC
    assert len({(tuple(line.get_color()), line.get_marker()) for line in drawn.values()}) == len(SYNTHETIC)
    assert [label.get_text() for label in by_k.get_xticklabels()] == ["5", "all"]
    assert list(of_containers(by_step)) == ["k = 5", "k = all"] and not crosses(figure)
    few = memorisation_plots.near_copy_shares(shares(["generator 0"])[:2], over_time[:0], 0.01, SETS)
    assert len(few.axes) == 1
    fits(few, "shares at one time")


def test_a_set_of_copies_does_not_push_all_others_together():
    table = shares(SYNTHETIC[:2])[lambda rows: rows.step == 1]
    for share, scale in ((0.92, "symlog"), (0.1, "linear")):
        figure = memorisation_plots.near_copy_shares(table.assign(share=share), table[:0], 0.01, SETS)
        assert figure.axes[0].get_yscale() == scale and figure.axes[0].get_ylim()[0] == 0


def test_a_share_that_is_missing_has_a_cross_at_its_place():
    table, over_time = shares(SYNTHETIC[:2]), shares(SYNTHETIC[:1])
    gaps = ["share", "low", "high"]
    table.loc[(table.generator == "generator 1") & (table.k == "all"), gaps] = np.nan
    over_time.loc[(over_time.k == 5) & (over_time.step == 1), gaps] = np.nan
    figure = memorisation_plots.near_copy_shares(table[table.step == 2], over_time, 0.01, SETS)
    assert crosses(figure) == [[pytest.approx(1.08)], [1.0]]
    for axis in figure.axes:
        assert "not measured" in [text.get_text() for text in axis.get_legend().get_texts()]
    drawn = of_containers(figure.axes[0])["generator 1"].get_ydata()
    assert pd.isna(drawn).tolist() == [False, True]
    fits(figure, "shares with gaps")
