"""Figures of images, cohorts and generators: nothing that they are given is left out."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from figures import fits, marks

from fetalkit.plots import augmentation as augmentation_plots
from fetalkit.plots import cohort as cohort_plots
from fetalkit.plots.gradcam import attribution_gallery, evidence_outside, overlay, padding
from fetalkit.reporting import display

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def closed():
    display.style()
    yield
    plt.close("all")


def random_images(n=4, size=32):
    return np.random.default_rng(0).integers(0, 255, (n, size, size), np.uint8)


def test_a_contact_sheet_has_a_title_for_every_column():
    rows = {"a": random_images(2), "b": random_images(5)}
    figure = cohort_plots.contact_sheet(rows, 3, ["one", "two", "three"])
    (axis,) = figure.axes
    # Two images in the first line, three of the five in the second, each in the middle of its cell and inside of it.
    extents = np.array([of.get_extent() for of in axis.images]).reshape(-1, 2, 2)
    assert extents.mean(axis=2) == pytest.approx(np.array([(0.5, 0.5), (1.5, 0.5), (0.5, 1.5), (1.5, 1.5), (2.5, 1.5)]))
    assert (np.abs(np.diff(extents)) < 1).all()
    shown = [np.asarray(of.get_array()) for of in axis.images]
    assert np.array_equal(shown, [*rows["a"], *rows["b"][:3]])
    words = {of.get_text(): of.get_position() for of in axis.texts}
    assert [words[title][0] for title in ("one", "two", "three")] == [0.5, 1.5, 2.5]
    assert [words[name][1] for name in ("a", "b")] == [0.5, 1.5] and len(words) == 5
    with pytest.raises(ValueError):
        cohort_plots.contact_sheet(rows, 3, ["one", "two"])


def test_every_pair_has_its_title():
    image = random_images(1)[0]
    figure = cohort_plots.pairs_sheet([(image, image)] * 4, list("abcd"), columns=3)
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["a", "b", "c", "d", "", ""]
    with pytest.raises(ValueError):
        cohort_plots.pairs_sheet([(image, image)] * 4, list("abc"))


def test_every_place_has_its_grey_levels():
    names = [f"place {number:02}" for number in range(45)]
    store = np.stack([np.full((4, 4), 10 + number, np.uint8) for number in range(45)])
    figure = cohort_plots.grey_levels(np.concatenate([store, store]), names + names)
    lines = figure.axes[0].lines
    assert [line.get_label() for line in lines] == names
    for number, line in enumerate(lines):
        assert line.get_ydata().argmax() + 1 == 10 + number and line.get_ydata().sum() == pytest.approx(100)


def test_losses_of_every_training():
    losses = {f"training {number:02}": np.full(20, 1.0 + number) for number in range(45)}
    lines = cohort_plots.training_losses(losses, 5, "loss").axes[0].lines
    assert [line.get_label() for line in lines] == list(losses)
    assert [list(line.get_ydata()) for line in lines] == [[1.0 + number] * 4 for number in range(45)]
    assert list(lines[0].get_xdata()) == [5, 10, 15, 20]


def test_losses_that_are_few_or_none():
    losses = {"long": np.arange(1.0, 8), "short": [2.0, 4.0], "none": []}
    figure = cohort_plots.training_losses(losses, 3, "loss", "linear")
    assert [(line.get_label(), list(line.get_ydata())) for line in figure.axes[0].lines] == [
        ("long", [2, 5]),
        ("short", [3]),
        ("none: failed", []),
    ]


def test_a_loss_that_is_no_number_is_a_gap():
    losses = {"a": [1.0, np.nan, 3.0, 3.0]}
    (line,) = cohort_plots.training_losses(losses, 2, "loss").axes[0].lines
    assert np.isnan(line.get_ydata()).tolist() == [True, False]


def test_a_candidate_without_a_score_keeps_its_row():
    table = pd.DataFrame({"candidate": ["a", "b", "c"], "cas": [0.4, np.nan, 0.6]})
    figure = cohort_plots.candidate_scores(table, 0.8)
    axis = figure.axes[0]
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["c", "a", "b"] and marks(figure) == ["× failed"]
    assert axis.texts[0].get_position()[1] == 2
    fits(figure, "candidates")


def test_images_are_counted():
    rows = [("Algiers", "train", "brain")] * 3 + [("Algiers", "test", "femur"), ("", "test", "brain")]
    table = pd.DataFrame(rows, columns=["centre", "official_split", "plane"])
    figure = cohort_plots.image_counts(table, "centre")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "test",
        "Algiers, test",
        "Algiers, train",
    ]
    assert [text.get_text() for text in figure.axes[0].texts] == ["1", "0", "0", "1", "3", "0"]
    sizes = pd.DataFrame({"centre": list("aab"), "width": [10, 10, 20], "height": [5, 5, 8]})
    fits(cohort_plots.file_sizes(sizes, "centre"), "sizes")


def test_the_figure_of_augmentations_has_a_row_per_transform():
    images = np.zeros((3, 64, 64), np.uint8)
    images[:, 8:56, 8:56] = np.random.default_rng(0).integers(50, 230, (3, 48, 48))
    figure = augmentation_plots.augmentations(images)
    (axis,) = figure.axes
    names = [text.get_text().replace("\n", " ") for text in axis.texts]
    assert names[0] == "original" and names[-1] == "all together"
    assert len(names) == 13 and len(axis.images) == 13 * 3
    (plain,) = augmentation_plots.augmentations(images, ultrasound=False).axes
    assert (
        [text.get_text().replace("\n", " ") for text in plain.texts]
        == names[:2]
        == ["original", "standard augmentation"]
    )
    weak, strong = (axis.images[3 * names.index(f"depth attenuation, {word}")] for word in ("typical", "strong"))
    assert strong.get_array().mean() < weak.get_array().mean() < images[0].mean()


# --- attribution


def test_an_overlay_shows_the_image_where_there_is_no_evidence():
    image = random_images(1, 64)[0]
    heat = np.zeros((64, 64))
    heat[:, 32:] = 1
    shown = overlay(image, heat)
    assert shown.shape == (64, 64, 3) and shown.min() >= 0 and shown.max() <= 1
    assert np.allclose(shown[:, :32], image[:, :32, None] / 255)
    assert np.abs(shown[:, 32:] - image[:, 32:, None] / 255).max() > 0.3


def test_the_gallery_puts_right_calls_first():
    images = random_images(5, 32)
    titles = ["a → a", "a → b", "b → b", "b → a", "a → a"]
    figure = attribution_gallery(images, np.zeros((5, 32, 32)), titles, [True, False, True, False, True], columns=2)
    drawn = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert drawn == ["a → a", "b → b", "a → a", "a → b", "b → a"]
    names = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert names == ["right calls", "right calls", "wrong calls"]


def test_what_a_map_shows_on_the_padding_is_told_and_not_drawn():
    images = np.zeros((2, 32, 32), np.uint8)
    images[0, 8:24], images[1] = 100, 100
    images[0, 12, 5] = 0  # black within the picture
    maps = np.ones((2, 32, 32))
    assert padding(images)[0, :8].all() and not padding(images)[0, 8:24].any() and not padding(images)[1].any()
    assert evidence_outside(images, maps).tolist() == [0.5, 0.0]
    assert evidence_outside(images, 0 * maps).tolist() == [0.0, 0.0]
    figure = attribution_gallery(images, maps, ["a → a", "b → b"], [True, True], columns=2)
    assert [axis.get_title() for axis in figure.axes[:2]] == ["a → a  (50\u00a0% beside)", "b → b"]
    plain, mapped = np.hsplit(np.asarray(figure.axes[0].images[0].get_array())[:, [*range(32), *range(33, 65)]], 2)
    assert (mapped[:8] == plain[:8]).all() and (mapped[8:24] != plain[8:24]).any()
