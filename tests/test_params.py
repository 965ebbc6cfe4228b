"""params.yaml is valid, and every mistake in it gets a line that names key, value and what is allowed."""

import json
import sys

import pytest
import small_study
import yaml

from fetalkit import cohorts
from fetalkit.config import arms, params, runs
from fetalkit.config.shots import Shots
from fetalkit.data.study import Study, read_set
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


@pytest.mark.slow
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


def fill(content, key, value):
    *parents, last = (part.replace("\0", "/") for part in key.replace("\\/", "\0").split("/"))
    for parent in parents:
        content = content[int(parent)] if isinstance(content, list) else content[parent]
    content[last] = value


@pytest.fixture
def changed(tmp_path):
    """Load the phantom's parameters after changes: ``"section/key"`` → value."""

    def load(changes, cohort="phantom"):
        content = yaml.safe_load(paths.PARAMS.read_text())
        for key, value in changes.items():
            fill(content, key, value)
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return params.load(cohort, tmp_path / "params.yaml")

    return load


NO_FURTHER = {"phantom/classify/further": [], "phantom/report/comparisons": []}


def test_the_order_of_shots_and_seeds_changes_nothing(changed):
    one = changed({"phantom/splits/shots": [5, 20, 100, "all"], "phantom/splits/seeds": [0, 3, 7]} | NO_FURTHER)
    other = changed({"phantom/splits/shots": ["all", 100, 5, 20], "phantom/splits/seeds": [7, 0, 3]} | NO_FURTHER)
    assert one == other and one.model_dump() == other.model_dump()
    assert runs.all_runs(one) == runs.all_runs(other)
    assert one.splits.shots == ("5", "20", "100", "all") and one.splits.seeds == [0, 3, 7]


def test_shots_know_their_ends():
    shots = Shots.of(["all", 100, 5, 20])
    assert (shots.largest, shots.smallest, shots.ends) == ("all", "5", ["5", "all"])
    assert shots.upto(50) == ["5", "20"] and shots.upto(4) == []
    without = Shots.of([100, 5, 20])
    assert (without.largest, without.ends) == ("100", ["5", "100"]), "as numbers, not as text"
    assert Shots.of(["all"]).ends == ["all"]
    with pytest.raises(ValueError, match="twice"):
        Shots.of([5, "5"])


@pytest.mark.slow
@pytest.mark.parametrize("values", [[], [0], [-1], ["some"], [5, 5], ["all", "all"], "all", [2.5], [None]])
def test_impossible_shots_are_refused(changed, values):
    with pytest.raises(FetalkitError, match=r"^params.yaml: phantom.splits.shots"):
        changed({"phantom/splits/shots": values} | NO_FURTHER)


def comparison(**changes):
    return dict(arm="diffusion", control="real-long", k=10, classifier="mean", primary=True) | changes


