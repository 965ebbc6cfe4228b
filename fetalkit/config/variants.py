"""Variants of a synthetic set, drawn beside the study's own sets to see what a choice does to fidelity and copying.

They are small, belong to one seed, and no arm trains on them.
"""

from dataclasses import dataclass, field
from typing import Any

from fetalkit.config.params import Params


@dataclass(frozen=True)
class Variant:
    """A set that departs from the study's own set of a cell in one thing.

    Attributes
    ----------
    name
        Takes the place of the generator's name in that of the set, e.g. ``"diffusion-at25"``.
    generator, k, seed
        The trained generator that it is drawn from.
    options
        Options of the sampler that differ.
    fraction
        Share of the training after which the generator's weights were taken; 1 is its end.
    """

    name: str
    generator: str
    k: str
    seed: int
    options: dict[str, Any] = field(default_factory=dict)
    fraction: float = 1.0


def training_time(settings: Params) -> list[Variant]:
    """Diffusion models in the course of their training, at the smallest and the largest k."""
    ends = dict.fromkeys([str(settings.splits.shots[0]), str(settings.splits.shots[-1])])
    return [
        Variant(f"diffusion-at{100 * fraction:.0f}", "diffusion", k, settings.splits.seeds[0], fraction=fraction)
        for k in ends
        for fraction in settings.diffusion.snapshots
    ]


def guidance(settings: Params) -> list[Variant]:
    """Both kinds of guidance over their scales, at the largest k."""
    k, seed = str(settings.splits.shots[-1]), settings.splits.seeds[0]
    return [
        Variant(f"diffusion-{kind}{scale:g}", "diffusion", k, seed, {"guidance_kind": kind, "guidance": float(scale)})
        for kind, scales in settings.fidelity.guidance_scales.items()
        for scale in scales
    ]


def all_variants(settings: Params) -> list[Variant]:
    """Every variant, each once."""
    return [*training_time(settings), *guidance(settings)]
