"""Images that take over another domain's look keep their content, their border and their seeds; scales act alone."""

import math
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn

from fetalkit.classifiers import models, trainer, ultrasound_transforms
from fetalkit.classifiers.loader import Feed, as_input
from fetalkit.classifiers.styles import STYLES, Styled, match_histograms, mix_amplitudes
from fetalkit.data.images import Labelled
from fetalkit.experiments.transfer import scales
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.streams import rng

CPU = torch.device("cpu")
SIZE = 64
BOTH = pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)


def fan(size=SIZE):
    """A sector of 80 degrees with its apex at the middle of the upper edge, bool (size, size)."""
    down, across = torch.meshgrid(torch.arange(size) - 4.0, torch.arange(size) - (size - 1) / 2, indexing="ij")
    return (across.abs() < down * math.tan(math.radians(40))) & (torch.hypot(down, across) < size - 6)


def scans(n=4, seed=0):
    """Speckle inside a fan, black outside."""
    return (torch.rand(n, 1, SIZE, SIZE, generator=rng(seed)) * 0.5 + 0.4) * fan()


def whole(n=4, seed=0, low=60, high=160, size=SIZE):
    """Speckle without a border, of few grey values, uint8 (n, size, size)."""
    return np.random.default_rng(seed).integers(low, high, (n, size, size)).astype(np.uint8)


def references(n=3):
    """Darker fans."""
    grey = np.random.default_rng(5).integers(15, 90, (n, SIZE, SIZE)) * fan().numpy()
    return grey.astype(np.uint8)


# Histograms.


def test_a_matched_image_has_the_quantiles_of_the_reference_inside_the_fan():
    images, others = scans(), references(1)
    inside, theirs = ultrasound_transforms.scan_mask(images), ultrasound_transforms.scan_mask(as_input(others, CPU))[0]
    matched = match_histograms(images, others, rng(0))
    expected = np.quantile(others[0][theirs[0].numpy()] / 255, np.linspace(0, 1, 21))
    for image, mask in zip(matched, inside, strict=True):
        assert np.quantile(image[mask].numpy(), np.linspace(0, 1, 21)) == pytest.approx(expected, abs=2 / 255)


def test_quantiles_go_between_scans_of_different_sizes():
    images = as_input(whole(2, low=100, high=250), CPU)
    small = whole(1, seed=1, low=20, high=60, size=32)
    matched = match_histograms(images, small, rng(0))
    assert matched.mean().item() == pytest.approx(small.mean() / 255, abs=2e-3)
    assert matched.min().item() == pytest.approx(20 / 255) and matched.max().item() == pytest.approx(59 / 255)


def test_matching_keeps_the_order_of_grey_values_and_plateaus():
    images = as_input(whole(), CPU)
    matched = match_histograms(images, references(), rng(0))
    for image, result in zip(images, matched, strict=True):
        table = {}
        for old, new in zip(image.flatten().tolist(), result.flatten().tolist(), strict=True):
            assert table.setdefault(old, new) == new, "a plateau was split"
        ordered = [table[grey] for grey in sorted(table)]
        assert ordered == sorted(ordered) and len(set(ordered)) > 30


