"""Generators that also learn the train images whose labels their run may not see, as classifiers of its subset name them."""

import json
import re
import shutil
from functools import cache
from typing import Annotated

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import Field
from torch import nn

from fetalkit.classifiers import trainer
from fetalkit.config import params, runs
from fetalkit.config.generation import GeneratorSettings, Stopping, Unlabelled
from fetalkit.config.sections import validated
from fetalkit.config.variants import Variant
from fetalkit.data.study import Study, set_name
from fetalkit.experiments import generator_training, pseudo_labels, stopping, synthesis, training_search
from fetalkit.experiments import teachers as teaching
from fetalkit.generators.base import Generator
from fetalkit.generators.settings import SamplingSettings, TrainingSettings
from fetalkit.generators.smote import SmoteGenerator
from fetalkit.utils import paths
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import write_table

PLANES, SIZE, EACH, K = ["Fetal brain", "Fetal femur"], 32, 8, 3
RULE = Unlabelled(teachers=3, classifier="resnet10t-half", steps=40, agreement=2)
NAME = set_name("diffusion", str(K), 0)


class Steps(TrainingSettings):
    steps: int = 1
    batch_size: int = 4


class Wrong(SamplingSettings):
    wrong: Annotated[int, Field(ge=0)] = 0  # every so many images show another plane


class Means(Generator[Steps, Wrong]):
    """Draws the mean image of a plane with some noise: a generator that is trained in a moment."""

    Training, Sampling = Steps, Wrong
    means = np.zeros((0, 0, 0))

    def _fit(self, images, labels, **options):
        self.means = np.stack([images[labels == plane].mean(axis=0) for plane in range(self.n_classes)])

    def _sample(self, labels, *, seed, sampling, batch_size):
        shown = labels.copy()
        if sampling.wrong:
            shown[:: sampling.wrong] = (shown[:: sampling.wrong] + 1) % self.n_classes
        noise = np.random.default_rng(seed % 2**32).normal(0, 4, (len(labels), SIZE, SIZE))
        return (self.means[shown] + noise).clip(0, 255).astype(np.uint8)

    def _write(self, folder):
        np.save(folder / "means.npy", self.means)
        return {}

    def _read(self, folder, about):
        self.means = np.load(folder / "means.npy")


class Threshold(nn.Module):
    """Takes bright images for the second plane."""

    def __init__(self, level):
        super().__init__()
        self.level = level

    def forward(self, images):
        bright = (images.mean(dim=(1, 2, 3)) > self.level).float()
        return torch.stack([1 - bright, bright], dim=1)


def teachers(agreement=2):
    networks = [Threshold(level) for level in (0.3, 0.5, 0.7)]
    return pseudo_labels.Teachers(networks, RULE.model_copy(update={"agreement": agreement}), torch.device("cpu"))


def flat(*levels):
    """Images of one grey level each, given in [0, 1]."""
    return np.stack([np.full((SIZE, SIZE), round(255 * level), np.uint8) for level in levels])


def write(hidden=0, planes=0, beside=0):
    """Write splits and images of planes that differ in brightness; K images per plane are the labelled ones.

    With `planes`, all other images have another plane; with `hidden`, validation and test images differ, with `beside` the
    train images without labels.
    """
    parts = ["train"] * EACH + ["validation"] * 3 + ["test"] * 3
    table = pd.DataFrame(
        {"image_id": f"{number:02d}-{label}", "patient": f"{number}", "group": f"{number}", "plane": plane, "centre": "",
         "machine": "", "official_split": part, "part": part, "dropped": "", "linked": False}
        for label, plane in enumerate(PLANES) for number, part in enumerate(parts)
    )  # fmt: skip
    place = table.groupby("plane").cumcount()
    labels = table.plane.map(PLANES.index).to_numpy()
    shots = table[(table.part == "train") & (place < K)].assign(k=str(K), seed=0)
    if planes:
        table.loc[place >= K, "plane"] = np.roll(np.array(PLANES), 1)[labels[place >= K]]
    write_table(table, paths.data("phantom", "splits", "splits.csv"))
    write_table(shots[["k", "plane", "image_id", "seed"]], paths.data("phantom", "splits", "shots.csv"))
    store = np.random.default_rng(0).normal(60, 10, (len(table), SIZE, SIZE)) + 120 * labels[:, None, None]
    store[table.part != "train"] += 9 * hidden
    store[(table.part == "train") & (place >= K)] += 9 * beside
    paths.data("phantom", "images").mkdir(parents=True, exist_ok=True)
    np.save(paths.data("phantom", "images", "images.npy"), store.clip(0, 255).astype(np.uint8))
    paths.data("phantom", "images", "image_ids.json").write_text(json.dumps(list(table.image_id)))


