"""Figures of results and gains: nothing is left out, and a run that failed is seen to have failed."""

from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from figures import crosses, fits, marks, read

from fetalkit.plots import curves as curve_plots
from fetalkit.plots import gains as gain_plots
from fetalkit.plots import results as result_plots
from fetalkit.plots import transfer as transfer_plots
from fetalkit.plots.palette import PAPER, arm_styles
from fetalkit.reporting import display

pytestmark = pytest.mark.slow

ARMS = ["real", "real-long", *(f"own {number}" for number in range(12))]  # more than there are colours and markers
CLASSIFIERS, SHOTS, SEEDS = ("net", "vit"), ("5", "all"), (0, 1, 2)
IMAGES = {"5": 5.0, "all": 80.0}


@pytest.fixture(autouse=True)
def closed():
    display.style()
    yield
    plt.close("all")


def long_table(failed=()):
    """Accuracy 0.5 and a little more from arm to arm, classifier to classifier and seed to seed; NaN where a run failed."""
    rows = [
        dict(arm=arm, classifier=name, k=k, seed=seed, metric="accuracy")
        | dict(value=0.5 + 0.02 * number + 0.01 * seed + 0.05 * (name == "vit"))
        for (number, arm), name, k, seed in product(enumerate(ARMS), CLASSIFIERS, SHOTS, SEEDS)
    ]
    table = pd.DataFrame(rows)
    for arm, name, k, seed in failed:
        here = (table.arm == arm) & (table.classifier == name) & (table.k == k) & (table.seed == seed)
        table.loc[here, "value"] = np.nan
    return table


def curves(failed=()):
    table = long_table(failed).rename(columns={"value": "validation_accuracy"})
    return pd.concat([table.assign(total_step=step) for step in (10, 20, 30)], ignore_index=True)


def gained(failed=()):
    rows = [
        dict(
            arm=arm,
            k=k,
            control=control,
            better_control=control == "real",
            gain=number,
            low=number - 1,
            high=number + 1,
        )
        for (number, arm), k, control in product(enumerate(ARMS[2:]), SHOTS, ARMS[:2])
    ]
    table = pd.DataFrame(rows).astype({"gain": float, "low": float, "high": float})
    for arm, k, control in failed:
        here = (table.arm == arm) & (table.k == k) & (table.control == control)
        table.loc[here, ["gain", "low", "high"]] = np.nan
    return table


def colours(lines):
    return [tuple(line.get_color()) for line in lines]


# --- learning curves


def drawn_curves(axis):
    """The thick lines."""
    return [line for line in axis.lines if line.get_gid()]


def test_learning_curves_show_every_arm_and_every_seed():
    figure = curve_plots.learning_curves(curves(), ARMS)
    assert not marks(figure)
    looks = arm_styles(ARMS)
    for axis in figure.axes:
        assert len(drawn_curves(axis)) == len(ARMS)
        assert set(colours(drawn_curves(axis))) == {style.colour for style in looks.values()}
        assert len(axis.lines) == len(ARMS) * (1 + len(SEEDS))
    (line,) = [line for line in figure.axes[1].lines if line.get_gid() == "own 0|vit|5"]
    assert line.get_ydata() == pytest.approx([50 + 4 + 1 + 5] * 3)
    fits(figure, "learning curves")


def test_a_curve_with_a_failed_run_is_named_and_not_drawn():
    """One of three seeds failed: the mean of the other two would be another quantity than that of the arms beside it."""
    table = curves([("own 3", "vit", "all", 1), ("real", "vit", "all", 0)])
    # A run that failed has no points but one.
    table = table.drop(table.index[table.validation_accuracy.isna() & (table.total_step > 10)])
    figure = curve_plots.learning_curves(table, ARMS)
    assert marks(figure) == ["× own 3: failed", "× real: failed"]
    numbers = [len(drawn_curves(axis)) for axis in figure.axes]
    assert sorted(numbers) == [len(ARMS) - 2, *[len(ARMS)] * 3]
    (touched,) = [axis for axis in figure.axes if len(drawn_curves(axis)) < len(ARMS)]
    assert [text.get_text() for text in touched.texts if "×" in text.get_text()] == marks(figure)


