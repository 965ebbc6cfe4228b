"""One phase of training, stored on its own under the fingerprint of all that went into it.

A killed grid goes on where it stood, runs that share their first phase share its weights, and a new run computes only what
is new.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from fetalkit.classifiers import loader, mixup, models, pretrained, trainer, transforms, ultrasound_transforms
from fetalkit.classifiers.loader import Feed
from fetalkit.classifiers.trainer import Recipe
from fetalkit.data import sampling
from fetalkit.data.images import Labelled
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.files import replacing

WEIGHTS = "weights.safetensors"
# What a trained phase follows from, beside its images and settings: always, and where it is used.
_CODE = [Path(module.__file__) for module in (transforms, sampling, models, loader, trainer)]
_CODE_OF = {"ultrasound": ultrasound_transforms, "mixup": mixup, "cutmix": mixup}


def code(augmentation: str, mixing: str = "", weights: bool = False) -> list[Path]:
    """Files that a phase follows from; `weights`: whether its classifier began with pretrained ones."""
    used = [_CODE_OF[name] for name in (augmentation, mixing) if name in _CODE_OF]
    used += [pretrained] if weights else []
    return [*_CODE, *(Path(module.__file__) for module in used)]


def digest(data: Labelled | None) -> str:
    """SHA-256 of images and labels; empty for None."""
    if data is None:
        return ""
    return hashlib.sha256(np.ascontiguousarray(data.images).tobytes() + data.labels.tobytes()).hexdigest()


def train(
    folder: Path,
    model: nn.Module,
    feed: Feed,
    steps: int,
    recipe: Recipe,
    *,
    device: torch.device,
    label: str,
    validation: Labelled,
    objective: nn.Module | None = None,
) -> dict:
    """Train `model` in place, or give it the weights that `folder` holds.

    Parameters
    ----------
    folder
        Where the phase is stored; its name is the fingerprint of all that the phase follows from.
    model, feed, steps, recipe, device, label, validation, objective
        As for `fetalkit.classifiers.trainer.fit`.

    Returns
    -------
    dict
        ``curve`` and ``seconds``, as `fetalkit.classifiers.trainer.fit` returns them.

    Raises
    ------
    FetalkitError
        When the loss is no longer a number, or nothing can be written.
    """
    if not folder.exists():
        checkpoint = Checkpoint(folder.with_suffix(".checkpoint"), folder.name)
        curve, seconds = trainer.fit(
            model,
            feed,
            steps,
            recipe,
            device=device,
            checkpoint=checkpoint,
            label=label,
            validation=validation,
            objective=objective,
        )
        with replacing(folder) as temporary:
            temporary.mkdir()
            weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
            save_file(weights, temporary / WEIGHTS)
            (temporary / "phase.json").write_text(json.dumps({"curve": curve, "seconds": round(seconds, 2)}))
        checkpoint.clear()
    model.load_state_dict(load_file(folder / WEIGHTS))
    return json.loads((folder / "phase.json").read_text())
