"""Pictures that stand in two cohorts: one that is in the source's train part and the target's test part would be a leak."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from fetalkit.cohorts import audit
from fetalkit.config.params import Params
from fetalkit.data import index as table_of_images
from fetalkit.data.study import Study
from fetalkit.utils.errors import FetalkitError

_NAMED = 5  # pairs that the message names


def shared(
    indices: Sequence[pd.DataFrame], images: Sequence[np.ndarray], bits: int, correlation: float
) -> pd.DataFrame:
    """Pairs of images of two cohorts that show the same picture.

    Parameters
    ----------
    indices
        Of the two cohorts, as `fetalkit.cohorts.audit.scan` makes them.
    images
        Their images, uint8 (n, size, size), in the same order.
    bits, correlation
        What counts as alike; as for `fetalkit.cohorts.audit.duplicates`.

    Returns
    -------
    pandas.DataFrame
        ``image_a``, ``image_b``, ``kind`` (exact or near), ``bits``, ``correlation``.
    """
    # Names may be used in both: they become those of rows.
    both = pd.concat(indices, ignore_index=True)
    rows = both.assign(image_id=both.index, patient="", official_split="")
    pairs = audit.duplicates(rows, np.concatenate(images), bits, correlation)
    first = len(indices[0])
    pairs = pairs[(pairs.image_a < first) & (pairs.image_b >= first)]
    names = {side: both.image_id.to_numpy()[pairs[side].to_numpy(int)] for side in ("image_a", "image_b")}
    return pairs.assign(**names)[["image_a", "image_b", "kind", "bits", "correlation"]].reset_index(drop=True)


def check(cohorts: Mapping[str, Params]) -> int:
    """Look at every pair of cohorts; return the number of images that were compared with those of another.

    Raises
    ------
    FetalkitError
        When two of them share a picture, or 01_cohort or 02_images is missing for one.
    """
    known = {name: index_and_images(name, settings) for name, settings in cohorts.items()}
    for a, b in combinations(known, 2):
        splits = cohorts[a].splits
        (index_a, images_a), (index_b, images_b) = known[a], known[b]
        pairs = shared(
            (index_a, index_b), (images_a, images_b), splits.near_duplicate_bits, splits.near_duplicate_correlation
        )
        if len(pairs):
            named = ", ".join(f"{row.image_a} = {row.image_b}" for row in pairs[:_NAMED].itertuples())
            raise FetalkitError(
                f"{len(pairs)} pictures stand in {a} and in {b} ({named}): a network would be tested on what it was "
                f"trained on; leave them out of one cohort"
            )
    return sum(len(index) for index, _ in known.values()) if len(known) > 1 else 0


def index_and_images(cohort: str, settings: Params) -> tuple[pd.DataFrame, np.ndarray]:
    """Table that 01_cohort makes, and all images of a cohort in the same order; FetalkitError where a stage is missing."""
    index = table_of_images.read(cohort)
    return index, Study(cohort, settings).store.images(index.image_id)
