"""Where in an image a classifier sees the evidence for a class: Grad-CAM."""

from typing import Any

import numpy as np
import torch
from captum.attr import LayerAttribution, LayerGradCam
from torch import nn

from fetalkit.classifiers.loader import as_input
from fetalkit.classifiers.models import Normalised
from fetalkit.utils import devices
from fetalkit.utils.errors import FetalkitError

LEAST_SIDE = 4  # positions; a coarser map cannot say where


def gradcam(
    model: Normalised, images: np.ndarray, classes: np.ndarray, device: torch.device, batch_size: int = 64
) -> np.ndarray:
    """Grad-CAM maps of a convolutional classifier.

    The channels of the last feature map of at least 4 × 4 positions, each weighted with the mean gradient of the class's
    logit, are summed; what is negative, evidence against the class, is cut off. R. R. Selvaraju et al., "Grad-CAM", ICCV 2017,
    as captum computes it.

    Parameters
    ----------
    model
        On `device`; left in evaluation mode.
    images
        uint8 (n, height, width).
    classes
        Integers (n,): the class asked about for each image, e.g. the one it was called.
    batch_size
        Images at a time.

    Returns
    -------
    numpy.ndarray
        float32 (n, height, width) in [0, 1]: each map is divided by its maximum, and is 0 throughout where nothing speaks for
        the class.

    Raises
    ------
    FetalkitError
        When the network has no such feature map, as a vision transformer, or there are not as many classes as images.
    """
    if len(images) != len(classes):
        raise FetalkitError(f"Grad-CAM: {len(images)} images but {len(classes)} classes; give one class per image")
    model.eval()
    camera = LayerGradCam(model, _last_map(model, as_input(images[:1], device)))
    parts = [np.empty((0, *images.shape[1:]), np.float32)]
    with devices.reproducible(device):
        for start in range(0, len(images), batch_size):
            inputs = as_input(images[start : start + batch_size], device)
            targets = torch.as_tensor(classes[start : start + batch_size], device=device)
            coarse: Any = camera.attribute(inputs, targets, relu_attributions=True)  # one tensor, of one layer
            maps = LayerAttribution.interpolate(coarse.detach(), tuple(images.shape[1:]), "bilinear")[:, 0]
            highest = maps.amax(dim=(1, 2), keepdim=True)
            parts.append((maps / torch.where(highest > 0, highest, 1)).cpu().numpy())
    return np.concatenate(parts)


def has_map(model: Normalised, size: int) -> bool:
    """Whether `gradcam` can say where the network, which is left in evaluation mode, looks in images of `size` px."""
    model.eval()
    device = next(model.parameters()).device
    try:
        return _last_map(model, torch.zeros(1, 1, size, size, device=device)) is not None
    except FetalkitError:
        return False


@torch.inference_mode()
def _last_map(model: Normalised, image: torch.Tensor) -> nn.Module:
    """The last stage of the network whose output, for this image, is a map of channels with at least 4 × 4 positions.

    timm's ``feature_info`` lists the stages of every network, also of transformers, whose outputs have other shapes.
    """
    listed = getattr(model.network, "feature_info", [])
    stages = [(model.network.get_submodule(stage["module"]), stage["num_chs"]) for stage in listed]
    shapes: dict[nn.Module, tuple[int, ...]] = {}

    def note(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        shapes[module] = tuple(output.shape)

    hooks = [module.register_forward_hook(note) for module, _ in stages]
    try:
        model(image)
    finally:
        for hook in hooks:
            hook.remove()
    for module, channels in reversed(stages):
        shape = shapes.get(module, ())
        if len(shape) == 4 and shape[1] == channels and min(shape[2:]) >= LEAST_SIDE:
            return module
    raise FetalkitError(
        f"Grad-CAM: {type(model.network).__name__} has no feature map of {LEAST_SIDE} x {LEAST_SIDE} positions for images of "
        f"{image.shape[-1]} px; choose a convolutional classifier, such as resnet10t or tf_efficientnet_lite0"
    )
