"""The section ``report`` of a study: which comparisons are primary, what counts as converged, and mistakes in them."""

from collections.abc import Iterator
from pkgutil import resolve_name
from typing import Annotated, Any, Literal

from pydantic import Field

from fetalkit.config.arms import may_know
from fetalkit.config.sections import Section, Seed

MEAN = "mean"  # over the classifiers that have both arms and have converged

Params = Any  # fetalkit.config.params.Params, which calls this module


class PrimaryComparison(Section):
    """A comparison that is named before any test patient is read: is `arm` more accurate than `control`?

    What is said of it is the gain of the arm over the control; its p is two-sided.

    Attributes
    ----------
    classifier
        One of the study's, or ``"mean"``: all those together that have both arms at `k` and have converged.
    """

    arm: str
    control: str
    k: Annotated[str, Field(coerce_numbers_to_str=True)]
    classifier: str
    primary: Literal[True] = True

    def __str__(self) -> str:
        return f"{self.arm} over {self.control} at k = {self.k}, {self.classifier}"


class Report(Section):
    """What the report tests, how, and whether its pages show images; where that is None, those of public cohorts do.

    Attributes
    ----------
    comparisons
        The primary ones, which alone get a p that is corrected for their number; everything else is exploratory.
    converged_within, converged_near
        Whether a classifier has converged; see `fetalkit.analysis.convergence`. Both are fractions of validation images.
    """

    bootstrap_resamples: Annotated[int, Field(ge=100, le=1_000_000)]
    bootstrap_seed: Seed
    show_images: bool | None = None
    comparisons: list[PrimaryComparison] = Field(default_factory=list)
    converged_within: Annotated[float, Field(gt=0, le=1)] = 0.01
    converged_near: Annotated[float, Field(gt=0, le=1)] = 0.1


def problems(settings: Params) -> Iterator[str]:
    """Every mistake, as the end of a line that begins with the file and the cohort."""
    given = settings.report.comparisons
    if MEAN in settings.classify.classifiers:
        yield f"classify.classifiers: name {MEAN!r}: it stands for the mean of classifiers; choose another"
    for number, named in enumerate(given):
        key = f"report.comparisons.{number}"
        yield from (f"{key}.{problem}" for problem in _unknown(settings, named) or _unfair(settings, named))
        if named in given[:number]:
            yield f"{key}: {named} is named twice; name it once"


def _unknown(settings: Params, named: Any) -> list[str]:
    """Names that the study does not have."""
    allowed = {
        "arm": settings.arms,
        "control": settings.arms,
        "k": settings.splits.shots,
        "classifier": [*settings.classify.classifiers, MEAN],
    }
    return [
        f"{name}: {getattr(named, name)} unknown; allowed: {', '.join(map(str, known))}"
        for name, known in allowed.items()
        if getattr(named, name) not in known
    ]


def _unfair(settings: Params, named: Any) -> list[str]:
    """Controls that are none for this arm, and runs that the study does not have."""
    arm, control = (settings.arms[name] for name in (named.arm, named.control))
    if named.arm == named.control:
        return [f"control: {named.control} is the arm itself; name another"]
    if not control.control:
        known = ", ".join(name for name, of in settings.arms.items() if of.control)
        return [f"control: {named.control} is no control; there are: {known}"]
    if control.level not in may_know(arm.level):
        return [
            f"control: {named.control} knows what arms of {control.level} may know, and {named.arm} is of {arm.level}; "
            f"name a control of {' or '.join(may_know(arm.level))}"
        ]
    arms_of = resolve_name("fetalkit.config.runs:arms_of")
    asked = list(settings.classify.classifiers) if named.classifier == MEAN else [named.classifier]
    having = [name for name in asked if {named.arm, named.control} <= set(arms_of(settings, name, named.k))]
    if not having:
        who = "any classifier" if named.classifier == MEAN else named.classifier
        what = f"{named.arm} and {named.control} are not both trained with {who} at k = {named.k}"
        return [f"k: {what}; add them to classify.further"]
    seeds_of = resolve_name("fetalkit.config.runs:seeds_of")
    seeds = [
        set(seeds_of(settings, name, classifier, named.k))
        for name in (named.arm, named.control)
        for classifier in having
    ]
    if not set.intersection(*seeds):
        return [
            f"arm: {named.arm} and {named.control} have no seed in common at k = {named.k}; give both the same seeds"
        ]
    return []
