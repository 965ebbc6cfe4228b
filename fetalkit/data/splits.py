"""Patient-level splits, and the checks that nothing leaks and that no part lacks a plane.

The official split stays. Patients that share an image are taken for one person (``group``): on africa, byte-identical files
stand under different patient numbers. Of a test image that also occurs in train, or earlier in test, no copy is used.
"""

import warnings
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from fetalkit.utils.errors import FetalkitError

PARTS = ("train", "validation", "test")
FOLDS = 20  # at most, that train patients are divided into: shares can be had in steps of a twentieth, or finer


def groups(index: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
    """Name of the person behind each image: patients connected by duplicate images share the first patient's name."""
    patients = pd.Index(sorted(index.patient.unique()))
    patient_of = index.set_index("image_id").patient
    a, b = (patients.get_indexer(pd.Index(patient_of.loc[pairs[side]])) for side in ("image_a", "image_b"))
    graph = coo_matrix((np.ones(len(pairs)), (a, b)), shape=(len(patients),) * 2)
    _, component = connected_components(graph, directed=False)
    first = pd.Series(patients).groupby(component).first()
    return index.patient.map(dict(zip(patients, first.loc[component], strict=True)))


def split(index: pd.DataFrame, pairs: pd.DataFrame, validation_fraction: float, seed: int) -> pd.DataFrame:
    """Assign every image to a part.

    Parameters
    ----------
    index, pairs
        As `fetalkit.cohorts.audit` makes them.
    validation_fraction
        Share of the train groups that become validation, stratified by plane: `numerator` of `denominator` equal parts of
        them, where the fraction of these with at most 20 parts is the nearest one.
    seed
        Of the choice of validation groups.

    Returns
    -------
    pandas.DataFrame
        ``image_id``, ``patient``, ``group``, ``plane``, ``centre``, ``machine``, ``official_split``, ``part`` (train,
        validation or test), ``dropped`` (why an image is left out of the de-duplicated study, else empty), and ``linked``
        (a test image that is used, but whose group has images in train).

    Raises
    ------
    FetalkitError
        When there are too few train patients for that share.
    """
    table = index[["image_id", "patient", "plane", "centre", "machine", "official_split"]].copy()
    table.insert(2, "group", groups(index, pairs))
    table["part"] = table.official_split
    train = table.official_split == "train"
    chosen = held_out(table[train], validation_fraction, seed, "splits.validation_fraction")
    table.loc[table.index[train][chosen], "part"] = "validation"
    table["dropped"] = _dropped(table, pairs)
    table["linked"] = (
        (table.part == "test")
        & (table.dropped == "")
        & table.group.isin(set(table.group[table.official_split == "train"]))
    )
    check(table, pairs)
    return table


def held_out(rows: pd.DataFrame, fraction: float, seed: int, key: str, people: str = "train patients") -> np.ndarray:
    """Positions of the rows of some groups, drawn so that they have their share of every plane, as far as that can be.

    Parameters
    ----------
    rows
        ``plane`` and ``group`` of every image.
    fraction
        Share of the groups: `numerator` of `denominator` equal parts, where the fraction of these with at most 20 parts is the
        nearest one.
    seed
        Of the choice.
    key, people
        Of the parameter that says the share, and who the groups are, for messages.

    Raises
    ------
    FetalkitError
        When there are too few groups for that share.
    """
    share = Fraction(fraction).limit_denominator(FOLDS)
    groups_of_rows, key = rows.group.nunique(), f"{key} = {fraction}"
    if share == 0:
        raise FetalkitError(f"{key} is too small; choose at least {1 / FOLDS:g}")
    if groups_of_rows < share.denominator:
        raise FetalkitError(
            f"only {groups_of_rows} {people}: too few for {key}, which takes {share.numerator} of {share.denominator} equal "
            "parts of them; choose one of fewer parts in params.yaml, such as 0.25 or 0.5"
        )
    folding = StratifiedGroupKFold(share.denominator, shuffle=True, random_state=seed)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class")  # `check_planes` tells of it
            folds = [chosen for _, chosen in folding.split(rows, rows.plane, rows.group)]
    except ValueError as error:
        raise FetalkitError(f"{key}: the {people} cannot be divided ({error}); choose another one") from error
    return np.concatenate(folds[: share.numerator])


def _dropped(table: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
    part = dict(zip(table.image_id, table.part, strict=True))
    reason = dict.fromkeys(table.image_id, "")
    for a, b in zip(pairs.image_a, pairs.image_b, strict=True):
        for image, other in ((a, b), (b, a)):
            if part[image] == "test" and part[other] != "test":
                reason[image] = f"also in train: {other}"
    for a, b in zip(pairs.image_a, pairs.image_b, strict=True):  # a stands before b in the index: the first copy stays
        if part[a] == part[b] == "test" and not reason[a] and not reason[b]:
            reason[b] = f"repeats {a}"
    return table.image_id.map(reason)


def check(table: pd.DataFrame, pairs: pd.DataFrame) -> None:
    """Raise `FetalkitError` if a patient or a picture stands in two parts of the study."""
    used = table[table.dropped == ""]
    spread = used.groupby("patient").part.nunique()
    if (spread > 1).any():
        others = f" (and {(spread > 1).sum() - 1} others)" if (spread > 1).sum() > 1 else ""
        raise FetalkitError(
            f"leaking split: patient {spread.index[spread > 1][0]}{others} has images in two parts; give all images of a "
            "patient the same official_split in the cohort's table"
        )
    learning = used[used.part != "test"].groupby("group").part.nunique()
    if (learning > 1).any():
        raise FetalkitError(f"leaking split: group {learning.index[learning > 1][0]} is in train and in validation")
    part = dict(zip(used.image_id, used.part, strict=True))
    for a, b in zip(pairs.image_a, pairs.image_b, strict=True):
        if a in part and b in part and part[a] != part[b]:
            raise FetalkitError(f"leaking split: {a} ({part[a]}) and {b} ({part[b]}) show the same picture")


def coverage(table: pd.DataFrame, planes: Sequence[str]) -> dict[str, list[str]]:
    """Part → planes of which it has no image that is used; a part that has all planes is not named."""
    used = table[table.dropped == ""]
    lacking = {
        part: [plane for plane in planes if not (used.plane[used.part == part] == plane).any()] for part in PARTS
    }
    return {part: without for part, without in lacking.items() if without}


def check_planes(table: pd.DataFrame, planes: Sequence[str]) -> str:
    """What to tell about planes without validation images; empty where there are none.

    Raises
    ------
    FetalkitError
        When a plane has no train or no test image: it can be neither learnt nor judged.
    """
    lacking = coverage(table, planes)
    for part in ("train", "test"):
        if part in lacking:
            raise FetalkitError(
                f"{', '.join(lacking[part])} has no {part} image; leave it out of cohort.planes in params.yaml, or add images"
            )
    if "validation" not in lacking:
        return ""
    return (
        f"{', '.join(lacking['validation'])} has no validation image: choices that are made on validation, such as that of the "
        "better control, do not know of it."
    )


def validation_shares(table: pd.DataFrame) -> pd.DataFrame:
    """What validation holds of all images that are not test images: a row per plane, and one for all of them.

    Columns: ``plane``, ``images``, ``share of images``, ``patients``, ``share of patients`` (persons, as in ``group``); shares
    in [0, 1].
    """
    known = table[(table.part != "test") & (table.dropped == "")]
    rows = []
    for plane in [*dict.fromkeys(known.plane.sort_values()), "all"]:
        here = known if plane == "all" else known[known.plane == plane]
        mine = here[here.part == "validation"]
        patients = mine.group.nunique()
        rows.append((plane, len(mine), len(mine) / len(here), patients, patients / here.group.nunique()))
    return pd.DataFrame(rows, columns=["plane", "images", "share of images", "patients", "share of patients"])
