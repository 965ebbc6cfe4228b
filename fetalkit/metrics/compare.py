"""Many sets against one reference, fairly: equal numbers of every plane on both sides, drawn with a seed."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from fetalkit.metrics import distances, precision_recall
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.streams import rng

REFERENCE = "real_test"
ALL = "all"
METRICS = ("fd", "kid", "precision", "recall", "density", "coverage")
_COMPONENTS = 50  # the usual number of principal components before t-SNE


def draw(labels: Mapping[str, np.ndarray], planes: Sequence[str], seed: int) -> dict[str, list[np.ndarray]]:
    """Rows of every set, one array per plane, as many of a plane as the set with the fewest has.

    The draw of a set depends on the seed, its name and that number alone, so another set beside it changes nothing as long as
    it has no fewer images.

    Raises
    ------
    FetalkitError
        When a set has no image of a plane.
    """
    rows = {name: [np.flatnonzero(of == number) for number in range(len(planes))] for name, of in labels.items()}
    chosen = {name: [] for name in labels}
    for number, plane in enumerate(planes):
        n = {name: len(rows[name][number]) for name in labels}
        if not min(n.values()):
            raise FetalkitError(
                f"fidelity: {min(n, key=lambda name: n[name])} has no image of {plane}; leave out the set or the plane"
            )
        for name in labels:
            order = torch.randperm(n[name], generator=rng(seed, "fidelity", name, plane)).numpy()
            chosen[name].append(np.sort(rows[name][number][order[: min(n.values())]]))
    return chosen


def table(
    features: Mapping[str, Mapping[str, np.ndarray]],
    labels: Mapping[str, np.ndarray],
    planes: Sequence[str],
    reference: str = REFERENCE,
    seed: int = 0,
    neighbours: int = precision_recall.NEIGHBOURS,
) -> pd.DataFrame:
    """Every set against the reference, in every feature space, over all planes and for each.

    Parameters
    ----------
    features
        Name of the space → name of the set → (n, d); see `fetalkit.metrics.features.of_sets`.
    labels
        Name of the set → positions in `planes`, (n,).
    planes
        Names of the planes.
    reference
        Name of the set that the others are compared with. Real train images as one of these others show what a perfect
        generator would reach.
    seed
        Of the draw.
    neighbours
        k of precision, recall, density and coverage.

    Returns
    -------
    pandas.DataFrame
        ``space``, ``set``, ``plane`` (``"all"`` or a name), ``n`` (images on either side), ``fd``, ``kid``, ``precision``,
        ``recall``, ``density``, ``coverage``. Missing where there are too few images: below 2 for distances, `neighbours` + 1
        for the others.

    Raises
    ------
    FetalkitError
        When a set lacks a plane.
    """
    chosen = draw(labels, planes, seed)
    rows = []
    for space, sets in features.items():
        for name in labels:
            if name == reference:
                continue
            for number, plane in enumerate([ALL, *planes]):
                real, other = (
                    sets[side][np.concatenate(chosen[side]) if plane == ALL else chosen[side][number - 1]]
                    for side in (reference, name)
                )
                rows.append(
                    {"space": space, "set": name, "plane": plane, "n": len(real), **_row(real, other, neighbours)}
                )
    return pd.DataFrame(rows, columns=["space", "set", "plane", "n", *METRICS])


def _row(real: np.ndarray, other: np.ndarray, neighbours: int) -> dict[str, float]:
    measured = {}
    if len(real) > 1:
        measured |= {"fd": distances.frechet(real, other), "kid": distances.kernel(real, other)}
    if len(real) > neighbours:
        measured |= precision_recall.scores(real, other, neighbours)
    return measured


def summary(compared: pd.DataFrame, memorised: Mapping[str, Mapping[str, float]]) -> dict:
    """Contents of ``fidelity.json``.

    Parameters
    ----------
    compared
        As `table` makes it; the rows over all planes count.
    memorised
        Name of the set → what `fetalkit.metrics.memorisation.share` returns.

    Returns
    -------
    dict
        ``{space: {set: {fd, kid, precision, recall, density, coverage, n}}}`` and ``"memorisation": {set: {share, low, high,
        threshold, n}}``; JSON types, floats of six significant digits, None for what is missing.
    """
    content: dict = {}
    for row in compared[compared.plane == ALL].to_dict("records"):
        content.setdefault(row["space"], {})[row["set"]] = _plain({name: row[name] for name in (*METRICS, "n")})
    return {**content, "memorisation": {name: _plain(values) for name, values in memorised.items()}}


def _plain(values: Mapping[str, float]) -> dict[str, float | int | None]:
    return {
        key: None if np.isnan(value) else int(value) if key == "n" else float(f"{value:.6g}")
        for key, value in values.items()
    }


def embed(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Two-dimensional t-SNE of feature vectors, started from their principal components.

    Parameters
    ----------
    vectors
        (n, d), n at least 4.
    seed
        Of the optimisation.

    Returns
    -------
    ndarray, float32 (n, 2)

    Raises
    ------
    ValueError
        When there are fewer than four vectors.

    References
    ----------
    van der Maaten L, Hinton G. Visualizing Data using t-SNE. JMLR 9, 2579-2605 (2008).
    """
    if len(vectors) < 4:
        raise ValueError(f"{len(vectors)} vectors are too few for t-SNE")
    components = min(_COMPONENTS, len(vectors), vectors.shape[1])
    reduced = PCA(components, svd_solver="full").fit_transform(vectors)
    perplexity = min(30, (len(vectors) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced)