@cache
def published():
    """The settings of the project, with a generator of means that learns unlabelled images."""
    content = params.load("phantom", paths.NOTEBOOKS.parent / "params.yaml")
    own = {"class": f"{__name__}:Means", "title": "means", "unlabelled": RULE}
    known = content.generators | {"diffusion": validated(GeneratorSettings, own, "", "own")}
    fidelity = content.fidelity.model_copy(update={"guidance_scales": {}, "generators": []})
    return content.model_copy(update={"generators": known, "fidelity": fidelity})


@cache
def small():
    """A study of them that is done in a moment."""
    return settings()


def settings(**changes):
    network = {"resnet10t-half": {"arguments": {"stem_width": 8, "channels": [8, 8, 16, 16]}}}
    changes = {
        "run": dict(device="cpu", precision="float32", workers=1),
        "cohort": dict(planes=PLANES),
        "images": dict(image_size=SIZE),
        "splits": dict(shots=[K], seeds=[0]),
        "synthesis": dict(images_per_plane=20),
        "classify": dict(arms=["real", "real-long", "diffusion"], further=[], batch_size=8, classifiers=network),
        "report": dict(comparisons=[]),
    } | changes
    return training_search.changed(published(), changes)


@pytest.fixture
def made(elsewhere):
    """Settings of a study whose splits and images are there."""
    write()
    return small()


def afresh(made):
    """All files of a generator that is trained from nothing, and of the set that is drawn from it."""
    shutil.rmtree(paths.work("phantom"), ignore_errors=True)
    for folder in ("generators", "synthetic"):
        shutil.rmtree(paths.data("phantom", folder), ignore_errors=True)
    return again(made)


def again(made):
    generator_training.train("phantom", made, "diffusion", str(K), 0)
    synthesis.draw("phantom", made, Variant("diffusion", "diffusion", str(K), 0), 20)
    drawn = Study("phantom", made).synthetic("diffusion", str(K), 0).digest()
    folder = paths.data("phantom", "generators", NAME)
    files = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: of for name, of in files.items() if name != "training.json"} | {"set": drawn}  # it holds seconds


def test_hidden_labels_and_hidden_images_change_nothing(made):
    one = afresh(made)
    assert {"0.safetensors", "1.safetensors", "2.safetensors", "pseudo_labels.csv", "made_by", "set"} < set(one)
    write(hidden=1, planes=1)
    assert afresh(made) == one
    # The same comparison can fail: the images without labels are learnt.
    write(beside=1)
    other = afresh(made)
    changed = {name for name in one if one[name] != other[name]}
    assert {"made_by", "means.npy", "set"} <= changed and not any(name.endswith("safetensors") for name in changed)


