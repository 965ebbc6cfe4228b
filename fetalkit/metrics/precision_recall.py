"""Precision, recall, density and coverage: is a synthetic set realistic, and is it as varied as the real one?

The real manifold is the union of balls around the real vectors, each reaching to the k-th nearest other real vector.
"""

import numpy as np
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors

NEIGHBOURS = 5


def scores(real: np.ndarray, synthetic: np.ndarray, k: int = NEIGHBOURS) -> dict[str, float]:
    """Precision, recall, density and coverage of `synthetic`, with Euclidean distances.

    Parameters
    ----------
    real, synthetic
        Feature vectors, (n, d) and (m, d); n and m must exceed `k`. Take n = m: the values depend on both.
    k
        Number of neighbours that sets the radius of a ball.

    Returns
    -------
    dict
        ``precision``: share of synthetic vectors inside a real ball. ``recall``: share of real vectors inside a synthetic
        ball. ``density``: real balls around a synthetic vector, on average, over k; 1 for two samples of one distribution,
        and it may exceed 1. ``coverage``: share of real balls that hold a synthetic vector; 1 - 1 / 2ᵏ for two samples of one
        distribution, n = m.

    Raises
    ------
    ValueError
        When a set is too small.

    References
    ----------
    Kynkäänniemi T, et al. Improved Precision and Recall Metric for Assessing Generative Models. NeurIPS (2019),
    arXiv 1904.06991. Naeem MF, et al. Reliable Fidelity and Diversity Metrics for Generative Models. ICML (2020),
    arXiv 2002.09797.
    """
    if min(len(real), len(synthetic)) <= k:
        raise ValueError(f"{len(real)} real and {len(synthetic)} synthetic vectors: too few for {k} neighbours")
    real, synthetic = (np.asarray(x, dtype=np.float64) for x in (real, synthetic))
    distance = pairwise_distances(real, synthetic)
    inside = distance < _radii(real, k)[:, None]
    return {
        "precision": float(inside.any(axis=0).mean()),
        "recall": float((distance < _radii(synthetic, k)).any(axis=1).mean()),
        "density": float(inside.sum(axis=0).mean() / k),
        "coverage": float(inside.any(axis=1).mean()),
    }


def _radii(vectors: np.ndarray, k: int) -> np.ndarray:
    """Distance of each vector to its k-th nearest other one."""
    return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(vectors).kneighbors()[0][:, -1]
