"""Drawing of one synthetic set from a trained generator."""

from collections.abc import Sequence

import numpy as np

from fetalkit.config.sections import Section
from fetalkit.generators.base import Generator
from fetalkit.utils.progress import Progress
from fetalkit.utils.streams import rng


def draw(
    made: Generator, name: str, planes: Sequence[str], each: int, seed: int, sampling: Section
) -> tuple[np.ndarray, np.ndarray]:
    """Draw `each` images of every plane, plane after plane.

    Parameters
    ----------
    made
        A trained generator of these planes.
    name
        Of the set, for the log.
    seed
        Every plane has a stream of its own that follows from it.
    sampling
        How images are drawn.

    Returns
    -------
    images : ndarray, uint8 (n, side, side)
    labels : ndarray, int64 (n,)
    """
    parts = []
    with Progress(f"{name}: draw", len(planes) * each, unit="image") as progress:
        for number, plane in enumerate(planes):
            parts.append(made.sample(np.full(each, number), seed=rng(seed, plane).initial_seed(), sampling=sampling))
            progress.update(each)
            progress.report()
    return np.concatenate(parts), np.repeat(np.arange(len(planes)), each)
