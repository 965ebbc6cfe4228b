"""Styles: alignment of inputs: images take over the grey values, or the coarse light and shade, of another domain's images.

References
----------
Gonzalez RC, Woods RE. Digital Image Processing, 4th ed., section 3.3: histogram matching. Pearson (2018).
Yang Y, Soatto S. FDA: Fourier Domain Adaptation for Semantic Segmentation. CVPR (2020), arXiv 2004.05498.
Xu Q, Zhang R, Zhang Y, Wang Y, Tian Q. A Fourier-based Framework for Domain Generalization. CVPR (2021), arXiv 2105.11120.
"""

from dataclasses import dataclass

import numpy as np
import torch

from fetalkit.classifiers.loader import Feed, as_input
from fetalkit.classifiers.transforms import uniform
from fetalkit.classifiers.ultrasound_transforms import scan_mask
from fetalkit.utils import devices
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.streams import rng

BETA = 0.05  # the middle one of the three that FDA tries
MIXED = (0.0, 1.0)  # amplitude mix of Xu et al. at its full strength


def match_histograms(images: torch.Tensor, references: np.ndarray, generator: torch.Generator) -> torch.Tensor:
    """Give every image the distribution of grey values of one reference, drawn at random.

    A grey value at quantile q of the image's scan (see `ultrasound_transforms.scan_mask`) becomes the grey value at quantile q
    of the reference's scan. Equal values stay equal. What lies outside the scan is left alone, so the border stays black; so
    do parts at the rim of a fan that are too dark to be told from it, and of a bright reference a hard edge may come there.

    Parameters
    ----------
    images
        Float (batch, 1, height, width) in [0, 1].
    references
        uint8 (n, any height, any width) of the other domain.
    generator
        On the CPU.

    Returns
    -------
    torch.Tensor
        Same shape and range as `images`; an image is unchanged where it or its reference is all black.

    Raises
    ------
    FetalkitError
        When `images` or `references` have another type or shape, or there is no reference.
    """
    inside = scan_mask(images)
    drawn = _drawn(references, images, generator)
    values, count = _sorted(images, inside)
    grey, grey_count = _sorted(drawn, scan_mask(drawn))
    flat = images.flatten(1)
    # The middle of all ranks that share a value: a plateau, such as fluid, stays one.
    rank = (torch.searchsorted(values, flat) + torch.searchsorted(values, flat, right=True) - 1).double() / 2
    place = (rank + 0.5) * grey_count / count.clamp(min=1) - 0.5
    place = torch.minimum(place, grey_count - 1).clamp(min=0)
    low = grey.gather(1, place.floor().long())
    high = grey.gather(1, place.ceil().long())
    matched = torch.lerp(low, high, place.frac().to(low.dtype)).view_as(images)
    return torch.where(inside & (grey_count > 0)[..., None, None], matched, images)


