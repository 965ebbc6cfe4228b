"""Grad-CAM maps lie where the evidence is."""

import numpy as np
import pytest
import torch
from torch import nn

from fetalkit.classifiers import models
from fetalkit.classifiers.gradcam import gradcam
from fetalkit.classifiers.loader import as_input
from fetalkit.config import params
from fetalkit.experiments import building
from fetalkit.utils.errors import FetalkitError

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


class Quadrants(nn.Module):
    """Class c looks at quadrant c alone: channel c of its feature map is the brightness there and 0 elsewhere."""

    def __init__(self, size):
        super().__init__()
        quadrants = torch.zeros(4, size // 4, size // 4)
        half = size // 8
        for c in range(4):
            quadrants[c, (c // 2) * half : (c // 2 + 1) * half, (c % 2) * half : (c % 2 + 1) * half] = 1
        self.stage = Stage(quadrants)
        self.feature_info = [dict(module="stage", num_chs=4, reduction=4)]

    def forward(self, images):
        return self.stage(images).mean(dim=(2, 3))


class Stage(nn.Module):
    def __init__(self, quadrants):
        super().__init__()
        self.register_buffer("quadrants", quadrants)
        self.pool = nn.AvgPool2d(4)

    def forward(self, images):
        return self.pool(images * models.STD + models.MEAN) * self.quadrants


def random_images(n=4, size=64):
    return np.random.default_rng(0).integers(0, 255, (n, size, size), np.uint8)


@pytest.mark.parametrize("quadrant", range(4))
def test_the_map_lies_on_the_evidence(quadrant):
    size = 64
    images = np.full((2, size, size), 120, np.uint8)
    maps = gradcam(models.Normalised(Quadrants(size)), images, np.array([quadrant, 3 - quadrant]), CPU)
    halves = maps.reshape(2, 2, size // 2, 2, size // 2).sum(axis=(2, 4)) / maps.sum(axis=(1, 2))[:, None, None]
    assert halves[0, quadrant // 2, quadrant % 2] > 0.85
    assert halves[1, (3 - quadrant) // 2, (3 - quadrant) % 2] > 0.85


def test_brightness_weighs_the_evidence():
    images = np.full((1, 64, 64), 40, np.uint8)
    images[0, 4:12, 4:12] = 240
    (measured,) = gradcam(models.Normalised(Quadrants(64)), images, np.array([0]), CPU)
    assert np.unravel_index(measured.argmax(), measured.shape) == pytest.approx((7.5, 7.5), abs=4)
    assert measured[24, 24] < 0.3 and measured[50, 50] == 0


def test_nothing_speaks_for_the_class():
    maps = gradcam(models.Normalised(Quadrants(64)), np.zeros((1, 64, 64), np.uint8), np.array([0]), CPU)
    assert maps.max() == 0


def test_it_is_the_class_activation_map_of_a_network_with_a_linear_head():
    """There, the gradient of a logit with respect to a channel is the head's weight (Selvaraju et al., section 3.1)."""
    model = models.create("resnet10t", {"stem_width": 8}, 4, 128, 0).eval()
    images, classes = random_images(3, 128), np.array([2, 0, 1])
    with torch.no_grad():
        features = model.network.forward_features(model.prepare(as_input(images, CPU)))
        assert features.shape[2:] == (4, 4)
        weights = model.network.get_classifier().weight[classes]
        coarse = torch.einsum("nk,nkhw->nhw", weights, features).relu()
        fine = nn.functional.interpolate(coarse[:, None], (128, 128), mode="bilinear")[:, 0]
        expected = (fine / fine.amax(dim=(1, 2), keepdim=True)).numpy()
    assert np.allclose(gradcam(model, images, classes, CPU), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "size", "input_size", "stage"),
    [
        ("resnet10t", 64, None, "layer3"),
        ("resnet10t", 128, None, "layer4"),
        ("tf_efficientnet_lite0", 64, None, "blocks.4"),
        ("tf_efficientnet_lite0", 64, 128, "blocks.6"),
    ],
)
def test_the_last_map_that_can_say_where_is_used(name, size, input_size, stage):
    model = models.create(name, {}, 4, size, 0, input_size=input_size)
    seen = []
    model.network.get_submodule(stage).register_forward_hook(lambda module, inputs, output: seen.append(output.grad_fn))
    images = random_images(5, size)
    maps = gradcam(model, images, np.array([0, 1, 2, 3, 0]), CPU, batch_size=2)
    assert maps.shape == (5, size, size) and maps.dtype == np.float32
    assert maps.min() >= 0 and maps.max() == 1
    assert len(seen) == 4  # once to find the stage, then three batches
    # A map of 4 × 4 positions, enlarged linearly, is linear between the positions' centres.
    part = maps[0, size // 2, 3 * size // 8 : 5 * size // 8]
    assert np.allclose(np.diff(part, 2), 0, atol=1e-4)
    assert np.ptp(maps[0]) > 0.1


def test_maps_do_not_depend_on_batches_and_leave_the_weights_alone():
    model = models.create("resnet10t", {"stem_width": 8}, 4, 64, 0)
    for weight in model.parameters():
        weight.requires_grad_(False)
    images, classes = random_images(5), np.arange(5) % 4
    whole, parts = (gradcam(model, images, classes, CPU, batch_size=size) for size in (64, 2))
    assert np.allclose(whole, parts, atol=1e-4)
    assert all(weight.grad is None for weight in model.parameters())


def test_no_images():
    model = models.Normalised(Quadrants(64))
    assert gradcam(model, np.zeros((0, 64, 64), np.uint8), np.zeros(0, int), CPU).shape == (0, 64, 64)


@pytest.mark.parametrize(
    ("name", "arguments", "size"),
    [
        ("vit_tiny_patch16_224", dict(patch_size=8, embed_dim=64, depth=2, num_heads=2), 64),
        ("swin_tiny_patch4_window7_224", dict(embed_dim=12, depths=(1, 1), num_heads=(1, 1), window_size=4), 64),
        ("resnet10t", {}, 4),
    ],
)
def test_a_network_without_maps_is_one_clear_line(name, arguments, size):
    model = models.create(name, arguments, 4, size, 0)
    with pytest.raises(FetalkitError, match=r"Grad-CAM: \w+ has no feature map .* choose .* such as resnet10t"):
        gradcam(model, random_images(1, size), np.array([0]), CPU)


def test_one_class_per_image():
    with pytest.raises(FetalkitError, match="Grad-CAM: 4 images but 1 classes; give one class per image"):
        gradcam(models.Normalised(Quadrants(64)), random_images(), np.array([0]), CPU)


def test_what_will_have_no_grad_cam_is_known_before_training():
    settings = params.load("spain")
    assert building.without_gradcam(settings.classify, settings.images.image_size) == ["vit-96x4-p8"]
