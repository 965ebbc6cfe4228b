"""The measures of fidelity against closed forms, hand counts and brute force; the pretrained network against its origin."""

import json
import warnings
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import linalg, ndimage, stats
from sklearn.datasets import load_sample_image
from small_study import trainable
from torch import nn
from torch.nn import functional
from torchmetrics.image.fid import FrechetInceptionDistance

from fetalkit.analysis import fidelity_conclusions
from fetalkit.classifiers import models, pretrained, trainer
from fetalkit.config import params
from fetalkit.config.shots import Shots
from fetalkit.experiments import cas, own_features
from fetalkit.metrics import compare, distances, features, memorisation, precision_recall, speckle
from fetalkit.utils import imagenet as lite0
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import write_json

CPU = torch.device("cpu")
PLANES = ("Fetal abdomen", "Fetal brain")


def pictures(n, size=32, seed=0):
    """Smooth random images, uint8."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(n, size, size)), (0, 2, 2))
    return np.clip(128 + 200 * noise / np.abs(noise).max(), 0, 255).astype(np.uint8)


def gaussian(n, d, seed):
    return np.random.default_rng(seed).normal(size=(n, d))


# --- the pretrained network


@pytest.mark.slow
def test_every_weight_finds_its_place():
    network, given = pretrained.create(), lite0.weights()
    assert len(given) == len(network.state_dict()) == 296
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, given[name]), name
    assert not network.training


def test_logits_are_those_of_the_implementation_that_the_weights_were_published_for():
    """The numbers were computed with efficientnet-lite-pytorch 0.1.0 (PyPI), whose model class reads the very file."""
    line = torch.linspace(-1, 1, 224)
    image = (line[:, None] * torch.sin(6 * line)).expand(1, 3, -1, -1)
    with torch.inference_mode():
        logits = pretrained.create()(image)[0, :6]
    expected = [-0.5544506, 0.2808531, -0.5045062, -1.6681558, -1.4979676, -0.9122710]
    assert logits.tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("photo", "imagenet_class"), [("flower.jpg", 985), ("china.jpg", 698)], ids=["daisy", "palace"]
)
def test_it_knows_what_photographs_show(photo, imagenet_class):
    image = torch.from_numpy(load_sample_image(photo).copy())[:, 106:533].permute(2, 0, 1)[None] / 255
    image = functional.interpolate(image, size=(224, 224), mode="bilinear", antialias=True)
    with torch.inference_mode():
        assert pretrained.create()((image - 0.5) / 0.5).argmax() == imagenet_class


@pytest.mark.slow
def test_grey_is_the_same_as_three_equal_colours():
    grey = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        one, three = pretrained.create(channels=1)(grey), pretrained.create()(grey.expand(-1, 3, -1, -1))
    assert torch.allclose(one, three, atol=1e-4)
    assert pretrained.create(n_classes=4, channels=1)(grey).shape == (2, 4)


def test_missing_and_changed_weights(monkeypatch):
    with monkeypatch.context() as changed:
        changed.setattr(lite0, "_SHA256", "0" * 64)
        with pytest.raises(FetalkitError, match="not the known weights .*; reinstall"):
            lite0.weights()
    monkeypatch.setattr(lite0, "PACKAGE", "no-such-package")
    with pytest.raises(FetalkitError, match="ImageNet weights not found; install them: pip install no-such-package"):
        lite0.weights()


# --- feature spaces


@pytest.fixture(scope="module")
def imagenet():
    return features.imagenet("cpu")


@pytest.mark.slow
def test_imagenet_features(imagenet):
    images = pictures(10)
    measured = imagenet.features(images)
    assert measured.shape == (10, 1280) and measured.dtype == np.float32 and measured.min() >= 0
    assert np.array_equal(measured, imagenet.features(images))
    # The classifier's last layer makes the network's own logits of them.
    enlarged = functional.interpolate(torch.from_numpy(images[:, None] / 255).float(), size=(224, 224), mode="bilinear")
    network = pretrained.create()
    with torch.inference_mode():
        logits = network(((enlarged - 0.5) / 0.5).expand(-1, 3, -1, -1))
        assert torch.allclose(network.classifier(torch.from_numpy(measured)), logits, atol=2e-3)


@pytest.mark.slow
def test_uint8_and_float_images_have_equal_features(imagenet):
    images = pictures(3)
    assert np.allclose(imagenet.features(images), imagenet.features(images / 255), atol=1e-5)


@pytest.mark.slow
def test_features_follow_the_order_and_ignore_the_batches(imagenet):
    images, order = pictures(11), np.random.default_rng(0).permutation(11)
    assert np.allclose(imagenet.features(images)[order], imagenet.features(images[order]), atol=1e-3)


@pytest.mark.parametrize(
    "images",
    [pictures(2)[0], pictures(2)[:0], pictures(2).astype(float), pictures(2) / 255 - 0.5, pictures(2).astype(int)],
    ids=["one image", "no image", "0-255 as float", "negative", "integers"],
)
def test_a_wrong_scale_is_refused(imagenet, images):
    with pytest.raises(ValueError, match=r"needed"):
        imagenet.features(images)


def test_nothing_of_training_is_left_in_features():
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(1024), nn.Dropout(0.5)).train()
    measured = features.FeatureSpace("dropped", network, CPU).features(pictures(4))
    assert np.allclose(measured, pictures(4).reshape(4, -1) / 255, atol=1e-4)


class Counting(nn.Module):
    """Pixel sums, and how many images have passed."""

    seen = 0

    def forward(self, images):
        Counting.seen += len(images)
        return images.sum(dim=(2, 3))


def test_features_of_sets(monkeypatch):
    monkeypatch.setattr(features, "_TOGETHER", 4)
    space = features.FeatureSpace("sums", Counting(), CPU)
    images = pictures(9)
    sets = {"a": images[:5], "b": images[[7, 2, 2, 8]], ("c", 1): images[::-1]}
    measured = features.of_sets(space, sets)
    assert list(measured) == list(sets)
    for name, of in sets.items():
        assert measured[name][:, 0] == pytest.approx(of.sum(axis=(1, 2)) / 255, rel=1e-5)
    assert Counting.seen == 9, "every image goes through the network once"


@pytest.mark.slow
def test_features_do_not_depend_on_the_number_of_workers(monkeypatch):
    monkeypatch.setattr(features, "_TOGETHER", 4)
    space = features.FeatureSpace("columns", nn.Sequential(nn.Flatten(), nn.Linear(1024, 3)), CPU)
    one, two = (features.of_sets(space, {"a": pictures(10)}, workers)["a"] for workers in (1, 2))
    assert np.array_equal(one, two)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("resnet10t", {"stem_width": 8}),
        ("vit_tiny_patch16_224", dict(patch_size=8, embed_dim=32, depth=1, num_heads=2)),
    ],
)
def test_penultimate_features_lead_to_the_logits(name, arguments):
    model = models.create(name, arguments, 3, 32, seed=0).eval()
    images = torch.rand(4, 1, 32, 32)
    with torch.inference_mode():
        measured = own_features.Penultimate(model)(images)
        assert torch.allclose(model.network.get_classifier()(measured), model(images), atol=1e-5)
        space = own_features.ClassifierSpace("own", own_features.Penultimate(model), CPU)
        grey = (255 * images[:, 0]).round().byte().numpy()
        called = model(torch.from_numpy(grey)[:, None] / 255).argmax(dim=1)
    assert space.classes(space.features(grey)).tolist() == called.tolist()


@pytest.fixture
def small_study(elsewhere):
    """A cohort of 24 train, 8 validation and 8 test images, with its splits, and settings that train in a second."""
    parts = np.repeat(["train", "validation", "test"], [24, 8, 8])
    table = pd.DataFrame(
        {
            "image_id": [f"i{number}" for number in range(40)],
            "patient": [f"p{number // 2}" for number in range(40)],
            "plane": [PLANES[number % 2] for number in range(40)],
            "part": parts,
            "dropped": "",
            "linked": False,
        }
    )
    table["group"] = table.patient
    shots = table[table.part == "train"][["plane", "image_id"]].assign(seed=0, k="all")
    for name, frame in (("splits", table), ("shots", shots)):
        path = paths.data("phantom", "splits", f"{name}.csv")
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(path, index=False)
    store = pictures(40)
    store[1::2] //= 2
    folder = paths.data("phantom", "images")
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", store)
    (folder / "image_ids.json").write_text(json.dumps(list(table.image_id)))
    settings = params.load("phantom")
    spec = params.Classifier(model="resnet10t", arguments={"stem_width": 8})
    update = dict(classifiers={"small": spec}, train_steps=4, batch_size=8)
    return settings.model_copy(
        update={
            "cohort": settings.cohort.model_copy(update={"planes": list(PLANES)}),
            "images": settings.images.model_copy(update={"image_size": 32}),
            "splits": settings.splits.model_copy(update={"seeds": [0], "shots": Shots.of(["all"])}),
            "classify": settings.classify.model_copy(update=update),
            "run": settings.run.model_copy(update={"device": "cpu"}),
        }
    )


@pytest.mark.slow
def test_the_classifier_of_the_grid_is_trained_once(small_study, monkeypatch):
    space = own_features.trained("phantom", small_study)
    assert space.name == "small (real train images of phantom)"
    images = pictures(6, seed=3)
    measured = space.features(images)
    assert measured.shape[0] == 6 and np.isfinite(measured).all()
    untrained = models.create("resnet10t", {"stem_width": 8}, 2, 32, seed=0)
    fresh = features.FeatureSpace("fresh", own_features.Penultimate(untrained), CPU)
    assert not np.allclose(fresh.features(images), measured, atol=1e-3)

    def fail(*arguments, **settings):
        raise AssertionError("trained again")

    monkeypatch.setattr(trainer, "fit", fail)
    assert np.array_equal(own_features.trained("phantom", small_study).features(images), measured)


@pytest.mark.slow
def test_scores_of_sets_are_those_of_classifiers_that_learn_from_them_alone(elsewhere, monkeypatch):
    study = trainable()
    steps = []
    fit = trainer.fit

    def noted(model, feed, n, *arguments, **options):
        steps.append((len(feed.data.labels), n))
        return fit(model, feed, n, *arguments, **options)

    monkeypatch.setattr(trainer, "fit", noted)
    table = cas.of_sets(study, {"diffusion": [0]})
    assert list(table.set) == ["real", "diffusion"] and list(table.seed) == [0, 0]
    assert table.accuracy.between(0, 1).all() and table.share[0] == 1
    assert table.share[1] == pytest.approx(table.accuracy[1] / table.accuracy[0])
    real, drawn = len(study.train("all", 0).labels), len(study.synthetic("diffusion", "all", 0).labels)
    # N steps for the network that judges; P + N on the real images and on the set.
    assert sorted(steps) == sorted([(real, 2), (real, 3), (drawn, 3)])
    steps.clear()
    assert cas.of_sets(study, {"diffusion": [0]}).equals(table) and not steps


def test_sets_are_scored_with_the_seeds_that_they_have_three_at_most(elsewhere, monkeypatch):
    study = trainable()
    asked = []

    def stopped(work, jobs, *_):
        asked.extend((job["run"].arm, job["run"].seed) for job in jobs[1:])
        raise FetalkitError("enough")

    monkeypatch.setattr(cas.parallel, "run", stopped)
    with pytest.raises(FetalkitError, match="enough"):
        cas.of_sets(study, {"diffusion": [0, 2], "simulation": [4, 3, 2, 1]})
    drawn = [
        ("cas-diffusion", 0),
        ("cas-diffusion", 2),
        ("cas-simulation", 1),
        ("cas-simulation", 2),
        ("cas-simulation", 3),
    ]
    assert asked == [("cas-real", 0), ("cas-real", 1), ("cas-real", 2), ("cas-real", 3), *drawn]


# --- distances


def exactly(mean, covariance, n, seed):
    """Samples whose mean and unbiased covariance are the given ones, to rounding."""
    x = gaussian(n, len(mean), seed)
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return x @ np.linalg.cholesky(covariance).T + mean


def test_frechet_of_a_set_with_itself_is_zero():
    for shape in ((50, 4), (20, 300)):
        x = gaussian(*shape, 0)
        assert distances.frechet(x, x) == pytest.approx(0, abs=1e-9)


def test_frechet_is_the_closed_form():
    random = np.random.default_rng(0)
    roots = random.normal(size=(2, 5, 5))
    one, two = (root @ root.T + np.eye(5) for root in roots)
    mean = np.arange(5.0)
    a, b = exactly(np.zeros(5), one, 60, 1), exactly(mean, two, 90, 2)
    expected = (mean**2).sum() + np.trace(one + two - 2 * np.real(linalg.sqrtm(one @ two)))
    assert distances.frechet(a, b) == pytest.approx(expected, rel=1e-9)
    assert distances.frechet(b, a) == pytest.approx(expected, rel=1e-9)


def test_frechet_in_one_dimension_by_hand():
    # Means 1 and 5; variances 2 and 8: (1 - 5)² + (√2 - √8)² = 16 + 2.
    assert distances.frechet(np.array([[0.0], [2.0]]), np.array([[3.0], [7.0]])) == pytest.approx(18)


def test_frechet_agrees_with_torchmetrics_where_that_can_compute_it():
    a, b = gaussian(400, 6, 0), gaussian(300, 6, 1) * 1.5 + 0.3
    identity = nn.Flatten()
    identity.num_features = 6
    metric = FrechetInceptionDistance(feature=identity, input_img_size=(6,)).set_dtype(torch.float64)
    metric.update(torch.from_numpy(a), real=True)
    metric.update(torch.from_numpy(b), real=False)
    assert distances.frechet(a, b) == pytest.approx(metric.compute().item(), rel=1e-6)


def test_frechet_with_fewer_images_than_features():
    """Features that are always zero, and a rotation, change nothing."""
    a, b = gaussian(30, 10, 0), gaussian(40, 10, 1) + 1
    rotation = np.linalg.qr(gaussian(200, 200, 2))[0]
    wide_a, wide_b = (np.pad(x, ((0, 0), (0, 190))) @ rotation for x in (a, b))
    assert distances.frechet(wide_a, wide_b) == pytest.approx(distances.frechet(a, b), rel=1e-9)


def test_kernel_distance_by_hand():
    # k = (xy + 1)³. Within a: k(1, 0) = 1. Within b: k(0, 2) = 1. Across: 1, 27, 1, 1, mean 7.5. 1 + 1 - 2 × 7.5.
    assert distances.kernel(np.array([[1.0], [0.0]]), np.array([[0.0], [2.0]])) == pytest.approx(-13)


def test_kernel_distance_is_unbiased_and_tells_distributions_apart():
    halves = [distances.kernel(gaussian(60, 8, seed), gaussian(60, 8, seed + 500)) for seed in range(100)]
    assert abs(np.mean(halves)) < 3 * np.std(halves) / 10
    assert min(halves) < 0 < max(halves)
    assert distances.kernel(gaussian(60, 8, 0), gaussian(60, 8, 1) + 1) > 10 * max(halves)


@pytest.mark.parametrize("distance", [distances.frechet, distances.kernel])
def test_distances_ignore_the_order_and_refuse_what_does_not_fit(distance):
    a, b = gaussian(40, 6, 0), gaussian(40, 6, 1) + 0.5
    mixed = np.random.default_rng(2).permutation(b)
    assert distance(a, mixed) == pytest.approx(distance(a, b), rel=1e-9)
    assert distance(a.astype(np.float32), b) == pytest.approx(distance(a, b), rel=1e-4)
    for other in (b[:, :5], b[:1], b[0]):
        with pytest.raises(ValueError, match="are needed"):
            distance(a, other)


def test_kernel_distance_needs_equal_sizes():
    with pytest.raises(ValueError, match="equal size, not 5 and 4"):
        distances.kernel(gaussian(5, 2, 0), gaussian(4, 2, 0))


# --- manifolds


def brute_force(real, synthetic, k):
    def radius(of, i):
        return sorted(np.linalg.norm(of[i] - of[j]) for j in range(len(of)) if j != i)[k - 1]

    inside = [[np.linalg.norm(r - s) < radius(real, i) for s in synthetic] for i, r in enumerate(real)]
    back = [[np.linalg.norm(r - s) < radius(synthetic, j) for j, s in enumerate(synthetic)] for r in real]
    return {
        "precision": np.mean([any(row[j] for row in inside) for j in range(len(synthetic))]),
        "recall": np.mean([any(row) for row in back]),
        "density": np.sum(inside) / (k * len(synthetic)),
        "coverage": np.mean([any(row) for row in inside]),
    }


@pytest.mark.parametrize("k", [1, 3])
def test_manifold_scores_against_brute_force(k):
    real, synthetic = gaussian(25, 3, 0), 0.7 * gaussian(18, 3, 1) + 0.4
    assert precision_recall.scores(real, synthetic, k) == pytest.approx(brute_force(real, synthetic, k))


def test_manifold_scores_by_hand():
    # On a line with k = 1, the balls around 0, 1, 10 have the radii 1, 1, 9; those around 0.5, 20 both 19.5.
    # 0.5 lies in the first two, 20 in none; the balls around 0.5 and 20 hold every real vector.
    measured = precision_recall.scores(np.array([[0.0], [1.0], [10.0]]), np.array([[0.5], [20.0]]), k=1)
    assert measured == pytest.approx({"precision": 1 / 2, "recall": 1, "density": (2 + 0) / 2, "coverage": 2 / 3})


def test_manifold_scores_of_one_distribution():
    measured = [precision_recall.scores(gaussian(400, 4, seed), gaussian(400, 4, seed + 100)) for seed in range(5)]
    assert np.mean([each["density"] for each in measured]) == pytest.approx(1, abs=0.05)
    assert np.mean([each["coverage"] for each in measured]) == pytest.approx(1 - 1 / 2**5, abs=0.01)


def test_manifold_scores_of_disjoint_and_of_collapsed_sets():
    real = gaussian(60, 4, 0)
    assert set(precision_recall.scores(real, real + 100).values()) == {0.0}
    collapsed = precision_recall.scores(real, real[:1] + 1e-3 * gaussian(60, 4, 1))
    assert collapsed["precision"] == 1 and collapsed["recall"] < 0.05 and collapsed["coverage"] < 0.3


def test_too_few_for_a_manifold():
    with pytest.raises(ValueError, match="too few for 5 neighbours"):
        precision_recall.scores(gaussian(5, 2, 0), gaussian(50, 2, 1))


# --- memorisation


def test_nearest_training_image():
    train = pictures(20)
    queries = np.stack([train[7], memorisation.mirrored(train)[11], np.full((32, 32), 255, np.uint8)])
    measured = memorisation.nearest_images(queries, train)
    assert measured.row[:2].tolist() == [7, 11] and measured.distance[:2].tolist() == [0, 0]
    assert measured.mirrored[:2].tolist() == [False, True]
    differences = [np.sqrt(np.mean((1 - image / 255) ** 2)) for image in train]
    assert measured.row[2] == np.argmin(differences) and measured.distance[2] == pytest.approx(
        min(differences), rel=1e-6
    )


def test_unmirrored_search_in_features():
    train, queries = gaussian(30, 5, 0), gaussian(8, 5, 1)
    measured = memorisation.nearest(queries, train)
    every = np.sqrt(np.square(queries[:, None] - train).mean(axis=2))
    assert np.array_equal(measured.row, every.argmin(axis=1)) and not measured.mirrored.any()
    assert measured.distance == pytest.approx(every.min(axis=1))


def test_threshold_leaves_out_duplicates():
    unseen = np.linspace(1, 2, 101)
    assert memorisation.threshold(unseen) == pytest.approx(1.01)
    assert memorisation.threshold(np.r_[np.zeros(10), unseen]) == pytest.approx(1.01)
    with pytest.raises(FetalkitError, match="every unseen real image repeats a training image"):
        memorisation.threshold(np.zeros(4))


def test_share_of_near_copies():
    measured = memorisation.share(np.r_[np.full(10, 0.1), np.full(90, 0.9)], 0.5)
    # Wilson's interval of 10 in 100 by its formula.
    z, p, n = 1.959964, 0.1, 100
    centre, half = (p + z**2 / (2 * n)), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = ((centre + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    assert measured == pytest.approx({"share": 0.1, "low": low, "high": high, "threshold": 0.5, "n": 100})
    assert memorisation.share(np.ones(50), 0.5)["low"] == pytest.approx(0, abs=1e-12)
    assert memorisation.share(np.array([0.5]), 0.5)["share"] == 0


def test_pooled_share_of_generators_that_agree_is_wilsons():
    one = dict(n=200, threshold=0.5, share=0.1)
    measured = memorisation.pooled([one, one | {"threshold": 0.7}])
    low, high = stats.binomtest(40, 400).proportion_ci(0.95, method="wilson")
    assert measured == pytest.approx({"share": 0.1, "low": low, "high": high, "threshold": 0.6, "n": 400})
    alone = memorisation.share(np.r_[np.zeros(20), np.ones(180)], 0.5)
    assert memorisation.pooled([one])["high"] == pytest.approx(alone["high"], abs=1e-12)
    none = memorisation.pooled([dict(n=50, threshold=0.5, share=0.0)] * 2)
    assert none["low"] == 0
    assert none["high"] == pytest.approx(stats.binomtest(0, 100).proportion_ci(0.95, method="wilson").high, abs=1e-12)


def test_pooled_share_of_generators_that_differ_is_wider():
    # Shares 0 and 0.2 of 100 each: variance of the mean 2 × (10² + 10²) / 200² = 0.01, of a coin 0.1 × 0.9 / 200.
    measured = memorisation.pooled([dict(n=100, threshold=1, share=0.0), dict(n=100, threshold=1, share=0.2)])
    effect = 0.01 / (0.1 * 0.9 / 200)
    # Wilson's interval for an effective number of images, which need not be whole.
    z, p, n = 1.959963984540054, 0.1, 200 / effect
    centre, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    ends = [(centre + sign * half) / (1 + z**2 / n) for sign in (-1, 1)]
    assert (measured["low"], measured["high"]) == pytest.approx(ends, abs=1e-12)
    assert measured["share"] == pytest.approx(0.1) and measured["high"] > 0.3


def test_unseen_images_are_near_copies_in_about_one_percent():
    train, unseen, fresh = gaussian(300, 6, 0), gaussian(4000, 6, 1), gaussian(4000, 6, 2)
    limit = memorisation.threshold(memorisation.nearest(unseen, train).distance)
    measured = memorisation.share(memorisation.nearest(fresh, train).distance, limit)
    assert measured["low"] <= 0.011 and measured["high"] >= 0.009


def test_near_copies_are_marked():
    train, validation, fresh = pictures(40), pictures(30, seed=1), pictures(10, seed=2)
    noisy = np.clip(train[:5] + np.random.default_rng(0).normal(0, 3, (5, 32, 32)), 0, 255).astype(np.uint8)
    synthetic = np.concatenate([fresh, train[5:8], memorisation.mirrored(train[8:10]), noisy])
    assert memorisation.near_copies(synthetic, train, validation).tolist() == [False] * 10 + [True] * 10


def test_closest_pairs_come_first():
    measured = memorisation.Nearest(np.array([4, 5, 6]), np.array([0.3, 0.1, 0.2]), np.array([False, True, False]))
    pairs = memorisation.closest(measured, 2)
    assert pairs.to_dict("list") == {
        "synthetic": [1, 2],
        "train": [5, 6],
        "distance": [0.1, 0.2],
        "mirrored": [True, False],
    }


# --- speckle


def correlated(axial, lateral, n=30, size=96):
    """Gaussian noise whose correlation lengths are known, uint8."""
    noise = ndimage.gaussian_filter(
        np.random.default_rng(0).normal(size=(n, size, size)), (0, axial, lateral), mode="wrap"
    )
    return np.clip(128 + 30 * noise / noise.std(), 0, 255).astype(np.uint8)


def test_fully_developed_speckle_has_an_snr_of_1_91():
    amplitude = np.random.default_rng(0).rayleigh(40, (20, 64, 64))
    measured = speckle.measure(np.clip(amplitude, 0, 255).astype(np.uint8))
    assert np.median(measured.snr) == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), rel=0.03)


def test_white_noise_is_one_pixel_wide_and_has_a_flat_spectrum():
    noise = np.clip(np.random.default_rng(0).normal(128, 20, (30, 64, 64)), 0, 255).astype(np.uint8)
    measured = speckle.measure(noise)
    assert measured.lateral_width == pytest.approx(1, abs=0.04) and measured.axial_width == pytest.approx(1, abs=0.04)
    assert measured.power[1:] == pytest.approx(np.full(31, 400), rel=0.15)


@pytest.mark.parametrize(("axial", "lateral"), [(1.0, 1.0), (0.8, 1.6)])
def test_speckle_of_known_size(axial, lateral):
    """A Gaussian of width s correlates like one of √2 s; the high-pass takes away what is wider than its own Gaussian."""
    wide = speckle._SMOOTH

    def expected(lag_y, lag_x):
        terms = ((1, 0), (-2, wide**2), (1, 2 * wide**2))
        return sum(
            weight * np.exp(-(lag_y**2) / (2 * y) - lag_x**2 / (2 * x)) / np.sqrt(y * x)
            for weight, extra in terms
            for y, x in [(2 * axial**2 + extra, 2 * lateral**2 + extra)]
        )

    lags = np.arange(20)
    measured = speckle.measure(correlated(axial, lateral))
    assert measured.lateral_width == pytest.approx(speckle.width(expected(0, lags) / expected(0, 0)), rel=0.06)
    assert measured.axial_width == pytest.approx(speckle.width(expected(lags, 0) / expected(0, 0)), rel=0.06)


@pytest.mark.parametrize("cycles", [9, 9.4])
def test_a_wave_has_its_power_at_its_frequency(cycles):
    wave = 128 + 60 * np.sin(2 * np.pi * cycles * np.arange(64) / 64)
    power = speckle.measure(np.tile(wave, (2, 64, 1)).astype(np.uint8)).power
    assert power.argmax() + 1 == 9
    # The jump from one side to the other that 9.4 cycles leave does not show.
    assert power[20:].max() < 1e-4 * power.max()


def test_black_padding_does_not_count():
    speckled = np.clip(np.random.default_rng(0).rayleigh(40, (20, 64, 64)), 1, 255).astype(np.uint8)
    padded = speckled.copy()
    padded[:, :, :20] = padded[:, :, -20:] = 0
    whole, part = speckle.measure(speckled), speckle.measure(padded)
    assert np.median(part.snr) == pytest.approx(np.median(whole.snr), rel=0.03)
    assert part.lateral_width == pytest.approx(whole.lateral_width, abs=0.1)
    assert part.histogram.sum() == pytest.approx(1) and part.histogram[1:].argmax() == pytest.approx(40, abs=12)


def test_the_width_of_the_fan_does_not_count():
    whole = correlated(2, 2, size=64)
    narrow = whole.copy()
    narrow[:, :, :18] = narrow[:, :, -18:] = 0
    assert speckle.measure(narrow).lateral_width == pytest.approx(speckle.measure(whole).lateral_width, rel=0.04)


def test_black_images_have_no_speckle():
    measured = speckle.measure(np.zeros((2, 32, 32), np.uint8))
    assert np.isnan(measured.snr).all() and np.isnan(measured.lateral_width) and measured.histogram.sum() == 0
    with warnings.catch_warnings(action="error"):
        assert speckle.table({"black": measured}).loc[0, ["snr", "axial_width"]].isna().all()


def test_table_of_textures():
    fine, coarse = correlated(0.5, 0.5, n=4), correlated(2, 2, n=4)
    table = speckle.table({"fine": speckle.measure(fine), "coarse": speckle.measure(coarse)}).set_index("set")
    assert table.loc["coarse", "lateral_width"] > 2 * table.loc["fine", "lateral_width"]
    assert table.mean_grey.tolist() == pytest.approx([128, 128], abs=2)
    with pytest.raises(ValueError, match="uint8"):
        speckle.measure(fine / 255)


# --- comparison


def sets(seed=0):
    """Labels and features of four sets, of which "good" is distributed as the real ones and "bad" is not."""
    random = np.random.default_rng(seed)
    sizes = {"real_test": (30, 20), "real_train": (50, 45), "good": (40, 40), "bad": (25, 60)}
    labels = {name: random.permutation(np.repeat([0, 1], n)) for name, n in sizes.items()}
    shift = {"bad": 3.0}
    vectors = {
        name: random.normal(size=(len(of), 6)) + 4 * of[:, None] + shift.get(name, 0) for name, of in labels.items()
    }
    return vectors, labels


def test_draws_are_equal_in_number_and_composition():
    _, labels = sets()
    drawn = compare.draw(labels, PLANES, seed=0)
    for name, chosen in drawn.items():
        assert [len(rows) for rows in chosen] == [25, 20]
        assert all((labels[name][rows] == number).all() for number, rows in enumerate(chosen))
        assert all(len(set(rows)) == len(rows) for rows in chosen)
    again, other = compare.draw(labels, PLANES, seed=0), compare.draw(labels, PLANES, seed=1)
    assert all(np.array_equal(a, b) for name in labels for a, b in zip(drawn[name], again[name], strict=True))
    assert not np.array_equal(drawn["real_train"][0], other["real_train"][0])


def test_a_larger_set_beside_changes_nothing():
    vectors, labels = sets()
    table = compare.table({"space": vectors}, labels, PLANES)
    more = np.repeat([0, 1], 70)
    wide = compare.table({"space": {**vectors, "more": gaussian(140, 6, 5)}}, {**labels, "more": more}, PLANES)
    pd.testing.assert_frame_equal(wide[wide.set != "more"].reset_index(drop=True), table)


def test_table_of_comparisons():
    vectors, labels = sets()
    table = compare.table({"space": vectors, "double": {name: 2 * of for name, of in vectors.items()}}, labels, PLANES)
    assert list(table.columns) == ["space", "set", "plane", "n", *compare.METRICS]
    keys = list(zip(table.space, table.set, table.plane, strict=True))
    assert keys == list(product(["space", "double"], ["real_train", "good", "bad"], ["all", *PLANES]))
    assert table.n.tolist() == [45, 25, 20] * 6
    by = table.set_index(["space", "set", "plane"])
    for plane in ("all", *PLANES):
        good, bad = by.loc[("space", "good", plane)], by.loc[("space", "bad", plane)]
        assert good.fd < bad.fd and good.kid < bad.kid and good.coverage > bad.coverage
        # Twice the features: four times the Fréchet distance, the same manifolds.
        assert by.loc[("double", "bad", plane)].fd == pytest.approx(4 * bad.fd)
        assert by.loc[("double", "bad", plane)].coverage == bad.coverage


def test_planes_with_too_few_images_have_missing_values():
    vectors, labels = sets()
    keep = np.r_[np.flatnonzero(labels["bad"] == 0)[:1], np.flatnonzero(labels["bad"] == 1)]
    vectors["bad"], labels["bad"] = vectors["bad"][keep], labels["bad"][keep]
    table = compare.table({"space": vectors}, labels, PLANES).set_index(["set", "plane"])
    assert table.loc[("good", PLANES[0]), list(compare.METRICS)].isna().all()
    assert table.loc[("good", "all")].notna().all() and table.loc[("good", PLANES[1])].notna().all()


def test_sets_that_cannot_be_compared():
    vectors, labels = sets()
    labels["bad"] = np.zeros_like(labels["bad"])
    with pytest.raises(FetalkitError, match="fidelity: bad has no image of Fetal brain"):
        compare.table({"space": vectors}, labels, PLANES)


def test_too_few_images_give_missing_values():
    few = {name: np.array([0, 1]) for name in ("real_test", "good")}
    table = compare.table({"space": {name: gaussian(2, 3, 0) for name in few}}, few, PLANES).set_index("plane")
    assert table.loc["all", ["fd", "kid"]].notna().all()
    assert table.loc["all", ["precision", "recall", "density", "coverage"]].isna().all()
    assert table.loc[list(PLANES), list(compare.METRICS)].isna().all(axis=None)
    content = compare.summary(table.reset_index(), {})
    assert content["space"]["good"]["recall"] is None and content["space"]["good"]["n"] == 2


def test_summary_is_plain_json(tmp_path):
    vectors, labels = sets()
    table = compare.table({"space": vectors}, labels, PLANES)
    memorised = {"good": memorisation.share(np.array([0.1, 0.9, 0.9]), 0.123456789)}
    content = compare.summary(table, memorised)
    write_json(content, tmp_path / "fidelity.json")
    assert json.loads((tmp_path / "fidelity.json").read_text()) == content
    assert set(content) == {"space", "memorisation"} and set(content["space"]) == {"real_train", "good", "bad"}
    assert content["memorisation"]["good"]["threshold"] == 0.123457 and content["memorisation"]["good"]["n"] == 3
    row = table[(table.set == "bad") & (table.plane == "all")].iloc[0]
    assert content["space"]["bad"] == {
        **{metric: pytest.approx(row[metric], rel=1e-5) for metric in compare.METRICS},
        "n": 45,
    }


@pytest.mark.slow
def test_embedding_is_seeded_and_keeps_clusters_apart():
    vectors = np.concatenate([gaussian(30, 5, 0), gaussian(30, 5, 1) + 20])
    points = compare.embed(vectors, seed=0)
    assert points.shape == (60, 2) and np.array_equal(points, compare.embed(vectors, seed=0))
    parts = points[:30], points[30:]
    spread = max(np.linalg.norm(part - part.mean(axis=0), axis=1).max() for part in parts)
    assert np.linalg.norm(parts[0].mean(axis=0) - parts[1].mean(axis=0)) > spread
    assert compare.embed(vectors[:4], seed=0).shape == (4, 2)
    with pytest.raises(ValueError, match="3 vectors are too few"):
        compare.embed(vectors[:3], seed=0)


# --- sentences


def overall(**sets):
    names = ["fd", "kid", "precision", "recall", "density", "coverage"]
    rows = [
        {"space": "s", "set": name, "plane": "all"} | dict(zip(names, of, strict=True)) for name, of in sets.items()
    ]
    return pd.DataFrame(rows)


def test_distance_in_words():
    table = overall(gan=[30, 0.3, 0.5, 0.25, 1, 0.2], real_train=[10, 0.1, 0.9, 0.8, 1, 0.9])
    text = fidelity_conclusions.distance(table, "gan", "real_train", "s", "5")
    text = text.replace("\u00a0", " ")
    assert "**gan** (k = 5) to real test images is 30.0;" in text
    assert "(real train) lie at 10.0, 3.0 times nearer" in text
    assert (
        "50 % of its images" in text and "90 % of real train" in text and "25 % of the real ones (recall; 80 %)" in text
    )
    table.loc[1, "fd"] = 40
    assert "no nearer" in fidelity_conclusions.distance(table, "gan", "real_train", "s", "5")
    table.loc[0, ["fd", "precision"]] = np.nan
    assert "too few images" in fidelity_conclusions.distance(table, "gan", "real_train", "s", "5")


def test_rivals_in_words():
    better, equal = [20, 0.2, 0.6, 0.5, 2, 0.5], [30, 0.3, 0.5, 0.25, 1, 0.2]
    mixed = [40, 0.2, 0.5, 0.1, 1, 0.2]
    table = overall(gan=equal, good=better, same=equal, mixed=mixed, real_train=better)
    text = fidelity_conclusions.rivals(table, "gan", "real_train", "s")
    assert text == (
        "In the features of s: **good** is better than gan in Fréchet distance, kernel distance, precision, recall, "
        "density and coverage. **mixed** is better than gan in kernel distance and worse in Fréchet distance and recall. "
        "Means over seeds, whose differences are not tested."
    )
    assert fidelity_conclusions.rivals(overall(gan=equal, worse=mixed[:1] + equal[1:]), "gan", "real_train", "s") == (
        "In the features of s: **worse** is worse than gan in Fréchet distance. Means over seeds, whose differences are not "
        "tested."
    )
    assert fidelity_conclusions.rivals(overall(gan=equal, real_train=better), "gan", "real_train", "s") == ""


def test_texture_in_words():
    table = pd.DataFrame({"set": ["real_test", "gan"], "mean_grey": [100.0, 110.0], "snr": [4.0, 3.0]})
    text = fidelity_conclusions.texture(table.assign(lateral_width=[np.nan, 2.0], axial_width=1.0))
    assert text == "Against real test images: **gan**: speckle SNR −25\u00a0%, mean grey level +10\u00a0%."


def test_labels_in_words():
    rows = [("gan", "5", 0, 0.5), ("gan", "5", 1, 0.7), ("gan", "9", 0, 0.1), ("real_test", "", None, 0.8)]
    called = pd.DataFrame(rows, columns=["set", "k", "seed", "accuracy"]).assign(plane="all")
    text = fidelity_conclusions.labels(called, ["gan"], "5", "net")
    text = text.replace("\u00a0", " ")
    assert text.startswith("net gives 60 % of the images of **gan** (k = 5)") and "80 % of real test images" in text


def test_guidance_in_words():
    rows = [("a", 2.0, 0.9, 0.2, 7.0), ("a", 1.0, 0.6, 0.5, 9.0), ("a", 1.5, 0.95, 0.4, 8.0), ("b", 1.0, 0.5, 0.5, 9.0)]
    guided = pd.DataFrame(rows, columns=["guidance", "scale", "accuracy", "recall", "fd"]).assign(coverage=0.4)
    text = fidelity_conclusions.guidance(guided)[0].replace("\u00a0", " ")
    assert "**a guidance** at scale 1, 1.5 and 2:" in text, "the best one may lie between the ends"
    assert "60 % → 95 % → 90 %, recall 50 % → 40 % → 20 %" in text
    assert text.endswith("Nearest to real test images is scale 2 (Fréchet distance 7.0).")
    assert fidelity_conclusions.guidance(guided[:0]) == []


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.02, 0.2, "more than"), (0.0, 0.2, "not told from"), (0.0, 0.005, "less than")],
)
def test_copies_in_words(low, high, verdict):
    row = dict(generator="gan", k="5", share=(low + high) / 2, low=low, high=high, threshold=0.1, n=80)
    (text,) = fidelity_conclusions.copies(pd.DataFrame([row, row | {"k": "9"}]), "5", 0.01, "pixels")
    text = text.replace("\u00a0", " ")
    assert f"{verdict} the 1.0 % among unseen real images" in text and "80 images of gan" in text


def test_cards_are_linked():
    assert fidelity_conclusions.cards(
        ["a-k5-seed0/dataset.md", "a-k5-seed0/generator.md", "b-k5-seed0/dataset.md"]
    ).splitlines()[2:] == [
        "- a-k5-seed0: [dataset](cards/a-k5-seed0/dataset.html) and [generator](cards/a-k5-seed0/generator.html)",
        "- b-k5-seed0: [dataset](cards/b-k5-seed0/dataset.html)",
    ]


def test_trends_in_words():
    def row(share, **more):
        return dict(share=share, low=share - 0.05, high=share + 0.05, **more)

    pooled = pd.DataFrame([row(0.4, generator="gan", k="5"), row(0.1, generator="gan", k="all")])
    over_time = pd.DataFrame([row(0.1, k="5", step=9), row(0.12, k="5", step=50), row(0.1, k="all", step=9)])
    said = fidelity_conclusions.trends(pooled, over_time, "gan", 0.01)
    fewer, same = (text.replace("\u00a0", " ") for text in said)
    assert fewer == "From k = 5 to k = all, near-copies of **gan** become fewer: 40.0 % → 10.0 %."
    assert same == (
        "From step 9 to step 50 at k = 5, first seed, near-copies do not change beyond their intervals: 10.0 % → 12.0 %."
    )
    (more,) = fidelity_conclusions.trends(pooled[::-1], over_time[:0], "gan", 0.01)
    assert "become more" in more
    (chance,) = fidelity_conclusions.trends(pooled[::-1], over_time[:0], "gan", 0.36)
    assert "are at no time told from those among unseen real images" in chance, (
        "no claim that the expected share denies"
    )