def mix_amplitudes(
    images: torch.Tensor,
    references: np.ndarray,
    generator: torch.Generator,
    beta: float = BETA,
    mixed: tuple[float, float] = MIXED,
) -> torch.Tensor:
    """Mix the coarse light and shade of every image with that of one reference, drawn at random; keep all phases.

    Of the Fourier transform, the amplitude ``A`` at the frequencies ``|k| < beta · min(height, width)`` (in both axes, in
    periods per image) becomes ``(1 − λ) A + λ A_reference``. Then values are cut to [0, 1]. What lies outside the scan (see
    `ultrasound_transforms.scan_mask`) is left alone, so the border stays black, which the papers do not see to.

    Parameters
    ----------
    images
        Float (batch, 1, height, width) in [0, 1].
    references
        uint8 (n, height, width) of the other domain.
    generator
        On the CPU.
    beta
        Half the side of the square of frequencies, in [0, 1], in units of the image's shorter side; 0 changes nothing, little
        more than 0 changes the mean grey value alone, and above 0.5 it is all frequencies.
    mixed
        Range of λ, within [0, 1], drawn per image; 0 changes nothing, (1, 1) replaces as FDA does.

    Returns
    -------
    torch.Tensor
        Same shape and range as `images`.

    Raises
    ------
    FetalkitError
        When `images` or `references` have another type or shape, there is no reference, or a number is out of its range.
    """
    inside = scan_mask(images)
    drawn = _drawn(references, images, generator)
    if drawn.shape != images.shape:
        sizes = (f"{part.shape[-2]} × {part.shape[-1]}" for part in (drawn, images))
        raise FetalkitError("references of {} px for images of {} px; give both one size".format(*sizes))
    if not (0 <= beta <= 1 and 0 <= mixed[0] <= mixed[1] <= 1):
        raise FetalkitError(f"amplitudes: beta {beta}, mixed {mixed}; give numbers in [0, 1], the lower one first")
    height, width = images.shape[-2:]
    down = torch.fft.fftfreq(height, 1 / height, device=images.device).abs()[:, None]
    across = torch.fft.rfftfreq(width, 1 / width, device=images.device)[None, :]
    square = torch.maximum(down, across) < beta * min(height, width)
    share = uniform(*mixed, images, generator).view(-1, 1, 1, 1) * square
    spectrum = torch.fft.rfft2(images)
    amplitude = torch.lerp(spectrum.abs(), torch.fft.rfft2(drawn).abs(), share)
    changed = torch.fft.irfft2(torch.polar(amplitude, spectrum.angle()), s=(height, width)).clamp(0, 1)
    return torch.where(inside, changed, images)


STYLES = {"histogram": match_histograms, "fourier": mix_amplitudes}


@dataclass(frozen=True)
class Styled:
    """A feed whose images look, some of them, like those of another domain.

    Attributes
    ----------
    feed
        What is changed; its seed also decides what is changed how.
    style
        One of `STYLES`.
    references
        Unlabelled images of the other domain, uint8 (n, height, width).
    share
        Probability in [0, 1] that an image is changed, drawn per image, after the feed's augmentation.

    Raises
    ------
    FetalkitError
        When `style` is another one, or `share` or `references` are not as above.
    """

    feed: Feed
    style: str
    references: np.ndarray
    share: float = 0.5

    def __post_init__(self):
        if self.style not in STYLES:
            raise FetalkitError(f"there is no style {self.style!r}; use {' or '.join(STYLES)}")
        if not 0 <= self.share <= 1:
            raise FetalkitError(f"style {self.style}: a share of {self.share} of the images; give a number in [0, 1]")
        _check(self.references)

    def batch(
        self, step: int, batch_size: int, label_smoothing: float, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The batch of a step, as `fetalkit.classifiers.loader.Feed.batch` gives it."""
        inputs, targets = self.feed.batch(step, batch_size, label_smoothing, device)
        generator = rng(self.feed.seed, "style", step)
        chosen = (torch.rand(len(inputs), generator=generator) < self.share).nonzero()[:, 0]
        if len(chosen):
            chosen = devices.send(chosen, device)
            inputs[chosen] = STYLES[self.style](inputs[chosen], self.references, generator)
        return inputs, targets


def _check(references: np.ndarray) -> None:
    if references.dtype != np.uint8 or references.ndim != 3 or not len(references):
        raise FetalkitError(
            f"references: got {references.dtype} {references.shape}; give uint8 (n, height, width), one image or more"
        )


def _drawn(references: np.ndarray, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """One reference per image, float (batch, 1, height, width) in [0, 1]."""
    _check(references)
    rows = torch.randint(len(references), (len(images),), generator=generator)
    return as_input(references[rows.numpy()], images.device)


def _sorted(images: torch.Tensor, inside: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Grey values inside, sorted, then infinity: (batch, pixels); how many are inside: (batch, 1)."""
    return images.masked_fill(~inside, torch.inf).flatten(1).sort(dim=1).values, inside.flatten(1).sum(1, keepdim=True)
