"""Optimisers of the generators' networks: AdamW, or Muon for what lies between the first and the last layer.

Muon makes the update of a weight matrix orthogonal [1]_, a convolution counting as the matrix of its flattened kernels [2]_.
On this U-Net it learns from half the images what AdamW learns (``docs/generator.md``). What maps pixels, noise levels and
planes into the network, and the network back into pixels, is left to AdamW, as are biases and norms.

References
----------
.. [1] Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024.
.. [2] timm, ``timm.optim.muon``.
"""

from typing import Literal

import torch
from torch import nn

Name = Literal["adamw", "muon"]
# Parts of networks whose weights are no hidden matrices.
OUTER = ("encoder.stem", "conditions", "out")


def make(
    network: nn.Module, name: Name, learning_rate: float, weight_decay: float, precision: torch.dtype
) -> torch.optim.Optimizer:
    """Optimiser over the parameters of `network`; weights decay, norms and biases do not.

    Parameters
    ----------
    network
        On its device.
    name
        ``"adamw"`` or ``"muon"``.
    learning_rate
        Of AdamW; Muon's updates are scaled to the same size, so that one rate serves both.
    weight_decay
        Share that a weight loses per step and unit of the rate.
    precision
        In which Muon makes matrices orthogonal.
    """
    from timm.optim import param_groups_weight_decay  # pyright: ignore[reportPrivateImportUsage]  # documented there

    from fetalkit.generators.muon import Muon

    groups = param_groups_weight_decay(network, weight_decay)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.99), fused=True)
    outer = {
        id(parameter)
        for key, parameter in network.named_parameters()
        if any(key.startswith(f"{part}.") for part in OUTER)
    }
    split = []
    for group in groups:
        for fallback in (False, True):
            parameters = [one for one in group["params"] if (one.ndim < 2 or id(one) in outer) == fallback]
            if parameters:
                split.append(group | {"params": parameters, "use_fallback": fallback})
    return Muon(split, precision=precision, lr=learning_rate, momentum=0.95, betas=(0.9, 0.99))