def test_what_teachers_see_is_learnt_and_counts_as_often_as_they_agree(made):
    study, images = Study("phantom", made), flat(0.1, 0.4, 0.6, 0.9)
    for agreement, kept, votes in ((2, [0, 1, 2, 3], [3, 2, 2, 3]), (3, [0, 3], [3, 3])):
        lesson = pseudo_labels.lesson(study.train(str(K), 0), images, teachers(agreement), PLANES)
        assert np.array_equal(lesson.named.images, images[kept]) and list(lesson.votes) == votes
        assert list(lesson.named.labels) == [[0, 0, 1, 1][row] for row in kept]
        assert np.array_equal(lesson.distinct.images[: 2 * K], study.train(str(K), 0).images)
        of = {image.tobytes(): count for image, count in zip(images[kept], votes, strict=True)}
        counted = {one: sum(one == other.tobytes() for other in lesson.weighted.images) for one in of}
        assert counted == of and len(lesson.weighted.images) == 3 * 2 * K + sum(votes)
        assert lesson.counts.to_dict("records") == [
            {"plane": "Fetal brain", "agreeing": 2, "images": 1},
            {"plane": "Fetal brain", "agreeing": 3, "images": 1},
            {"plane": "Fetal femur", "agreeing": 2, "images": 1},
            {"plane": "Fetal femur", "agreeing": 3, "images": 1},
        ]


def test_a_generator_learns_the_named_images(made, monkeypatch):
    monkeypatch.setattr(teaching, "train", lambda *_: teachers())
    monkeypatch.setattr(pseudo_labels.Teachers, "save", lambda self, folder: folder.mkdir())
    generator_training.train("phantom", made, "diffusion", str(K), 0)
    means = np.load(paths.data("phantom", "generators", NAME, "means.npy"))
    train = Study("phantom", made).train("all", 0)  # a subset of its own in no shots, and yet it is known what it is
    assert len(train.labels) == 2 * EACH
    for plane in (0, 1):  # here the teachers are right, and always agree
        assert np.allclose(means[plane], train.images[train.labels == plane].mean(axis=0))


def test_stopping_looks_for_copies_of_all_that_was_learnt(made, monkeypatch):
    monkeypatch.setattr(teaching, "train", lambda *_: teachers())
    monkeypatch.setattr(pseudo_labels.Teachers, "save", lambda self, folder: folder.mkdir())
    given, states = [], pd.DataFrame({"share": [1.0], "kept": [True]})
    monkeypatch.setattr(stopping, "stop", lambda made, data, *others: given.append(data) or states)
    spec = made.generators["diffusion"].model_copy(update={"stopping": Stopping(near_copies=0.5)})
    changed = made.model_copy(update={"generators": {"diffusion": spec}})
    trained = generator_training.train("phantom", changed, "diffusion", str(K), 0)
    assert trained.states.equals(states)
    every = Study("phantom", made).train("all", 0).images
    assert sorted(of.tobytes() for of in given[0].images) == sorted(of.tobytes() for of in every)


def test_no_image_without_a_label_is_left(made):
    study = Study("phantom", made)
    lesson = pseudo_labels.lesson(study.train("all", 0), study.beside("all", 0), teachers(), PLANES)
    assert len(lesson.named.labels) == 0 and len(lesson.weighted.labels) == 3 * 2 * EACH and lesson.counts.empty


def test_drawn_images_are_those_that_teachers_recognise():
    made = Means(PLANES, SIZE, device="cpu")
    made.fit(flat(0.1, 0.9), np.array([0, 1]), seed=0)
    options = dict(name="set", planes=PLANES, each=10, seed=0)
    right = pseudo_labels.draw(made, teachers(), **options, sampling=Wrong())
    assert list(right[1]) == [0] * 10 + [1] * 10 and teachers().see(*right).all()
    images, labels = pseudo_labels.draw(made, teachers(), **options, sampling=Wrong(wrong=3))
    assert images.shape == right[0].shape and list(labels) == list(right[1])
    assert teachers().see(images, labels).all() and len({image.tobytes() for image in images}) == 20
    # Those that were right at once are kept, in their order.
    kept = [row for row in range(10) if row % 3]
    assert np.array_equal(images[: len(kept)], right[0][:10][kept])


def test_agreement_decides_what_is_recognised():
    images, labels = flat(0.4, 0.4, 0.9), np.array([0, 1, 1])
    assert list(teachers(2).see(images, labels)) == [True, False, True]
    assert list(teachers(3).see(images, labels)) == [False, False, True]


