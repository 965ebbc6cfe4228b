"""Typed view of the section ``transfer`` of ``params.yaml``: from where to where, with which methods, for how many steps."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from fetalkit.config import params
from fetalkit.config.machine import Machine
from fetalkit.config.params import Params, Seeds, Training
from fetalkit.config.sections import TRANSFER, Rate, Section, Steps, read, transfer_sections, unique, validated
from fetalkit.experiments.transfer.domains import Direction, Domain
from fetalkit.experiments.transfer.methods import BASELINES, CONTROL, METHODS, SUBJECT, baseline
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Magnification = Annotated[float, Field(gt=0, le=8)]


class LeaveOut(Section):
    """Train on a cohort without one place, test on that place; for each of the `places` in turn."""

    cohort: str
    by: Literal["centre", "machine"]
    places: Annotated[list[str], Field(min_length=1), AfterValidator(unique)]


class Weights(Section):
    """Weights of the alignments at the end of training; see `fetalkit.experiments.transfer.alignment.Aligned`."""

    coral: Weight
    mmd: Weight
    dann: Weight


class Generator(Section):
    """Diffusion models of this study; all else is as in the source cohort's sections."""

    steps: Steps
    images_per_plane: Annotated[int, Field(ge=1)]
    magnifications: Annotated[list[Magnification], Field(min_length=1), AfterValidator(unique)]


class Block(Section):
    """Methods that are trained in some directions with some classifiers."""

    methods: Annotated[list[str], Field(min_length=1), AfterValidator(unique)]
    directions: Annotated[list[str], Field(min_length=1), AfterValidator(unique)]
    classifiers: Annotated[list[str], Field(min_length=1), AfterValidator(unique)]