def test_a_panel_whose_runs_all_failed_stays():
    table = curves([(arm, "vit", "5", 0) for arm in ARMS])
    figure = curve_plots.learning_curves(table, ARMS)
    assert len(figure.axes) == 4 and len(marks(figure)) == len(ARMS)


def test_the_steps_of_the_control_have_a_line_per_k_in_a_panel_per_classifier():
    figure = curve_plots.accuracy_against_steps(curves([("real-long", "vit", "all", 2)]), "real-long")
    shown = [[line.get_gid() for line in drawn_curves(axis)] for axis in figure.axes]
    assert shown == [["real-long|net|5", "real-long|net|all"], ["real-long|vit|5"]]
    assert marks(figure) == ["× all: failed"]
    assert drawn_curves(figure.axes[1])[0].get_ydata() == pytest.approx([50 + 2 + 1 + 5] * 3)
    fits(figure, "accuracy against steps")


# --- accuracies


def spans(table):
    """Mean over seeds, and an interval of 4 points down and 2 up; NaN where a run failed."""
    keys = ["arm", "classifier", "k"]
    mean = table.groupby(keys, sort=False).value.agg(lambda values: values.mean(skipna=False)).reset_index()
    return mean.rename(columns={"value": "accuracy"}).assign(low=mean.value - 0.04, high=mean.value + 0.02)


def by_arm(table):
    few = table[table.k == "5"]
    return result_plots.accuracy_by_arm(few, spans(few), ARMS)


def test_accuracies_are_drawn_where_the_table_has_them():
    figure = by_arm(long_table())
    shown = read(figure)
    for (number, arm), (classifier, more) in product(enumerate(ARMS), (("net", 0), ("vit", 5))):
        mean = 51 + 2 * number + more
        assert shown[f"{arm}|{classifier}"] == pytest.approx(np.array([[mean, number]]), abs=0.05)
        assert shown[f"{arm}|{classifier}|interval"][:, 0] == pytest.approx([mean - 4, mean + 2], abs=0.05)
        assert shown[f"{arm}|{classifier}|runs"][:, 0] == pytest.approx([mean - 1, mean, mean + 1], abs=0.05)
    assert not marks(figure)
    fits(figure, "accuracies")


def test_an_accuracy_that_failed_has_its_other_runs_and_no_mean():
    figure = by_arm(long_table([("own 3", "vit", "5", 1)]))
    shown = read(figure)
    assert "own 3|net" in shown and "own 3|vit" not in shown and len(shown["own 3|vit|runs"]) == 2
    assert marks(figure) == ["× 1 of 3 failed"]
    assert figure.axes[1].texts[-1].get_position()[1] == ARMS.index("own 3")


def test_an_arm_of_which_every_run_failed_keeps_its_row():
    figure = by_arm(long_table([("real", name, "5", seed) for name in CLASSIFIERS for seed in SEEDS]))
    assert marks(figure) == ["× 3 of 3 failed"] * 2
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ARMS


def against_k(failed=(), factors=None):
    of_means = spans(long_table(failed)).query("classifier == 'net'")
    return result_plots.accuracy_against_k(of_means, IMAGES, factors or {}, ARMS)


def by_label(axis):
    return {line.get_label(): line for line in axis.lines}


