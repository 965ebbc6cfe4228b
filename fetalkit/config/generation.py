"""Sections of ``params.yaml`` about generators and the images that they draw."""

import pkgutil
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, SerializeAsAny, model_validator

from fetalkit.config.sections import GuidanceKind, Rate, Section, Seed, Steps, unique, validated
from fetalkit.utils.errors import FetalkitError


class Start(Section):
    """A training that a generator begins with, paid once and shared by all its subsets.

    Attributes
    ----------
    generator, images_per_plane
        Another generator of the section, which learns nothing of real images, and how many of its images are learnt with
        their planes; None and 0 for none. It has seen no real image, so any run's generator may begin with it (level L2).
    unlabelled
        Whether the train images of the cohort are learnt too, without their planes (level L1).
    steps
        For how many steps; all else is as in ``training``.
    """

    generator: str | None = None
    images_per_plane: Annotated[int, Field(ge=0)] = 0
    unlabelled: bool = False
    steps: Steps

    @model_validator(mode="after")
    def _something(self):
        if not (self.generator or self.unlabelled):
            raise ValueError("has nothing to learn from; give generator and images_per_plane, or unlabelled: true")
        if bool(self.generator) != bool(self.images_per_plane):
            raise ValueError("generator and images_per_plane go together; give both or none")
        return self


class Budget(Section):
    """How long a generator trains on a subset: in proportion to its images, since a model begins to repeat what it has
    seen after a time in proportion to their number [1]_.

    Attributes
    ----------
    seen_per_image
        How often every image is seen, ``training.steps`` allowing.
    seen_at_least
        Images that are seen in all, however few different ones there are.

    References
    ----------
    .. [1] Bonnaire et al., Why Diffusion Models Don't Memorize, 2025, arXiv 2505.17638.
    """

    seen_per_image: Annotated[float, Field(gt=0)]
    seen_at_least: Annotated[int, Field(ge=0)] = 0

    def steps(self, images: int, batch_size: int, at_most: int) -> int:
        """Steps of a training on so many images."""
        seen = max(self.seen_per_image * images, self.seen_at_least)
        return max(1, min(at_most, round(seen / batch_size)))


class Stopping(Section):
    """Which state of a training is kept: of its ``snapshots`` and its end, judged on validation patients.

    Attributes
    ----------
    near_copies
        Largest share of near-copies of train images; later states with more are not taken, the first one always may be.
        Of the others, that with the smallest kernel distance from validation images is kept.
    images_per_plane
        That are drawn from every state.
    """

    near_copies: Annotated[float, Field(ge=0, le=1)]
    images_per_plane: Annotated[int, Field(ge=10)] = 50


class Unlabelled(Section):
    """Train images beside a run's subset, which its generator learns too, as classifiers of that subset name them [1]_.

    No label beyond the subset's is read (level L1). Synthetic sets of such a generator keep images in which the same
    classifiers see the plane that was asked for.

    Attributes
    ----------
    teachers
        Number of classifiers, trained alike from different random weights.
    classifier
        One of ``classify.classifiers``.
    steps
        Of the training of each, on the subset's images alone.
    agreement
        So many of them, the greater part, must agree on an image, or it is left out. The more agree, the more it counts.

    References
    ----------
    .. [1] You et al., Diffusion Models and Semi-Supervised Learners Benefit Mutually with Few Labels, NeurIPS 2023,
       arXiv 2302.10586.
    """

    teachers: Annotated[int, Field(ge=1, le=99)]
    classifier: str
    steps: Steps
    agreement: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _a_majority(self):
        if not self.teachers / 2 < self.agreement <= self.teachers:
            raise ValueError(
                f"agreement = {self.agreement}: must be the greater part of {self.teachers} teachers, and at most all"
            )
        return self


class GeneratorSettings(Section):
    """A generator: its class, and what that class is told.

    Attributes
    ----------
    class_path
        ``class`` in the file: ``package.module:Name`` of a `fetalkit.generators.base.Generator`.
    title
        What it is, for tables, pages and cards.
    training, sampling
        Sections that the class defines, as its ``Training`` and ``Sampling``.
    start
        What its training begins with; random weights where there is none.
    budget
        How its steps follow from the number of images; ``training.steps`` where there is none.
    stopping
        Which state of the training is kept; its end where there is none.
    unlabelled
        How train images beside the subset are learnt without their labels; they are not where there is none.
    """

    model_config: ClassVar = Section.model_config | {"populate_by_name": True}

    class_path: Annotated[str, Field(alias="class", pattern=r"^[\w.]+:\w+$")]
    title: str
    training: SerializeAsAny[Section]
    sampling: SerializeAsAny[Section]
    start: Start | None = None
    budget: Budget | None = None
    stopping: Stopping | None = None
    unlabelled: Unlabelled | None = None

    @property
    def sees_all(self) -> bool:
        """Whether it sees all train images of the cohort, those beside its subset without their labels."""
        return bool(self.unlabelled or (self.start and self.start.unlabelled))

    @model_validator(mode="after")
    def _fitting(self):
        if self.budget and not {"steps", "batch_size"} <= set(type(self.training).model_fields):
            raise ValueError("budget: the training of this class has no steps and batch_size; leave it out")
        if self.stopping and not getattr(self.training, "snapshots", ()):
            raise ValueError("stopping: there are no training.snapshots to choose from; name some, or leave it out")
        if self.unlabelled and "steps" not in type(self.training).model_fields:
            raise ValueError("unlabelled: the training of this class has no steps; leave it out")
        return self

    @model_validator(mode="before")
    @classmethod
    def _typed(cls, value: Any) -> Any:
        class_path = value.get("class", value.get("class_path")) if isinstance(value, dict) else None
        if not isinstance(class_path, str):
            return value
        made: Any = resolve(class_path) if ":" in class_path else None
        if not hasattr(made, "Training") or not hasattr(made, "Sampling"):
            raise ValueError(f"class {class_path!r} is no generator; give one as package.module:Name")
        return value | {
            part: _section(getattr(made, part.capitalize()), value.get(part) or {}, part)
            for part in ("training", "sampling")
        }


def _section(model: type[Section], value: Any, key: str) -> Section:
    if isinstance(value, Section):
        return value
    try:
        return validated(model, value, "", key)
    except FetalkitError as error:
        raise ValueError(str(error)) from None


def resolve(class_path: str) -> type:
    """Class by ``package.module:Name``; ValueError where there is none."""
    try:
        return pkgutil.resolve_name(class_path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"class {class_path!r} cannot be imported ({error}); correct the name or install its package"
        ) from None


class Synthesis(Section):
    """How many images of every plane a synthetic set has."""

    images_per_plane: Annotated[int, Field(ge=1, le=1_000_000)]


class Fidelity(Section):
    """What the fidelity stage looks at beside the sets of the arms.

    Attributes
    ----------
    generators
        Further ones, in every run.
    varied
        The generator of which variants are drawn: in the course of its training, and with other guidance; ``""`` for none.
    """

    generators: Annotated[list[str], AfterValidator(unique)]
    varied: str
    guidance_scales: dict[GuidanceKind, Annotated[list[Annotated[float, Field(ge=0, le=20)]], AfterValidator(unique)]]
    variant_images_per_plane: Annotated[int, Field(ge=2)]
    neighbours: Annotated[int, Field(ge=1, le=100)]
    near_copy_quantile: Rate
    seed: Seed
