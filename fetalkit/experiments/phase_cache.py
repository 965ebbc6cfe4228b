"""Finished phases of training, each on its own under the fingerprint of all that it follows from.

A killed study goes on where it stood, runs that share their first phase share its weights, and a new run computes only what is
new. The folder of a stage's phases is one of its outputs, which DVC versions: whoever pulls it trains nothing again. Of most
runs of a cohort's study predictions are kept and no weights.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import nn

from fetalkit.classifiers import trainer, weights
from fetalkit.classifiers.loader import Feed
from fetalkit.classifiers.trainer import Recipe
from fetalkit.data.images import Labelled
from fetalkit.utils import devices, paths
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.files import replacing

WEIGHTS, RECORD, PREDICTIONS = "weights.safetensors", "phase.json", "predictions.npz"


@dataclass(frozen=True)
class PhaseCache:
    """Finished phases of one stage of a study.

    Attributes
    ----------
    study
        Folder name of the study; unfinished phases have their checkpoints in ``work/<study>/phases``.
    folder
        Where finished ones are kept.
    shared
        Folders of other stages: a phase that is there is copied, not trained again.
    """

    study: str
    folder: Path
    shared: Sequence[Path] = ()

    @classmethod
    def of(cls, study: str, stage: str) -> "PhaseCache":
        """That of a stage, an output of it; it looks into those of the other stages too."""
        own = paths.data(study, "trainings", stage)
        others = [folder for folder in sorted(own.parent.glob("*")) if folder != own]
        return cls(study, own, tuple(others))

    def weights(self, fingerprint: str) -> Path:
        """File of the weights of a phase."""
        return self.folder / fingerprint / WEIGHTS

    def record(self, fingerprint: str) -> dict | None:
        """``curve``, ``seconds`` and ``rounding`` of a finished phase; None where it has not been trained."""
        path = self.folder / fingerprint / RECORD
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def predictions(self, fingerprint: str, images: np.ndarray) -> np.ndarray | None:
        """Probabilities that `keep_predictions` has kept of these very images; None where there are none."""
        path = self.folder / fingerprint / PREDICTIONS
        try:
            with np.load(path, allow_pickle=False) as content:
                return content["probabilities"] if str(content["images"]) == _digest(images) else None
        except (OSError, ValueError, KeyError):
            return None

    def keep_predictions(self, fingerprint: str, images: np.ndarray, probabilities: np.ndarray) -> None:
        """Keep what the classifier of a finished phase says of images, uint8 (n, height, width)."""
        with replacing(self.folder / fingerprint / PREDICTIONS) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, images=np.array(_digest(images)), probabilities=probabilities)

    def train(
        self,
        fingerprint: str,
        model: nn.Module,
        batches: Any,
        steps: int,
        recipe: Recipe,
        *,
        device: torch.device,
        label: str,
        validation: Labelled | None,
        objective: nn.Module | None = None,
        precision: torch.dtype = torch.float32,
        statistics: Feed | None = None,
    ) -> dict:
        """Train `model` in place, or give it the weights of the finished phase.

        One process trains a phase at a time; another that wants the same one waits and takes it.

        Parameters
        ----------
        fingerprint
            Of all that the phase follows from.
        model, batches, steps, recipe, device, label, validation, objective, precision, statistics
            As for `fetalkit.classifiers.trainer.fit`.

        Returns
        -------
        dict
            ``curve`` and ``seconds``, as `fetalkit.classifiers.trainer.fit` returns them, and ``rounding``, that of the machine
            which trained the phase.

        Raises
        ------
        FetalkitError
            When the loss is no longer a number, or nothing can be written.
        """
        place = paths.work(self.study, "phases", fingerprint)
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_suffix(".lock")):
            self._take_over(fingerprint)
            if not self.weights(fingerprint).exists():
                # What another machine has left unfinished is not gone on with: its bits are others.
                rounding = devices.rounding(device, precision)
                checkpoint = Checkpoint(place.with_suffix(".checkpoint"), f"{fingerprint} {', '.join(rounding)}")
                curve, seconds = trainer.fit(
                    model, batches, steps, recipe, device=device, checkpoint=checkpoint, label=label,
                    validation=validation, objective=objective, precision=precision, statistics=statistics,
                )  # fmt: skip
                with replacing(self.folder / fingerprint) as temporary:
                    temporary.mkdir()
                    weights.save(model, temporary / WEIGHTS)
                    record = json.dumps({"curve": curve, "seconds": round(seconds, 2), "rounding": rounding})
                    (temporary / RECORD).write_text(record, encoding="utf-8")
                checkpoint.clear()
        weights.load(model, self.weights(fingerprint))
        return json.loads((self.folder / fingerprint / RECORD).read_text(encoding="utf-8"))

    def _take_over(self, fingerprint: str) -> None:
        """Copy a phase that another stage has finished."""
        if self.weights(fingerprint).exists():
            return
        for folder in self.shared:
            if (folder / fingerprint / WEIGHTS).exists():
                with replacing(self.folder / fingerprint) as temporary:
                    shutil.copytree(folder / fingerprint, temporary)
                return

    def keep(self, outcomes: Iterable[Any]) -> None:
        """Leave what the outcomes of a stage need and no more: records, predictions, and weights of those that have some.

        Of the classifiers that named images for them, the weights stay too.

        So the folder follows from the parameters alone, whatever was trained before.
        """
        trained = [outcome for outcome in outcomes if outcome.trainings]
        ends = {outcome.trainings[-1] for outcome in trained}
        models = {outcome.trainings[-1] for outcome in trained if outcome.weights is not None}
        models = models.union(*(outcome.teachers for outcome in trained))
        used = models.union(*(outcome.trainings for outcome in trained))
        self.folder.mkdir(parents=True, exist_ok=True)  # an output of the stage, also where all runs have failed
        for entry in self.folder.glob("*"):
            if entry.name not in used:
                shutil.rmtree(entry)
                continue
            for name, needed_by in ((WEIGHTS, models), (PREDICTIONS, ends)):
                if entry.name not in needed_by:
                    (entry / name).unlink(missing_ok=True)


def finished(cache: PhaseCache, fingerprints: Sequence[str]) -> list[Mapping[str, Any]] | None:
    """Records of the phases of a run that has been trained before; None where something is missing."""
    records = [cache.record(fingerprint) for fingerprint in fingerprints]
    complete = fingerprints and cache.weights(fingerprints[-1]).exists()
    return [record for record in records if record] if complete and None not in records else None


def _digest(images: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(images).tobytes()).hexdigest()


def roundings(study: str) -> set[str]:
    """How the numbers of a study's finished phases were rounded: one text per kind of machine that has trained some of them."""
    records = [json.loads(path.read_text("utf-8")) for path in paths.data(study, "trainings").glob(f"*/*/{RECORD}")]
    return {", ".join(record["rounding"]) for record in records}
