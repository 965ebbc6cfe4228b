"""What a classifier is fed: the batches of one phase of training, as pure functions of the step."""

from dataclasses import dataclass

import numpy as np
import torch

from fetalkit.classifiers import mixup, transforms, ultrasound_transforms
from fetalkit.data import sampling
from fetalkit.data.images import Labelled
from fetalkit.utils.streams import rng

AUGMENTATIONS = {
    "standard": transforms.augment,
    "multi-scale": transforms.multi_scale,
    "ultrasound": ultrasound_transforms.augment,
}


def as_input(images: np.ndarray, device: torch.device) -> torch.Tensor:
    """Float (n, 1, height, width) in [0, 1] of uint8 (n, height, width)."""
    return torch.from_numpy(np.ascontiguousarray(images)).to(device)[:, None].float() / 255


@dataclass(frozen=True)
class Feed:
    """Images of a phase, and what is done to them.

    Attributes
    ----------
    data
        The images.
    n_classes
        Number of planes.
    seed
        Of batches, augmentation and mixing.
    augmentation
        One of `AUGMENTATIONS`.
    mixing
        A kind of `fetalkit.classifiers.mixup.mix`, or ``""`` for none.
    beside, share
        Further images, and the share of every batch that is drawn from them, in [0, 1).
    """

    data: Labelled
    n_classes: int
    seed: int | str
    augmentation: str = "standard"
    mixing: str = ""
    beside: Labelled | None = None
    share: float = 0.0

    def batch(
        self, step: int, batch_size: int, label_smoothing: float, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The batch of a step, counted from 0.

        Returns
        -------
        inputs : torch.Tensor
            Float (batch, 1, height, width) in [0, 1].
        targets : torch.Tensor
            Class numbers (batch,), or with mixing shares of the classes (batch, classes), smoothed already.
        """
        others = round(self.share * batch_size) if self.beside else 0
        parts = [_drawn(self.data, batch_size - others, step, self.seed)]
        if others:
            parts.append(_drawn(self.beside, others, step, f"{self.seed}-beside"))
        inputs = as_input(np.concatenate([images for images, _ in parts]), device)
        labels = torch.from_numpy(np.concatenate([labels for _, labels in parts])).to(device)
        inputs = AUGMENTATIONS[self.augmentation](inputs, rng(self.seed, "augment", step))
        if not self.mixing:
            return inputs, labels
        return mixup.mix(self.mixing, inputs, labels, self.n_classes, label_smoothing, (self.seed, self.mixing, step))


def _drawn(data: Labelled, count: int, step: int, seed: int | str) -> tuple[np.ndarray, np.ndarray]:
    rows = sampling.indices(len(data.labels), count, step, seed).numpy()
    return data.images[rows], data.labels[rows]
