"""The arms of the study: on which images a classifier is trained, in which order, for how many steps.

P is the number of pre-training steps, N that of the steps on real images. ``real`` is the reading of the paper,
``real-long`` the control with equal compute. All phases of all arms share batch size, schedule shape and augmentation.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Phase:
    """Some steps of training on images of one source.

    Attributes
    ----------
    source
        ``"real"``, the name of a generator, or a set derived from a generator's (`DERIVED`).
    steps
        Number of optimiser steps.
    """

    source: str
    steps: int


# Each arm is a list of (source, multiples of P, multiples of N).
ARMS: dict[str, tuple[tuple[str, int, int], ...]] = {
    "real": (("real", 0, 1),),
    "real-long": (("real", 1, 1),),
    "diffusion": (("diffusion", 1, 0), ("real", 0, 1)),
    "diffusion-novel": (("diffusion-novel", 1, 0), ("real", 0, 1)),
    "simulation": (("simulation", 1, 0), ("real", 0, 1)),
    "synthetic-only": (("diffusion", 1, 0),),
}
# Sets that are made from those of a generator: without near-copies of the images that it has seen.
DERIVED = {"diffusion-novel": "diffusion"}
CONTROLS = ("real", "real-long")


def phases(arm: str, pretrain_steps: int, train_steps: int) -> tuple[Phase, ...]:
    """Phases of `arm` for P = `pretrain_steps` and N = `train_steps`; KeyError if there is no such arm."""
    return tuple(Phase(source, p * pretrain_steps + n * train_steps) for source, p, n in ARMS[arm])


def _synthetic(arms: list[str]) -> set[str]:
    return {source for arm in arms for source, _, _ in ARMS[arm]} - {"real"}


def generators(arms: list[str]) -> list[str]:
    """Generators that `arms` need, sorted."""
    return sorted({DERIVED.get(source, source) for source in _synthetic(arms)})


def derived(arms: list[str]) -> list[str]:
    """Derived sets that `arms` need, sorted."""
    return sorted(_synthetic(arms) & set(DERIVED))
