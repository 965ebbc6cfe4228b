"""Whatever has a name looks the same in every figure, and unlike all else in it."""

import numpy as np
import pytest
import yaml
from matplotlib.colors import to_rgb

from fetalkit.config import params
from fetalkit.plots import palette
from fetalkit.plots.palette import arm_styles, set_styles, styles
from fetalkit.utils import paths

ARMS = [f"arm {number}" for number in range(40)]


@pytest.mark.parametrize("looks", [("colour", "marker"), ("colour", "linestyle")])
def test_every_arm_of_the_study_looks_different(looks):
    every = list(yaml.safe_load((paths.ROOT / "params.yaml").read_text())["arms"])
    assert set(every) == set(palette.ARMS), "give a new arm its place in fetalkit.plots.palette.ARMS"
    drawn = arm_styles(every)
    most = len(palette.COLOURS) * (10 if looks[1] == "marker" else 4)
    alike = len(every) - len({tuple(getattr(style, look) for look in looks) for style in drawn.values()})
    assert alike == max(0, len(every) - most)


def test_arms_that_every_run_trains_and_those_named_beforehand_have_colours_of_their_own():
    for cohort in ("phantom", "spain"):
        settings = params.load(cohort)
        named = {arm for entry in settings.report.comparisons for arm in (entry.arm, entry.control)}
        shown = [arm for arm in settings.arms if arm in {*settings.classify.arms, *named}]
        assert len({arm_styles(shown)[arm].colour for arm in shown}) == len(shown), cohort


# Linear RGB as it is seen with a cone missing: Machado, Oliveira and Fernandes, IEEE Trans Vis Comput Graph 15, 1291 (2009).
SEEN = {
    "whole": np.eye(3),
    "protan": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
    "deutan": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9690]],
    "tritan": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
}
# B. Ottosson, A perceptual color space for image processing (2020): from linear RGB, in two steps.
OKLAB = (
    [[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]],
    [[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]],
)


@pytest.mark.parametrize("eyes", SEEN)
def test_colours_are_told_apart_without_full_colour_vision_and_seen_on_light_and_dark(eyes):
    rgb = np.array([to_rgb(colour) for colour in palette.COLOURS])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(SEEN[eyes]).T, 0, 1)
    lab = np.cbrt(seen @ np.array(OKLAB[0]).T) @ np.array(OKLAB[1]).T
    apart = 100 * np.linalg.norm(lab[:, None] - lab[None], axis=-1)[np.triu_indices(len(rgb), 1)]
    assert apart.min() > 8.5  # the ten of seaborn's palette for the colour-blind: 3.2
    brightness = linear @ [0.2126, 0.7152, 0.0722]
    assert (1.05 / (brightness + 0.05) > 1.8).all() and ((brightness + 0.05) / 0.058 > 2.5).all()


def test_an_arm_keeps_its_look_whatever_is_shown_beside_it():
    whole = arm_styles(ARMS)
    for shown in (ARMS[3:4], ARMS[::-1], ["own arm", *ARMS[30:]]):
        assert {name: arm_styles(ARMS, shown)[name] for name in ARMS} == whole


def test_names_that_nobody_foresaw_come_after_all_arms():
    drawn = arm_styles(ARMS[:3], ["z", "arm 1", "b"])
    assert sorted(drawn) == [*ARMS[:3], "b", "z"]
    assert len(set(drawn.values())) == 5


def test_a_name_that_stands_twice_counts_once():
    assert list(styles("abab")) == ["a", "b"] and styles("abab") == styles("ab")


def test_real_sets_are_grey_and_only_they():
    drawn = set_styles(["real_test", "real_train", "realistic", "gan"])
    grey = {name for name, style in drawn.items() if len(set(style.colour)) == 1}
    assert grey == {"real_test", "real_train"}
    assert len({style.colour for style in drawn.values()}) == 4
    assert drawn["gan"] == arm_styles(["gan"])["gan"], "a set looks like the arm that is trained on it"


def test_a_set_keeps_its_look_whatever_is_shown_beside_it():
    every = ["real_test", "real_train", *(f"generator {number}" for number in range(25))]
    whole = set_styles(every)
    assert set_styles(every, ["real_train"]) == set_styles(every, every[5:]) == whole
    assert len({(style.colour, style.marker) for style in whole.values()}) == len(every)
