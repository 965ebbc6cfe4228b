"""What the augmentations do to images, for the eye."""

import numpy as np
import torch
from matplotlib.figure import Figure

from fetalkit.classifiers import transforms, ultrasound_transforms
from fetalkit.plots.cohort import contact_sheet
from fetalkit.utils.streams import rng

# Typical: the middle of the range that is drawn from. Strong: its far end.
_STRENGTHS = {
    "depth attenuation": (ultrasound_transforms.depth_attenuation, dict(rate=1.5), dict(rate=3.0)),
    "Gaussian shadow": (
        ultrasound_transforms.gaussian_shadow,
        dict(strength=0.5, width=0.1, height=0.1),
        dict(strength=0.8, width=0.2, height=0.2),
    ),
    "haze": (ultrasound_transforms.haze, dict(thickness=0.05), dict(thickness=0.1)),
    "speckle reduction": (
        ultrasound_transforms.speckle_reduction,
        dict(spatial=1.0, grey=0.2),
        dict(spatial=2.0, grey=1.0),
    ),
}


def augmentations(images: np.ndarray, ultrasound: bool = True) -> Figure:
    """Contact sheet, one row per transform: each alone, then as the arms use them.

    Parameters
    ----------
    images
        uint8 (n, height, width), one per column; eight fit a page.
    ultrasound
        Whether the transforms that imitate ultrasound are shown beside the standard augmentation.
    """
    before = torch.from_numpy(np.ascontiguousarray(images))[:, None].float() / 255
    rows = {"original": before, "standard augmentation": transforms.augment(before, rng("figure", "standard"))}
    if ultrasound:
        rows |= _ultrasound(before)
    shown = {name: (row[:, 0] * 255).round().to(torch.uint8).numpy() for name, row in rows.items()}
    return contact_sheet(shown, len(images))


def _ultrasound(before: torch.Tensor) -> dict[str, torch.Tensor]:
    """What each transform makes of images (n, 1, height, width) in [0, 1], and what all together do."""
    mask = ultrasound_transforms.scan_mask(before)
    rows = {"scan mask": mask.float()}
    for name, (transform, *strengths) in _STRENGTHS.items():
        for word, strength in zip(("typical", "strong"), strengths, strict=True):
            fixed = {key: (value, value) for key, value in strength.items()}
            # The same key at both strengths: they differ in strength alone.
            rows[f"{name}, {word}"] = transform(before, mask, rng("figure", name), **fixed)
    rows["multi-scale crops"] = transforms.crop(before, rng("figure", "crops"))
    rows["all together"] = ultrasound_transforms.augment(before, rng("figure", "all"))
    return rows