def test_accuracy_against_k_shows_every_arm_in_its_own_look_with_its_interval():
    figure = against_k(factors={"own 1": "≤ 2.35"})
    (axis,) = figure.axes
    lines = by_label(axis)
    assert list(lines) == ["real", "real-long", "own 0", "own 1 (≤ 2.35 times)", *ARMS[4:]]
    assert lines["own 11"].get_ydata() == pytest.approx([50 + 2 * 13 + 1] * 2)
    ends = axis.collections[ARMS.index("own 11")].get_segments()[0][:, 1]
    assert ends == pytest.approx([77 - 4, 77 + 2]), "an interval, and not the range of the seeds"
    assert len({(tuple(line.get_color()), line.get_marker()) for line in lines.values()}) == len(ARMS)
    fits(figure, "accuracy against k")


def test_a_curve_over_k_has_a_gap_where_a_run_failed():
    figure = against_k([("own 3", "net", "5", 1), ("real", "net", "5", 0)])
    lines = by_label(figure.axes[0])
    assert np.isnan(lines["own 3"].get_ydata()).tolist() == [True, False]
    assert np.isfinite(lines["own 4"].get_ydata()).all()
    assert [len(places) for places in crosses(figure)] == [1, 1]
    gone = [line for line in figure.axes[0].lines if line.get_marker() == "x" and line.get_gid()]
    assert {tuple(line.get_color()) for line in gone} == {arm_styles(ARMS)[arm].colour for arm in ("own 3", "real")}
    assert len({line.get_ydata()[0] for line in gone}) == 2, "none hides the other"
    assert "a run failed: no mean" in lines
    fits(figure, "accuracy against k with gaps")


def test_one_k_is_a_dot_with_room_around_it():
    few = spans(long_table()).query("classifier == 'net' and k == '5'")
    figure = result_plots.accuracy_against_k(few, IMAGES, {}, ARMS)
    low, high = figure.axes[0].get_xlim()
    assert low < 5 < high < 10 and not crosses(figure)
    fits(figure, "one k")


def test_an_accuracy_in_every_place_with_its_interval():
    rows = [
        dict(centre=centre, arm=arm, n=40, accuracy=accuracy, low=accuracy - 0.1, high=accuracy + 0.05)
        for centre, (arm, accuracy) in product(("Ghana", "Malawi"), {"real-long": 0.6, "diffusion": 0.7}.items())
    ]
    table = pd.DataFrame(rows)
    table.loc[3, ["accuracy", "low", "high"]] = np.nan
    figure = result_plots.accuracy_by_place(table, "centre", ["real-long", "diffusion"])
    shown = read(figure)
    assert shown["real-long|Malawi"] == pytest.approx(np.array([[60, 0.7]]), abs=0.02)
    assert shown["diffusion|Ghana|interval"][:, 0] == pytest.approx([60, 75], abs=0.05)
    assert "diffusion|Malawi" not in shown and marks(figure) == ["× failed"]
    fits(figure, "places")


# --- reliability and confusion


def test_reliability_shows_every_arm_with_intervals_and_names_those_that_failed():
    bins = pd.DataFrame(
        dict(confidence=[0.3, 0.9], accuracy=[0.4, 0.8], low=[0.2, 0.7], high=[0.6, 0.9], share=[0.5, 0.5])
    )
    figure = result_plots.reliability({arm: None if arm == "own 5" else bins for arm in ARMS}, ARMS)
    panels = {axis.get_title(loc="left"): axis for axis in figure.axes if axis.get_title(loc="left")}
    assert list(panels) == ARMS
    assert [text.get_text() for text in panels["own 5"].texts] == ["failed"]
    segments = panels["real"].collections[0].get_segments()
    assert [list(part[:, 1]) for part in segments] == [pytest.approx([20, 60]), pytest.approx([70, 90])]
    assert read(figure)["real"] == pytest.approx(np.array([[30, 40], [90, 80]]), abs=0.2)
    fits(figure, "reliability")


