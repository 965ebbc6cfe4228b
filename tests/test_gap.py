"""The gap between hospitals: none where there is none, all of it where there is nothing else; and what its figures show."""

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression

from fetalkit.metrics import domain_gap, outline, separability
from fetalkit.utils.errors import FetalkitError

PLANES = ("Fetal abdomen", "Fetal brain")


def place(n_patients, images=4, d=6, shift=0.0, seed=0, name="a", differ=1.0):
    """Features and patients of one place; patients differ from each other by `differ`, and `shift` moves all of them."""
    random = np.random.default_rng(seed)
    patients = np.repeat([f"{name}{number}" for number in range(n_patients)], images)
    own = differ * np.repeat(random.normal(size=(n_patients, d)), images, axis=0)
    return shift + own + random.normal(size=own.shape), patients


def places(shifts, n_patients=24, seed=0, **more):
    """Features, centres, patients and planes of several centres of the given shifts."""
    drawn = [place(n_patients, shift=s, seed=seed + i, name=c, **more) for i, (c, s) in enumerate(shifts.items())]
    features, patients = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    centres = np.repeat(list(shifts), [len(of) for of, _ in drawn])
    return features, centres, patients, np.tile(PLANES, len(features) // 2)


def logistic():
    return LogisticRegression(class_weight="balanced")


# --- proxy A-distance


def test_places_that_a_line_parts_are_at_the_greatest_distance():
    (a, of_a), (b, of_b) = place(10), place(10, shift=30, seed=1, name="b")
    measured = separability.proxy_a_distance(a, b, of_a, of_b, seed=0)
    assert (measured.distance, measured.low, measured.high) == (2, 2, 2)
    assert (measured.separability.balanced_accuracy, measured.separability.spread, measured.separability.chance) == (
        1,
        0,
        0.5,
    )


@pytest.mark.slow
def test_there_is_no_distance_within_one_place():
    measured = []
    for seed in range(20):
        x, patients = place(60, seed=seed)
        a = np.isin(patients, [f"a{number}" for number in range(30)])
        measured.append(separability.proxy_a_distance(x[a], x[~a], patients[a], patients[~a], seed))
    assert np.mean([of.separability.balanced_accuracy for of in measured]) == pytest.approx(0.5, abs=0.04)
    assert np.mean([of.distance for of in measured]) < 0.2, "cut at zero, so a little above it"
    assert sum(of.low > 0 for of in measured) <= 2
    assert all(0 <= of.low <= of.distance <= of.high <= 2 for of in measured)


def test_a_place_against_itself():
    x, patients = place(30)
    assert separability.proxy_a_distance(x, x, patients, patients, seed=0).distance < 0.2


@pytest.mark.slow
def test_the_distance_is_that_of_the_best_line():
    """Two normals at a distance of 2 standard deviations: the best classifier is right in 84.1 %."""
    random = np.random.default_rng(0)
    a, b = random.normal(size=(3000, 2)), random.normal((2, 0), size=(3000, 2))
    names = np.arange(3000).astype(str)
    measured = separability.proxy_a_distance(a, b, names, np.char.add("b", names), seed=0)
    assert measured.separability.balanced_accuracy == pytest.approx(0.8413, abs=0.015)
    assert measured.distance == pytest.approx(2 * (1 - 2 * (1 - measured.separability.balanced_accuracy)))
    assert measured.low < 2 * (2 * 0.8413 - 1) < measured.high


@pytest.mark.slow
def test_unequal_numbers_make_no_difference():
    """A classifier that always calls the larger place is right in 95 % of the images, and tells nothing."""
    (a, of_a), (b, of_b) = place(190, d=2), place(10, d=2, seed=1, name="b")
    told = separability.tell_apart(
        np.concatenate([a, b]),
        np.repeat(["a", "b"], [len(a), len(b)]),
        np.concatenate([of_a, of_b]),
        0,
        DummyClassifier(),
    )
    assert told.balanced_accuracy == 0.5
    even = [
        separability.proxy_a_distance(*_two(60, 60, seed), seed).separability.balanced_accuracy for seed in range(8)
    ]
    uneven = [
        separability.proxy_a_distance(*_two(300, 60, seed), seed).separability.balanced_accuracy for seed in range(8)
    ]
    assert np.mean(uneven) == pytest.approx(np.mean(even), abs=0.03)
    assert 0.6 < np.mean(even) < 0.9


def _two(n, m, seed):
    (a, of_a), (b, of_b) = place(n, 2, d=2, seed=seed), place(m, 2, d=2, shift=1.0, seed=seed + 100, name="b")
    return a, b, of_a, of_b


class Spy(DummyClassifier):
    """Remembers what it was trained on and what it was asked; the first feature is the number of the patient."""

    seen: list = []  # noqa: RUF012 - shared on purpose: scikit-learn clones the classifier

    def fit(self, features, labels):
        self.seen.append(set(features[:, 0]))
        return super().fit(features, labels)

    def predict(self, features):
        self.seen.append(set(features[:, 0]))
        return super().predict(features)


def test_no_patient_is_in_training_and_in_test():
    """Ten patients have images in both places, as those of one hospital with two machines have."""
    Spy.seen = []
    numbers = np.repeat(np.arange(40), 3)
    names = np.array(["a", "b"])[np.where(numbers < 10, np.arange(120) % 2, numbers % 2)]
    separability.tell_apart(np.stack([numbers, numbers], axis=1), names, numbers.astype(str), 0, Spy())
    assert len(Spy.seen) == 2 * separability.FOLDS
    for trained, tested in zip(Spy.seen[::2], Spy.seen[1::2], strict=True):
        assert trained and tested and not trained & tested
    assert set().union(*Spy.seen[1::2]) == set(range(40))


def test_patients_known_by_heart_do_not_count():
    """Every patient has a mark of her own and centres have none: with patients on both sides it would be told."""
    marks = np.repeat(np.eye(40), 5, axis=0)
    patients = np.repeat(np.arange(40), 5)
    told = separability.tell_apart(marks, np.where(patients % 2, "a", "b"), patients.astype(str), 0, logistic())
    assert told.balanced_accuracy <= 0.5
    leaking = separability.tell_apart(
        marks, np.where(patients % 2, "a", "b"), np.arange(200).astype(str), 0, logistic()
    )
    assert leaking.balanced_accuracy == 1


@pytest.mark.slow
def test_the_interval_holds_chance_where_there_is_nothing_to_tell():
    held = 0
    for seed in range(40):
        features, centres, patients, _ = places({"a": 0, "b": 0, "c": 0}, 12, seed=10 * seed, images=2, d=3)
        told = separability.tell_apart(features, centres, patients, seed, logistic())
        held += told.low <= told.chance <= told.high
    assert told.chance == pytest.approx(1 / 3)
    assert held >= 35


def test_seeds_decide():
    features, centres, patients, _ = places({"a": 0, "b": 0.5})
    one, two, other = (separability.tell_apart(features, centres, patients, seed, logistic()) for seed in (0, 0, 1))
    assert one == two != other


@pytest.mark.slow
def test_all_pairs_and_all_halves():
    features, centres, patients, _ = places({"far": 30, "here": 0, "there": 0})
    table = separability.proxy_between(features, centres, patients, seed=0)
    assert list(zip(table.a, table.b, strict=True)) == [
        ("far", "here"), ("far", "there"), ("here", "there"), ("far", "far"), ("here", "here"), ("there", "there"),
    ]  # fmt: skip
    assert table.distance[:2].tolist() == [2, 2] and table.distance[2:].max() < 1
    assert table.n_a.tolist() == [96, 96, 96, 48, 48, 48]
    few = centres != "far"
    few[:36] = True  # nine patients of "far": too few to halve
    table = separability.proxy_between(features[few], centres[few], patients[few], seed=0)
    assert table.distance.isna().tolist() == [False, False, False, True, False, False]


# --- Fréchet distance


def test_a_gap_shows_and_no_gap_is_as_large_as_within_a_centre():
    features, centres, patients, planes = places({"far": 2, "here": 0, "there": 0}, 60)
    table = domain_gap.frechet_between(features, centres, patients, planes, seed=0).set_index(["plane", "a", "b"])
    for plane in ("all", *PLANES):
        none, some = table.loc[(plane, "here", "there")], table.loc[(plane, "far", "here")]
        assert none.fd == pytest.approx(none.within, rel=0.35)
        assert some.fd - some.within == pytest.approx(6 * 2**2, rel=0.25), "the squared distance of the means"
    own = table.loc[("all", "here", "here")]
    assert own.fd == own.within > 0


def test_distances_do_not_depend_on_how_many_images_a_centre_has():
    features, centres, patients, planes = places({"a": 0, "b": 0, "c": 0}, 200, images=2, differ=0)
    kept = (centres != "b") | np.isin(patients, [f"b{number}" for number in range(40)])
    table = domain_gap.frechet_between(features[kept], centres[kept], patients[kept], planes[kept], seed=0)
    table = table[table.plane == "all"]
    assert table.n.unique().tolist() == [40]
    # Were all images taken, the distances to "b" would be three times that between "a" and "c", which have five times as many.
    assert table.fd.max() < 1.4 * table.fd.min()


def test_shares_of_planes_are_no_gap():
    """Both centres draw from one distribution of each plane, but one has three times as many brains as abdomens."""
    features, centres, patients, planes = places({"a": 0, "b": 0}, 100)
    features[planes == PLANES[1]] += 8
    kept = ~((centres == "a") & (planes == PLANES[0]) & (np.arange(len(planes)) % 6 > 1))
    table = domain_gap.frechet_between(features[kept], centres[kept], patients[kept], planes[kept], seed=0)
    row = table[(table.plane == "all") & (table.a == "a") & (table.b == "b")].iloc[0]
    assert row.fd < 2 * row.within, "with the shares as they are, the means alone lie 2 apart in each of six features"


def test_patients_stay_on_one_side(monkeypatch):
    sides = []
    monkeypatch.setattr(domain_gap.distances, "frechet", lambda a, b: sides.append((set(a[:, 0]), set(b[:, 0]))) or 1.0)
    numbers = np.repeat(np.arange(30), 4)
    centres, planes = np.where(numbers < 15, "a", "b"), np.tile(PLANES, 60)
    domain_gap.frechet_between(numbers[:, None], centres, numbers.astype(str), planes, seed=0)
    assert sides and all(not one & other for one, other in sides)
    assert len({frozenset(one) for one, _ in sides}) > 10, "halves are drawn anew"


def test_too_few_of_a_plane():
    features, centres, patients, planes = places({"a": 0, "b": 0, "c": 0}, 30)
    lacks = ~((centres == "c") & (planes == PLANES[0]))
    table = domain_gap.frechet_between(features[lacks], centres[lacks], patients[lacks], planes[lacks], seed=0)
    abdomen = domain_gap.matrix(table, PLANES[0])
    assert abdomen.loc["c"].isna().all() and abdomen.loc[["a", "b"], ["a", "b"]].notna().all(axis=None)
    assert domain_gap.matrix(table).notna().all(axis=None)
    assert table[(table.plane == "all") | (table.plane == PLANES[1])].groupby("plane").n.first().nunique() == 1
    assert table[table.fd.isna()].n.eq(0).all()
    none = domain_gap.frechet_between(features, centres, patients, planes, seed=0, fewest=1000)
    assert none[["fd", "sd", "within"]].isna().all(axis=None)


def test_the_matrix_is_square_and_symmetric():
    features, centres, patients, planes = places({"z": 0, "a": 1, "m": 2})
    table = domain_gap.frechet_between(features, centres, patients, planes, seed=0, draws=2)
    square = domain_gap.matrix(table)
    assert list(square) == list(square.index) == ["a", "m", "z"]
    assert np.array_equal(square, square.T)
    row = table[(table.plane == "all") & (table.a == "a") & (table.b == "z")].iloc[0]
    assert square.loc["z", "a"] == row.fd
    again = domain_gap.frechet_between(features, centres, patients, planes, seed=0, draws=2)
    pd.testing.assert_frame_equal(table, again)
    with pytest.raises(FetalkitError, match="no plane 'knee' in the table; there are all, Fetal abdomen"):
        domain_gap.matrix(table, "knee")


# --- images


def waves(cycles, n=4, size=64):
    """Cosines down and across, uint8."""
    line = np.cos(2 * np.pi * cycles * np.arange(size) / size)
    both = [np.broadcast_to(line, (size, size)), np.broadcast_to(line[:, None], (size, size))]
    return np.stack([128 + 100 * both[number % 2] for number in range(n)]).astype(np.uint8)


@pytest.mark.parametrize("cycles", [3, 10, 25])
def test_a_wave_has_its_power_at_its_frequency(cycles):
    images = np.concatenate([waves(cycles), waves(7)])
    spectra = domain_gap.radial_spectrum(images, ["x"] * 4 + ["seven"] * 4)
    assert list(spectra) == ["seven", "x"] and spectra.index.tolist() == list(range(1, 33))
    assert spectra.x.idxmax() == cycles and spectra.seven.idxmax() == 7


def test_mean_images():
    images = np.zeros((4, 8, 8), np.uint8)
    images[:2] = [[[10]], [[21]]]
    means = domain_gap.mean_images(images, ["b", "b", "a", "a"])
    assert list(means) == ["a", "b"]
    assert np.all(means["b"] == 15.5) and not means["a"].any()


# --- bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(groups_a=["p"] * 3), r"40 rows of features but groups_a of shape \(3,\): give one per row"),
        (dict(groups_a=["p"] * 40), r"patients per place: a 1, b 10; two places with at least 5 patients each"),
        (dict(a=np.full((40, 6), np.nan)), "features: some are not finite"),
        (dict(a=np.zeros((40, 5))), "5 and 6 features: both places must be of one feature space"),
        (dict(a=np.zeros(40)), r"features of shape \(40,\): \(images, features\) is needed"),
        (dict(a=np.zeros((0, 6)), groups_a=[]), r"features of shape \(0, 6\)"),
    ],
)
def test_bad_features(change, message):
    (a, groups_a), (b, groups_b) = place(10), place(10, name="b")
    with pytest.raises(FetalkitError, match=message):
        separability.proxy_a_distance(**dict(a=a, b=b, groups_a=groups_a, groups_b=groups_b, seed=0) | change)