BAD = {
    "arm": ({"phantom/classify/arms": ["real", "magic"]}, "phantom: classify.arms: magic unknown; allowed: real, "),
    "further arm": (
        {"phantom/classify/further": [{"arms": ["magic"], "shots": [10], "classifiers": []}]},
        "classify.further.0.arms: magic unknown",
    ),
    "classifier": (
        {"phantom/classify/further": [{"arms": ["gan"], "shots": [10], "classifiers": ["lenet"]}]},
        "classify.further.0.classifiers: lenet unknown; allowed: resnet10t-half",
    ),
    "source": (
        {"arms/diffusion/phases": [{"source": "magic", "steps": "P"}]},
        "source 'magic' is no generator of this cohort and no set; there are: other-cohort, pseudo-labels, real, diffusion, ",
    ),
    "beside": (
        {"arms/diffusion/phases": [{"source": "real", "steps": "P", "synthetic": "magic", "share": 0.5}]},
        "source 'magic' is no generator",
    ),
    "share alone": (
        {"arms/diffusion/phases": [{"source": "real", "steps": "P", "share": 0.5}]},
        "arms.diffusion.phases.0: synthetic and share belong together",
    ),
    "mixing": (
        {"arms/diffusion/phases": [{"source": "real", "steps": "P", "mixing": "stir"}]},
        "arms.diffusion.phases.0.mixing = 'stir'",
    ),
    "no phase": ({"arms/diffusion/phases": []}, "arms.diffusion.phases"),
    "class": (
        {"phantom/generators/gan/class": "fetalkit.generators.gan.generator:Nothing"},
        "class 'fetalkit.generators.gan.generator:Nothing' cannot be imported",
    ),
    "start": (
        {"phantom/generators/diffusion-phantoms/start/generator": "magic"},
        "generators.diffusion-phantoms.start.generator: magic unknown; allowed: diffusion, ",
    ),
    "start that leaks": (
        {"phantom/generators/diffusion-phantoms/start/generator": "interpolation"},
        "generators.diffusion-phantoms.start.generator: interpolation learns from real images; name one that does not",
    ),
    "start of what has none": (
        {"phantom/generators/interpolation/start": {"generator": "simulation", "images_per_plane": 5, "steps": 2}},
        "generators.interpolation.start: fetalkit.generators.smote:SmoteGenerator cannot begin from another training",
    ),
    "generator of a set": (
        {"sets/diffusion-novel/generator": "magic", "phantom/classify/arms": ["real", "diffusion-novel"]},
        "sets.diffusion-novel.generator: magic unknown",
    ),
    "varied": ({"phantom/fidelity/varied": "magic"}, "fidelity.varied: magic unknown; allowed: diffusion, "),
    "fidelity": ({"phantom/fidelity/generators": ["magic"]}, "fidelity.generators: magic unknown"),
    "controls": (
        {"phantom/classify/arms": ["gan"]},
        "classify.arms: no control; add one of: real, real-long",
    ),
    "leak": (
        {
            "phantom/classify/arms": ["real", "diffusion-ceiling"],
            "phantom/classify/further": [],
            "phantom/splits/shots": [10],
        },
        "diffusion-ceiling needs 'all' among splits.shots",
    ),
    "batch": (
        {"phantom/classify/batch_size": 33, "phantom/classify/arms": ["real-long", "mixup"]},
        "classify.batch_size = 33: mixup and cutmix mix pairs; make it an even",
    ),
    "key of an arm": ({"arms/diffusion/colour": "red"}, "arms.diffusion.colour = 'red' is not a known key"),
    "key of a training": (
        {"phantom/generators/gan/training/colour": 1},
        "generators.gan: training.colour = 1 is not a known key",
    ),
    "planes": (
        {"phantom/cohort/planes": ["Fetal brain", "Fetal femur", "Fetal brain"]},
        "phantom.cohort.planes = ['Fetal brain', 'Fetal femur', 'Fetal brain']: names something twice",
    ),
    "kind": (
        {"phantom/cohort/kind": "mars"},
        "phantom.cohort.kind = 'mars' is not known; use one of africa, phantom, spain",
    ),
    "no kind": (
        {"phantom/cohort/kind": "fetalkit.utils.files:replacing"},
        "kind = 'fetalkit.utils.files:replacing' is not known",
    ),
    "no section": ({"sets": None}, "sets"),
    "mixed into itself": (
        {"arms/diffusion/phases": [{"source": "gan", "steps": "P", "synthetic": "gan", "share": 0.5}]},
        "arms.diffusion.phases.0: synthetic: gan is mixed into source: gan; name another synthetic set",
    ),
    "pseudo-labels that nobody gives": (
        {"phantom/classify/pseudo_labels": None, "phantom/classify/further/1/arms": ["pseudo-label"]},
        "arms.pseudo-label: source pseudo-labels: nobody names these images; add classify.pseudo_labels",
    ),
    "pseudo-labels of an unknown classifier": (
        {
            "phantom/classify/pseudo_labels": {
                "teachers": 1,
                "classifier": "vgg",
                "steps": 9,
                "agreement": 1,
            }
        },
        "classify.pseudo_labels.classifier: vgg unknown; allowed: resnet10t-half",
    ),
    "another cohort that nobody names": (
        {"phantom/classify/further/1/arms": ["other-cohort"]},
        "arms.other-cohort: source other-cohort: which one is it? Add classify.other_cohort",
    ),
    "another cohort that is none": (
        {"phantom/classify/other_cohort": "mars"},
        "no section 'mars'; there are: ",
    ),
    "another cohort that is the same": (
        {"phantom/classify/other_cohort": "phantom"},
        "phantom.classify.other_cohort = 'phantom': is this cohort itself",
    ),
    "another cohort of other images": (
        {"phantom/classify/other_cohort": "africa"},
        "phantom.classify.other_cohort = 'africa': its planes (Fetal abdomen, Fetal brain, Fetal femur, Fetal thorax) and",
    ),
    "another cohort at a lower level": (
        {"arms/other-cohort/level": "L1"},
        "arms.other-cohort: trains on images of another cohort, which level: L1 does not know; make it L2 or L1+L2",
    ),
    "rare plane": (
        {"phantom/splits/rare": {"plane": "Fetal toe", "images": 5}},
        "splits.rare.plane: Fetal toe unknown",
    ),
    "unlabelled images where all are labelled": (
        {"phantom/classify/further/2/arms": ["fixmatch"]},
        "classify.further.2: fixmatch learns train images without labels, and k = all leaves none",
    ),
    "real mixed into real": (
        {"arms/diffusion/phases": [{"source": "real", "steps": "P", "synthetic": "real", "share": 0.5}]},
        "arms.diffusion.phases.0: synthetic: real is mixed into source: real",
    ),
    "nothing to train": (
        {"phantom/classify/further": [{"arms": ["gan"], "shots": [10], "classifiers": []}]},
        "classify.further.0: names no classifier, so that nothing is trained; remove it",
    ),
    "reversed interval": (
        {"phantom/generators/diffusion/sampling": {"guidance_interval": [5, 0.2]}},
        "phantom.generators.diffusion: sampling: guidance_interval: [5, 0.2] is reversed; write the lowest",
    ),
    "guidance without a guide": (
        {
            "phantom/generators/diffusion/training/guide_steps": 0,
            "phantom/generators/diffusion/sampling/guidance_kind": "classifier",
        },
        "generators.diffusion: sampling.guidance_kind: classifier needs training.guide_steps > 0",
    ),
    "varied guidance without a guide": (
        {"phantom/fidelity/guidance_scales": {"classifier": [2]}},
        "fidelity.guidance_scales.classifier: sampling.guidance_kind: classifier needs training.guide_steps > 0",
    ),
    "autoguidance without an early state": (
        {
            "phantom/generators/diffusion/training/snapshots": [],
            "phantom/generators/diffusion/stopping": None,
            "phantom/generators/diffusion-phantoms/stopping": None,
        },
        "generators.diffusion: sampling.guidance_kind: autoguidance needs training.snapshots",
    ),
    "guidance without dropped labels": (
        {"phantom/generators/diffusion/training/label_dropout": 0},
        "sampling.guidance = 2: autoguidance, other than 1, needs training.label_dropout > 0",
    ),
    "varied guidance of what has none": (
        {"phantom/fidelity/varied": "gan"},
        "fidelity.guidance_scales.autoguidance: sampling.guidance_kind = 'autoguidance' is not a known key",
    ),
    "control and headline": (
        {"arms/real-long/headline": True},
        "arms.real-long: control and headline: gains are counted over it, so it has none itself; drop one",
    ),
    "steps that lack a k": (
        {"phantom/classify/train_steps": {"all": 20}},
        "classify.train_steps: no number of steps for k = 10; add it",
    ),
    "steps of another k": (
        {"phantom/classify/classifiers/resnet10t-half/pretrain_steps": {"10": 20, "all": 20, "5": 20}},
        "classify.classifiers.resnet10t-half.pretrain_steps: k = 5 not among splits.shots; remove it",
    ),
    "steps by numbers": (
        {"phantom/classify/train_steps": {10: 90, "all": 120}},
        'phantom.classify.train_steps: k = 10: put every k in quotes, as in {"10": 500, "all": 1500}',
    ),
    "no steps at one k": (
        {"phantom/classify/train_steps": {"10": 0, "all": 20}},
        "phantom.classify.train_steps.10 = 0: input should be greater than or equal to 1",
    ),
    "seeds of a block": (
        {"phantom/classify/further/0/seeds": [0, 70]},
        "classify.further.0.seeds: 70 unknown; allowed: 0, 1, 2",
    ),
    "set and generator of one name": (
        {"sets/gan": {"generator": "diffusion", "without": "near-copies"}},
        "sets.gan: a generator has this name already; choose another",
    ),
    "set of real images": (
        {"sets/real": {"generator": "diffusion", "without": "near-copies"}},
        "sets.real: a source of real images has this name already",
    ),
    "name of a file": (
        {"phantom/classify/classifiers/a\\/b": {"model": "resnet10t", "arguments": {}}},
        "classify.classifiers: name 'a/b': use letters, digits and . + - _ alone",
    ),
    "misspelt classifier": (
        {"phantom/classify/classifiers/resnet10t-half/model": "mobilenetv3_smal_050"},
        "did you mean mobilenetv3_small_050",
    ),
    "pretrained with other shapes": (
        {"phantom/classify/classifiers/resnet10t-half/pretrained": True},
        "the pretrained weights of resnet10t do not fit",
    ),
    "comparison of no arm": (
        {"phantom/report/comparisons": [comparison(arm="dif")]},
        "report.comparisons.0.arm: dif unknown; allowed: real, real-long",
    ),
    "comparison at no k": (
        {"phantom/report/comparisons": [comparison(k=7)]},
        "report.comparisons.0.k: 7 unknown; allowed: 10, all",
    ),
    "comparison of no classifier": (
        {"phantom/report/comparisons": [comparison(classifier="vit")]},
        "report.comparisons.0.classifier: vit unknown; allowed: resnet10t-half, mean",
    ),
    "comparison with no control": (
        {"phantom/report/comparisons": [comparison(control="synthetic-only")]},
        "report.comparisons.0.control: synthetic-only is no control; there are: real, real-long",
    ),
    "comparison with itself": (
        {"phantom/report/comparisons": [comparison(arm="real-long")]},
        "report.comparisons.0.control: real-long is the arm itself; name another",
    ),
    "comparison with a control that knows more": (
        {"phantom/report/comparisons": [comparison(control="simulation")]},
        "report.comparisons.0.control: simulation knows what arms of L2 may know, and diffusion is of L0; name a control of L0",
    ),
    "comparison of what is not trained": (
        {"phantom/report/comparisons": [comparison(arm="diffusion-guided", k="all", classifier="resnet10t-half")]},
        "report.comparisons.0.k: diffusion-guided and real-long are not both trained with resnet10t-half at k = all; add them",
    ),
    "comparison without a common seed": (
        {
            "phantom/classify/further": [
                dict(arms=[name], shots=[10], classifiers=["resnet10t-half"], seeds=[seed])
                for name, seed in (("diffusion-guided", 0), ("mixup", 1))
            ],
            "arms/mixup/control": True,
            "arms/mixup/headline": False,
            "phantom/report/comparisons": [comparison(arm="diffusion-guided", control="mixup")],
        },
        "report.comparisons.0.arm: diffusion-guided and mixup have no seed in common at k = 10; give both the same seeds",
    ),
    "comparison that is not primary": (
        {"phantom/report/comparisons": [comparison(primary=False)]},
        "phantom.report.comparisons.0.primary = False: ",
    ),
    "comparison twice": (
        {"phantom/report/comparisons": [comparison(), comparison()]},
        "report.comparisons.1: diffusion over real-long at k = 10, mean is named twice; name it once",
    ),
    "frame": ({"phantom/cohort/frame": "last"}, "phantom.cohort.frame = 'last': must be first, middle, or"),
    "frame 0": (
        {"phantom/cohort/frame": 0},
        "phantom.cohort.frame = 0: must be first, middle, or the number of a frame, from 1",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_together_is_one_line(changed, name):
    changes, words = BAD[name]
    with pytest.raises(FetalkitError) as error:
        changed(changes)
    message = str(error.value)
    assert message.startswith("params.yaml: ") and words in message and len(message.splitlines()) == 1, message


def test_an_odd_batch_is_allowed_where_nothing_is_mixed(changed):
    settings = changed({"phantom/classify/batch_size": 33, "phantom/classify/arms": ["real"]} | NO_FURTHER)
    assert settings.classify.batch_size == 33


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("P", 40),
        ("N", 60),
        ("P + N", 100),
        ("2 * P + N", 140),
        ("2*P + 3 * N", 260),
        ("N + N", 120),
        (7, 7),
        ("70", 70),
        ("compute of diffusion", 77),
        ("compute of diffusion, at most 50", 50),
        ("compute of diffusion, at most 90", 77),
    ],
)
def test_budgets_of_phases(changed, text, steps):
    settings = changed({"arms/real/phases": [{"source": "real", "steps": text}]})
    (phase,) = arms.phases(settings.arms["real"], 40, 60, {"diffusion": 77}.__getitem__)
    assert phase.steps == steps


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "Q",
        "P - N",
        "P * 2",
        "P+",
        "2 * P N",
        "",
        "0",
        0,
        "0 * P",
        "-1",
        1.5,
        None,
        "compute of",
        "compute of diffusion + N",
    ],
)
def test_impossible_budgets_are_refused(changed, text):
    with pytest.raises(FetalkitError, match=r"^params.yaml: phantom.arms.real.phases.0.steps"):
        changed({"arms/real/phases": [{"source": "real", "steps": text}]})


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        (
            [{"source": "real", "steps": "compute of difusion"}],
            "arms.real-long: compute of difusion: no arm with steps",
        ),
        (
            [{"source": "real", "steps": "compute of real-long"}],
            "arms.real-long: compute of real-long: no arm with steps",
        ),
        ([{"source": "real", "steps": "compute of gan"}, {"source": "real", "steps": "N"}], "give one phase"),
    ],
)
def test_compute_of_nothing_is_refused(changed, phases, message):
    with pytest.raises(FetalkitError, match=message):
        changed({"arms/real-long/phases": phases})