def test_confusions_are_differences_from_the_control():
    control, own = np.array([[3, 1], [0, 4]]), np.array([[2, 2], [1, 3]])
    matrices = {"own": own, "real": control, "gan": None}
    figure = result_plots.confusion_differences("real", matrices, ["Fetal brain", "Maternal cervix"], [4, 4])
    titles = [axis.get_title(loc="left") for axis in figure.axes[:3]]
    assert titles == ["real (%)", "own − real (points)", "gan − real (points)"]
    words = [[text.get_text() for text in axis.texts] for axis in figure.axes]
    assert words == [["75", "25", "0", "100"], ["−25", "+25", "+25", "−25"], ["failed"], []]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["brain (n = 4)", "cervix (n = 4)"]
    fits(figure, "confusions")


def test_a_control_that_failed_leaves_nothing_to_compare_with():
    matrices = {"real": None, "own": np.eye(2)}
    figure = result_plots.confusion_differences("real", matrices, ["a", "b"], [1, 1])
    assert [[text.get_text() for text in axis.texts] for axis in figure.axes] == [["failed"], ["failed"]]


# --- forest plots


def dots_of(axis):
    return [line for line in axis.lines if line.get_gid() and not line.get_gid().endswith("|interval")]


def test_the_forest_is_drawn_where_the_table_has_its_gains():
    shown = read(gain_plots.forest(gained(), ARMS))
    for row in gained().itertuples():
        of = f"{row.arm}|{row.control}|{row.k}"
        height = ARMS[2:].index(row.arm) + (-0.17 if row.control == "real" else 0.17)
        assert shown[of] == pytest.approx(np.array([[row.gain, height]]), abs=0.03)
        assert shown[f"{of}|interval"][:, 0] == pytest.approx([row.low, row.high], abs=0.03)


def test_a_panel_has_rows_for_what_it_shows_and_the_legend_says_what_is_open():
    table = gained().query("k == 'all' or arm == 'own 1'")
    figure = gain_plots.forest(table, ARMS)
    first, second = figure.axes
    assert [label.get_text() for label in first.get_yticklabels()] == ["own 1"]
    assert len(second.get_yticklabels()) == len(ARMS[2:])
    (legend,) = figure.legends
    words = [text.get_text() for text in legend.get_texts()]
    assert words == ["over real", "over real-long", "strong: the better control", "pale: another control"]
    strong = {dot.get_gid(): dot.get_alpha() == 1 for dot in dots_of(first)}
    assert strong == {"own 1|real|5": True, "own 1|real-long|5": False}
    assert not any(dot.get_markerfacecolor() == PAPER for dot in dots_of(first)), "open would say: not told from zero"
    fits(figure, "forest with few rows")


@pytest.mark.parametrize(
    "left_out", ["k == 'all'", "arm != 'own 0'", "control == 'real'", "arm == 'own 2' and k == '5'"]
)
def test_a_forest_of_fewer_arms_controls_or_k(left_out):
    table = gained().query(left_out)
    figure = gain_plots.forest(table, ARMS)
    assert sum(len(dots_of(axis)) for axis in figure.axes) == len(table) and len(figure.axes) == table.k.nunique()
    fits(figure, left_out)


def test_the_forest_has_a_dot_per_gain_in_the_colour_of_its_arm_and_the_shape_of_its_control():
    figure = gain_plots.forest(gained(), ARMS)
    looks = arm_styles(ARMS)
    for axis in figure.axes:
        dots = dots_of(axis)
        assert len(dots) == 2 * len(ARMS[2:])
        for dot, colour in zip(dots, colours(dots), strict=True):
            arm, control, _ = dot.get_gid().split("|")
            assert (colour, dot.get_marker()) == (looks[arm].colour, looks[control].marker)
    fits(figure, "forest")


