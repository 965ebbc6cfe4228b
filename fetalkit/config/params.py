"""Typed view of ``params.yaml``: every knob of the study, checked before anything runs."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SerializeAsAny, field_validator, model_validator

from fetalkit.config import consistency, defaults, sections
from fetalkit.config.arms import Arm, DerivedSet
from fetalkit.config.generation import Fidelity, GeneratorSettings, Synthesis, Unlabelled, resolve
from fetalkit.config.machine import Machine
from fetalkit.config.report import PrimaryComparison as PrimaryComparison
from fetalkit.config.report import Report
from fetalkit.config.sections import CohortSettings, ImageSize, Rate, Section, Seed, unique, validated
from fetalkit.config.shots import EVERY, ShotsField, StepsOfShots
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError

# In ascending order, whatever the order in the file: the first seed is the one that is shown.
Seeds = Annotated[list[Seed], Field(min_length=1), AfterValidator(unique), AfterValidator(sorted)]
SHARED = ("run", "arms", "sets", "metrics")  # sections of the file that all cohorts share


# Kinds of cohorts that come with the project; others are named by ``kind: package.module:Class``.
COHORTS = {
    "africa": "fetalkit.cohorts.africa:Africa",
    "phantom": "fetalkit.cohorts.phantom:Phantom",
    "spain": "fetalkit.cohorts.spain:Spain",
    "brain": "fetalkit.cohorts.spain:Brain",
    "table": "fetalkit.cohorts.table:Table",
}


class Images(Section):
    """Working resolution of all networks."""

    image_size: ImageSize


class Rare(Section):
    """A plane of which every subset has at most so many train images: the study of an unequal data set."""

    plane: str
    images: Annotated[int, Field(ge=1)]


class Splits(Section):
    """Patient-level splits, k-shot subsets and seeds of the study; ``rare`` makes one plane rare."""

    validation_fraction: Annotated[float, Field(gt=0, le=0.5)]
    validation_seed: Seed
    near_duplicate_bits: Annotated[int, Field(ge=0, le=32)]
    near_duplicate_correlation: Annotated[float, Field(gt=0, le=1)]
    shots: ShotsField
    seeds: Seeds
    rare: Rare | None = None


class Classifier(Section):
    """A timm model by name, with keyword arguments for ``timm.create_model``; see `fetalkit.classifiers.models.create`.

    It is trained in the precision of ``run.precision`` where ``reduced_precision`` allows that, else in float32: plain
    convolutions gain from bfloat16, those of single channels and attention at this size lose (``benchmarks/classifier.py``).
    What is given here of steps and learning rate takes the place of that of `Training`, and ``input_size`` that of the images.
    One that is not ``everywhere`` is trained where a block of ``classify.further`` names it, and nowhere else.
    """

    model: str
    arguments: dict[str, int | float | str | bool | list[int | float]]
    pretrained: bool = False
    input_size: Annotated[int, Field(ge=16, le=512)] | None = None
    reduced_precision: bool = False
    learning_rate: Rate | None = None
    pretrain_steps: StepsOfShots | None = None
    train_steps: StepsOfShots | None = None
    everywhere: bool = True

    @field_validator("arguments")
    @classmethod
    def _of_the_network(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        if foreign := sorted(set(arguments) & set(sections.FOREIGN)):
            raise ValueError(f"{foreign[0]} is not allowed, since it names weights or files; remove it")
        return arguments


class Block(Section):
    """Arms that are trained in some runs only, to save time: those of these shots, classifiers and seeds (None: all)."""

    arms: Annotated[list[str], AfterValidator(unique)]
    shots: ShotsField
    classifiers: Annotated[list[str], AfterValidator(unique)]
    seeds: Seeds | None = None

    def __str__(self) -> str:
        parts = [", ".join(self.arms), f"k = {', '.join(map(str, self.shots))}", ", ".join(self.classifiers)]
        if self.seeds:
            parts.append(f"seeds {', '.join(map(str, self.seeds))}")
        return "; ".join(parts)


class Training(Section):
    """Classifiers and step budgets: P = ``pretrain_steps`` on synthetic images, N = ``train_steps`` on real ones.

    Each is one number, or a number for every k, as ``{"10": 500, "all": 1500}``.
    """

    classifiers: Annotated[dict[str, Classifier], Field(min_length=1)]
    pretrain_steps: StepsOfShots
    train_steps: StepsOfShots
    batch_size: Annotated[int, Field(ge=2)]
    learning_rate: Rate
    weight_decay: Annotated[float, Field(ge=0, lt=1)]
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]

    def steps(self, classifier: str, k: str = EVERY) -> tuple[int, int]:
        """P and N of a classifier that has k real images per plane."""
        own = self.classifiers[classifier]
        given = own.pretrain_steps or self.pretrain_steps, own.train_steps or self.train_steps
        pretrain, train = (steps if isinstance(steps, int) else steps[k] for steps in given)
        return pretrain, train


class Classify(Training):
    """Arms of the study, how they are trained, and who judges them.

    Attributes
    ----------
    arms, further
        In every run, and in some runs only.
    tested_on
        The part of the images that results are of: ``"test"``, or ``"validation"`` where the test patients are not to be read
        yet. Then no stage after 02_images sees a test image.
    pseudo_labels
        Who names the images of the source ``pseudo-labels``; None where no arm has it.
    other_cohort
        Another section of ``params.yaml``, of the same planes and size of images: its train images are the source
        ``other-cohort``. None where no arm has it.
    """

    arms: Annotated[list[str], Field(min_length=1), AfterValidator(unique)]
    further: list[Block]
    tested_on: Literal["test", "validation"] = "test"
    pseudo_labels: Unlabelled | None = None
    other_cohort: str | None = None


_NOTHING_DRAWN = {
    "synthesis": {"images_per_plane": 1},
    "fidelity": {
        "generators": [],
        "varied": "",
        "guidance_scales": {},
        "variant_images_per_plane": 2,
        "neighbours": 5,
        "near_copy_quantile": 0.01,
        "seed": 0,
    },
}


class Params(Section):
    """Every knob of one cohort's study."""

    run: Machine
    arms: dict[str, Arm]
    sets: dict[str, DerivedSet]
    metrics: list[str]
    cohort: SerializeAsAny[CohortSettings]
    images: Images
    splits: Splits
    generators: dict[str, GeneratorSettings]
    synthesis: Synthesis
    fidelity: Fidelity
    classify: Classify
    report: Report

    @property
    def controls(self) -> list[str]:
        """Arms that gains are counted over and that every run has, in the order of ``arms``."""
        return [name for name, arm in self.arms.items() if arm.control and name in self.classify.arms]

    @model_validator(mode="before")
    @classmethod
    def _without_generators(cls, value: Any) -> Any:
        """Where there are no generators, nothing need be said of what they draw, and what is said means nothing."""
        if isinstance(value, dict) and value.get("generators") == {}:
            return value | _NOTHING_DRAWN
        return value

    @model_validator(mode="after")
    def _consistent(self):
        problem = next(filter(None, consistency.problems(self)), None)
        if problem:
            raise ValueError(problem)
        return self


