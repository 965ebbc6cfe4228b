"""Distances between two sets of feature vectors: Fréchet and kernel."""

import numpy as np
import torch
from torchmetrics.image.kid import poly_mmd


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet distance between the Gaussians fitted to two sets.

    ``|mean_a - mean_b|² + trace(cov_a + cov_b - 2 (cov_a cov_b)^½)``, with unbiased covariances. The trace of the root is the
    sum of the singular values of ``A Bᵀ``, where A and B are the centred sets over the roots of n - 1. So nothing is lost where
    there are fewer images than features: torchmetrics takes roots of the eigenvalues of the product of the covariances, most
    of which are then zeros that rounding has made negative or complex.

    Parameters
    ----------
    a, b
        (n, d) and (m, d), at least two rows each. The distance grows as n and m shrink, so compare only values of equal n.

    Returns
    -------
    float
        At least 0, in squared units of the features.

    Raises
    ------
    ValueError
        When the shapes do not fit or a set has fewer than two rows.

    References
    ----------
    Heusel M, et al. GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium. NeurIPS (2017),
    arXiv 1706.08500.
    """
    a, b = _checked(a, b)
    root_a, root_b = (_root(x) for x in (a, b))
    cross = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    means = np.square(a.mean(axis=0) - b.mean(axis=0)).sum()
    return max(0.0, float(means + np.square(root_a).sum() + np.square(root_b).sum() - 2 * cross))


def kernel(a: np.ndarray, b: np.ndarray) -> float:
    """Kernel distance (KID): unbiased estimate of the squared maximum mean discrepancy under a cubic polynomial kernel.

    All vectors are used at once, so there is no random choice of subsets. The estimate may be slightly below 0.

    Parameters
    ----------
    a, b
        (n, d) each, n at least 2.

    Returns
    -------
    float
        With the kernel ``(x·y / d + 1)³``; unlike the Fréchet distance, it does not depend on n in the mean.

    Raises
    ------
    ValueError
        When the sets differ in shape or have fewer than two rows.

    References
    ----------
    Bińkowski M, et al. Demystifying MMD GANs. ICLR (2018), arXiv 1801.01401.
    """
    a, b = _checked(a, b)
    if len(a) != len(b):
        raise ValueError(f"the kernel distance is for sets of equal size, not {len(a)} and {len(b)}")
    return float(poly_mmd(torch.from_numpy(a), torch.from_numpy(b)))


def _checked(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = (np.asarray(x, dtype=np.float64) for x in (a, b))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"features of shape {a.shape} and {b.shape}; (n, d) and (m, d) are needed, n and m at least 2")
    return a, b


def _root(x: np.ndarray) -> np.ndarray:
    """A matrix R with RᵀR = covariance of the rows of `x`, and no more rows than `x` has rows or columns."""
    return np.asarray(np.linalg.qr((x - x.mean(axis=0)) / np.sqrt(len(x) - 1), mode="r"))
