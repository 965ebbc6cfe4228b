"""The generators and the synthetic sets of a study: enumerated from the parameters, never from what lies on disk."""

import itertools
from collections.abc import Iterable

from fetalkit.config.consistency import drawn_with
from fetalkit.config.params import Params
from fetalkit.config.runs import begun_with, generator_of, stored_sets
from fetalkit.config.sections import Section
from fetalkit.config.variants import Variant


def jobs(settings: Params) -> list[dict]:
    """Generators that the runs and the fidelity stage need: one per generator, k and seed."""
    wanted = {(generator_of(settings, name), k, seed) for name, k, seed in stored_sets(settings)}
    wanted |= set(begun_with(settings))
    shots = list(settings.splits.shots)
    wanted |= set(itertools.product(settings.fidelity.generators, shots, settings.splits.seeds))
    order = sorted(wanted, key=lambda job: (job[0], shots.index(job[1]), job[2]))
    return [dict(generator=generator, k=k, seed=seed) for generator, k, seed in order]


def derived(settings: Params) -> list[dict]:
    """Sets that are made from those of a generator: one per name, k and seed."""
    return [dict(generator=name, k=k, seed=seed) for name, k, seed in stored_sets(settings) if name in settings.sets]


def drawn_otherwise(settings: Params) -> list[Variant]:
    """Those of the derived sets that are drawn anew, with other options."""
    return [
        Variant(job["generator"], of.generator, job["k"], job["seed"], of.sampling)
        for job in derived(settings)
        if (of := settings.sets[job["generator"]]).sampling
    ]


def drawable(settings: Params, wanted: Iterable[Variant]) -> list[Variant]:
    """Those variants whose generator the study trains."""
    trained = {(job["generator"], job["k"], job["seed"]) for job in jobs(settings)}
    return [variant for variant in wanted if (variant.generator, variant.k, variant.seed) in trained]


def sampling(settings: Params, name: str) -> Section:
    """How the images of a generator's sets are drawn, or those of a set that is derived from them."""
    options = settings.sets[name].sampling if name in settings.sets else {}
    return drawn_with(settings.generators[generator_of(settings, name)].sampling, options)
