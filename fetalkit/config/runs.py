"""The runs of the study (arm × classifier × k × seed): enumerated from the parameters, never from what lies on disk."""

from dataclasses import dataclass

from fetalkit.config.arms import may_know
from fetalkit.config.params import Params
from fetalkit.config.shots import EVERY
from fetalkit.utils.errors import FetalkitError


@dataclass(frozen=True)
class Run:
    """One training of the study."""

    arm: str
    classifier: str
    k: str
    seed: int

    @property
    def name(self) -> str:
        """Unique name, fit for a file."""
        return f"{self.arm}_{self.classifier}_k{self.k}_seed{self.seed}"


def arms_of(settings: Params, classifier: str, k: str) -> list[str]:
    """Arms of a classifier at k, in the order of the parameters: those of every run, then the further ones of this one."""
    wanted = list(_of_all_runs(settings, classifier))
    for block in settings.classify.further:
        if k in block.shots and classifier in block.classifiers:
            wanted += [arm for arm in block.arms if arm not in wanted]
    # Where a run has all images, a set drawn from all images is no leak: that arm is what the plain one does.
    return [
        arm for arm in wanted if k != EVERY or not any(leaks(settings, set_) for set_ in settings.arms[arm].sources)
    ]


def at_every_k(settings: Params) -> list[str]:
    """Arms that the first classifier of the study has at every k, in the order of the parameters."""
    first, shots = next(iter(settings.classify.classifiers)), settings.splits.shots
    return [arm for arm in settings.arms if all(arm in arms_of(settings, first, k) for k in shots)]


def seeds_of(settings: Params, arm: str, classifier: str, k: str) -> list[int]:
    """Seeds of an arm of a classifier at k, ascending: all of the study, or those of the blocks that name it."""
    named: set[int] = set()
    in_all = arm in _of_all_runs(settings, classifier)
    for block in [] if in_all else settings.classify.further:
        if arm in block.arms and k in block.shots and classifier in block.classifiers:
            named |= set(block.seeds or settings.splits.seeds)
    return [seed for seed in settings.splits.seeds if in_all or seed in named]


def _of_all_runs(settings: Params, classifier: str) -> list[str]:
    """Arms that a classifier has at every k and seed."""
    return settings.classify.arms if settings.classify.classifiers[classifier].everywhere else []


def all_runs(settings: Params) -> list[Run]:
    """All runs, in the order classifier, k, seed, arm."""
    return [
        Run(arm, classifier, k, seed)
        for classifier in settings.classify.classifiers
        for k in settings.splits.shots
        for seed in settings.splits.seeds
        for arm in arms_of(settings, classifier, k)
        if seed in seeds_of(settings, arm, classifier, k)
    ]


def controls_of(settings: Params, arm: str) -> list[str]:
    """Controls of the levels that `arm` may know, in the order of ``arms``; for one that is a control, of lower level alone."""
    own = settings.arms[arm]
    levels = [level for level in may_know(own.level) if not (own.control and level == own.level)]
    return [name for name, of in settings.arms.items() if of.control and of.level in levels and name != arm]


def check_generators(cohort: str, settings: Params) -> None:
    """Raise `FetalkitError` where a study has no generators: its pipeline has none of their stages."""
    if not settings.generators:
        raise FetalkitError(
            f"{cohort}: has no generators in params.yaml, so there is nothing to train, draw or judge here"
        )


def generator_of(settings: Params, source: str) -> str:
    """Generator that the images of a synthetic set come from."""
    return settings.sets[source].generator if source in settings.sets else source


def seen(settings: Params, source: str, k: str) -> str:
    """The k of the images that the generator of a synthetic set has seen: ``"all"`` where it saw the others unlabelled."""
    return EVERY if settings.generators[generator_of(settings, source)].sees_all else k


def leaks(settings: Params, source: str) -> bool:
    """Whether a synthetic set is drawn from more images than its run may see."""
    return source in settings.sets and settings.sets[source].leaks


def stored(settings: Params, source: str, k: str) -> tuple[str, str]:
    """Name and k of the stored set that an arm finds under `source` in a run of `k` images per plane."""
    return (generator_of(settings, source), EVERY) if leaks(settings, source) else (source, k)


def begun_with(settings: Params) -> list[tuple[str, str, int]]:
    """Name, k and seed of every generator whose weights some run begins with, sorted by name, in the order of the shots."""
    return _ordered(settings, {(settings.arms[run.arm].initial, run.k, run.seed) for run in all_runs(settings)})


def stored_sets(settings: Params) -> list[tuple[str, str, int]]:
    """Name, k and seed of every stored synthetic set that some run trains on, sorted by name, in the order of the shots."""
    needed = {
        (*stored(settings, source, run.k), run.seed)
        for run in all_runs(settings)
        for source in settings.arms[run.arm].sources
    }
    return _ordered(settings, needed)


def _ordered(settings: Params, named: set[tuple[str, str, int]]) -> list[tuple[str, str, int]]:
    """Those that have a name."""
    order = list(settings.splits.shots)
    return sorted((item for item in named if item[0]), key=lambda item: (item[0], order.index(item[1]), item[2]))
