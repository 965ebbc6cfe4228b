"""Variants of a synthetic set, drawn beside the study's own sets to see what a choice does to fidelity and copying.

They are small, belong to one seed, and no arm trains on them.
"""

from dataclasses import dataclass, field
from typing import Any

from fetalkit.config.params import Params


@dataclass(frozen=True)
class Variant:
    """A set that departs from the study's own set of a generator in one thing.

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
    """The varied generator in the course of its training, at the smallest and the largest k."""
    name, seed = settings.fidelity.varied, settings.splits.seeds[0]
    if not name:
        return []
    return [
        Variant(f"{name}-at{100 * fraction:.0f}", name, k, seed, fraction=fraction)
        for k in settings.splits.shots.ends
        for fraction in getattr(settings.generators[name].training, "snapshots", ())
    ]


def guidance(settings: Params) -> list[Variant]:
    """Both kinds of guidance over their scales, at the largest k."""
    name, k, seed = settings.fidelity.varied, settings.splits.shots.largest, settings.splits.seeds[0]
    if not name:
        return []
    return [
        Variant(f"{name}-{kind}{scale:g}", name, k, seed, {"guidance_kind": kind, "guidance": float(scale)})
        for kind, scales in settings.fidelity.guidance_scales.items()
        for scale in scales
    ]


def all_variants(settings: Params) -> list[Variant]:
    """Every variant of a generator that the study trains, each once."""
    return [*training_time(settings), *guidance(settings)]
