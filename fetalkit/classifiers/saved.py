"""A trained classifier in a folder: weights, what was kept of its train images, and a card that says how to use it."""

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import AfterValidator, Field, FiniteFloat

from fetalkit.classifiers import models, novelty, own, weights
from fetalkit.classifiers.loader import as_input
from fetalkit.classifiers.models import Normalised
from fetalkit.classifiers.novelty import TrainingSet
from fetalkit.config.sections import FOREIGN, Frame, ImageSize, Section, unique, validated
from fetalkit.data import folders
from fetalkit.data import images as store
from fetalkit.utils import devices, provenance
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing
from fetalkit.utils.progress import Progress

CARD, WEIGHTS, STATISTICS = "fetalkit.json", "model.safetensors", "training_set.safetensors"
PREPARATION = (
    f"8-bit grey, longest side at most {store.LONGEST_SIDE} px (Lanczos), centred on a black square, resized to image_size "
    "(Lanczos), divided by 255; in the network resized to input_size where there is one (bilinear), then (x - mean) / std"
)
TOGETHER = 64  # images at a time


class Card(Section):
    """What a saved classifier says of itself.

    Attributes
    ----------
    model, arguments
        Of ``timm.create_model``.
    mean, std, input_size
        As for `fetalkit.classifiers.models.Normalised`.
    planes
        In the order of the outputs.
    image_size, preparation, frame
        Side in px of the images that it was trained on, how they are made from files, and which frame of a file that has
        several is meant.
    trained_on
        What is known of the training: cohort, run, images per plane.
    measured
        Part (``test``, ``validation``) → metric → value.
    warning
        How images unlike the train images are told: ``method``, ``quantile``, ``threshold``, ``validation_images``.
    versions
        Of the libraries that made it.
    """

    kind: Literal["classifier"]
    model: str
    arguments: dict[str, Any]
    mean: FiniteFloat
    std: Annotated[FiniteFloat, Field(gt=0)]
    input_size: Annotated[int, Field(ge=16, le=512)] | None
    planes: Annotated[list[str], Field(min_length=2), AfterValidator(unique)]
    image_size: ImageSize
    preparation: str = PREPARATION
    frame: Frame | None = None
    trained_on: dict[str, Any] = Field(default_factory=dict)
    measured: dict[str, dict[str, float]] = Field(default_factory=dict)
    warning: dict[str, Any]
    versions: dict[str, str] = Field(default_factory=provenance.versions)


