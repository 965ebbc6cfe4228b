"""The arms of the study: on which images a classifier is trained, in which order, for how many steps.

They are defined in ``params.yaml``, section ``arms``. P is the number of pre-training steps, N that of steps on real images.
All phases of all arms share batch size, schedule shape and, unless the arm is about it, the augmentation.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from fetalkit.config.sections import Section
from fetalkit.config.shots import EVERY

REAL = "real"
# Sources of real images: those of the run; all train images of the cohort, the hidden ones as classifiers name them that were
# trained on the run's; and those of the cohort that ``classify.other_cohort`` names.
PSEUDO_LABELS, OTHER_COHORT = "pseudo-labels", "other-cohort"
OF_REAL_IMAGES = {REAL, PSEUDO_LABELS, OTHER_COHORT}


_TERM = r"(?:[1-9]\d* ?\* ?)?[PN]"
_COMPUTE = r"compute of (?P<arm>[\w.+-]+)(?:, at most (?P<most>[1-9]\d*))?"


def _budget(text: str) -> str:
    if not re.fullmatch(rf"{_TERM}(?: \+ {_TERM})*|[1-9]\d*|{_COMPUTE}", text):
        raise ValueError(
            "must be a sum of P and N, such as P, N, P + N or 2 * P, a number of steps, or what another arm costs, such as "
            "compute of diffusion or compute of diffusion, at most 5000"
        )
    return text


Budget = Annotated[str, Field(coerce_numbers_to_str=True), AfterValidator(_budget)]


Level = Literal["L0", "L1", "L2", "L1+L2"]


class PhaseOfArm(Section):
    """Some steps of training, as ``params.yaml`` has them.

    Attributes
    ----------
    source
        ``"real"``, ``"other-cohort"``, ``"pseudo-labels"``, or the name of a synthetic set: that of a generator, or one of
        ``sets``.
    steps
        Number of optimiser steps in terms of P and N; or as many as cost what another arm costs, with its generator and its
        drawing, but not more than so many.
    augmentation
        A key of `fetalkit.classifiers.loader.AUGMENTATIONS`.
    mixing
        ``"mixup"``, ``"cutmix"`` or ``""`` for none.
    synthetic, share
        Another set, which this share of every batch is drawn from, in [0, 1); ``""`` and 0 for none.
    style
        ``"histogram"`` or ``"fourier"``: every image takes on the grey values, or the coarse light and shade, of one of the
        run's images (`fetalkit.classifiers.styles`); ``""`` for none.
    weight
        Of the loss of that share, which then has batch normalisation of its own (`fetalkit.classifiers.mixture`). Where it is
        0, these images are treated as all others.
    objective
        ``"fixmatch"`` learns from the other train images of the cohort too, without labels (`fetalkit.classifiers.fixmatch`);
        ``"balanced-softmax"`` allows for planes with few images (`fetalkit.classifiers.balanced`).
    oversampled
        Whether images of planes that have few are seen more often, so that all planes are seen alike.
    initial
        Generator of the run whose denoiser gives its weights to the classifier, in a first phase; ``""`` for random ones. The
        classifier is the way down of such a denoiser (`fetalkit.classifiers.denoiser_encoder`).
    """

    source: str
    steps: Budget
    augmentation: str = "standard"
    mixing: Literal["", "mixup", "cutmix"] = ""
    synthetic: str = ""
    share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    style: Literal["", "histogram", "fourier"] = ""
    weight: Annotated[float, Field(ge=0, le=1)] = 0.0
    objective: Literal["cross-entropy", "fixmatch", "balanced-softmax"] = "cross-entropy"
    oversampled: bool = False
    initial: str = ""

    @model_validator(mode="after")
    def _both_or_none(self):
        if bool(self.synthetic) != bool(self.share):
            raise ValueError("synthetic and share belong together; give both or none")
        if self.synthetic in (*OF_REAL_IMAGES, self.source):
            raise ValueError(
                f"synthetic: {self.synthetic} is mixed into source: {self.source}; name another synthetic set"
            )
        if self.weight and not self.share:
            raise ValueError(
                "weight is that of a share of synthetic images, and there is none; give one, or leave it out"
            )
        if self.objective != "cross-entropy" and (self.source != REAL or self.share or self.mixing):
            raise ValueError(
                f"objective: {self.objective} is for real images alone; leave out synthetic, share and mixing"
            )
        if self.weight and self.mixing:
            raise ValueError(f"weight and mixing: {self.mixing} cannot be combined; leave one out")
        return self


class Arm(Section):
    """One way to train a classifier.

    Attributes
    ----------
    title
        What it is, for tables and pages.
    phases
        In order.
    level
        What its training may know: ``"L0"``, the labelled images of the run alone; ``"L1"``, also the other train images of the
        cohort without their labels; ``"L2"``, also what comes from elsewhere, as phantoms and images of other cohorts do;
        ``"L1+L2"``, both.
    control
        Whether gains are counted over it, of arms that may know no less.
    headline
        Whether it stands in the headline of the report and in the README.
    """

    title: str
    phases: Annotated[list[PhaseOfArm], Field(min_length=1)]
    level: Level = "L0"
    control: bool = False
    headline: bool = False

    @model_validator(mode="after")
    def _knows_what_it_sees(self):
        if self.unlabelled and "L1" not in self.level:
            raise ValueError(
                f"trains on images without labels, which level: {self.level} does not know; make it L1 or L1+L2"
            )
        if "L2" not in self.level and any(phase.source == OTHER_COHORT for phase in self.phases):
            raise ValueError(
                f"trains on images of another cohort, which level: {self.level} does not know; make it L2 or L1+L2"
            )
        if any(phase.initial for phase in self.phases[1:]):
            raise ValueError("initial: what was learnt before would be lost; name it in the first phase alone")
        return self

    @model_validator(mode="after")
    def _one_that_spends(self):
        if self.compute_of and len(self.phases) > 1:
            raise ValueError(f"phases: compute of {self.compute_of} is what the whole arm costs; give one phase")
        return self

    @property
    def compute_of(self) -> str:
        """Name of the arm whose cost it spends; empty where its steps are given."""
        found = (re.fullmatch(_COMPUTE, phase.steps) for phase in self.phases)
        return next((match["arm"] for match in found if match), "")

    @property
    def sources(self) -> list[str]:
        """Names of the synthetic sets that it trains on, sorted."""
        named = {source for phase in self.phases for source in (phase.source, phase.synthetic)}
        return sorted(named - OF_REAL_IMAGES - {""})

    @property
    def initial(self) -> str:
        """Generator of the run whose weights it begins with; ``""`` for random ones."""
        return self.phases[0].initial

    @property
    def unlabelled(self) -> bool:
        """Whether it trains on the other train images of the cohort, without their labels."""
        return any(phase.source == PSEUDO_LABELS or phase.objective == "fixmatch" for phase in self.phases)


def may_know(level: Level) -> tuple[Level, ...]:
    """Levels of the controls that an arm of `level` is compared with: its own, and the one that all others contain.

    Images without labels and images from elsewhere are different things to know, so neither of L1 and L2 contains the other.
    """
    if level == "L1+L2":
        return ("L0", "L1", "L2", "L1+L2")
    return ("L0",) if level == "L0" else ("L0", level)


class DerivedSet(Section):
    """A synthetic set that is made from those of a generator.

    Attributes
    ----------
    generator
        Whose images they are.
    without
        ``"near-copies"``: those near a train image that the generator has seen are left out.
    k
        ``"all"``: the set of the generator that has seen all train images, in every run. That breaks the rule that a generator
        sees what its run may see, to show what a leak would bring; such an arm is no result.
    sampling
        What differs from the generator's own ``sampling``: the set is drawn anew with it, for instance guided by phantoms.
    """

    generator: str
    without: Literal["", "near-copies"] = ""
    k: Literal["", "all"] = ""
    sampling: Annotated[dict[str, int | float | str | list[float]], Field(default_factory=dict)]

    @model_validator(mode="after")
    def _one_change(self):
        if sum(map(bool, (self.without, self.k, self.sampling))) != 1:
            raise ValueError("needs one of without, k and sampling: what differs from the generator's own set")
        return self

    @property
    def leaks(self) -> bool:
        """Whether it is drawn from more images than its run may see."""
        return self.k == EVERY


@dataclass(frozen=True)
class Phase:
    """A phase with its number of steps; fields as in `PhaseOfArm`."""

    source: str
    steps: int = 0
    augmentation: str = "standard"
    mixing: str = ""
    synthetic: str = ""
    share: float = 0.0
    style: str = ""
    weight: float = 0.0
    objective: str = "cross-entropy"
    oversampled: bool = False
    initial: str = ""


def phases(arm: Arm, pretrain_steps: int, train_steps: int, equal: Callable[[str], int]) -> tuple[Phase, ...]:
    """Phases of `arm` for P = `pretrain_steps` and N = `train_steps`; `equal` tells the steps that cost what an arm costs."""
    budget = {"P": pretrain_steps, "N": train_steps}
    return tuple(
        Phase(steps=_steps(phase.steps, budget, equal), **phase.model_dump(exclude={"steps"})) for phase in arm.phases
    )


def _steps(text: str, budget: dict[str, int], equal: Callable[[str], int]) -> int:
    if text.isdigit():
        return int(text)
    if found := re.fullmatch(_COMPUTE, text):
        steps = equal(found["arm"])
        return min(steps, int(found["most"])) if found["most"] else steps
    terms = (re.fullmatch(r"(?:(\d+) ?\* ?)?([PN])", term) for term in text.split(" + "))
    return sum(int(term[1] or 1) * budget[term[2]] for term in terms if term)