@pytest.mark.parametrize("number", [1, 3, 12])
def test_any_controls_have_rows_that_do_not_meet_and_a_legend_that_takes_nothing_from_them(number):
    controls = [f"control {n:02}" for n in range(number)]
    rows = [
        dict(arm=arm, k="5", control=control, better_control=True, gain=1.0, low=0.0, high=2.0)
        for arm, control in product("ab", controls)
    ]
    figure = gain_plots.forest(pd.DataFrame(rows), controls)
    heights = [line.get_ydata()[0] for line in dots_of(figure.axes[0])]
    assert len(set(np.round(heights, 6))) == 2 * number
    assert max(heights[:number]) < min(heights[number:])
    assert len(figure.legends[0].get_texts()) == number
    fits(figure, f"{number} controls")
    box = figure.axes[0].get_position()
    assert box.height * figure.get_size_inches()[1] > 0.5, "inches of two rows"


def test_a_gain_that_failed_is_marked_in_the_colour_of_its_arm():
    figure = gain_plots.forest(gained([("own 2", "all", "real-long")]), ARMS)
    (mark,) = [text for text in figure.axes[1].texts if text.get_text().startswith("×")]
    assert mark.get_text() == "× failed" and mark.get_color() == arm_styles(ARMS)["own 2"].colour
    assert mark.get_position()[1] == pytest.approx(2 + 0.17)
    assert len(dots_of(figure.axes[1])) == 2 * len(ARMS[2:]) - 1
    fits(figure, "forest with a gap")


def test_gains_of_groups():
    rows = [
        dict(k=k, plane=plane, n=10, gain=gain, low=gain - 1, high=gain + 1)
        for k, (plane, gain) in product(SHOTS, {"brain": 1.0, "femur": np.nan}.items())
    ]
    figure = gain_plots.forest_of_groups(pd.DataFrame(rows), "plane", ["femur", "brain"])
    assert marks(figure) == ["× failed"] * 2
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["femur (n = 10)", "brain (n = 10)"]
    assert read(figure)["brain|all"] == pytest.approx(np.array([[1, 1]]), abs=0.02)
    fits(figure, "groups")


def test_primary_comparisons_are_filled_where_they_stand_the_correction():
    def entry(**changes):
        one = dict(
            level="L0", arm="diffusion", control="real-long", classifier="mean", k="10", gain=3.0, low=1.0, high=5.0
        )
        return one | dict(p_holm=0.01, smallest_detectable_gain=2.5) | changes

    gone = dict.fromkeys(("gain", "low", "high", "p_holm", "smallest_detectable_gain"), np.nan)
    assert gain_plots.primary([entry(smallest_detectable_gain=131.0)]).axes[0].get_xlim()[1] < 10
    figure = gain_plots.primary([entry(), entry(arm="simulation", level="L2", p_holm=0.06), entry(k="all", **gone)])
    (axis,) = figure.axes
    dots = dots_of(axis)
    assert [dot.get_markerfacecolor() == PAPER for dot in dots] == [False, True]
    assert set(colours(dots)) == {
        arm_styles(["diffusion"])["diffusion"].colour,
        arm_styles(["simulation"])["simulation"].colour,
    }
    assert read(figure)["diffusion|real-long|mean|10|interval"][:, 0] == pytest.approx([1, 5], abs=0.02)
    assert marks(figure) == ["× failed"] and sum(line.get_linestyle() == ":" for line in axis.lines) == 2
    assert axis.get_yticklabels()[2].get_text() == "diffusion over real-long\nmean, k = all, L0"
    fits(figure, "primary")


# --- transfer


def transfer_gains():
    methods = {"unaligned": "none", "multi-scale": "none", "coral": "unlabelled", "joint+coral": "labelled"}
    rows = [
        dict(view=view, method=method, level=level, gain=1.0, gain_low=0.0, gain_high=2.0)
        for view, (method, level) in product(("a to b", "b to a"), methods.items())
    ]
    return pd.DataFrame(rows)