@dataclass(frozen=True)
class SavedClassifier:
    """A classifier that is ready to be used.

    Attributes
    ----------
    model
        On `device`, in evaluation mode.
    training_set
        Tells images that are unlike the train images.
    card
        What it says of itself.
    device
        Where it computes.
    """

    model: Normalised
    training_set: TrainingSet
    card: Card
    device: torch.device

    @property
    def planes(self) -> list[str]:
        """Names of the classes."""
        return self.card.planes

    @torch.inference_mode()
    def classify(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of uint8 (n, image_size, image_size): probabilities, float32 (n, planes), and squared distances, float64 (n,)."""
        features = features_of(self.model, images, self.device)
        logits = self.model.classify(torch.from_numpy(features).to(self.device))
        return logits.softmax(dim=1).cpu().numpy(), self.training_set.distances(features)

    def predict(self, images: Path | str | Iterable[Path], frame: Frame | None = None) -> pd.DataFrame:
        """Which plane each image shows.

        Parameters
        ----------
        images
            A folder, which is searched with all folders in it, or a file, or files.
        frame
            Which frame of a file that has several; as the card says by default.

        Returns
        -------
        pandas.DataFrame
            One row per file, in their order: ``image`` (path below the folder), ``plane``, ``probability <plane>`` of each
            plane in [0, 1], and ``warning``: empty, or that the image is unlike the train images, or why it cannot be
            read; then there is neither plane nor probability.

        Raises
        ------
        FetalkitError
            When there is no such folder, nothing in it, or none of the files is an image.
        """
        if isinstance(images, Path | str):
            root, files = Path(images), folders.files(Path(images))
        else:
            root, files = None, [Path(path) for path in images]
        if not files:
            raise FetalkitError("predict: no file was given; give at least one")
        rows = []
        read = partial(self._read, frame=frame or self.card.frame)
        with Progress("images", len(files), unit="image") as progress, ThreadPoolExecutor() as pool:
            for start in range(0, len(files), TOGETHER):
                some = files[start : start + TOGETHER]
                rows += self._rows(list(pool.map(read, some)))
                progress.update(len(some))
        table = pd.DataFrame(rows, columns=["plane", *(f"probability {plane}" for plane in self.planes), "warning"])
        if not (table.plane != "").any():
            raise FetalkitError(f"{root or 'predict'}: no image can be read; the first: {table.warning.iloc[0]}")
        below = root if root is not None and root.is_dir() else None
        table.insert(0, "image", [(path.relative_to(below) if below else path).as_posix() for path in files])
        return table

    def _read(self, path: Path, frame: Frame | None) -> np.ndarray | str:
        """Working copy of an image, or why there is none."""
        try:
            return store.working(store.read(path, frame), self.card.image_size)
        except FetalkitError as error:
            return " ".join(str(error).removeprefix(f"{path}: ").split())
        except Exception as error:  # a decoder's own, of a file from anywhere: one bad file must not end the others
            return f"cannot be read ({type(error).__name__}: {' '.join(str(error).split())})"

    def _rows(self, read: Sequence[np.ndarray | str]) -> list[tuple]:
        images = [image for image in read if not isinstance(image, str)]
        classified = zip(*self.classify(np.stack(images)), strict=True) if images else iter(())
        rows = []
        for image in read:
            if isinstance(image, str):
                rows.append(("", *[np.nan] * len(self.planes), image))
                continue
            probabilities, distance = next(classified)
            rows.append((self.planes[probabilities.argmax()], *probabilities.tolist(), self.warning(distance)))
        return rows

    def warning(self, distance: float) -> str:
        """Words for an image of this squared distance; empty where it is like the train images."""
        limit, about = self.training_set.threshold, self.card.warning
        if distance <= limit:
            return ""
        return (
            f"unlike the training set: distance {distance:.4g}, above {limit:.4g}, "
            f"which {about.get('quantile', novelty.QUANTILE):.0%} of its validation images keep"
        )

    def save(self, folder: Path) -> None:
        """Write card, weights and statistics of the train images to `folder`, all or nothing.

        Raises
        ------
        FetalkitError
            When it cannot be written.
        """
        with replacing(folder) as temporary:
            temporary.mkdir()
            weights.save(self.model, temporary / WEIGHTS)
            self.training_set.save(temporary / STATISTICS)
            text = json.dumps(self.card.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
            (temporary / CARD).write_text(text + "\n", encoding="utf-8")


def features_of(model: Normalised, images: np.ndarray, device: torch.device) -> np.ndarray:
    """What the last layer of `model` sees of uint8 (n, height, width): float32 (n, features)."""
    model.eval()
    with torch.inference_mode():
        parts = [
            model.features(as_input(images[start : start + TOGETHER], device)).cpu().numpy()
            for start in range(0, len(images), TOGETHER)
        ]
    return np.concatenate(parts)


def load(folder: Path | str, device: str = "auto") -> SavedClassifier:
    """Read a folder that `SavedClassifier.save` wrote; nothing in it is unpickled.

    Raises
    ------
    FetalkitError
        When there is none, it holds something else, or it is damaged.
    """
    folder = Path(folder)
    card = read_card(folder)
    # A card from a stranger must not say where timm reads from.
    if foreign := sorted(set(card.arguments) & set(FOREIGN)):
        raise FetalkitError(f"{folder / CARD}: arguments.{foreign[0]} is not allowed; remove it")
    try:
        model = models.create(
            own.known(card.model), card.arguments, len(card.planes), card.image_size, 0, input_size=card.input_size
        )
    except FetalkitError as error:
        raise FetalkitError(f"{folder / CARD}: {str(error).removeprefix('classify.classifiers: ')}") from None
    model.mean, model.std = card.mean, card.std
    weights.load(model, folder / WEIGHTS)
    try:
        threshold = float(card.warning["threshold"])
        if not np.isfinite(threshold):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise FetalkitError(f"{folder / CARD}: warning.threshold is no number; export the classifier again") from None
    place = devices.device(device)
    return SavedClassifier(model.to(place).eval(), TrainingSet.load(folder / STATISTICS, threshold), card, place)


def read_card(folder: Path) -> Card:
    """The card of a saved classifier.

    Raises
    ------
    FetalkitError
        When there is none, or it is that of something else.
    """
    path = folder / CARD
    if not folder.is_dir():
        raise FetalkitError(f"{folder}: there is no such folder; name that of an exported classifier")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FetalkitError(f"{folder}: no saved classifier, there is no {CARD} in it") from None
    except (OSError, ValueError, RecursionError) as error:
        raise FetalkitError(f"{path}: damaged ({error}); export the classifier again") from None
    if isinstance(content, dict) and "class" in content:
        raise FetalkitError(f"{folder}: a generator, not a classifier; `fetalkit draw` draws with it")
    return validated(Card, content, str(path), "")
