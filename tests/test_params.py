"""params.yaml is valid, and every mistake in it gets a line that names key, value and what is allowed."""

import pytest
import yaml

from fetalkit import cohorts
from fetalkit.config import params
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError


@pytest.mark.parametrize("cohort", params.names())
def test_every_cohort_has_valid_parameters(cohort):
    settings = params.load(cohort)
    assert set(settings.cohort.planes) <= set(cohorts.load(cohort, settings.cohort).planes)


@pytest.fixture
def change(tmp_path):
    """Load the phantom's parameters after a change of one key."""

    def load(keys, value=None, remove=False):
        content = yaml.safe_load(paths.PARAMS.read_text())
        section = content
        *parents, last = keys
        for key in parents:
            section = section[key]
        if remove:
            del section[last]
        else:
            section[last] = value
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
        return params.load("phantom", tmp_path / "params.yaml")

    return load


@pytest.mark.parametrize(
    ("keys", "value", "words"),
    [
        (
            ("phantom", "classify", "train_steps"),
            0,
            ["phantom.classify.train_steps", "= 0", "greater than or equal to 1"],
        ),
        (("phantom", "classify", "learning_rate"), "fast", ["classify.learning_rate", "'fast'", "number"]),
        (("phantom", "classify", "epochs"), 3, ["phantom.classify.epochs", "not a known key"]),
        (("phantom", "classify", "arms"), ["real", "magic"], ["classify.arms", "magic", "real-long"]),
        (("phantom", "splits", "shots"), [10, "most"], ["splits.shots", "'most'", "all"]),
        (("phantom", "splits", "seeds"), [1, 1], ["splits.seeds", "twice"]),
        (("phantom", "images", "image_size"), 70, ["images.image_size", "70", "multiple of 8"]),
        (("phantom", "cohort", "planes"), "Fetal brain", ["phantom.cohort.planes", "list"]),
        (("phantom", "cohort", "colour"), True, ["phantom.cohort.colour", "not a known key"]),
        (("run", "device"), "abacus", ["run.device", "'abacus'", "cpu"]),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(change, keys, value, words):
    with pytest.raises(FetalkitError) as error:
        change(keys, value)
    line = str(error.value).splitlines()[0]
    assert line.startswith("params.yaml: ")
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_missing_key_is_named(change):
    with pytest.raises(FetalkitError, match=r"params.yaml: phantom.synthesis.images_per_plane is missing"):
        change(("phantom", "synthesis", "images_per_plane"), remove=True)


def test_an_unknown_cohort_lists_the_known_ones():
    with pytest.raises(FetalkitError, match=r"params.yaml: no section 'mars'; there are: phantom, africa, spain"):
        params.load("mars")


def test_broken_yaml_names_the_line(tmp_path):
    (tmp_path / "params.yaml").write_text("run: {device: auto\nphantom: [")
    with pytest.raises(FetalkitError, match=r"params.yaml line \d+: not valid YAML"):
        params.load("phantom", tmp_path / "params.yaml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FetalkitError, match="nowhere.yaml: not found"):
        params.load("phantom", tmp_path / "nowhere.yaml")
