"""Classifiers: timm models by name, for one-channel images, from scratch or with pretrained weights."""

import timm
import torch
from torch import nn
from torch.nn import functional

from fetalkit.classifiers import pretrained
from fetalkit.config.params import Params
from fetalkit.utils.errors import FetalkitError

# Inputs in [0, 1] are centred and scaled by constants, the same for real and synthetic images of every cohort.
MEAN, STD = 0.25, 0.25


class Normalised(nn.Module):
    """A network that takes grey images in [0, 1].

    Parameters
    ----------
    network
        A timm model for one channel.
    mean, std
        What it expects its inputs to be standardised by.
    input_size
        Side in px that images are resized to first (bilinear); None leaves them as they are.
    """

    def __init__(self, network: nn.Module, mean: float = MEAN, std: float = STD, input_size: int | None = None):
        super().__init__()
        self.network, self.mean, self.std, self.input_size = network, mean, std, input_size

    def prepare(self, images: torch.Tensor) -> torch.Tensor:
        """What the network sees of float images (batch, 1, height, width) in [0, 1]."""
        if self.input_size and images.shape[-1] != self.input_size:
            side = (self.input_size, self.input_size)
            images = functional.interpolate(images, side, mode="bilinear", align_corners=False)
        return (images - self.mean) / self.std

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """What the last layer sees (batch, features) of float images (batch, 1, height, width) in [0, 1]."""
        return self.network.forward_head(self.network.forward_features(self.prepare(images)), pre_logits=True)

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """Logits (batch, classes) of `features`."""
        return self.network.get_classifier()(features)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (batch, classes) of float images (batch, 1, height, width) in [0, 1]."""
        return self.network(self.prepare(images))


def create(
    model: str,
    arguments: dict,
    n_classes: int,
    size: int,
    seed: int,
    *,
    weights: bool = False,
    input_size: int | None = None,
) -> Normalised:
    """Classifier whose random weights follow from `seed`.

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
    weights
        Begin with pretrained weights, all but the last layer. Those of ``tf_efficientnet_lite0`` come with a Python package
        (`fetalkit.classifiers.pretrained`), those of other models from where timm fetches them.
    input_size
        Side in px that images are resized to inside the network; None is `size`.

    Raises
    ------
    FetalkitError
        When timm has no such model, refuses the arguments, or cannot fetch the weights.
    """
    if not timm.is_model(model):
        close = ", ".join(timm.list_models(f"*{model[:5]}*")[:5]) or "see timm.list_models()"
        raise FetalkitError(f"classify.classifiers: timm has no model {model!r}; some that it has: {close}")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            network = _network(model, arguments, n_classes, input_size or size, weights)
        except (TypeError, ValueError, RuntimeError, AssertionError, OSError) as error:
            raise FetalkitError(f"classify.classifiers: {model} cannot be made with {arguments}: {error}") from error
    if not weights:
        return Normalised(network, input_size=input_size)
    # The colours of a grey image are equal, and so is here what they are standardised by.
    mean, std = (float(torch.tensor(network.pretrained_cfg[key]).mean()) for key in ("mean", "std"))
    return Normalised(network.train(), mean, std, input_size)


def _network(model: str, arguments: dict, n_classes: int, size: int, weights: bool) -> nn.Module:
    if weights and model == pretrained.NAME and not arguments:
        return pretrained.create(n_classes, channels=1)
    known = timm.get_pretrained_cfg(model)
    needs_size = {"img_size": size} if known is not None and known.fixed_input_size else {}
    made = timm.create_model(model, pretrained=weights, in_chans=1, num_classes=n_classes, **needs_size, **arguments)
    return pretrained.calm(made) if weights else made


def of_study(settings: Params, name: str, seed: int) -> Normalised:
    """Classifier `name` of ``classify.classifiers``, on the CPU; raises as `create`."""
    spec = settings.classify.classifiers[name]
    return create(
        spec.model,
        spec.arguments,
        len(settings.cohort.planes),
        settings.images.size,
        seed,
        weights=spec.pretrained,
        input_size=spec.input_size,
    )