def test_a_set_that_cannot_be_filled_is_one_line():
    made = Means(PLANES, SIZE, device="cpu")
    made.fit(flat(0.1, 0.2), np.array([0, 1]), seed=0)
    expected = (
        "set: only 0 of 4 images drawn of Fetal femur are seen as it by 2 of 3 teachers; lower unlabelled.agreement"
    )
    with pytest.raises(FetalkitError, match=re.escape(expected)):
        pseudo_labels.draw(made, teachers(), "set", PLANES, 4, 0, Wrong())


def test_an_interrupted_training_ends_with_the_same_bits(made, monkeypatch):
    one, calls, step = afresh(made), [], trainer._Training._step
    for folder in (paths.work("phantom"), paths.data("phantom", "generators"), paths.data("phantom", "synthetic")):
        shutil.rmtree(folder)
    monkeypatch.setattr(Checkpoint, "due", lambda self, number: number % 2 == 0)

    def killed(self, number):
        calls.append(number)
        if len(calls) == RULE.steps + 6:  # in the middle of the second teacher
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr(trainer._Training, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        again(made)
    assert not paths.data("phantom", "generators", NAME).exists()
    assert again(made) == one
    assert len(calls) == 3 * RULE.steps + 2  # one teacher was taken, one went on from its fourth step


def test_teachers_differ_from_each_other_and_are_found_again(made):
    files = afresh(made)
    assert len({files[f"{number}.safetensors"] for number in range(3)}) == 3
    study, folder = Study("phantom", made), paths.data("phantom", "generators", NAME)
    images = study.train("all", 0).images
    read, learnt = teaching.read(folder, made, RULE), teaching.train(study, RULE, str(K), 0)
    for one, other in zip(read.networks, learnt.networks, strict=True):
        assert np.array_equal(*(trainer.predict(of, images, read.device) for of in (one, other)))
    (folder / "teachers" / "1.safetensors").unlink()
    with pytest.raises(FetalkitError, match=r"1.safetensors: missing or damaged"):
        teaching.read(folder, made, RULE)


def test_what_teachers_follow_from_is_what_the_generator_follows_from(made):
    def told(settings, **rule):
        return teaching.follows_from(Study("phantom", settings), RULE.model_copy(update=rule), str(K), 0)

    plain = told(made)
    others = [dict(teachers=4), dict(steps=9), dict(agreement=3)]
    assert all(told(made, **other) != plain for other in others)
    for key, value in (("learning_rate", 0.5), ("classifiers", {"resnet10t-half": {"learning_rate": 0.5}})):
        assert told(settings(classify={"arms": ["real"], "further": [], key: value})) != plain
    write(hidden=1, planes=1)
    assert told(made) == plain
    write(beside=1)
    assert told(made) != plain


def test_all_images_count_for_the_budget(elsewhere):
    write()
    content = small()
    spec = content.generators["diffusion"]
    budget = {"seen_per_image": 8, "seen_at_least": 0}
    own = spec.model_dump(by_alias=True) | {"budget": budget, "training": {"steps": 1000, "batch_size": 4}}
    for rule, images in ((RULE, 2 * EACH), (None, 2 * K)):
        changed = validated(GeneratorSettings, own | {"unlabelled": rule}, "", "own")
        generator_training.train(
            "phantom", content.model_copy(update={"generators": {"diffusion": changed}}), "diffusion", str(K), 0
        )
        card = json.loads(paths.data("phantom", "generators", NAME, "fetalkit.json").read_text())
        assert card["training"]["steps"] == 2 * images


def test_copies_are_sought_among_all_images_that_were_seen(made):
    assert runs.seen(made, "diffusion", str(K)) == "all" == runs.seen(made, "diffusion-novel", str(K))
    assert runs.seen(made, "gan", str(K)) == str(K)
    study = Study("phantom", made)
    beside = study.beside(str(K), 0)
    assert len(beside) == 2 * (EACH - K)
    path = paths.data("phantom", "synthetic", f"{NAME}.npz")
    path.parent.mkdir(parents=True)
    noise = np.random.default_rng(5).integers(0, 256, (4, SIZE, SIZE), np.uint8)
    np.savez(path, images=np.concatenate([beside[:1], noise]), labels=np.array([0, 0, 0, 1, 1]))
    assert synthesis.leave_out_copies("phantom", made, "diffusion-novel", str(K), 0)[1] == 4


def test_the_quality_of_pseudo_labels_is_told(made, monkeypatch):
    assert teaching.quality(Study("phantom", made.model_copy(update={"generators": {}, "sets": {}, "classify":
        made.classify.model_copy(update={"arms": ["real"]})}))).empty  # fmt: skip
    afresh(made)
    study = Study("phantom", made)
    monkeypatch.setattr(teaching, "read", lambda *_: teachers(3))
    counts = pd.DataFrame({"plane": PLANES, "agreeing": [3, 1], "images": [3, 1]})
    counts.to_csv(paths.data("phantom", "generators", NAME, "teachers", "pseudo_labels.csv"), index=False)
    validation = study.labelled(study.part("validation"))
    called = np.stack([validation.images.mean(axis=(1, 2)) / 255 > level for level in (0.3, 0.5, 0.7)])
    row = teaching.quality(study).iloc[0]
    assert (row.generator, row.k, row.seed, row.images, row.kept) == ("diffusion", str(K), 0, 4, 0.75)
    assert row.teacher == pytest.approx((called == validation.labels).mean())
    sure = abs(called.sum(axis=0) * 2 - 3) >= 1  # two of three, as the settings have it
    assert row.validation_kept == sure.mean()
    assert row.agreed == ((called.sum(axis=0) > 1.5) == validation.labels)[sure].mean()


@pytest.mark.parametrize(
    "rule, words",
    [
        (dict(agreement=1), "agreement = 1: must be the greater part of 3 teachers"),
        (dict(agreement=4), "agreement = 4: must be the greater part of 3 teachers, and at most all"),
        (dict(teachers=4), "agreement = 2: must be the greater part of 4 teachers"),
        (dict(steps=0), "unlabelled.steps = 0"),
        (dict(colour=1), "unlabelled.colour = 1 is not a known key"),
    ],
)
def test_rules_that_cannot_be_are_refused(rule, words):
    with pytest.raises(FetalkitError, match=re.escape(words)):
        validated(Unlabelled, RULE.model_dump() | rule, "params.yaml", "unlabelled")


def test_a_generator_that_is_not_trained_learns_nothing_unlabelled():
    smote = {"class": SmoteGenerator.class_path(), "title": "t", "unlabelled": RULE.model_dump()}
    with pytest.raises(FetalkitError, match="unlabelled: the training of this class has no steps; leave it out"):
        validated(GeneratorSettings, smote, "params.yaml", "g")


@pytest.mark.parametrize(
    "changes, words",
    [
        (
            dict(splits=dict(shots=[K, "all"], seeds=[0]), fidelity=dict(varied="")),
            "classify.arms: diffusion learns train images without labels",
        ),
        (
            dict(
                splits=dict(shots=[K, "all"], seeds=[0]),
                classify=dict(arms=["real", "real-long"], further=[], classifiers={}),
                fidelity=dict(varied="diffusion", generators=[]),
            ),
            "fidelity: diffusion learns train images without labels, and k = all leaves none",
        ),
        (
            dict(generators={"diffusion": {"unlabelled": RULE.model_copy(update={"classifier": "vit"})}}),
            "generators.diffusion.unlabelled.classifier: vit unknown; allowed: resnet10t-half",
        ),
    ],
)
def test_what_does_not_fit_the_study_is_one_line(changes, words):
    with pytest.raises(FetalkitError, match=re.escape(words)):
        settings(**changes)
