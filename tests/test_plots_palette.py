"""Whatever has a name looks the same in every figure, and unlike all else in it."""

import pytest

from fetalkit.plots.palette import arm_styles, set_styles, styles

ARMS = [f"arm {number}" for number in range(40)]


@pytest.mark.parametrize("looks", [("colour", "marker"), ("colour", "linestyle")])
def test_forty_arms_look_different(looks):
    drawn = arm_styles(ARMS)
    assert list(drawn) == ARMS
    assert len({tuple(getattr(style, look) for look in looks) for style in drawn.values()}) == 40


def test_ten_arms_have_ten_colours_that_the_colour_blind_tell_apart():
    import seaborn as sns

    assert [style.colour for style in arm_styles(ARMS[:10]).values()] == list(sns.color_palette("colorblind"))


def test_an_arm_keeps_its_look_whatever_is_shown_beside_it():
    whole = arm_styles(ARMS)
    for shown in (ARMS[3:4], ARMS[::-1], ["own arm", *ARMS[30:]]):
        assert {name: arm_styles(ARMS, shown)[name] for name in ARMS} == whole


def test_names_that_nobody_foresaw_come_after_all_arms():
    drawn = arm_styles(ARMS[:3], ["z", "arm 1", "b"])
    assert list(drawn) == [*ARMS[:3], "b", "z"]
    assert len(set(drawn.values())) == 5


def test_a_name_that_stands_twice_counts_once():
    assert list(styles("abab")) == ["a", "b"] and styles("abab") == styles("ab")


def test_real_sets_are_grey_and_only_they():
    drawn = set_styles(["real_test", "real_train", "realistic", "gan"])
    grey = {name for name, style in drawn.items() if len(set(style.colour)) == 1}
    assert grey == {"real_test", "real_train"}
    assert len({style.colour for style in drawn.values()}) == 4
    assert drawn["realistic"] == styles(["realistic"])["realistic"]


def test_a_set_keeps_its_look_whatever_is_shown_beside_it():
    every = ["real_test", "real_train", *(f"generator {number}" for number in range(25))]
    whole = set_styles(every)
    assert set_styles(every, ["real_train"]) == set_styles(every, every[5:]) == whole
    assert len({(style.colour, style.marker) for style in whole.values()}) == len(every)
