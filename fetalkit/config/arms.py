"""The arms of the study: on which images a classifier is trained, in which order, for how many steps.

P is the number of pre-training steps, N that of the steps on real images. ``real`` (N steps on real images) is the reading of
the paper, ``real-long`` (P + N) the control with equal compute. Every other arm spends P + N steps as well, but for
``synthetic-only``, which stops before the real images. All phases of all arms share batch size, schedule shape and, unless
the arm is about augmentation, the augmentation.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Phase:
    """Some steps of training.

    Attributes
    ----------
    source
        ``"real"``, or a set of synthetic images (`generator`).
    steps
        Number of optimiser steps.
    augmentation
        ``"standard"`` or ``"ultrasound"``, as in `fetalkit.classifiers.loader.AUGMENTATIONS`.
    mixing
        ``"mixup"``, ``"cutmix"`` or ``""`` for none, as in `fetalkit.classifiers.mixup`.
    synthetic, share
        Set that this share of every batch is drawn from, in [0, 1); ``""`` and 0 for none.
    """

    source: str
    steps: int = 0
    augmentation: str = "standard"
    mixing: str = ""
    synthetic: str = ""
    share: float = 0.0


# A phase with the multiples of P and of N that make its number of steps.
_Plan = tuple[Phase, int, int]


def _pretrained(source: str) -> tuple[_Plan, ...]:
    return (Phase(source), 1, 0), (Phase("real"), 0, 1)


def _joint(share: float) -> tuple[_Plan, ...]:
    return ((Phase("real", synthetic="diffusion", share=share), 1, 1),)


ARMS: dict[str, tuple[_Plan, ...]] = {
    "real": ((Phase("real"), 0, 1),),
    "real-long": ((Phase("real"), 1, 1),),
    "diffusion": _pretrained("diffusion"),
    "diffusion-phantoms": _pretrained("diffusion-phantoms"),
    "diffusion-novel": _pretrained("diffusion-novel"),
    "diffusion-ceiling": _pretrained("diffusion-ceiling"),
    "diffusion-mixed-25": _joint(0.25),
    "diffusion-mixed-50": _joint(0.50),
    "diffusion-mixed-75": _joint(0.75),
    "synthetic-only": ((Phase("diffusion"), 1, 0),),
    "gan": _pretrained("gan"),
    "interpolation": _pretrained("interpolation"),
    "simulation": _pretrained("simulation"),
    "mixup": ((Phase("real", mixing="mixup"), 1, 1),),
    "cutmix": ((Phase("real", mixing="cutmix"), 1, 1),),
    "real+ultrasound": ((Phase("real", augmentation="ultrasound"), 1, 1),),
}
CONTROLS = ("real", "real-long")
# Sets that are made from those of a generator: without near-copies of the images that it has seen.
DERIVED = {"diffusion-novel": "diffusion"}
# A set that breaks the rule that a generator sees its own cell alone, to show what it would be worth: it has seen all images.
CEILING, EVERY = "diffusion-ceiling", "all"


def phases(arm: str, pretrain_steps: int, train_steps: int) -> tuple[Phase, ...]:
    """Phases of `arm` for P = `pretrain_steps` and N = `train_steps`; KeyError if there is no such arm."""
    return tuple(replace(phase, steps=p * pretrain_steps + n * train_steps) for phase, p, n in ARMS[arm])


def stored(source: str, k: str) -> tuple[str, str]:
    """Name and k of the stored set that an arm finds under `source` in a cell of `k` images per plane."""
    return ("diffusion", EVERY) if source == CEILING else (source, k)


def synthetic(arm: str, k: str) -> list[tuple[str, str]]:
    """Name and k of the stored sets that `arm` needs in a cell of `k` images per plane."""
    sources = {phase.synthetic or phase.source for phase, _, _ in ARMS[arm]} - {"real"}
    return sorted(stored(source, k) for source in sources)


def generator(name: str) -> str:
    """Generator that a stored set comes from."""
    return DERIVED.get(name, name)
