"""The synthetic sets of a study, read from where the stage before has stored them."""

from dataclasses import dataclass
from functools import cached_property

from fetalkit.config import sets, variants
from fetalkit.config.runs import check_generators, seen
from fetalkit.data.images import Labelled
from fetalkit.data.study import Study, set_name


@dataclass(frozen=True)
class Drawn:
    """A synthetic set: name of its generator or variant, the subset (k, seed) that the generator has learnt, its images.

    `seen` is the k of all images that the generator has seen, with labels or without.
    """

    generator: str
    k: str
    seed: int
    data: Labelled
    seen: str

    @property
    def name(self) -> str:
        """Name of the set's file."""
        return set_name(self.generator, self.k, self.seed)

    @property
    def subset(self) -> tuple[str, int]:
        """k and seed."""
        return self.k, self.seed

    @property
    def known(self) -> tuple[str, int]:
        """k and seed of the images that it can hold copies of: all that its generator has seen."""
        return self.seen, self.seed


class SyntheticSets:
    """All synthetic sets of a study.

    Parameters
    ----------
    study
        With images, splits, and all sets that `sets.jobs`, `sets.derived` and `variants.all_variants` name.

    Attributes
    ----------
    subject
        The generator that the study is about: it comes first.
    largest, first_seed
        The largest k, and the seed that is shown where one has to be.
    """

    def __init__(self, study: Study):
        check_generators(study.cohort, study.params)
        self.study, self.settings = study, study.params
        self.subject = self.settings.fidelity.varied
        self.largest, self.first_seed = self.settings.splits.shots.largest, self.settings.splits.seeds[0]

    @cached_property
    def sets(self) -> list[Drawn]:
        """The sets of the study: every generator of every subset, and what was derived from them."""
        jobs = [*sets.jobs(self.settings), *sets.derived(self.settings)]
        return [
            Drawn(**job, data=self.study.synthetic(**job), seen=seen(self.settings, job["generator"], job["k"]))
            for job in jobs
        ]

    @cached_property
    def guidance_sets(self) -> list[Drawn]:
        """Small sets that were drawn with other guidance."""
        return self._variants(variants.guidance(self.settings))

    @cached_property
    def snapshots(self) -> list[Drawn]:
        """Small sets that were drawn in the course of the training. Only copies are looked for in them."""
        return self._variants(variants.training_time(self.settings))

    def _variants(self, wanted: list[variants.Variant]) -> list[Drawn]:
        return [
            Drawn(
                each.name,
                each.k,
                each.seed,
                self.study.synthetic(each.name, each.k, each.seed),
                seen(self.settings, each.generator, each.k),
            )
            for each in sets.drawable(self.settings, wanted)
        ]

    @property
    def names(self) -> list[str]:
        """Names of the generators and of what was derived from their sets, the study's subject first."""
        return sorted(dict.fromkeys(each.generator for each in self.sets), key=lambda name: name != self.subject)

    @property
    def shown(self) -> list[str]:
        """The k that pages show: that of the first primary comparison, or else the smallest with sets, and the largest."""
        there = {each.k for each in self.sets}
        first = [*(named.k for named in self.settings.report.comparisons), *self.settings.splits.shots]
        return list(dict.fromkeys([next(k for k in first if k in there), *({self.largest} & there)]))

    def names_at(self, k: str) -> list[str]:
        """Those of `names` that have sets at `k`."""
        there = {each.generator for each in self.sets if each.k == k}
        return [name for name in self.names if name in there]

    def originals(self, k: str) -> list[str]:
        """Names of the sets at `k` that are as they were drawn."""
        sets = self.settings.sets
        return [name for name in self.names_at(k) if name not in sets or sets[name].sampling]

    def find(self, generator: str, k: str, seed: int) -> Drawn:
        """The set of a generator of one subset; KeyError if there is none."""
        return {each.name: each for each in self.sets}[set_name(generator, k, seed)]