def test_a_cohort_of_a_kind_under_another_name(tmp_path):
    content = yaml.safe_load(paths.PARAMS.read_text())
    content["my-ward"] = content["spain"] | {"cohort": content["spain"]["cohort"] | {"kind": "spain"}}
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    settings, spain = params.load("my-ward", path), params.load("spain", path)
    assert settings.cohort.kind == "spain" and settings.cohort.subset == spain.cohort.subset
    assert type(settings.cohort) is type(spain.cohort)
    assert type(cohorts.load("my-ward", settings.cohort)) is type(cohorts.load("spain", spain.cohort))
    assert params.load_cohort("my-ward", path) == settings.cohort
    assert params.names(path) == ["phantom", "africa", "spain", "brain", "spain-128", "brain-128", "my-ward"]
    with pytest.raises(FetalkitError, match="'my-ward' is not known; choose one of africa, phantom, spain"):
        cohorts.load("my-ward")


def test_a_store_of_another_size_is_refused_wherever_it_is_opened(elsewhere):
    study, name = small_study.write()
    settings, k = study.params, study.params.splits.shots.largest
    assert study.store.pixels.shape[1:] == (32, 32) and study.synthetic("diffusion", k, 0).images.shape[1:] == (32, 32)
    images = settings.images.model_copy(update={"image_size": 48})
    other = Study("phantom", settings.model_copy(update={"images": images}))
    for read in (lambda: other.store, lambda: other.labelled(other.part("train")), lambda: other.train(k, 0)):
        with pytest.raises(FetalkitError, match=r"images: .*images.image_size is 48; run 02_images again"):
            read()
    message = rf"{name}.npz: its images have 32 px, but images.image_size is 48; run 05_synthesis again"
    with pytest.raises(FetalkitError, match=message):
        other.synthetic("diffusion", k, 0)
    with pytest.raises(FetalkitError, match=message):
        read_set(paths.data("phantom", "synthetic", f"{name}.npz"), 48)


def test_a_store_that_lacks_images_of_the_splits_is_refused(elsewhere):
    study, _ = small_study.write()
    folder = paths.data("phantom", "images")
    ids = list(study.table.image_id)
    (folder / "image_ids.json").write_text(json.dumps([*ids[:-1], "another"]))
    with pytest.raises(FetalkitError, match=rf"1 images of the splits are not in it, such as {ids[-1]}; run 02_images"):
        study.store  # noqa: B018


def test_a_kind_whose_package_is_missing_is_told_from_one_that_is_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    for name in ("fetalkit.cohorts.spain", "fetalkit.cohorts.download"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(FetalkitError, match="spain.cohort.kind = 'spain' cannot be used: .*pooch.*install its package"):
        params.load_cohort("spain")