def test_bad_images_and_draws():
    with pytest.raises(FetalkitError, match=r"images are float64 \(2, 8, 8\); uint8 \(n, size, size\) is needed"):
        domain_gap.mean_images(np.zeros((2, 8, 8)), ["a", "a"])
    with pytest.raises(FetalkitError, match=r"2 images but centres of shape \(1,\)"):
        domain_gap.radial_spectrum(np.zeros((2, 8, 8), np.uint8), ["a"])
    with pytest.raises(FetalkitError, match="1 draws of at least 8 images"):
        domain_gap.frechet_between(*places({"a": 0, "b": 0}), seed=0, draws=1)
    with pytest.raises(FetalkitError, match="but planes of shape"):
        domain_gap.frechet_between(*places({"a": 0, "b": 0})[:3], planes=["x"], seed=0)


def test_places_of_few_patients_are_gaps_and_end_nothing():
    """Small hospitals: what cannot be measured is missing, beside what can."""
    patients = np.array([f"{name}{number}" for name, many in (("a", 6), ("b", 6), ("c", 4)) for number in range(many)])
    places = np.array([name[0] for name in patients])
    features = np.random.default_rng(0).normal(size=(len(places), 3))
    table = separability.proxy_between(features, places, patients, 0).set_index(["a", "b"]).distance
    assert table["a", "b"] >= 0 and np.isnan(table["a", "c"]) and np.isnan(table["b", "c"])
    told = outline.centre_table({"size": features}, places, patients, 0).iloc[0]
    assert 0 <= told.balanced_accuracy <= 1 and told.chance == 0.5, "among a and b"
    few = separability.large_enough(places, patients)
    nothing = outline.centre_table({"size": features[~few]}, places[~few], patients[~few], 0).iloc[0]
    assert np.isnan(nothing.balanced_accuracy) and nothing.chance == 1
