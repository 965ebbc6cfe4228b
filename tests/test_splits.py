"""Nothing leaks: patients and pictures stay on one side, subsets are nested."""

from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from fetalkit.data import splits, subsets
from fetalkit.utils.errors import FetalkitError

PLANES = ["a", "b"]


def cohort(patients=20, images=4, train=12):
    rows = [
        (f"p{patient}_{number}", f"p{patient}", PLANES[number % 2], "", "", "train" if patient < train else "test")
        for patient in range(patients)
        for number in range(images)
    ]
    return pd.DataFrame(rows, columns=["image_id", "patient", "plane", "centre", "machine", "official_split"])


def pairs_of(*names):
    return pd.DataFrame(names, columns=["image_a", "image_b"], dtype=object)


def test_parts_are_of_different_patients():
    table = splits.split(cohort(), pairs_of(), 0.25, seed=0)
    assert (table.groupby("patient").part.nunique() == 1).all()
    assert (table[table.official_split == "test"].part == "test").all()
    assert set(table[table.official_split == "train"].part) == {"train", "validation"}
    assert table[table.part == "validation"].patient.nunique() == 3


def test_copies_of_train_images_are_dropped_from_test():
    table = splits.split(cohort(), pairs_of(("p0_0", "p15_0"), ("p15_1", "p16_1")), 0.25, seed=0).set_index("image_id")
    assert table.dropped["p15_0"] == "also in train: p0_0"
    assert table.dropped["p16_1"] == "repeats p15_1"
    assert (table.dropped != "").sum() == 2
    # p15 shares an image with p0, and p16 with p15: they may all be the same person.
    assert set(table[table.linked].patient) == {"p15", "p16"}


def test_patients_who_share_an_image_stay_together():
    shared = pairs_of(("p0_0", "p1_0"), ("p1_1", "p2_1"), ("p3_0", "p4_0"))
    for seed in range(10):
        table = splits.split(cohort(), shared, 0.25, seed)
        part = table.groupby("patient").part.first()
        assert part["p0"] == part["p1"] == part["p2"]
        assert part["p3"] == part["p4"]


def test_leaks_are_refused():
    table = splits.split(cohort(), pairs_of(), 0.25, seed=0)
    moved = table.copy()
    moved.loc[0, "part"] = "test"
    with pytest.raises(FetalkitError, match="leaking split: patient p0"):
        splits.check(moved, pairs_of())
    with pytest.raises(FetalkitError, match="leaking split: p0_0 .* and p15_0 .* show the same picture"):
        splits.check(table, pairs_of(("p0_0", "p15_0")))


@pytest.mark.parametrize(
    ("fraction", "patients"), [(0.05, 1), (0.1, 2), (0.2, 4), (0.25, 5), (0.3, 6), (0.35, 7), (0.4, 8), (0.5, 10)]
)
def test_validation_has_the_share_that_was_asked_for(fraction, patients):
    table = splits.split(cohort(30, train=20), pairs_of(), fraction, seed=0)
    assert table[table.part == "validation"].patient.nunique() == patients
    assert table[table.part == "train"].patient.nunique() == 20 - patients


def test_a_fifth_is_the_first_of_five_folds():
    """As it was when the number of folds was the rounded inverse of the share: studies keep their patients."""
    index = cohort(30, train=20)
    train = index[index.official_split == "train"]
    folding = StratifiedGroupKFold(5, shuffle=True, random_state=7)
    _, chosen = next(folding.split(train, train.plane, train.patient))
    table = splits.split(index, pairs_of(), 0.2, seed=7)
    assert set(table[table.part == "validation"].image_id) == set(train.image_id.iloc[chosen])


@pytest.mark.parametrize(
    ("train", "fraction", "message"),
    [
        (
            3,
            0.25,
            "only 3 train patients: too few for splits.validation_fraction = 0.25, which takes 1 of 4 equal parts",
        ),
        (
            9,
            0.3,
            "only 9 train patients: too few for splits.validation_fraction = 0.3, which takes 3 of 10 equal parts",
        ),
        (12, 0.02, "splits.validation_fraction = 0.02 is too small; choose at least 0.05"),
    ],
)
def test_a_share_that_cannot_be_had_is_one_clear_line(train, fraction, message):
    with pytest.raises(FetalkitError, match=message):
        splits.split(cohort(train=train), pairs_of(), fraction, seed=0)


