"""What all generators with networks share: settings of their shape, seeded weights, precision, files of weights, pixels."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import AfterValidator
from safetensors import SafetensorError
from torch import nn
from torch.nn import functional

from fetalkit.generators.settings import TrainingSettings
from fetalkit.utils import devices
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.streams import rng


def _widths(channels: tuple[int, ...]) -> tuple[int, ...]:
    if not channels or any(width < 8 or width % 8 for width in channels):
        raise ValueError("must be multiples of 8, one for each resolution")
    return channels


Channels = Annotated[tuple[int, ...], AfterValidator(_widths)]


class NetworkSettings(TrainingSettings):
    """Shape of networks that work at several resolutions, each half of the one before.

    Attributes
    ----------
    unshuffle
        Factor by which pixels are folded into channels before a network:
        ``(1, size, size)`` becomes ``(unshuffle ** 2, size // unshuffle, size // unshuffle)``.
    channels
        Width at each resolution, finest first; multiples of 8.
    """

    unshuffle: Literal[1, 2, 4, 8] = 2
    channels: Channels

    def check(self, planes: Sequence[str], image_size: int) -> None:
        """Raise ValueError unless images of `image_size` px can be folded and halved so often."""
        multiple = self.unshuffle * 2 ** (len(self.channels) - 1)
        if image_size % multiple:
            raise ValueError(
                f"image_size = {image_size}: must be a multiple of {multiple}, as training.unshuffle = {self.unshuffle} and "
                f"the halvings of training.channels = {self.channels} ask for"
            )


def seeded(make: Callable[[], nn.Module], seed: int, device: torch.device) -> Any:
    """Network on `device` with weights that depend on `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng(seed, "weights").initial_seed())
        return make().to(device)


def autocast(device: torch.device, precision: torch.dtype) -> AbstractContextManager:
    """Within it, convolutions and matrix products compute in `precision`."""
    return torch.autocast(device.type, precision, enabled=precision != torch.float32)


def save(network: Any, folder: Path) -> None:
    """Write `network` to `folder` with diffusers' ``save_pretrained``, in half precision, which is all that drawing needs.

    Raises
    ------
    FetalkitError
        When a weight is beyond the range of half precision.
    """
    halved = copy.deepcopy(network).half()
    if not all(bool(torch.isfinite(weight).all()) for weight in halved.parameters()):
        raise FetalkitError(f"{folder.name}: weights beyond the range of half precision; lower training.learning_rate")
    halved.save_pretrained(folder, safe_serialization=True)


def rounded(network: Any) -> Any:
    """`network`, in single precision, with the weights that `read` finds when it has been saved."""
    return network.half().float()


def read(kind: type, folder: Path, device: torch.device) -> Any:
    """Network of class `kind` that diffusers' ``save_pretrained`` wrote to `folder`."""
    # low_cpu_mem_usage pays for large models only, and asks for another package.
    network = kind.from_pretrained(folder, use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False)
    return network.to(device, memory_format=torch.channels_last).eval()


@contextmanager
def complete(folder: Path) -> Iterator[None]:
    """Within it, a saved generator is read from `folder`; `FetalkitError` when a file is missing or damaged."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise FetalkitError(f"{folder}: not a complete generator ({reason}); train it again") from error


def pixels(images: np.ndarray, device: torch.device) -> torch.Tensor:
    """Float (n, 1, height, width) in [-1, 1] of uint8 images (n, height, width)."""
    return devices.send(torch.from_numpy(np.ascontiguousarray(images)), device)[:, None].float() / 127.5 - 1


def as_images(values: torch.Tensor) -> np.ndarray:
    """Inverse of `pixels`, rounded and cut to uint8; a pixel is black where neither it nor one beside it is above level 1.

    The margin around the field of view is exactly black in real images, but as good as black in what a network draws: on a
    screen the two look alike, and with raised contrast everybody tells them apart.
    """
    grey = ((values + 1) * 127.5).round()
    black = functional.max_pool2d(grey, 3, stride=1, padding=1) <= 1
    return torch.where(black, 0, grey)[:, 0].clamp(0, 255).to(torch.uint8).cpu().numpy()
