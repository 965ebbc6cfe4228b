"""Which images form the batch of a training step: a pure function of the step, so that a loop can resume anywhere."""

from functools import lru_cache

import torch

from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.streams import rng


@lru_cache(maxsize=8)
def _epoch(n: int, epoch: int, seed: int | str) -> torch.Tensor:
    """Order of `n` images in one epoch. Cached, since consecutive steps share it: do not change it in place."""
    return torch.randperm(n, generator=rng(seed, "epoch", epoch))


def indices(n: int, batch_size: int, step: int, seed: int | str) -> torch.Tensor:
    """Indices of the images in the batch of one step.

    The batches are cut one after the other from an endless stream of epochs, each a seeded permutation of all images. So
    any `n` goes with any `batch_size`: a batch may reach over the end of an epoch, or hold several epochs of a tiny set.

    Parameters
    ----------
    n
        Number of images, at least 1.
    batch_size
        Images per batch, at least 1.
    step
        Number of the step, counted from 0.
    seed
        Seed of the run.

    Returns
    -------
    torch.Tensor
        int64, shape ``(batch_size,)``, values in ``[0, n)``.

    Raises
    ------
    FetalkitError
        When `n` or `batch_size` is below 1, or `step` below 0.
    """
    if n < 1 or batch_size < 1 or step < 0:
        raise FetalkitError(
            f"no batch of {batch_size} from {n} images at step {step}: give at least one image and step 0"
        )
    first, last = step * batch_size, (step + 1) * batch_size
    parts = []
    for epoch in range(first // n, (last - 1) // n + 1):
        parts.append(_epoch(n, epoch, seed)[max(first - epoch * n, 0) : last - epoch * n])
    return torch.cat(parts)
