"""Augmentation of the arm ``real+ultrasound``: multi-scale crops and four transforms that imitate ultrasound's artefacts.

The four are those that A. Tupper and C. Gagné, "Revisiting Data Augmentation for Ultrasound Images", TMLR 2025
(arXiv 2501.13193), compare and publish as the library usaugment. The library is wrong on integer images and takes no seed, so
they are written here anew from their formulas, for batches of tensors. They go back to A. Østvik et al., "Myocardial Function
Imaging in Echocardiography Using Deep Learning", IEEE TMI 2021, and E. Smistad et al., "Highlighting nerves and blood vessels
for ultrasound-guided axillary nerve block procedures using neural networks", J. Med. Imaging 2018.

The formulas speak of a probe at the middle of the upper edge and of lengths in units of the image's sides. Here both refer to
the box around the scanned region, which for an image without borders is the same: real images are padded to squares.
"""

import torch
from torch.nn import functional

from fetalkit.classifiers.transforms import crop, tone, uniform
from fetalkit.utils import devices
from fetalkit.utils.errors import FetalkitError

DARK = 8 / 255  # the black around the fan, and what compression made of it, is not brighter
WINDOW = 5  # px, of the bilateral filter
_TINY = 1e-6  # least width of a Gaussian: one of width 0 is a single point

Range = tuple[float, float]


def scan_mask(images: torch.Tensor) -> torch.Tensor:
    """Where the fan is: what is brighter than almost black, with gaps closed, islands such as captions removed, holes filled.

    Closing and opening use a square of about 1/13 of the image's side (5 px of 64). A hole is what has parts of the fan on
    its left, on its right, above and below, so that cysts, fluid and shadows inside the fan belong to it.

    Parameters
    ----------
    images
        Float (batch, 1, height, width) in [0, 1].

    Returns
    -------
    torch.Tensor
        Bool, same shape; all False for an image that is black.

    Raises
    ------
    FetalkitError
        When `images` are not floats of that shape.
    """
    if not images.is_floating_point() or images.dim() != 4 or images.shape[1] != 1:
        raise FetalkitError(
            f"scan mask: got {images.dtype} {tuple(images.shape)}; give floats (batch, 1, height, width) in [0, 1]"
        )
    side = 2 * max(1, round(min(images.shape[-2:]) / 32)) + 1
    closed = _eroded(_dilated((images > DARK).byte(), side), side)
    opened = _dilated(_eroded(closed, side), side)
    left, above = (opened.cumsum(axis) > 0 for axis in (-1, -2))
    right, below = (opened.flip(axis).cumsum(axis).flip(axis) > 0 for axis in (-1, -2))
    return left & right & above & below


def depth_attenuation(
    images: torch.Tensor, mask: torch.Tensor, generator: torch.Generator, rate: Range = (0.0, 3.0), floor: float = 0.0
) -> torch.Tensor:
    """Loss of energy on the way down: ``I · ((1 − floor) · exp(−rate · d) + floor)``, after Østvik et al. 2021.

    ``d = √((x − 1/2)² + y²)`` is the distance from the probe, with x and y from 0 to 1 over the box around the mask.

    Parameters
    ----------
    images, mask
        As `scan_mask` takes and gives them; outside the mask nothing changes.
    generator
        On the CPU.
    rate
        Range of the attenuation per box side, at least 0, drawn per image; 0 changes nothing.
    floor
        What is left at great depth, in [0, 1]; 1 changes nothing.

    Returns
    -------
    torch.Tensor
        Same shape and range as `images`, as with the other transforms.
    """
    x, y = _coordinates(mask)
    depth = ((x - 0.5) ** 2 + y**2).sqrt()
    left = (1 - floor) * torch.exp(-_each(rate, images, generator) * depth) + floor
    return torch.where(mask, images * left, images)


def gaussian_shadow(
    images: torch.Tensor,
    mask: torch.Tensor,
    generator: torch.Generator,
    strength: Range = (0.25, 0.8),
    width: Range = (0.01, 0.2),
    height: Range = (0.01, 0.2),
) -> torch.Tensor:
    """Shadow behind air or bone: ``I · (1 − strength · exp(−(x − a)² / 2 width² − (y − b)² / 2 height²))``.

    After Smistad et al. 2018. The centre (a, b) is drawn evenly from the box around the mask, over which x and y go from 0
    to 1.

    Parameters
    ----------
    images, mask, generator
        As for `depth_attenuation`.
    strength
        Range of the share of light lost at the centre, in [0, 1], drawn per image; 0 changes nothing.
    width, height
        Ranges of the standard deviations, above 0, in units of the box's sides, drawn per image.
    """
    x, y = _coordinates(mask)
    a, b = (_each((0.0, 1.0), images, generator) for _ in range(2))
    lost = _each(strength, images, generator)
    profile = _gaussian(x - a, _each(width, images, generator)) * _gaussian(y - b, _each(height, images, generator))
    return torch.where(mask, images * (1 - lost * profile), images)


