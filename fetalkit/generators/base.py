"""What every generator is: settings that are checked when it is made, training, drawing, and a folder that holds it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Self, cast

import numpy as np

from fetalkit.config.sections import Section
from fetalkit.generators import card
from fetalkit.generators.checks import check_labels, check_start_set, check_training_set
from fetalkit.generators.settings import SamplingSettings, SamplingT, TrainingSettings, TrainingT, given
from fetalkit.utils import devices
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing

DEFAULTS: Mapping[str, Any] = MappingProxyType({})


class Generator(ABC, Generic[TrainingT, SamplingT]):
    """Learns to draw images of a given plane.

    A class of its own needs `Training` and `Sampling` if it has settings, `_fit`, `_sample`, and, if it learns something,
    `loaded`, `_write` and `_read`. ``params.yaml`` names it as ``package.module:Name``.

    Parameters
    ----------
    planes
        Names of the planes, all different. Label `i` stands for ``planes[i]``.
    image_size
        Height and width of the images in pixels.
    training
        What differs from the defaults of `Training`.
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"`` (a GPU where there is one); of no effect where nothing is computed by a network.
    precision
        Of convolutions and matrix products: ``"float32"``, ``"bfloat16"`` or ``"auto"``; see `devices.precision`.

    Attributes
    ----------
    Training, Sampling : type
        Models of the settings.
    sees_images : bool
        False for a generator that learns nothing of the images: its sets are equal whatever it was given.
    start_needs : tuple of str or None
        Settings in which a saved generator must be equal so that a training can begin from it; None where none can.
    training
        The settings, complete.
    losses : list of float
        Training loss per step; empty where nothing is minimised.
    seconds : float
        Duration of the training, interrupted attempts included up to their last checkpoint.

    Raises
    ------
    FetalkitError
        When a setting is not known, or its value is not allowed.
    """

    Training: ClassVar[type[TrainingSettings]] = TrainingSettings
    Sampling: ClassVar[type[SamplingSettings]] = SamplingSettings
    sees_images: ClassVar[bool] = True
    start_needs: ClassVar[tuple[str, ...] | None] = None

    def __init__(
        self,
        planes: Sequence[str],
        image_size: int,
        training: Section | Mapping[str, Any] = DEFAULTS,
        *,
        device: str = "auto",
        precision: str = "auto",
    ):
        name = type(self).__name__
        if isinstance(planes, str) or not planes or len(set(planes)) < len(planes):
            raise FetalkitError(f"{name}: planes = {planes!r}: give at least one name, and none twice")
        if image_size < 1:
            raise FetalkitError(f"{name}: image_size = {image_size}: must be at least 1")
        self.planes, self.image_size = tuple(planes), image_size
        self.training = cast(TrainingT, given(self.Training, training, f"{name}: training"))
        try:
            self.training.check(self.planes, image_size)
        except ValueError as error:
            raise FetalkitError(f"{name}: {error}") from None
        self.device = devices.device(device)
        self.precision = devices.precision(precision, self.device)
        self.losses: list[float] = []
        self.seconds = 0.0

    @property
    def n_classes(self) -> int:
        """Number of planes."""
        return len(self.planes)

    @property
    def loaded(self) -> bool:
        """Whether it can draw: it has been trained or read, or needs neither."""
        return True

    @classmethod
    def class_path(cls) -> str:
        """``package.module:Name``, as in ``params.yaml``."""
        return f"{cls.__module__}:{cls.__qualname__}"

    def describe(self) -> dict[str, Any]:
        """Class, planes and settings, of JSON types; equal for generators that train alike."""
        return {
            "class": self.class_path(),
            "planes": list(self.planes),
            "image_size": self.image_size,
            "training": self.training.model_dump(mode="json"),
        }

    def fit(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        seed: int,
        checkpoint: Checkpoint | None = None,
        label: str = "",
        start: Path | None = None,
    ) -> None:
        """Learn from `images`; a run that was interrupted goes on from `checkpoint` and ends with the same bits.

        Parameters
        ----------
        images
            uint8, shape ``(n, image_size, image_size)``.
        labels
            Integers, shape ``(n,)``, in ``[0, n_classes)``; every class must occur.
        seed
            Of all randomness of the training.
        checkpoint
            Where the state is kept; it is left there after the last step, so that a repeated call returns at once.
        label
            Name of the run in logs and messages; that of the class by default.
        start
            Folder of a saved generator of the same class, planes, image size and networks, whose weights are the initial
            ones. A checkpoint's fingerprint must tell of it.

        Raises
        ------
        FetalkitError
            When the images or labels are not as above, the loss is no longer a number, `start` is damaged or differs, or
            the class cannot begin from another training.
        """
        check_training_set(images, labels, self.n_classes, self.image_size)
        if start is not None:
            self._check_begins()
        self._fit(images, labels, seed=seed, checkpoint=checkpoint, label=label or type(self).__name__, start=start)

    def pretrain(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        domains: np.ndarray,
        *,
        seed: int,
        checkpoint: Checkpoint | None = None,
        label: str = "",
    ) -> None:
        """Learn from images of several sources in preparation for another generator's `fit`, whose `start` it is to be.

        Parameters
        ----------
        labels
            As for `fit`, or -1 where the plane is not known.
        domains
            Integers, shape ``(n,)``, at least 0: the source of every image. 0 are the images that `fit` will learn from.
        images, seed, checkpoint, label
            As for `fit`.

        Raises
        ------
        FetalkitError
            As `fit` does, and when the domains are not as above.
        """
        check_start_set(images, labels, domains, self.n_classes, self.image_size)
        self._check_begins()
        label = label or type(self).__name__
        self._pretrain(images, labels, domains, seed=seed, checkpoint=checkpoint, label=label)

    def _check_begins(self) -> None:
        if self.start_needs is None:
            raise FetalkitError(f"{type(self).__name__}: cannot begin from another training; leave out its start")

    def sample(
        self,
        labels: np.ndarray,
        *,
        seed: int,
        sampling: Section | Mapping[str, Any] = DEFAULTS,
        batch_size: int = 64,
    ) -> np.ndarray:
        """Draw one image for every label.

        Parameters
        ----------
        labels
            Integers, shape ``(n,)``, in ``[0, n_classes)``.
        seed
            Image `i` depends on `seed`, `i` and its label alone (up to rounding, which may vary with the batch).
        sampling
            What differs from the defaults of `Sampling`.
        batch_size
            Images that a network draws at one time.

        Returns
        -------
        numpy.ndarray
            uint8, shape ``(n, image_size, image_size)``.

        Raises
        ------
        FetalkitError
            When the generator has not been trained, memory runs out, or a label or a setting is not known or not allowed.
        """
        self._require_training()
        check_labels(labels, self.n_classes)
        settings = cast(SamplingT, given(self.Sampling, sampling, f"{type(self).__name__}: sampling"))
        with devices.enough_memory(f"{type(self).__name__}: drawing", devices.DRAWING):
            return self._sample(labels, seed=seed, sampling=settings, batch_size=batch_size)

    def save(self, folder: Path) -> None:
        """Write ``fetalkit.json``, ``training.json`` (losses and seconds), and what was learned; all or nothing.

        Raises
        ------
        FetalkitError
            When the generator has not been trained, or `folder` cannot be written.
        """
        self._require_training()
        with replacing(folder) as temporary:
            temporary.mkdir()
            card.write(temporary, self.describe() | self._write(temporary), self.losses, self.seconds)

    @classmethod
    def load(cls, folder: Path, device: str = "auto", precision: str = "auto") -> Self:
        """Read what `save` wrote, with the losses and the duration of the training.

        Raises
        ------
        FetalkitError
            When the folder holds no generator of this class, or a damaged one.
        """
        content = card.read_card(folder)
        if content["class"] != cls.class_path():
            raise FetalkitError(f"{folder}: a generator of the class {content['class']}, not {cls.class_path()}")
        saved = cls(content["planes"], content["image_size"], content["training"], device=device, precision=precision)
        saved.losses, saved.seconds = card.read_record(folder)
        saved._read(Path(folder), content)
        return saved

    @abstractmethod
    def _fit(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        seed: int,
        checkpoint: Checkpoint | None,
        label: str,
        start: Path | None,
    ) -> None:
        """`fit` with checked images; `_initial` reads the generator to begin from, if there is a `start`."""

    def _pretrain(self, images: np.ndarray, labels: np.ndarray, domains: np.ndarray, **options: Any) -> None:
        """`pretrain` with checked arrays; for classes with `start_needs`."""
        raise NotImplementedError

    @abstractmethod
    def _sample(self, labels: np.ndarray, *, seed: int, sampling: SamplingT, batch_size: int) -> np.ndarray:
        """`sample` with checked labels and complete settings."""

    def _write(self, folder: Path) -> dict[str, Any]:
        """Write what was learned to `folder`, which exists; return what the card must hold besides `describe`."""
        return {}

    def _read(self, folder: Path, about: dict[str, Any]) -> None:
        """Read what `_write` wrote; `about` is the card."""

    def _require_training(self) -> None:
        if not self.loaded:
            raise FetalkitError(f"{type(self).__name__}: nothing has been learned yet; call fit() or load() first")

    def _initial(self, folder: Path) -> Self:
        """The saved generator whose weights this one can begin from: it has equal `start_needs`."""
        start = self.load(folder, device=self.device.type)
        pairs = [("planes", self.planes, start.planes), ("image_size", self.image_size, start.image_size)]
        pairs += [(key, getattr(self.training, key), getattr(start.training, key)) for key in self.start_needs or ()]
        for key, here, there in pairs:
            if here != there:
                raise FetalkitError(
                    f"{folder}: {key} is {there}, but {here} here; begin from a generator with equal {key}"
                )
        return start
