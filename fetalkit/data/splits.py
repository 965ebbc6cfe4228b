"""Patient-level splits, nested k-shot subsets, and the check that nothing leaks.

The official split stays. Patients that share an image are taken for one person (``group``): on africa, byte-identical files
stand under different patient numbers. Of a test image that also occurs in train, or earlier in test, no copy is used.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from fetalkit.utils.errors import FetalkitError

PARTS = ("train", "validation", "test")


def groups(index: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
    """Name of the person behind each image: patients connected by duplicate images share the first patient's name."""
    patients = pd.Index(sorted(index.patient.unique()))
    patient_of = index.set_index("image_id").patient
    a, b = (patients.get_indexer(patient_of.loc[pairs[side]]) for side in ("image_a", "image_b"))
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
        Share of the train groups that become validation, stratified by plane.
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
        When too few patients are left to carve out validation.
    """
    table = index[["image_id", "patient", "plane", "centre", "machine", "official_split"]].copy()
    table.insert(2, "group", groups(index, pairs))
    table["part"] = table.official_split
    train = table.official_split == "train"
    folds = round(1 / validation_fraction)
    if table[train].group.nunique() < folds:
        raise FetalkitError(
            f"only {table[train].group.nunique()} train patients: too few for a validation_fraction of "
            f"{validation_fraction}; raise splits.validation_fraction in params.yaml"
        )
    folding = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    _, chosen = next(folding.split(table[train], table[train].plane, table[train].group))
    table.loc[table.index[train][chosen], "part"] = "validation"
    table["dropped"] = _dropped(table, pairs)
    table["linked"] = (
        (table.part == "test")
        & (table.dropped == "")
        & table.group.isin(set(table.group[table.official_split == "train"]))
    )
    check(table, pairs)
    return table


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
        raise FetalkitError(f"leaking split: patient {spread.index[spread > 1][0]} has images in two parts")
    learning = used[used.part != "test"].groupby("group").part.nunique()
    if (learning > 1).any():
        raise FetalkitError(f"leaking split: group {learning.index[learning > 1][0]} is in train and in validation")
    part = dict(zip(used.image_id, used.part, strict=True))
    for a, b in zip(pairs.image_a, pairs.image_b, strict=True):
        if a in part and b in part and part[a] != part[b]:
            raise FetalkitError(f"leaking split: {a} ({part[a]}) and {b} ({part[b]}) show the same picture")


def shots(table: pd.DataFrame, k: Sequence[int | str], seeds: Sequence[int], planes: Sequence[str]) -> pd.DataFrame:
    """Nested k-shot subsets of the train part.

    For each seed and plane the train images are put in one order: patients in random order, one image of each in turn. The
    first k are the k-shot subset, so small subsets lie inside large ones, and k images come from as many patients as can be.

    Parameters
    ----------
    k
        Images per plane; ``"all"`` takes the whole train part.
    seeds
        One draw per seed.

    Returns
    -------
    pandas.DataFrame
        ``seed``, ``k`` (text), ``plane``, ``image_id``.

    Raises
    ------
    FetalkitError
        When a plane has fewer than k train images.
    """
    train = table[(table.part == "train") & (table.dropped == "")]
    rows = []
    for seed in seeds:
        for number, plane in enumerate(planes):
            order = _round_robin(train[train.plane == plane], np.random.default_rng([seed, number]))
            for count in k:
                if count != "all" and count > len(order):
                    raise FetalkitError(
                        f"splits.shots: k = {count}, but {plane} has only {len(order)} train images; use a smaller k"
                    )
                chosen = order if count == "all" else order[:count]
                rows += [(seed, str(count), plane, image) for image in chosen]
    return pd.DataFrame(rows, columns=["seed", "k", "plane", "image_id"])


def _round_robin(rows: pd.DataFrame, random: np.random.Generator) -> list[str]:
    shuffled = rows.iloc[random.permutation(len(rows))]
    turn = shuffled.groupby("group", sort=False).cumcount()
    return shuffled.assign(turn=turn).sort_values("turn", kind="stable").image_id.tolist()
