"""AdaBN: a trained network meets a new domain with batch-normalisation statistics of that domain, and the same weights.

References
----------
Li Y, Wang N, Shi J, Liu J, Hou X. Revisiting Batch Normalization For Practical Domain Adaptation. arXiv 1603.04779 (2016).
"""

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from fetalkit.classifiers.loader import as_input
from fetalkit.utils.errors import FetalkitError


@torch.no_grad()
def adapt(model: nn.Module, images: np.ndarray, device: torch.device, batch_size: int = 256) -> None:
    """Replace the running means and variances of `model`, in place, by those of unlabelled images.

    Each layer gets the plain average over batches of its inputs' means and variances. Weights do not change, and all layers
    are left in the mode (training or evaluation) that they were found in.

    Parameters
    ----------
    model
        Takes float (batch, 1, height, width) in [0, 1]; on `device`.
    images
        uint8 (n, height, width) of the new domain, n at least 2, in any order.
    batch_size
        Least number of images per batch, at least 2, where there are as many; a batch has less than twice as many.

    Raises
    ------
    FetalkitError
        When the network has no batch normalisation, as most ViT do not, or the images are too few.
    """
    layers = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    if not layers:
        raise FetalkitError("AdaBN: this network has no batch normalisation to adapt; use another kind of alignment")
    if min(len(images), batch_size) < 2:
        raise FetalkitError(f"AdaBN: {len(images)} images in batches of {batch_size}; statistics need 2 or more each")
    modes = {module: module.training for module in model.modules()}
    momenta = [layer.momentum for layer in layers]
    try:
        model.eval()  # no dropout
        for layer in layers:
            layer.train()
            layer.reset_running_stats()
            layer.momentum = None  # cumulative average
        # Batches weigh the same, so their sizes are almost equal. Each has images from all over, since neighbours may be alike.
        count = max(1, len(images) // batch_size)
        for first in range(count):
            model(as_input(images[first::count], device))
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        for module, training in modes.items():
            module.training = training