def load(cohort: str, path: Path | None = None) -> Params:
    """Settings of `cohort` from ``params.yaml``.

    Parameters
    ----------
    cohort
        A section of the file.
    path
        Another file to read; ``params.yaml`` at the project's top by default.

    Raises
    ------
    FetalkitError
        Names the file, the key, the value and what is allowed.
    """
    path = path or paths.PARAMS
    content = sections.read(path)
    own = _of(cohort, content, path)
    shared = {name: content.get(name) for name in SHARED}
    settings = validated(Params, own | shared | {"cohort": _cohort(cohort, own, path)}, path.name, cohort)
    _check_other(cohort, settings, content, path)
    return settings


def _check_other(cohort: str, settings: Params, content: dict, path: Path) -> None:
    """Refuse an ``other_cohort`` that is not there, or whose images are of other planes or another size."""
    other, key = settings.classify.other_cohort, f"{path.name}: {cohort}.classify.other_cohort"
    if other is None:
        return
    if other == cohort:
        raise FetalkitError(f"{key} = {other!r}: is this cohort itself; name another one")
    section = _of(other, content, path)
    planes, size = (section.get(part, {}).get(of) for part, of in (("cohort", "planes"), ("images", "image_size")))
    if planes != settings.cohort.planes or size != settings.images.image_size:
        raise FetalkitError(
            f"{key} = {other!r}: its planes ({', '.join(map(str, planes or []))}) and images.image_size ({size}) must be those "
            f"of {cohort}, in the same order; make them alike, or leave it out"
        )


def section(cohort: str, path: Path | None = None) -> dict[str, Any]:
    """The section of a cohort with its defaults; nothing else is checked."""
    path = path or paths.PARAMS
    return _of(cohort, sections.read(path), path)


def load_cohort(cohort: str, path: Path | None = None) -> CohortSettings:
    """The section ``cohort`` of a cohort alone, for who needs no more; raises as `load` does."""
    path = path or paths.PARAMS
    return _cohort(cohort, _of(cohort, sections.read(path), path), path)


def names(path: Path | None = None) -> list[str]:
    """Cohorts that ``params.yaml`` has a section for, in its order."""
    content = sections.read(path or paths.PARAMS)
    return [name for name, of in content.items() if isinstance(of, dict) and "cohort" in of]


def _of(cohort: str, content: dict, path: Path) -> dict:
    if not isinstance(content.get(cohort), dict) or cohort in SHARED:
        known = ", ".join(name for name, of in content.items() if isinstance(of, dict) and "cohort" in of)
        raise FetalkitError(
            f"{path.name}: no section {cohort!r}; there are: {known} (to add one of yours: fetalkit new)"
        )
    try:
        return defaults.completed(content[cohort])
    except FetalkitError as error:
        raise FetalkitError(f"{path.name}: {cohort}.{error}") from None


def _cohort(name: str, own: dict, path: Path) -> CohortSettings:
    given = own.get("cohort") or {}
    kind = (given.get("kind") or name) if isinstance(given, dict) else None
    try:
        model = resolve(COHORTS.get(kind, kind)).settings if isinstance(kind, str) else CohortSettings
    except (ValueError, AttributeError) as error:
        why = f"cannot be used: {error}" if kind in COHORTS else "is not known"  # a package may be missing
        raise FetalkitError(
            f"{path.name}: {name}.cohort.kind = {kind!r} {why}; use one of {', '.join(COHORTS)}, or package.module:Class"
        ) from None
    return validated(model, given, path.name, f"{name}.cohort")
