"""Nested k-shot subsets of the train part."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from fetalkit.utils.errors import FetalkitError


def k_shot_subsets(
    table: pd.DataFrame,
    k: Sequence[int | str],
    seeds: Sequence[int],
    planes: Sequence[str],
    at_most: Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """Nested k-shot subsets of the train part.

    For each seed and plane the train images are put in one order: patients in random order, one image of each in turn. The
    first k are the k-shot subset, so small subsets lie inside large ones, and k images come from as many patients as can be.

    Parameters
    ----------
    table
        Splits, as `fetalkit.data.splits.split` makes them.
    k
        Images per plane, as numbers or text; ``"all"`` takes the whole train part.
    seeds
        One draw per seed.
    planes
        Names of the planes.
    at_most
        Plane → number of its images that no subset has more of, not even that of ``"all"``; None for none.

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
                if count != "all" and int(count) > len(order):
                    raise FetalkitError(
                        f"splits.shots: k = {count}, but {plane} has only {len(order)} train images; use a smaller k"
                    )
                chosen = order if count == "all" else order[: int(count)]
                chosen = chosen[: (at_most or {}).get(plane)]
                rows += [(seed, str(count), plane, image) for image in chosen]
    return pd.DataFrame(rows, columns=["seed", "k", "plane", "image_id"])


def _round_robin(rows: pd.DataFrame, random: np.random.Generator) -> list[str]:
    shuffled = rows.iloc[random.permutation(len(rows))]
    turn = shuffled.groupby("group", sort=False).cumcount()
    return shuffled.assign(turn=turn).sort_values("turn", kind="stable").image_id.tolist()