def test_a_plateau_becomes_the_middle_of_what_it_stands_for():
    halves = torch.full((1, 1, SIZE, SIZE), 0.4)
    halves[..., SIZE // 2 :, :] = 0.8
    ramp = np.repeat(np.arange(20, 84, dtype=np.uint8), SIZE).reshape(1, SIZE, SIZE)
    matched = match_histograms(halves, ramp, rng(0))[0, 0, [0, -1], 0] * 255
    assert matched.numpy() == pytest.approx([20 + 15.5, 20 + 47.5], abs=0.01)


def test_an_image_matched_to_itself_is_unchanged():
    own = (scans(1)[:, 0] * 255).byte().numpy()
    images = as_input(own, CPU)
    assert torch.allclose(match_histograms(images, own, rng(0)), images, atol=1e-6)


def test_a_black_image_and_a_black_reference_change_nothing():
    black = np.zeros((1, SIZE, SIZE), np.uint8)
    assert torch.equal(match_histograms(scans(), black, rng(0)), scans())
    assert torch.equal(
        match_histograms(torch.zeros(2, 1, SIZE, SIZE), references(), rng(0)), torch.zeros(2, 1, SIZE, SIZE)
    )


# Amplitudes.


@pytest.mark.parametrize("nothing", [dict(beta=0.0), dict(mixed=(0.0, 0.0))])
def test_zero_changes_nothing(nothing):
    assert torch.allclose(mix_amplitudes(scans(), references(), rng(0), **nothing), scans(), atol=1e-5)


@pytest.mark.parametrize(("beta", "reach"), [(0.001, 0), (0.05, 3), (0.125, 7), (1.0, 32)])
def test_low_amplitudes_are_those_of_the_reference_and_phases_and_the_rest_those_of_the_image(beta, reach):
    # Neither has borders, and nothing is cut: both stay far from black and white.
    images, others = as_input(whole(2, 0, 100, 156), CPU), whole(1, 1, 110, 146)
    mixed = mix_amplitudes(images, others, rng(0), beta, (1.0, 1.0))
    assert mixed.min() > 0 and mixed.max() < 1
    before, reference, after = (torch.fft.fft2(part[:, 0].double()) for part in (images, as_input(others, CPU), mixed))
    frequency = torch.fft.fftfreq(SIZE, 1 / SIZE).abs()
    low = torch.maximum(frequency[:, None], frequency[None, :]) <= reach
    expected = torch.where(low, reference.abs(), before.abs())
    assert torch.allclose(after.abs(), expected, atol=2e-3)
    assert torch.allclose(after / after.abs(), before / before.abs(), atol=2e-2)
    assert mixed.mean().item() == pytest.approx(others.mean() / 255, abs=1e-5)


def test_a_share_of_the_amplitude_is_mixed_and_drawn_per_image():
    images, others = as_input(whole(1).repeat(6, 0), CPU), whole(1, 1, 20, 60)
    half = mix_amplitudes(images, others, rng(0), mixed=(0.5, 0.5)).mean().item()
    assert half == pytest.approx((images.mean().item() + others.mean() / 255) / 2, abs=1e-3)
    means = mix_amplitudes(images, others, rng(0)).mean(dim=(1, 2, 3))
    assert len(set(means.tolist())) == 6
    assert others.mean() / 255 < means.min() and means.max() < images.mean()


def test_oblong_images():
    images, others = as_input(whole(2)[:, :40, :57], CPU), whole(1, 1)[:, :40, :57]
    mixed = mix_amplitudes(images, others, rng(0), 0.001, (1.0, 1.0))
    assert mixed.shape == images.shape
    assert torch.allclose(mixed - others.mean() / 255, images - images.mean(dim=(2, 3), keepdim=True), atol=1e-4)


def test_bad_numbers_and_sizes_are_one_clear_line():
    for wrong in (dict(beta=1.5), dict(mixed=(0.5, 0.2)), dict(mixed=(0.0, 2.0))):
        with pytest.raises(FetalkitError, match=r"amplitudes: beta .*, mixed .*; give numbers in \[0, 1\]"):
            mix_amplitudes(scans(), references(), rng(0), **wrong)
    with pytest.raises(FetalkitError, match="references of 32 × 32 px for images of 64 × 64 px; give both one size"):
        mix_amplitudes(scans(), whole(size=32), rng(0))


# Both.


@BOTH
def test_styles_are_seeded_leave_their_input_and_the_black_border(style):
    images, others = scans(), references()
    before = images.clone(), others.copy()
    one, same, other = (style(images, others, rng(seed)) for seed in (0, 0, 1))
    assert torch.equal(images, before[0]) and np.array_equal(others, before[1])
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert one.shape == images.shape and one.dtype == images.dtype
    assert one.min() >= 0 and one.max() <= 1
    outside = ~ultrasound_transforms.scan_mask(images)
    assert outside.float().mean() > 0.3
    assert torch.equal(one[outside], images[outside])
    assert one[~outside].mean() < 0.8 * images[~outside].mean(), "no darker, though the references are"


@BOTH
def test_a_reference_is_drawn_for_every_image(style):
    grey = np.concatenate([whole(1, 0, low, low + 20) for low in (20, 80, 140, 200)])
    means = style(
        as_input(whole(40), CPU), grey, rng(0), **({} if style is match_histograms else {"mixed": (1.0, 1.0)})
    )
    nearest = (means.mean(dim=(1, 2, 3))[:, None] * 255 - torch.tensor([29.5, 89.5, 149.5, 209.5])).abs()
    assert nearest.min(dim=1).values.max() < 4, "the speckle of the darkest is cut at black"
    assert len(set(nearest.argmin(dim=1).tolist())) == 4


@BOTH
@pytest.mark.parametrize(
    "wrong", [np.zeros((0, SIZE, SIZE), np.uint8), np.zeros((SIZE, SIZE), np.uint8), np.zeros((2, SIZE, SIZE))]
)
def test_bad_references_are_one_clear_line(style, wrong):
    with pytest.raises(FetalkitError, match=r"references: got .*; give uint8 \(n, height, width\), one image or more"):
        style(scans(), wrong, rng(0))
    with pytest.raises(FetalkitError, match="references: got"):
        Styled(feed(), "histogram", wrong)


# The feed.


def feed(n=20, seed=0):
    return Feed(Labelled((scans(n)[:, 0] * 255).byte().numpy(), np.arange(n) % 2), 2, seed=seed)


@pytest.mark.parametrize("style", STYLES)
def test_a_styled_feed_changes_its_share_of_the_images_and_no_target(style):
    plain, styled = feed(), Styled(feed(), style, references(), share=0.4)
    changed = 0
    for step in range(8):
        (inputs, targets), (others, same) = (part.batch(step, 32, 0.0, CPU) for part in (plain, styled))
        assert torch.equal(targets, same)
        changed += (inputs != others).flatten(1).any(dim=1).sum().item()
        assert torch.equal(others, styled.batch(step, 32, 0.0, CPU)[0])
    assert 0.3 < changed / (8 * 32) < 0.5


def test_a_styled_feed_applies_the_style_after_the_augmentation():
    inputs, _ = feed().batch(2, 8, 0.0, CPU)
    generator = rng(0, "style", 2)
    torch.rand(8, generator=generator)
    expected = match_histograms(inputs, references(), generator)
    assert torch.equal(Styled(feed(), "histogram", references(), share=1.0).batch(2, 8, 0.0, CPU)[0], expected)
    assert torch.equal(Styled(feed(), "histogram", references(), share=0.0).batch(2, 8, 0.0, CPU)[0], inputs)


def test_bad_settings_of_a_styled_feed_are_one_clear_line():
    with pytest.raises(FetalkitError, match="there is no style 'oil'; use histogram or fourier"):
        Styled(feed(), "oil", references())
    with pytest.raises(FetalkitError, match=r"style fourier: a share of 1.5 of the images; give a number in \[0, 1\]"):
        Styled(feed(), "fourier", references(), share=1.5)


# Scales.


def network(**options):
    return models.create("resnet10t", {"stem_width": 8}, 3, 32, 0, **options)


def test_one_scale_is_plain_prediction_and_several_are_averaged():
    images = whole(5, size=32)
    model = network(input_size=48)
    plain, zoomed = trainer.predict(model, images, CPU), scales.predict(model, images, CPU, (1.5,))
    assert np.array_equal(scales.predict(model, images, CPU, (1,)), plain)
    assert np.abs(plain - zoomed).max() > 1e-4
    both = scales.predict(model, images, CPU, (1.0, 1.5))
    assert both.shape == (5, 3) and both.dtype == np.float32
    assert both == pytest.approx((plain + zoomed) / 2, abs=1e-6)
    assert both.sum(axis=1) == pytest.approx(np.ones(5), abs=1e-5)


class Eye(nn.Module):
    """Keeps what it is shown."""

    input_size = None

    def forward(self, images):
        self.shown = images
        return torch.zeros(len(images), 2)


def test_magnified_images_show_the_middle():
    eye, images = Eye(), np.zeros((1, SIZE, SIZE), np.uint8)
    images[0, 16:48, 16:48] = 255
    scales.predict(eye, images, CPU, (2.0,))
    assert eye.shown.shape == (1, 1, SIZE, SIZE)
    assert torch.equal(eye.shown[..., 1:-1, 1:-1], torch.ones(1, 1, SIZE - 2, SIZE - 2))
    scales.predict(eye, np.full((1, SIZE, SIZE), 255, np.uint8), CPU, (0.5,))
    assert eye.shown[0, 0, 17:47, 17:47].min() == 1
    assert eye.shown.mean().item() == pytest.approx(0.25, abs=0.01)


def test_images_are_resampled_once_to_the_size_that_the_network_works_at():
    eye, ramp = Eye(), np.tile(np.arange(SIZE, dtype=np.uint8) * 4, (1, SIZE, 1))
    eye.input_size = 128
    scales.predict(eye, ramp, CPU, (2.0,))
    assert eye.shown.shape == (1, 1, 128, 128)
    # 128 px show 32: four output pixels per input pixel.
    assert eye.shown[0, 0, 0].diff()[4:-4].numpy() * 255 == pytest.approx(np.full(119, 1.0), abs=1e-3)
    model = network(input_size=48)
    with mock.patch.object(model.network, "forward", wraps=model.network.forward) as forward:
        scales.predict(model, whole(2, size=32), CPU, (1.0, 1.5))
    assert [call.args[0].shape for call in forward.call_args_list] == [(2, 1, 48, 48)] * 2


@pytest.mark.parametrize("wrong", [(), (0.0,), (1.0, -2.0)])
def test_bad_magnifications_are_one_clear_line(wrong):
    with pytest.raises(FetalkitError, match=r"magnifications \(.*\): give one or more, all above 0"):
        scales.predict(network(), whole(size=32), CPU, wrong)