def haze(
    images: torch.Tensor,
    mask: torch.Tensor,
    generator: torch.Generator,
    radius: Range = (0.05, 0.95),
    thickness: Range = (0.01, 0.1),
    strength: float = 0.5,
) -> torch.Tensor:
    """Band of static noise: ``I + strength · u · exp(−(d − radius)² / 2 thickness²)``, cut at 1, after Østvik et al. 2021.

    u is drawn evenly from [0, 1] for every pixel; d is the distance from the probe, as in `depth_attenuation`.

    Parameters
    ----------
    images, mask, generator
        As for `depth_attenuation`.
    radius
        Range of the band's distance from the probe, in units of the box's sides, drawn per image.
    thickness
        Range of the band's standard deviation, above 0, in the same units, drawn per image.
    strength
        Most light that is added, in [0, 1]; 0 changes nothing.
    """
    x, y = _coordinates(mask)
    depth = ((x - 0.5) ** 2 + y**2).sqrt()
    band = _gaussian(depth - _each(radius, images, generator), _each(thickness, images, generator))
    noise = devices.send(torch.rand(images.shape, generator=generator), images.device)
    return torch.where(mask, (images + strength * noise * band).clamp(max=1), images)


def speckle_reduction(
    images: torch.Tensor,
    mask: torch.Tensor,
    generator: torch.Generator,
    spatial: Range = (0.1, 2.0),
    grey: Range = (0.0, 1.0),
) -> torch.Tensor:
    """Smoothing as scanners do it, edges kept: the bilateral filter, after Østvik et al. 2021.

    Every pixel p becomes ``Σ w I(q) / Σ w`` over the 5 × 5 px around it, with
    ``w = exp(−|p − q|² / 2 spatial²) · exp(−(I(p) − I(q))² / 2 grey²)``; the border is repeated outwards.

    Parameters
    ----------
    images, mask, generator
        As for `depth_attenuation`.
    spatial
        Range of the standard deviation in space, in px, drawn per image; 0 changes nothing.
    grey
        Range of the standard deviation in grey value, of images in [0, 1], drawn per image; at 0 a pixel is averaged with
        its equals only, which changes nothing.
    """
    near, alike = _each(spatial, images, generator), _each(grey, images, generator)
    reach = WINDOW // 2
    padded = functional.pad(images, (reach,) * 4, mode="replicate")
    height, width = images.shape[-2:]
    weights, smooth = torch.zeros_like(images), torch.zeros_like(images)
    for down in range(WINDOW):
        for across in range(WINDOW):
            other = padded[..., down : down + height, across : across + width]
            distance = ((down - reach) ** 2 + (across - reach) ** 2) ** 0.5
            weight = _gaussian(torch.full_like(near, distance), near) * _gaussian(other - images, alike)
            weights += weight
            smooth += weight * other
    return torch.where(mask, smooth / weights, images)


# Share of the images that each transform is applied to.
PROBABILITY = {depth_attenuation: 0.3, gaussian_shadow: 0.3, haze: 0.3, speckle_reduction: 0.3}


def augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Multi-scale crops, the tone change of `transforms.tone`, then each ultrasound transform on some of the images.

    Parameters
    ----------
    images
        Float (batch, 1, height, width) in [0, 1].
    generator
        On the CPU, whatever the device of `images`, so that all devices draw the same numbers.

    Returns
    -------
    torch.Tensor
        Same shape and range as `images`.

    Raises
    ------
    FetalkitError
        As `scan_mask` does.
    """
    moved = crop(images, generator)
    mask = scan_mask(moved)
    changed = tone(moved, generator)
    for transform, probability in PROBABILITY.items():
        chosen = (torch.rand(len(images), generator=generator) < probability).nonzero()[:, 0]
        if len(chosen):
            chosen = devices.send(chosen, images.device)
            changed[chosen] = transform(changed[chosen], mask[chosen], generator)
    return changed


def _each(bounds: Range, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """One number within `bounds` per image, (batch, 1, 1, 1)."""
    return uniform(*bounds, images, generator).view(-1, 1, 1, 1)


def _gaussian(distance: torch.Tensor, width: torch.Tensor) -> torch.Tensor:
    return torch.exp(-(distance**2) / (2 * width.clamp(min=_TINY) ** 2))


def _coordinates(mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """x (batch, 1, 1, width) and y (batch, 1, height, 1): from 0 to 1 over the box around each mask."""
    return _ramp(mask.any(dim=-2, keepdim=True), -1), _ramp(mask.any(dim=-1, keepdim=True), -2)


def _ramp(seen: torch.Tensor, axis: int) -> torch.Tensor:
    """From 0 at the first True along `axis` to 1 at the last."""
    place = torch.ones_like(seen, dtype=torch.int64).cumsum(axis) - 1
    first = seen.int().argmax(axis, keepdim=True)
    last = seen.shape[axis] - 1 - seen.flip(axis).int().argmax(axis, keepdim=True)
    return (place - first) / (last - first).clamp(min=1)


def _dilated(mask: torch.Tensor, side: int) -> torch.Tensor:
    # Windows of a view of bytes, first along rows and then along columns: on a CPU several times as fast as max pooling.
    padded = functional.pad(mask, (side // 2,) * 4)
    return padded.unfold(-1, side, 1).amax(-1).unfold(-2, side, 1).amax(-1)


def _eroded(mask: torch.Tensor, side: int) -> torch.Tensor:
    return 1 - _dilated(1 - mask, side)
