"""Each ultrasound transform is the formula that its docstring states, inside the fan and nowhere else."""

import math

import numpy as np
import pytest
import torch

from fetalkit import simulator
from fetalkit.classifiers import transforms as augmentation
from fetalkit.classifiers import ultrasound_transforms
from fetalkit.classifiers.transforms import ROTATION, augment, move, tone
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.streams import rng

TRANSFORMS = list(ultrasound_transforms.PROBABILITY)
SIZE = 64


def fan(size=SIZE, apex=4):
    """A sector of 80 degrees with its apex at the middle of the upper edge, bool (size, size)."""
    down, across = torch.meshgrid(torch.arange(size) - float(apex), torch.arange(size) - (size - 1) / 2, indexing="ij")
    return (across.abs() < down * math.tan(math.radians(40))) & (torch.hypot(down, across) < size - apex - 2)


def scans(n=4, seed=0):
    """Speckle inside a fan, black outside."""
    speckle = torch.rand(n, 1, SIZE, SIZE, generator=rng(seed)) * 0.7 + 0.2
    return speckle * fan()


def whole(value=0.6, n=3):
    """Images of one grey value without borders, and their mask."""
    images = torch.full((n, 1, SIZE, SIZE), value)
    return images, torch.ones_like(images, dtype=torch.bool)


def ramp(axis):
    """An image whose grey value tells where one is along an axis: from -1 to 1, as the sampling grid counts."""
    centres = (torch.arange(SIZE) + 0.5) / SIZE * 2 - 1
    return centres.view((1, 1, 1, SIZE) if axis == 1 else (1, 1, SIZE, 1)).expand(1, 1, SIZE, SIZE)


def distance():
    """From the middle of the upper edge, in units of the sides."""
    place = torch.linspace(0, 1, SIZE)
    return ((place[None, :] - 0.5) ** 2 + place[:, None] ** 2).sqrt()


# The mask.


def test_the_mask_is_the_fan():
    measured = ultrasound_transforms.scan_mask(scans())[:, 0]
    overlap = (measured & fan()).sum(dim=(1, 2)) / (measured | fan()).sum(dim=(1, 2))
    assert overlap.min() > 0.95


def test_fluid_inside_the_fan_belongs_to_it_and_a_caption_outside_does_not():
    image = scans(1)
    image[..., 30:40, 28:38] = 0
    image[..., 8:10, 2:9] = 1  # thin as letters are
    measured = ultrasound_transforms.scan_mask(image)[0, 0]
    assert measured[30:40, 28:38].all()
    assert not measured[8:10, 2:9].any()


def test_the_mask_of_simulated_images_covers_their_light_and_leaves_the_corners():
    specs = [simulator.Spec(0, i, i, plane, next(iter(simulator.SCANNERS))) for i, plane in enumerate(simulator.PLANES)]
    drawn = np.stack(simulator.simulate(specs, SIZE))
    images = torch.from_numpy(drawn)[:, None].float() / 255
    measured = ultrasound_transforms.scan_mask(images)
    assert (images * measured).sum() > 0.99 * images.sum()
    assert not measured[..., :2, [0, -1]].any()


def test_a_black_image_has_no_mask():
    assert not ultrasound_transforms.scan_mask(torch.zeros(2, 1, SIZE, SIZE)).any()


@pytest.mark.parametrize(
    "images", [torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.zeros(2, 3, 8, 8), torch.zeros(2, 8, 8)]
)
def test_other_input_is_refused(images):
    with pytest.raises(FetalkitError, match=r"scan mask: got torch.* give floats \(batch, 1, height, width\)"):
        ultrasound_transforms.scan_mask(images)


# The four definitions.


def test_attenuation_is_exponential_in_the_distance_from_the_probe():
    images, mask = whole()
    weaker = ultrasound_transforms.depth_attenuation(images, mask, rng(0), rate=(2.0, 2.0), floor=0.1)
    assert torch.allclose(weaker[0, 0], 0.6 * (0.9 * torch.exp(-2 * distance()) + 0.1), atol=1e-6)
    assert (weaker[0, 0, 1:] < weaker[0, 0, :-1]).all(), "not monotone with depth"


