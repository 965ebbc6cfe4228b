"""Weights of a network in a file of safetensors, also of networks whose modules share tensors."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import nn

from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing


def save(model: nn.Module, path: Path) -> None:
    """Write the weights of `model`, all or nothing; of tensors that modules share, one copy.

    Raises
    ------
    FetalkitError
        When the disk is full or the folder cannot be written.
    """
    with replacing(path) as temporary:
        save_model(model, str(temporary))


def load(model: nn.Module, path: Path) -> None:
    """Give `model` the weights that `save` has written.

    Raises
    ------
    FetalkitError
        When the file is missing or damaged, or holds the weights of another network.
    """
    try:
        load_model(model, path)
    except (OSError, SafetensorError) as error:
        raise FetalkitError(f"{path}: missing or damaged ({error}); delete it and run the stage again") from None
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise FetalkitError(
            f"{path}: weights of another network than {type(model).__name__} ({reason[:200]}); delete it and run again"
        ) from None
