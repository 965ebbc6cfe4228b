"""Figures of the gap between hospitals: no centre is lost, and what could not be measured is seen to be missing."""

import warnings
from itertools import combinations_with_replacement

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from figures import fits, marks

from fetalkit.metrics import domain_gap
from fetalkit.plots import domain_gap as gap_plots
from fetalkit.reporting import display

pytestmark = pytest.mark.slow

PLANES = ("Fetal abdomen", "Fetal brain")
CENTRES = ("Algeria", "Egypt", "Spain")
MANY = [f"centre {number:02}" for number in range(12)]


@pytest.fixture(autouse=True)
def strictly():
    display.style()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    plt.close("all")


def has_words(figure, name):
    titles = [axis.get_title(loc=side) for axis in figure.axes for side in ("left", "center")]
    assert any(titles), name
    for axis in figure.axes:
        if axis.axison and axis.get_visible() and not axis.images:
            assert axis.get_xlabel(), name
    fits(figure, name)


def frechet(centres=CENTRES, planes=("all", *PLANES)):
    rows = [
        dict(a=a, b=b, plane=plane, n=20, fd=1.5 if a == b else 3.0 + len(a), sd=0.1, within=1.5)
        for plane in planes
        for a, b in combinations_with_replacement(centres, 2)
    ]
    return pd.DataFrame(rows)


def test_heat_maps_print_what_the_table_says():
    figure = gap_plots.frechet_matrices(frechet())
    texts = [[float(text.get_text()) for text in axis.texts] for axis in figure.axes]
    square = domain_gap.matrix(frechet()).to_numpy().ravel()
    assert texts[0] == pytest.approx(square, abs=0.06) and texts[1] == pytest.approx(square / 1.5, abs=0.06)
    has_words(figure, "distances")


def test_pairs_without_a_distance_stay_empty():
    table = frechet()
    table.loc[(table.plane == PLANES[0]) & ((table.a == "Egypt") | (table.b == "Egypt")), ["fd", "within"]] = np.nan
    figure = gap_plots.frechet_matrices(table, PLANES[0])
    assert [len(axis.texts) for axis in figure.axes] == [4, 4]
    has_words(figure, "with gaps")
    has_words(gap_plots.frechet_matrices(table.assign(fd=np.nan, within=np.nan)), "without any")


def test_no_point_of_an_embedding_is_lost():
    figure = gap_plots.embedding(np.random.default_rng(0).normal(size=(12, 2)), MANY, MANY)
    lines = figure.axes[0].lines
    assert sum(len(line.get_xdata()) for line in lines) == 12
    assert len({(tuple(line.get_color()), line.get_marker()) for line in lines}) == 12
    has_words(figure, "many centres")


def test_the_largest_group_is_drawn_first():
    centres = np.repeat(["a", "b", "c"], [2, 5, 3])
    figure = gap_plots.embedding(np.random.default_rng(0).normal(size=(10, 2)), centres, np.tile(PLANES, 5))
    assert [line.get_label() for line in figure.axes[0].lines] == ["b", "c", "a"]
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["a", "b", "c"]


@pytest.mark.parametrize("centres", [CENTRES, MANY], ids=["three", "many"])
def test_every_centre_has_an_average_and_a_spectrum(centres):
    spectra = pd.DataFrame({name: np.arange(1.0, 33) for name in centres}, index=np.arange(1, 33))
    figure = gap_plots.mean_images_and_spectra({name: np.eye(16) for name in centres}, spectra)
    assert [axis.get_title(loc="center") for axis in figure.axes if axis.images] == list(centres)
    lines = figure.axes[-1].lines
    assert len({(tuple(line.get_color()), line.get_marker()) for line in lines}) == len(centres)
    has_words(figure, "appearance")


def test_a_proxy_distance_that_is_missing_is_marked():
    table = frechet(planes=("all",)).rename(columns={"fd": "distance"}).assign(low=0.2, high=0.9)
    table["distance"] = np.linspace(0.3, 0.8, len(table))
    table.loc[table.index[-1], ["distance", "low", "high"]] = np.nan
    figure = gap_plots.proxy_distances(table)
    axis = figure.axes[0]
    assert marks(figure) == ["× not measured"]
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names[round(axis.texts[0].get_position()[1])] == "Spain, halves"
    assert len(names) == 6
    has_words(figure, "proxy")


def test_how_well_the_centre_is_told_from_each_kind_of_images():
    rows = [
        dict(features=kind, images=name, balanced_accuracy=0.6, low=0.5, high=0.7, chance=1 / 3)
        for kind in ("size", "all")
        for name in MANY
    ]
    table = pd.DataFrame(rows)
    figure = gap_plots.centre_recognition(table[table.images.isin(MANY[:2])])
    assert not marks(figure)
    has_words(figure, "told")
    table.loc[0, ["balanced_accuracy", "low", "high"]] = np.nan
    figure = gap_plots.centre_recognition(table)
    assert marks(figure) == ["× not measured"]
    drawn = [bars.lines[0] for bars in figure.axes[0].containers]
    assert len({(tuple(line.get_color()), line.get_marker()) for line in drawn}) == 12
    assert figure.axes[0].texts[0].get_color() == drawn[0].get_color()


def test_masks_stand_under_their_centre():
    masks = {name: np.full((16, 16), 0.25 * number) for number, name in enumerate(CENTRES)}
    fewer = {"Spain": masks["Spain"], "elsewhere": np.ones((16, 16))}
    figure = gap_plots.mean_masks({"as they are": masks, "standard mask": fewer})
    assert [axis.get_title(loc="center") for axis in figure.axes[:4]] == [*CENTRES, "elsewhere"]
    shown = [axis.images[0].get_array().max() if axis.images else None for axis in figure.axes[:8]]
    assert shown == [0, 25, 50, None, None, None, 50, 100]
    fits(figure, "masks")