def test_attenuation_begins_where_the_fan_begins():
    """The letterbox above a scan does not count as depth."""
    images, mask = whole()
    mask[..., :20, :] = False
    weaker = ultrasound_transforms.depth_attenuation(images, mask, rng(0), rate=(2.0, 2.0))
    middle = weaker[0, 0, :, SIZE // 2]
    assert middle[20] == pytest.approx(0.6, abs=0.02)
    assert middle[-1] == pytest.approx(0.6 * math.exp(-2), abs=0.01)


def test_a_shadow_is_one_minus_a_gaussian():
    images, mask = whole(n=1)
    shade = dict(strength=(0.7, 0.7), width=(0.1, 0.1), height=(0.2, 0.2))
    shaded = ultrasound_transforms.gaussian_shadow(images, mask, rng(1), **shade)
    a, b = torch.rand(1, generator=(generator := rng(1))), torch.rand(1, generator=generator)
    x, y = torch.linspace(0, 1, SIZE)[None, :], torch.linspace(0, 1, SIZE)[:, None]
    expected = 0.6 * (1 - 0.7 * torch.exp(-((x - a) ** 2) / (2 * 0.1**2) - (y - b) ** 2 / (2 * 0.2**2)))
    assert torch.allclose(shaded[0, 0], expected, atol=1e-6)
    assert shaded.min() == pytest.approx(0.6 * 0.3, abs=0.01)


def test_haze_is_noise_in_a_band_at_its_radius():
    images, mask = whole(0.1, n=200)
    added = ultrasound_transforms.haze(images, mask, rng(0), radius=(0.5, 0.5), thickness=(0.1, 0.1)) - images
    assert added.min() >= 0
    # The noise has mean 1/2 and the haze strength 1/2, so the mean over many images is a quarter of the band.
    assert torch.allclose(added.mean(dim=0)[0], 0.25 * torch.exp(-((distance() - 0.5) ** 2) / (2 * 0.1**2)), atol=0.05)
    assert added[0].std() > 0.05, "no noise"


def test_haze_is_cut_at_white():
    images, mask = whole(0.9)
    assert ultrasound_transforms.haze(images, mask, rng(0), thickness=(0.1, 0.1)).max() == 1


def test_speckle_reduction_is_the_bilateral_filter():
    images, mask = torch.rand(1, 1, SIZE, SIZE, generator=rng(0)), whole(n=1)[1]
    smooth = ultrasound_transforms.speckle_reduction(images, mask, rng(0), spatial=(1.5, 1.5), grey=(0.3, 0.3))[0, 0]
    grey = np.pad(images[0, 0].double().numpy(), 2, mode="edge")
    for row, column in ((0, 0), (17, 30), (63, 5)):
        part = grey[row : row + 5, column : column + 5]
        squared = np.add.outer(np.arange(-2, 3) ** 2, np.arange(-2, 3) ** 2)
        weight = np.exp(-squared / (2 * 1.5**2) - (part - part[2, 2]) ** 2 / (2 * 0.3**2))
        assert smooth[row, column].item() == pytest.approx((weight * part).sum() / weight.sum(), abs=1e-5)


def test_speckle_reduction_keeps_the_mean_and_edges():
    step = torch.where(torch.arange(SIZE) < SIZE // 2, 0.2, 0.9).expand(1, 1, SIZE, SIZE)
    noisy = step + 0.05 * torch.randn(1, 1, SIZE, SIZE, generator=rng(0))
    smooth = ultrasound_transforms.speckle_reduction(noisy, whole(n=1)[1], rng(0), spatial=(2.0, 2.0), grey=(0.2, 0.2))
    assert smooth.mean().item() == pytest.approx(noisy.mean().item(), abs=2e-3)
    assert (smooth - step).std() < 0.5 * (noisy - step).std()
    assert (smooth[..., SIZE // 2] - smooth[..., SIZE // 2 - 1]).mean() > 0.6


@pytest.mark.parametrize(
    ("transform", "strength"),
    [
        (ultrasound_transforms.depth_attenuation, dict(rate=(0.0, 0.0))),
        (ultrasound_transforms.depth_attenuation, dict(floor=1.0)),
        (ultrasound_transforms.gaussian_shadow, dict(strength=(0.0, 0.0))),
        (ultrasound_transforms.haze, dict(strength=0.0)),
        (ultrasound_transforms.speckle_reduction, dict(spatial=(0.0, 0.0))),
        (ultrasound_transforms.speckle_reduction, dict(grey=(0.0, 0.0))),
    ],
)
def test_zero_strength_changes_nothing(transform, strength):
    images = scans()
    changed = transform(images, ultrasound_transforms.scan_mask(images), rng(0), **strength)
    assert torch.allclose(changed, images, atol=1e-6)


# What all of them share.


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda transform: transform.__name__)
def test_transforms_are_seeded_act_inside_the_mask_and_leave_their_input(transform):
    images = scans() + 0.05 * ~fan()
    mask = fan().expand(images.shape)
    before = images.clone()
    one, same, other = (transform(images, mask, rng(seed)) for seed in (0, 0, 1))
    assert torch.equal(images, before)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(one[~mask], images[~mask])
    assert (one[mask] != images[mask]).float().mean() > 0.01
    assert one.min() >= 0 and one.max() <= 1
    assert one.shape == images.shape and one.dtype == images.dtype


@pytest.mark.parametrize(
    "change", [*TRANSFORMS, ultrasound_transforms.augment], ids=lambda transform: transform.__name__
)
def test_images_do_not_depend_on_the_others_of_their_batch(change):
    def changed(images):
        if change is ultrasound_transforms.augment:
            return change(images, rng(0))
        return change(images, ultrasound_transforms.scan_mask(images), rng(0))

    images, others = scans(16), scans(16, seed=1)
    others[0] = images[0]
    assert torch.equal(changed(images)[0], changed(others)[0])
    assert not torch.equal(changed(images)[1], changed(others)[1])


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda transform: transform.__name__)
def test_strengths_are_drawn_per_image(transform):
    images = scans(1).expand(6, 1, SIZE, SIZE)
    changed = transform(images, ultrasound_transforms.scan_mask(images), rng(0))
    assert len({tuple(image.flatten().tolist()) for image in changed}) == 6


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda transform: transform.__name__)
def test_black_images_stay_black(transform):
    black = torch.zeros(3, 1, SIZE, SIZE)
    assert torch.equal(transform(black, ultrasound_transforms.scan_mask(black), rng(0)), black)


# All together.


def test_augmentation_is_seeded_and_keeps_shape_range_and_input():
    images = scans(8)
    before = images.clone()
    one, same, other = (ultrasound_transforms.augment(images, rng("a", step)) for step in (0, 0, 1))
    assert torch.equal(images, before)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert one.shape == images.shape and one.dtype == images.dtype
    assert one.min() >= 0 and one.max() <= 1
    assert ultrasound_transforms.augment(torch.zeros(4, 1, SIZE, SIZE), rng(0)).max() < 1e-2


def test_each_transform_meets_its_share_of_the_images(monkeypatch):
    met = dict.fromkeys(TRANSFORMS, 0)

    def counting(transform):
        def counted(images, mask, generator):
            met[transform] += len(images)
            return transform(images, mask, generator)

        return counted

    shares = {counting(transform): share for transform, share in ultrasound_transforms.PROBABILITY.items()}
    monkeypatch.setattr(ultrasound_transforms, "PROBABILITY", shares)
    for step in range(20):
        ultrasound_transforms.augment(scans(32), rng(step))
    assert all(0.8 * 0.3 < number / 640 < 1.2 * 0.3 for number in met.values()), met


def test_transforms_meet_images_with_their_own_masks(monkeypatch):
    monkeypatch.setattr(
        ultrasound_transforms, "PROBABILITY", {lambda images, mask, generator: images + 2.0 * mask: 0.5}
    )
    images = scans(16)
    measured = ultrasound_transforms.augment(images, rng(0))
    moved = augmentation.crop(images, generator := rng(0))
    plain = tone(moved, generator)
    lit = plain + 2.0 * ultrasound_transforms.scan_mask(moved)
    chosen = (measured > 1).flatten(1).any(dim=1)
    assert 3 < chosen.sum() < 13
    assert torch.equal(measured, torch.where(chosen.view(-1, 1, 1, 1), lit, plain))


def test_multi_scale_crops_show_a_third_to_the_whole_of_an_image_from_anywhere():
    n = 400
    down = augmentation.crop(ramp(0).expand(n, 1, SIZE, SIZE).contiguous(), rng(0))[:, 0]
    across = augmentation.crop(ramp(1).expand(n, 1, SIZE, SIZE).contiguous(), rng(0))[:, 0]
    middle = slice(SIZE // 2 - 6, SIZE // 2 + 6)
    slope = [np.polyfit(np.arange(12), image[middle, SIZE // 2].numpy(), 1)[0] * SIZE / 2 for image in down]
    tilt = [np.polyfit(np.arange(12), image[SIZE // 2, middle].numpy(), 1)[0] * SIZE / 2 for image in down]
    zoom = np.hypot(slope, tilt)
    inside = down[:, SIZE // 2, SIZE // 2].abs() < 0.9  # the ramp ends at the image's edge
    assert zoom[inside].min() ** 2 == pytest.approx(0.35, abs=0.02)
    assert zoom[inside].max() == pytest.approx(1 / 0.8, abs=0.05)
    assert np.degrees(np.abs(np.arctan2(tilt, slope))).max() <= ROTATION + 0.5, "an image was turned upside down"
    for centres in (down[:, SIZE // 2, SIZE // 2], across[:, SIZE // 2, SIZE // 2]):
        assert centres.min() < -0.3 and centres.max() > 0.3
        assert centres.abs().max() < 1 - 0.35**0.5 + 0.02


def test_the_standard_geometry_stays_near_the_middle():
    centres = move(ramp(0).expand(200, 1, SIZE, SIZE).contiguous(), rng(0))[:, 0, SIZE // 2, SIZE // 2]
    assert 0.12 < centres.abs().max() < 0.2


def test_the_standard_augmentation_gives_the_numbers_it_always_gave():
    """It is part of every published result."""
    images = (torch.arange(2 * 16 * 16) % 97).view(2, 1, 16, 16) / 96
    measured = augment(images, rng("fixed"))
    expected = [0.543115, 0.379297, 0.614502, 0.368408, 0.251691, 0.147683]
    assert measured[:, 0, 8, [2, 8, 13]].flatten().tolist() == pytest.approx(expected, abs=1e-5)