def test_transfer_gains_are_coloured_by_level_and_marked_where_they_failed():
    table = transfer_gains()
    table.loc[5, ["gain", "gain_low", "gain_high"]] = np.nan
    figure = transfer_plots.forest(table, ["a to b", "b to a"])
    first, second = map(dots_of, figure.axes)
    assert len(set(colours(first))) == len(first) == 3 and colours(second) == colours(first)[1:]
    assert marks(figure) == ["× failed"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["multi-scale", "coral", "joint+coral"]
    fits(figure, "transfer")


def test_accuracy_by_group_marks_what_failed():
    part = pd.DataFrame(
        [
            dict(method=method, group=group, n=5, accuracy=accuracy)
            for (method, accuracy), group in product({"coral": 0.5, "mmd": np.nan}.items(), ("Fetal brain", "Other"))
        ]
    )
    figure = transfer_plots.accuracy_by_group(part)
    assert [text.get_text() for text in figure.axes[0].texts] == ["50", "50", "failed", "failed"]
    names = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert names == ["brain\n(n = 5)", "Other\n(n = 5)"]
    fits(figure, "groups of the transfer study")


def test_accuracy_in_places_has_an_interval_per_place_and_baseline():
    rows = [
        dict(method=method, group=group, n=5, accuracy=accuracy, low=accuracy - 0.1, high=accuracy + 0.1)
        for (method, accuracy), group in product(
            {"unaligned": 0.5, "coral": 0.6, "joint": 0.7}.items(), ("Ghana", "Malawi")
        )
    ]
    part = pd.DataFrame(rows)
    part.loc[part.group.eq("Malawi") & part.method.eq("joint"), ["accuracy", "low", "high"]] = np.nan
    figure = transfer_plots.accuracy_in_places({"a to b": part, "b to a": part})
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["unaligned", "joint"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["Ghana (n = 5)", "Malawi (n = 5)"]
    assert marks(figure) == ["× failed"] * 2
    fits(figure, "places of the transfer study")


def planes_called(missing=False):
    planes = ["Fetal brain", "Fetal femur", "Fetal thorax"]
    rows = [
        dict(plane=plane, called=called, n=4, share=np.nan if missing else 0.76 if plane == called else 0.12)
        for plane, called in product(planes[:2], planes)
    ]
    return pd.DataFrame(rows)


def test_confusions_have_a_row_per_plane_that_occurs():
    figure = transfer_plots.confusions({"target": planes_called(), "source": planes_called(missing=True)})
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[:3] == ["76", "12", "12"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["brain\n(n = 4)", "femur\n(n = 4)"]
    assert [text.get_text() for text in figure.axes[1].texts] == ["failed"] * 6
    fits(figure, "confusions")


def test_recalls_of_planes_run_from_the_control_to_what_was_changed():
    rows = [
        dict(plane=plane, of=of, method=method, recall=recall, unaligned=0.25)
        for plane in ("Fetal brain", "Fetal thorax")
        for of, method, recall in (
            ("source", "unaligned", 0.25),
            ("target", "unaligned", 0.25),
            ("target", "joint", 0.75),
        )
    ]
    table = pd.DataFrame(rows)
    table.loc[5, "recall"] = np.nan
    figure = transfer_plots.plane_recalls(table, {"joint": "labelled images"})
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert [label.replace("\n", " ") for label in labels] == [
        "unaligned, in the source",
        "unaligned, in the target",
        "labelled images",
    ]
    line = next(line for line in figure.axes[0].lines if len(line.get_xdata()) == 2 and line.get_xdata()[1] == 75)
    assert line.get_xdata()[0] == 25 and marks(figure) == ["× failed"]
    fits(figure, "recalls")


def test_nearest_images_stand_below_those_of_the_target():
    images = np.arange(4 * 16, dtype=np.uint8).reshape(4, 4, 4)
    figure = transfer_plots.nearest_images(images, ["a", "b", "near a", "near b"], 2)
    assert [axis.get_title() for axis in figure.axes] == ["a", "b", "near a", "near b"]
    assert np.array_equal(figure.axes[2].images[0].get_array(), images[2])
