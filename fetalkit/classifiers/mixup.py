"""Mixup and cutmix, on the fly: batches of mixed images with soft targets.

mixup (Zhang et al., ICLR 2018) adds two images, λ and 1 − λ of each; cutmix (Yun et al., ICCV 2019) pastes a rectangle of
1 − λ of the area of one into the other. The targets are mixed alike. Both are timm's; its random numbers come from numpy's
global generator, which is seeded here for every step and put back afterwards.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from timm.data.mixup import Mixup

from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.streams import rng

# λ is drawn from Beta(alpha, alpha), once per batch, as in both papers; the alphas of timm's training recipes.
ALPHAS: dict[str, dict[str, Any]] = {
    "mixup": {"mixup_alpha": 0.8, "cutmix_alpha": 0.0},
    "cutmix": {"mixup_alpha": 0.0, "cutmix_alpha": 1.0},
}


def mix(
    kind: str,
    images: torch.Tensor,
    labels: torch.Tensor,
    n_classes: int,
    label_smoothing: float,
    seed_key: tuple[int | str, ...],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix every image of a batch with the one at the mirrored place: the first with the last, and so on.

    Parameters
    ----------
    kind
        ``"mixup"`` (λ from Beta(0.8, 0.8)) or ``"cutmix"`` (λ from Beta(1, 1), corrected for rectangles that reach over
        the edge).
    images
        Float (batch, 1, height, width); not changed.
    labels
        int64 (batch,) in [0, n_classes).
    n_classes
        Number of planes.
    label_smoothing
        Share of every target that is spread evenly over all classes, in [0, 1].
    seed_key
        Key of :func:`fetalkit.utils.streams.rng`, e.g. ``(seed, "mix", step)``; decides all random numbers.

    Returns
    -------
    images : torch.Tensor
        Shape and range as given.
    targets : torch.Tensor
        Float (batch, n_classes); rows sum to 1. Cross entropy with these needs no further label smoothing.

    Raises
    ------
    FetalkitError
        When `kind` is another one, or the batch has an odd number of images.
    """
    if kind not in ALPHAS:
        raise FetalkitError(f"there is no mixing {kind!r}; use {' or '.join(ALPHAS)}")
    if len(images) % 2:
        raise FetalkitError(f"{kind}: {len(images)} images do not form pairs; make classify.batch_size an even number")
    mixer = Mixup(**ALPHAS[kind], label_smoothing=label_smoothing, num_classes=n_classes)
    with _numpy_seeded(seed_key):
        return mixer(images.clone(), labels)


def mixup(
    images: torch.Tensor, labels: torch.Tensor, n_classes: int, label_smoothing: float, seed_key: tuple[int | str, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """`mix` of the kind ``"mixup"``."""
    return mix("mixup", images, labels, n_classes, label_smoothing, seed_key)


def cutmix(
    images: torch.Tensor, labels: torch.Tensor, n_classes: int, label_smoothing: float, seed_key: tuple[int | str, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """`mix` of the kind ``"cutmix"``."""
    return mix("cutmix", images, labels, n_classes, label_smoothing, seed_key)


@contextmanager
def _numpy_seeded(key: tuple[int | str, ...]) -> Iterator[None]:
    """Within it, numpy's global generator depends on `key` alone; afterwards it goes on as if nothing had been."""
    before = np.random.get_state()  # noqa: NPY002 - timm draws from the global generator
    np.random.seed(rng(*key).initial_seed() % 2**32)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
