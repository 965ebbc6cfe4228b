"""The ImageNet network of `fetalkit.utils.imagenet` as a classifier, and new last layers of timm's models."""

from typing import Any

import timm
from torch import nn

from fetalkit.utils import imagenet
from fetalkit.utils.errors import FetalkitError

_CLASSES = 1000  # of ImageNet
_HEAD_STD = 0.01  # of the weights of a new last layer


def create(n_classes: int = _CLASSES, channels: int = 3) -> Any:
    """Network with ImageNet weights, in evaluation mode.

    Parameters
    ----------
    n_classes
        With another number than the 1000 of ImageNet, the last layer is new, as `reset_classifier_head` makes it; seed it
        outside.
    channels
        1 sums the filters of the first layer over colours, which is the same as a grey image given three times.

    Returns
    -------
    torch.nn.Module
        The timm model; ``default_cfg`` holds the mean, the standard deviation and the size (px) that it is used to.

    Raises
    ------
    FetalkitError
        As `fetalkit.utils.imagenet.weights` does.
    """
    overlay = dict(state_dict=imagenet.weights())
    network: Any = timm.create_model(
        imagenet.NAME, pretrained=True, num_classes=n_classes, in_chans=channels, pretrained_cfg_overlay=overlay
    )
    # timm keeps the overlay in the model's configuration, which would hold every weight a second time.
    network.pretrained_cfg.pop("state_dict", None)
    return (network if n_classes == _CLASSES else reset_classifier_head(network)).eval()


def reset_classifier_head(network: nn.Module) -> nn.Module:
    """Give a timm model's new last layer small random weights, in place, and return the model.

    With the weights that timm begins with in some families (EfficientNet, MobileNet), uniform up to 1/sqrt(classes), the first
    losses are several times that of chance, and a short training ends before they are unlearnt.

    Raises
    ------
    FetalkitError
        When the model has no last layer of the usual kind.
    """
    for head in heads(network):
        layer = last_layer(head)
        nn.init.normal_(layer.weight, std=_HEAD_STD)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return network


def heads(network: Any) -> tuple[nn.Module, ...]:
    """The parts of a timm model that make logits of features: one, or two of a distilled network."""
    classifier = network.get_classifier()
    return tuple(classifier) if isinstance(classifier, tuple | list) else (classifier,)


def last_layer(head: nn.Module) -> nn.Linear | nn.Conv2d:
    """The layer with the weights (classes, features, ...) of a part that `heads` returns.

    Raises
    ------
    FetalkitError
        When there is none.
    """
    layers = [module for module in head.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    if not layers:
        raise FetalkitError(
            f"classify.classifiers: a network that ends in {type(head).__name__} is not supported; choose another model"
        )
    return layers[-1]
