"""The arms of the study: on which images a classifier is trained, in which order, for how many steps.

P is the number of pre-training steps, N that of the steps on real images. ``real`` (N steps on real images) is the reading of
the paper, ``real-long`` (P + N) the control with equal compute. Every other arm spends P + N steps as well, but for
``synthetic-only``, which stops before the real images. All phases of all arms share batch size, schedule shape and, unless
the arm is about augmentation, the augmentation.
"""

from dataclasses import dataclass


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
        ``"standard"`` or ``"ultrasound"``, as in `fetalkit.feeds.AUGMENTATIONS`.
    mixing
        ``"mixup"``, ``"cutmix"`` or ``""`` for none, as in `fetalkit.mixing`.
    synthetic, share
        Set that this share of every batch is drawn from, in [0, 1); ``""`` and 0 for none.
    """

    source: str
    steps: int
    augmentation: str = "standard"
    mixing: str = ""
    synthetic: str = ""
    share: float = 0.0


@dataclass(frozen=True)
class _Plan:
    """A phase before P and N are known: it takes `p` times P and `n` times N steps."""

    source: str
    p: int
    n: int
    augmentation: str = "standard"
    mixing: str = ""
    synthetic: str = ""
    share: float = 0.0

    def phase(self, pretrain_steps: int, train_steps: int) -> Phase:
        steps = self.p * pretrain_steps + self.n * train_steps
        return Phase(self.source, steps, self.augmentation, self.mixing, self.synthetic, self.share)


def _pretrained(source: str) -> tuple[_Plan, ...]:
    return _Plan(source, 1, 0), _Plan("real", 0, 1)


def _joint(share: float) -> tuple[_Plan, ...]:
    return (_Plan("real", 1, 1, synthetic="diffusion", share=share),)


ARMS: dict[str, tuple[_Plan, ...]] = {
    "real": (_Plan("real", 0, 1),),
    "real-long": (_Plan("real", 1, 1),),
    "diffusion": _pretrained("diffusion"),
    "diffusion-phantoms": _pretrained("diffusion-phantoms"),
    "diffusion-novel": _pretrained("diffusion-novel"),
    "diffusion-ceiling": _pretrained("diffusion-ceiling"),
    "diffusion-mixed-25": _joint(0.25),
    "diffusion-mixed-50": _joint(0.50),
    "diffusion-mixed-75": _joint(0.75),
    "synthetic-only": (_Plan("diffusion", 1, 0),),
    "gan": _pretrained("gan"),
    "interpolation": _pretrained("interpolation"),
    "simulation": _pretrained("simulation"),
    "mixup": (_Plan("real", 1, 1, mixing="mixup"),),
    "cutmix": (_Plan("real", 1, 1, mixing="cutmix"),),
    "real+ultrasound": (_Plan("real", 1, 1, augmentation="ultrasound"),),
}
CONTROLS = ("real", "real-long")
# Sets that are made from those of a generator: without near-copies of the images that it has seen.
DERIVED = {"diffusion-novel": "diffusion"}
# A set that breaks the rule that a generator sees its own cell alone, to show what it would be worth: it has seen all images.
CEILING, EVERY = "diffusion-ceiling", "all"


def phases(arm: str, pretrain_steps: int, train_steps: int) -> tuple[Phase, ...]:
    """Phases of `arm` for P = `pretrain_steps` and N = `train_steps`; KeyError if there is no such arm."""
    return tuple(plan.phase(pretrain_steps, train_steps) for plan in ARMS[arm])


def stored(source: str, k: str) -> tuple[str, str]:
    """Name and k of the stored set that an arm finds under `source` in a cell of `k` images per plane."""
    return ("diffusion", EVERY) if source == CEILING else (source, k)


def synthetic(arm: str, k: str) -> list[tuple[str, str]]:
    """Name and k of the stored sets that `arm` needs in a cell of `k` images per plane."""
    sources = {plan.synthetic or plan.source for plan in ARMS[arm]} - {"real"}
    return sorted(stored(source, k) for source in sources)


def generator(name: str) -> str:
    """Generator that a stored set comes from."""
    return DERIVED.get(name, name)