class Transfer(Section):
    """Every knob of one transfer study, and the parameters of its cohorts."""

    run: Machine
    cohorts: dict[str, Params]
    across: list[tuple[str, str]]
    leave_out: list[LeaveOut]
    seeds: Seeds
    training: Training
    labelled: Annotated[int, Field(ge=1)]
    joint_share: Rate
    weights: Weights
    style_share: Annotated[float, Field(gt=0, le=1)]
    scales: Annotated[list[Magnification], Field(min_length=1), AfterValidator(unique)]
    generator: Generator
    blocks: Annotated[list[Block], Field(min_length=1)]
    # Methods whose gains, and no others, are tested.
    primary: Annotated[list[str], AfterValidator(unique), Field(default_factory=list)]

    @property
    def directions(self) -> dict[str, Direction]:
        """Name → from where to where, e.g. ``"spain to africa"``, ``"africa to Ghana"`` (the rest of africa to Ghana)."""
        return {direction.name: direction for direction in self._asked}

    @property
    def _asked(self) -> list[Direction]:
        directions = [Direction(f"{a} to {b}", Domain(a), Domain(b)) for a, b in self.across]
        for given in self.leave_out:
            for place in given.places:
                target = Domain(given.cohort, given.by, place)
                directions.append(Direction(f"{given.cohort} to {place}", target.rest(), target))
        return directions

    @property
    def views(self) -> dict[str, list[str]]:
        """What is reported → the directions whose test images it takes together: each one, and all left-out places."""
        views = {name: [name] for name in self.directions}
        for given in self.leave_out:
            if len(given.places) > 1:
                members = [f"{given.cohort} to {place}" for place in given.places]
                views[f"each {given.by} of {given.cohort}"] = members
        return views

    @property
    def main_views(self) -> list[str]:
        """Views that are no part of another one."""
        whole = {name for members in self.views.values() if len(members) > 1 for name in members}
        return [name for name in self.views if name not in whole]

    @property
    def planes(self) -> list[str]:
        """Planes, in the order of the class numbers; the same in all cohorts."""
        return list(next(iter(self.cohorts.values())).cohort.planes)

    def methods_of(self, direction: str, classifier: str) -> list[str]:
        """Methods of a classifier in a direction, in the order of the blocks."""
        here = [block for block in self.blocks if direction in block.directions and classifier in block.classifiers]
        return list(dict.fromkeys(method for block in here for method in block.methods))

    @property
    def image_size(self) -> int:
        """Side of the images in px; the same in all cohorts."""
        return next(iter(self.cohorts.values())).images.image_size

    @model_validator(mode="after")
    def _consistent(self):
        if twice := [name for name, count in Counter(asked.name for asked in self._asked).items() if count > 1]:
            raise ValueError(f"across and leave_out: {twice[0]} is asked for twice; name it once")
        for number, block in enumerate(self.blocks):
            for key, given, allowed in (
                ("methods", block.methods, METHODS),
                ("directions", block.directions, self.directions),
                ("classifiers", block.classifiers, self.training.classifiers),
            ):
                if unknown := [name for name in given if name not in allowed]:
                    raise ValueError(
                        f"blocks.{number}.{key}: {', '.join(unknown)} unknown; allowed: {', '.join(allowed)}"
                    )
        for direction in self.directions:
            for classifier in self.training.classifiers:
                used = self.methods_of(direction, classifier)
                for method in used:
                    if lacking := {CONTROL, baseline(method)} - set(used):
                        raise ValueError(
                            f"blocks: {classifier}, {direction}: no {min(lacking)} to compare {method} with; add it"
                        )
                source = self.cohorts.get(self.directions[direction].source.cohort)
                begun = [method for method in used if METHODS[method].pretraining]
                if begun and source and SUBJECT not in source.generators:
                    raise ValueError(
                        f"blocks: {direction}: {begun[0]} begins with images of generators.{SUBJECT}, which the source lacks; "
                        "add that generator, or leave the method out"
                    )
        every = {method for block in self.blocks for method in block.methods}
        for method in self.primary:
            if method not in every or method in BASELINES.values():
                allowed = ", ".join(sorted(every - set(BASELINES.values()))) or "none"
                raise ValueError(
                    f"primary: {method} is no method of the blocks beside the baselines; allowed: {allowed}"
                )
        if hidden := [name for name, of in self.cohorts.items() if of.classify.tested_on != "test"]:
            raise ValueError(f"{hidden[0]} is not tested on its test patients yet (classify.tested_on); leave it out")
        if len({(tuple(of.cohort.planes), of.images.image_size) for of in self.cohorts.values()}) > 1:
            raise ValueError(f"{', '.join(self.cohorts)} differ in planes or size of images; give them the same")
        return self


def names(path: Path | None = None) -> list[str]:
    """Transfer studies of ``params.yaml``. One that bears a cohort's name stands beside that cohort's own study."""
    return list(transfer_sections(path or paths.PARAMS))


def between_cohorts(study: str, path: Path | None = None) -> bool:
    """Whether `study` is a transfer study of its own, which bears no cohort's name."""
    return study in names(path) and study not in params.names(path)


def load(study: str, path: Path | None = None) -> Transfer:
    """Settings of one transfer study, with those of its cohorts.

    Parameters
    ----------
    study
        Its name in the section ``transfer``, which is also that of the folder of its files.
    path
        Another file to read; ``params.yaml`` at the project's top by default.

    Raises
    ------
    FetalkitError
        Names the file, the key, the value and what is allowed.
    """
    path = path or paths.PARAMS
    section, key = transfer_sections(path).get(study), f"{TRANSFER}.{study}"
    if section is None:
        known = ", ".join(names(path)) or "none"
        raise FetalkitError(f"{path.name}: {TRANSFER} has no study {study!r}; there are: {known}")
    given = {"run": read(path).get("run"), "cohorts": {}}
    draft = validated(Transfer, section | given, path.name, key)
    used = {domain.cohort for each in draft.directions.values() for domain in (each.source, each.target)}
    cohorts = {cohort: params.load(cohort, path) for cohort in sorted(used)}
    return validated(Transfer, section | given | {"cohorts": cohorts}, path.name, key)
