"""Named feature spaces: what Fréchet and kernel distances, precision and recall are measured in.

A number is comparable with another only if both are of one space, so every space has a name, and the name is printed. None
is called FID: that is the name of the Fréchet distance in the features of one Inception network.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from fetalkit.classifiers import pretrained
from fetalkit.utils import devices, parallel
from fetalkit.utils.progress import Progress

IMAGENET = "efficientnet-lite0 (ImageNet)"
_TOGETHER = 256  # images per job: a few seconds of one core, so that workers end at about the same time


@dataclass(frozen=True)
class FeatureSpace:
    """A named map from images to vectors.

    Attributes
    ----------
    name
        Printed with every number that is measured in this space.
    network
        Takes float images (batch, 1, height, width) in [0, 1], on `device`, and returns features (batch, d).
    device
        Where the network lives.
    batch_size
        Images at one time; small batches stay in a processor's cache.
    """

    name: str
    network: nn.Module
    device: torch.device
    batch_size: int = 8

    @torch.inference_mode()
    def features(self, images: np.ndarray, progress: Progress | None = None) -> np.ndarray:
        """Features of images, in evaluation mode and without augmentation.

        Parameters
        ----------
        images
            (n, height, width): uint8, or float in [0, 1].
        progress
            Counts the images.

        Returns
        -------
        ndarray, float32 (n, d)

        Raises
        ------
        ValueError
            When `images` has another shape, type or range: a wrong scale gives plausible and meaningless distances.
        """
        images = _checked(images)
        self.network.eval()
        parts = []
        with devices.reproducible(self.device):
            for start in range(0, len(images), self.batch_size):
                batch = torch.from_numpy(np.ascontiguousarray(images[start : start + self.batch_size]))
                scale = 255 if batch.dtype == torch.uint8 else 1
                parts.append(self.network(batch.to(self.device)[:, None].float() / scale).float().cpu().numpy())
                if progress:
                    progress.update(len(batch))
        return np.concatenate(parts)


def _checked(images: np.ndarray) -> np.ndarray:
    images = np.asarray(images)
    if images.ndim != 3 or not len(images):
        raise ValueError(f"images have the shape {images.shape}; (n, height, width) is needed, with n at least 1")
    if images.dtype == np.uint8:
        return images
    if not np.issubdtype(images.dtype, np.floating) or images.min() < 0 or images.max() > 1:
        raise ValueError(f"images are {images.dtype} in [{images.min()}, {images.max()}]; uint8 or [0, 1] is needed")
    return images


class _Resized(nn.Module):
    """Pooled features before the last layer, of images brought to the size and the range that the network knows."""

    def __init__(self, network: nn.Module, size: int, mean: float, std: float):
        super().__init__()
        self.network: Any = network
        self.size, self.mean, self.std = size, mean, std

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        images = functional.interpolate(images, size=(self.size,) * 2, mode="bilinear", antialias=True)
        images = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        return self.network.forward_head(self.network.forward_features(images), pre_logits=True)


def imagenet(device: str = "auto") -> FeatureSpace:
    """EfficientNet-Lite0 trained on ImageNet: 1280 features, each at least 0.

    Images are enlarged to the network's own 224 px, which takes 15 to 30 ms per image on one core. At 128 px it would be four
    times as fast, but a poor judge: it then finds most blurred copies of real images realistic.

    Parameters
    ----------
    device
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Raises
    ------
    FetalkitError
        When the weights are not installed.
    """
    place = devices.device(device)
    network = pretrained.create(channels=1)
    known = network.pretrained_cfg
    # Mean and standard deviation are those of three colours, all equal for this network.
    wrapped: Any = _Resized(network, known["input_size"][-1], known["mean"][0], known["std"][0])
    return FeatureSpace(IMAGENET, wrapped.to(place, memory_format=torch.channels_last), place)


def of_sets(space: FeatureSpace, sets: Mapping[str, np.ndarray], workers: int = 1) -> dict[str, np.ndarray]:
    """Features of every set of images; an image that occurs in several sets goes through the network once.

    Parameters
    ----------
    space
        The feature space.
    sets
        Name of the set → images, (n, height, width), all of one size.
    workers
        Processes that share the work; the result does not depend on their number.

    Returns
    -------
    dict
        Name of the set → float32 (n, d).
    """
    number: dict[bytes, int] = {}
    different: list[np.ndarray] = []
    rows = {}
    for name, images in sets.items():
        rows[name] = np.empty(len(images), np.int64)
        for place, image in enumerate(images):
            rows[name][place] = row = number.setdefault(image.tobytes(), len(different))
            if row == len(different):
                different.append(image)
    starts = range(0, len(different), _TOGETHER)
    jobs = [
        dict(space=space, images=np.stack(different[start : start + _TOGETHER]), part=f"{part} of {len(starts)}")
        for part, start in enumerate(starts, 1)
    ]
    vectors = np.concatenate(parallel.run(_part, jobs, workers))
    return {name: vectors[of] for name, of in rows.items()}


def _part(space: FeatureSpace, images: np.ndarray, part: str) -> np.ndarray:
    with Progress(f"features: {space.name}, part {part}", len(images), unit="image") as progress:
        vectors = space.features(images, progress)
        progress.report()
    return vectors
