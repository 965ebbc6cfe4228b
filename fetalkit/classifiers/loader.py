"""The batches of one phase of training, as pure functions of the step.

Augmentations and mixings are named, and looked up when they are used: what a training follows from is what it uses. One of
one's own is named by its place, as ``"package.module:function"``.
"""

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from fetalkit.data import sampling
from fetalkit.data.images import Labelled
from fetalkit.utils import devices
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.streams import rng

# Functions of images, float (batch, 1, height, width) in [0, 1], and of a torch.Generator on the CPU: images of that kind.
AUGMENTATIONS = {
    "standard": "fetalkit.classifiers.transforms:augment",
    "multi-scale": "fetalkit.classifiers.transforms:multi_scale",
    "ultrasound": "fetalkit.classifiers.ultrasound_transforms:augment",
}
# Functions of images, labels, number of classes, label smoothing and key of a random stream: images and soft targets.
MIXINGS = {"mixup": "fetalkit.classifiers.mixup:mixup", "cutmix": "fetalkit.classifiers.mixup:cutmix"}


def augmentation(name: str) -> Callable[[torch.Tensor, torch.Generator], torch.Tensor]:
    """Augmentation by its name in `AUGMENTATIONS`, or by its place.

    Raises
    ------
    FetalkitError
        When there is none.
    """
    return _resolved("augmentation", name, AUGMENTATIONS)


def mixing(name: str) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """Mixing by its name in `MIXINGS`, or by its place; takes what `fetalkit.classifiers.mixup.mixup` takes.

    Raises
    ------
    FetalkitError
        When there is none.
    """
    return _resolved("mixing", name, MIXINGS)


def _resolved(kind: str, name: str, table: Mapping[str, str]) -> Callable:
    place = _place(kind, name, table)
    try:
        return _imported(place)
    except (ImportError, AttributeError, ValueError) as error:
        raise FetalkitError(f"{kind} {name!r} cannot be imported ({error}); correct its name or install it") from error


def _place(kind: str, name: str, table: Mapping[str, str]) -> str:
    if name not in table and ":" not in name:
        own = "your own as package.module:function"
        raise FetalkitError(f"there is no {kind} {name!r}; use {', '.join(table)}, or {own}")
    return table.get(name, name)


@cache
def _imported(place: str) -> Callable:
    return pkgutil.resolve_name(place)


def as_input(images: np.ndarray, device: torch.device) -> torch.Tensor:
    """Float (n, 1, height, width) in [0, 1] of uint8 (n, height, width)."""
    return devices.send(torch.from_numpy(np.ascontiguousarray(images)), device)[:, None].float() / 255


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
        As for `augmentation`.
    mixing
        As for `mixing`, or ``""`` for none.
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

    def drawn_beside(self, batch_size: int) -> int:
        """How many images of a batch are drawn from `beside`; they are its last ones."""
        return round(self.share * batch_size) if self.beside else 0

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
        beside, others = self.beside, self.drawn_beside(batch_size)
        parts = [drawn(self.data, batch_size - others, step, self.seed)]
        if beside and others:
            parts.append(drawn(beside, others, step, f"{self.seed}-beside"))
        inputs = as_input(np.concatenate([images for images, _ in parts]), device)
        labels = devices.send(torch.from_numpy(np.concatenate([labels for _, labels in parts])), device)
        inputs = augmentation(self.augmentation)(inputs, rng(self.seed, "augment", step))
        if not self.mixing:
            return inputs, labels
        key = (self.seed, self.mixing, step)
        return mixing(self.mixing)(inputs, labels, self.n_classes, label_smoothing, key)


def modules(feed: Feed) -> list[str]:
    """Dotted names of the modules that the augmentation and the mixing of `feed` come from: what a training follows from.

    Raises
    ------
    FetalkitError
        When there is no such augmentation or mixing.
    """
    places = [_place("augmentation", feed.augmentation, AUGMENTATIONS)]
    places += [_place("mixing", feed.mixing, MIXINGS)] if feed.mixing else []
    return [place.partition(":")[0] for place in places]


def drawn(data: Labelled, count: int, step: int, seed: int | str) -> tuple[np.ndarray, np.ndarray]:
    """`count` images, uint8 (count, height, width), and their labels, of a step counted from 0."""
    rows = sampling.indices(len(data.labels), count, step, seed).numpy()
    return data.images[rows], data.labels[rows]
