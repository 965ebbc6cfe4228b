"""Losses of a training, read from its device as seldom as may be: each reading waits until a GPU has done all its work."""

import math

import torch

from fetalkit.utils import processes
from fetalkit.utils.errors import FetalkitError

SELDOM = 50  # steps of a GPU between two readings


class Losses:
    """Losses of the last steps, which may still be on their way.

    Parameters
    ----------
    first
        Number of the first step, counted from 0.
    on
        Device of the training; on a CPU, where nothing waits, every loss is due at once.
    label, advice
        Of the error when a loss is not a number: what was being trained, and what to do.
    """

    def __init__(self, first: int, on: torch.device, label: str, advice: str):
        self.done, self.label, self.advice = first, label, advice
        self._every = 1 if on.type == "cpu" else SELDOM
        self._waiting: list[torch.Tensor] = []

    def add(self, loss: torch.Tensor) -> None:
        """Note the loss of the next step, a scalar that is NaN where the gradient was not a number."""
        self._waiting.append(loss.detach())

    @property
    def due(self) -> bool:
        """Whether enough steps have passed to read."""
        return len(self._waiting) >= self._every

    def read(self) -> list[float]:
        """Losses since the last reading, one per step; averaged over the processes that share the training.

        Raises
        ------
        FetalkitError
            Names the first step whose loss is not a number.
        """
        if not self._waiting:
            return []
        values = processes.mean(torch.stack(self._waiting)).tolist()
        self._waiting = []
        for value in values:
            self.done += 1
            if not math.isfinite(value):
                raise FetalkitError(f"{self.label}: the loss is not a number at step {self.done}; {self.advice}")
        return values