def test_a_plane_that_a_part_lacks():
    table = splits.split(cohort(), pairs_of(), 0.25, seed=0)
    assert splits.coverage(table, PLANES) == {} and splits.check_planes(table, PLANES) == ""
    for part in ("train", "test"):
        without = table[(table.part != part) | (table.plane != "b")]
        assert splits.coverage(without, PLANES) == {part: ["b"]}
        with pytest.raises(FetalkitError, match=f"^b has no {part} image; leave it out of cohort.planes"):
            splits.check_planes(without, PLANES)
    without = table[(table.part != "validation") | (table.plane != "b")]
    assert splits.check_planes(without, PLANES).startswith("b has no validation image: choices")


def test_a_plane_of_two_images_is_told_where_validation_lacks_it():
    index = cohort(30, train=20)
    rare = index[index.patient.isin(["p0", "p1", "p25"])].groupby("patient").first().reset_index()
    rare = rare.assign(plane="c", image_id=rare.patient + "_rare")
    table = splits.split(pd.concat([index, rare], ignore_index=True), pairs_of(), 0.2, seed=0)
    told = splits.check_planes(table, [*PLANES, "c"])
    shares = splits.validation_shares(table).set_index("plane")
    assert (told != "") == (shares.images["c"] == 0)
    assert shares.images["all"] == (table.part == "validation").sum() and shares.images["a"] == 8
    assert shares["share of patients"]["all"] == pytest.approx(0.2) and shares["share of images"]["a"] == pytest.approx(
        0.2
    )


def test_one_train_patient_is_one_clear_line():
    with pytest.raises(
        FetalkitError, match="^only 1 train patients: too few for splits.validation_fraction = 0.2, which"
    ):
        splits.split(cohort(train=1), pairs_of(), 0.2, seed=0)


def test_dropped_images_cover_no_plane():
    table = splits.split(cohort(), pairs_of(), 0.25, seed=0)
    table.loc[(table.part == "test") & (table.plane == "a"), "dropped"] = "also in train: p0_0"
    assert splits.coverage(table, PLANES) == {"test": ["a"]}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), k=st.lists(st.integers(1, 18), min_size=2, max_size=4, unique=True))
def test_subsets_are_nested_and_from_train(seed, k):
    table = splits.split(cohort(), pairs_of(), 0.25, seed=0)
    shots = subsets.k_shot_subsets(table, [*k, "all"], [seed], PLANES)
    as_text = subsets.k_shot_subsets(table, [*map(str, k), "all"], [seed], PLANES)
    pd.testing.assert_frame_equal(shots, as_text)
    train = set(table[table.part == "train"].image_id)
    chosen = {name: set(rows.image_id) for name, rows in shots.groupby("k")}
    ordered = [chosen[str(number)] for number in sorted(k)] + [chosen["all"]]
    for small, large in pairwise(ordered):
        assert small < large or small == large
    assert chosen["all"] == train
    counts = shots[shots.k != "all"].groupby(["k", "plane"]).size()
    assert all(counts[str(number)].tolist() == [number, number] for number in k)


def test_few_shots_come_from_many_patients():
    table = splits.split(cohort(), pairs_of(), 0.25, seed=0)
    shots = subsets.k_shot_subsets(table, [9], [0, 1], PLANES).merge(table[["image_id", "patient"]])
    assert (shots.groupby(["seed", "plane"]).patient.nunique() == 9).all()


def test_a_rare_plane_is_rare_in_every_subset_and_nested():
    table = splits.split(cohort(), pairs_of(), 0.25, seed=0)
    plain = subsets.k_shot_subsets(table, [2, 4, "all"], [0], PLANES)
    rare = subsets.k_shot_subsets(table, [2, 4, "all"], [0], PLANES, at_most={PLANES[0]: 3})
    counts = rare[rare.plane == PLANES[0]].groupby("k").size()
    assert counts.to_dict() == {"2": 2, "4": 3, "all": 3}
    others, expected = (rows[rows.plane != PLANES[0]].reset_index(drop=True) for rows in (rare, plain))
    pd.testing.assert_frame_equal(others, expected)
    of = {k: set(rare.image_id[rare.k == k]) for k in ("2", "4", "all")}
    assert of["2"] < of["4"] < of["all"]


def test_seeds_draw_differently():
    table = splits.split(cohort(), pairs_of(), 0.25, seed=0)
    shots = subsets.k_shot_subsets(table, [5], [0, 1], PLANES)
    assert set(shots[shots.seed == 0].image_id) != set(shots[shots.seed == 1].image_id)


def test_too_large_k():
    table = splits.split(cohort(), pairs_of(), 0.25, seed=0)
    with pytest.raises(FetalkitError, match="k = 99, but a has only 18 train images"):
        subsets.k_shot_subsets(table, [99], [0], PLANES)
