"""Mistakes in the primary comparisons of a study (``report.comparisons`` in ``params.yaml``)."""

from collections.abc import Iterator
from pkgutil import resolve_name
from typing import Any

from fetalkit.config.arms import may_know

MEAN = "mean"  # over the classifiers that have both arms and have converged

Params = Any  # fetalkit.config.params.Params, which calls this module


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
