"""Several scales in prediction; `fetalkit.classifiers.transforms.multi_scale` is their counterpart in training."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from fetalkit.classifiers import trainer
from fetalkit.utils.errors import FetalkitError

SCALES = (1.0, 1.25, 1.5)  # all within what multi-scale training shows


def predict(model: nn.Module, images: np.ndarray, device: torch.device, scales: Sequence[float] = SCALES) -> np.ndarray:
    """Class probabilities, averaged over magnifications of the middle of the images.

    At magnification s the network sees the central part that is 1 / s as wide and high (below 1: the image with black around
    it), resampled bilinearly, in one step, to the size that the network works at. At 1 it sees the image itself.

    Parameters
    ----------
    model
        As `trainer.predict` takes it. Where it has an ``input_size`` (px), that is the size it works at, else it
        is the images'.
    images
        uint8 (n, height, width).
    scales
        Magnifications, above 0, one or more.

    Returns
    -------
    np.ndarray
        float32 (n, classes); rows sum to 1. With ``scales=(1,)`` what `fetalkit.classifiers.trainer.predict` returns.

    Raises
    ------
    FetalkitError
        When there is no magnification, or one is not above 0.
    """
    if not len(scales) or min(scales) <= 0:
        raise FetalkitError(f"magnifications {tuple(scales)}: give one or more, all above 0")
    return np.mean([trainer.predict(_Magnified(model, scale), images, device) for scale in scales], axis=0)


class _Magnified(nn.Module):
    def __init__(self, model: nn.Module, scale: float):
        super().__init__()
        self.model, self.scale = model, scale

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.scale == 1:
            return self.model(images)
        side = getattr(self.model, "input_size", None)
        size = (side, side) if side else images.shape[-2:]
        matrix = torch.eye(2, 3, device=images.device).expand(len(images), 2, 3) / self.scale
        grid = functional.affine_grid(matrix, [len(images), 1, *size], align_corners=False)
        return self.model(functional.grid_sample(images, grid, align_corners=False))
