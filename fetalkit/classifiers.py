"""Classifiers: timm models by name, for one-channel images."""

import timm
import torch
from torch import nn

from fetalkit.errors import FetalkitError

# Inputs in [0, 1] are centred and scaled by constants, the same for real and synthetic images of every cohort.
MEAN, STD = 0.25, 0.25


class Normalised(nn.Module):
    """A network that takes grey images in [0, 1]."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (batch, classes) of float images (batch, 1, height, width) in [0, 1]."""
        return self.network((images - MEAN) / STD)


def create(model: str, arguments: dict, n_classes: int, size: int, seed: int) -> nn.Module:
    """Classifier with weights drawn from `seed`.

    Parameters
    ----------
    model
        Name of a timm model.
    arguments
        Further arguments of ``timm.create_model``, e.g. ``{"depth": 6}``.
    n_classes
        Number of planes.
    size
        Side of the images in px; passed to models that need to know it.
    seed
        All arms of a cell begin with the same weights.

    Raises
    ------
    FetalkitError
        When timm has no such model or refuses the arguments.
    """
    if not timm.is_model(model):
        close = ", ".join(timm.list_models(f"*{model[:5]}*")[:5]) or "see timm.list_models()"
        raise FetalkitError(f"classify.classifiers: timm has no model {model!r}; some that it has: {close}")
    pretrained = timm.get_pretrained_cfg(model)
    needs_size = {"img_size": size} if pretrained is not None and pretrained.fixed_input_size else {}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            network = timm.create_model(model, in_chans=1, num_classes=n_classes, **needs_size, **arguments)
        except (TypeError, ValueError, RuntimeError, AssertionError) as error:
            raise FetalkitError(f"classify.classifiers: {model} cannot be made with {arguments}: {error}") from error
    return Normalised(network)
