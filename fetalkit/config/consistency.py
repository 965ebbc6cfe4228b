"""What must fit together between the sections of one cohort's study."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pkgutil import resolve_name
from typing import Any

from fetalkit.config import beginnings, networks, report
from fetalkit.config.arms import OF_REAL_IMAGES, OTHER_COHORT, PSEUDO_LABELS
from fetalkit.config.sections import validated
from fetalkit.config.shots import EVERY
from fetalkit.utils.errors import FetalkitError

Params = Any  # fetalkit.config.params.Params, which calls this module


def problems(settings: Params) -> Iterator[str]:
    """Every contradiction, as the end of a line that begins with the file and the cohort."""
    yield from _names(settings)
    yield from _arms(settings)
    yield from _limited(settings)
    yield from _generators(settings)
    yield from _sets(settings)
    yield from _nothing_unlabelled(settings)
    yield from _sources(settings)
    yield from beginnings.problems(settings)
    yield from _classifiers(settings)
    yield from _metrics(settings)
    yield from report.problems(settings)


def _names(settings: Params) -> Iterator[str]:
    """Names that one section uses and another one defines, and names that are part of those of files."""
    given = settings.classify
    for key, values in (
        ("generators", settings.generators),
        ("sets", settings.sets),
        ("arms", settings.arms),
        ("classify.classifiers", given.classifiers),
    ):
        if odd := [name for name in values if not re.fullmatch(r"[\w.+-]+", name)]:
            yield f"{key}: name {odd[0]!r}: use letters, digits and . + - _ alone; files are called like it"
    for name in settings.sets:
        if name in OF_REAL_IMAGES or name in settings.generators:
            other = "a source of real images" if name in OF_REAL_IMAGES else "a generator"
            yield f"sets.{name}: {other} has this name already; choose another"
    named: list[tuple[str, Iterable, Iterable]] = [("classify.arms", given.arms, settings.arms)]
    for number, block in enumerate(given.further):
        key = f"classify.further.{number}"
        named += [
            (f"{key}.arms", block.arms, settings.arms),
            (f"{key}.shots", block.shots, settings.splits.shots),
            (f"{key}.classifiers", block.classifiers, given.classifiers),
            (f"{key}.seeds", block.seeds or [], settings.splits.seeds),
        ]
    if settings.splits.rare:
        named.append(("splits.rare.plane", [settings.splits.rare.plane], settings.cohort.planes))
    named.append(("fidelity.generators", settings.fidelity.generators, settings.generators))
    named.append(("fidelity.varied", filter(None, [settings.fidelity.varied]), settings.generators))
    named += [
        (f"sets.{name}.generator", [of.generator], settings.generators)
        for name, of in settings.sets.items()
        if name in _used(settings)
    ]
    for key, values, allowed in named:
        if unknown := [str(value) for value in values if value not in allowed]:
            yield f"{key}: {', '.join(unknown)} unknown; allowed: {', '.join(map(str, allowed))}"


def _used(settings: Params) -> set[str]:
    """Synthetic sets that some arm of the study trains on."""
    return {source for arm in _arms_of(settings) for source in settings.arms[arm].sources}


def _arms_of(settings: Params) -> list[str]:
    """Arms of the study that are defined."""
    named = [*settings.classify.arms, *(arm for block in settings.classify.further for arm in block.arms)]
    return [arm for arm in named if arm in settings.arms]


def _arms(settings: Params) -> Iterator[str]:
    given = settings.classify
    further = [arm for block in given.further for arm in block.arms]
    limited = [block for block in given.further if block.classifiers and not any(_everywhere(settings, block))]
    beside = [arm for block in given.further if block not in limited for arm in block.arms]
    if twice := set(given.arms) & set(beside):
        yield f"classify.further: {', '.join(sorted(twice))} already in classify.arms; name it once"
    for name, arm in settings.arms.items():
        if arm.control and arm.headline and arm.level == "L0":
            yield f"arms.{name}: control and headline: gains are counted over it, so it has none itself; drop one"
        if name in (*given.arms, *further):
            spent = settings.arms.get(arm.compute_of)
            if arm.compute_of and (spent is None or spent.compute_of):
                yield f"arms.{name}: compute of {arm.compute_of}: no arm with steps of its own; name one of arms that has"
            for source in (*arm.sources, *(spent.sources if spent else ())):
                if source not in settings.generators and source not in settings.sets:
                    known = ", ".join([*sorted(OF_REAL_IMAGES), *settings.generators, *settings.sets])
                    yield f"arms.{name}: source {source!r} is no generator of this cohort and no set; there are: {known}"
                elif settings.sets.get(source) and settings.sets[source].leaks and EVERY not in settings.splits.shots:
                    yield f"classify.arms: {name} needs {EVERY!r} among splits.shots; add it"
    for number, block in enumerate(given.further):
        if not block.arms or not block.classifiers:
            lacking = "classifier" if block.arms else "arm"
            yield f"classify.further.{number}: names no {lacking}, so that nothing is trained; remove it"
    if not settings.controls:
        controls = ", ".join(name for name, arm in settings.arms.items() if arm.control)
        yield f"classify.arms: no control; add one of: {controls}"


def _everywhere(settings: Params, block: Any) -> Iterator[bool]:
    given = settings.classify.classifiers
    return (given[name].everywhere for name in block.classifiers if name in given)


def _limited(settings: Params) -> Iterator[str]:
    """Classifiers that are trained in some runs only, and lack there what others are compared with."""
    given = settings.classify
    first = next(iter(given.classifiers))
    if not given.classifiers[first].everywhere:
        yield f"classify.classifiers.{first}: everywhere: false: the first one judges generators at every k; name another first"
    for name in [name for name, of in given.classifiers.items() if not of.everywhere]:
        blocks = [block for block in given.further if name in block.classifiers]
        if not blocks:
            yield f"classify.classifiers.{name}: everywhere: false, and no block of classify.further names it; add one"
        for k in dict.fromkeys(k for block in blocks for k in block.shots):
            arms = [arm for block in blocks if k in block.shots and not block.seeds for arm in block.arms]
            if lacking := [control for control in settings.controls if control not in arms]:
                yield (
                    f"classify.classifiers.{name}: lacks {', '.join(lacking)} at k = {k}, which gains are counted over; name "
                    "it in a block of classify.further that names no seeds"
                )


def _generators(settings: Params) -> Iterator[str]:
    for name, generator in settings.generators.items():
        if name in OF_REAL_IMAGES:
            yield f"generators.{name}: a source of real images has this name already; choose another"
        start = generator.start
        if start and start.generator and start.generator not in settings.generators:
            known = ", ".join(settings.generators)
            yield f"generators.{name}.start.generator: {start.generator} unknown; allowed: {known}"
        elif start and start.generator and resolve_name(settings.generators[start.generator].class_path).sees_images:
            yield f"generators.{name}.start.generator: {start.generator} learns from real images; name one that does not"
        elif start and resolve_name(generator.class_path).start_needs is None:
            yield f"generators.{name}.start: {generator.class_path} cannot begin from another training; leave it out"
        if generator.unlabelled and generator.unlabelled.classifier not in settings.classify.classifiers:
            known = ", ".join(settings.classify.classifiers)
            yield f"generators.{name}.unlabelled.classifier: {generator.unlabelled.classifier} unknown; allowed: {known}"
        try:
            generator.training.check(tuple(settings.cohort.planes), settings.images.image_size)
        except ValueError as error:
            yield f"generators.{name}.training: {error}"
        yield from _refused(f"generators.{name}", _drawable, generator, {})
    varied = settings.generators.get(settings.fidelity.varied)
    for kind, scales in settings.fidelity.guidance_scales.items() if varied else ():
        for scale in scales:
            options = {"guidance_kind": kind, "guidance": scale}
            yield from _refused(f"fidelity.guidance_scales.{kind}", _drawable, varied, options)


def _nothing_unlabelled(settings: Params) -> Iterator[str]:
    """Generators and arms that learn unlabelled images too, where all are labelled: they would be what the plain ones are."""
    leaking = [name for name in sorted(_used(settings) & set(settings.sets)) if settings.sets[name].leaks]
    asked = [(f"sets.{name}", [settings.sets[name].generator]) for name in leaking]
    if EVERY in settings.splits.shots:
        named = [*settings.fidelity.generators, settings.fidelity.varied]
        asked += [("fidelity", named), ("classify.arms", _drawn_by(settings, settings.classify.arms))]
    arms = {"classify.arms": settings.classify.arms} if EVERY in settings.splits.shots else {}
    for number, block in enumerate(settings.classify.further):
        if EVERY in block.shots:
            key = f"classify.further.{number}"
            asked.append((key, _drawn_by(settings, block.arms)))
            arms[key] = block.arms
    for key, names in asked:
        for name in names:
            if name in settings.generators and settings.generators[name].unlabelled:
                yield (
                    f"{key}: {name} learns train images without labels, and k = {EVERY} leaves none; name it where shots have "
                    "no such k (classify.further), or drop its section unlabelled"
                )
    for key, names in arms.items():
        for name in names:
            if name in settings.arms and settings.arms[name].unlabelled:
                yield (
                    f"{key}: {name} learns train images without labels, and k = {EVERY} leaves none; name it where shots have "
                    "no such k (classify.further)"
                )


def _sources(settings: Params) -> Iterator[str]:
    """Sources of real images of which the section ``classify`` must say more, and does not."""
    rule = settings.classify.pseudo_labels
    if rule and rule.classifier not in settings.classify.classifiers:
        known = ", ".join(settings.classify.classifiers)
        yield f"classify.pseudo_labels.classifier: {rule.classifier} unknown; allowed: {known}"
    for name in _arms_of(settings):
        sources = {phase.source for phase in settings.arms[name].phases}
        if PSEUDO_LABELS in sources and not rule:
            yield f"arms.{name}: source {PSEUDO_LABELS}: nobody names these images; add classify.pseudo_labels"
        if OTHER_COHORT in sources and not settings.classify.other_cohort:
            yield f"arms.{name}: source {OTHER_COHORT}: which one is it? Add classify.other_cohort"


def _drawn_by(settings: Params, arms: Iterable[str]) -> list[str]:
    """Generators whose images these arms train on, or whose weights they begin with."""
    known = [settings.arms[arm] for arm in arms if arm in settings.arms]
    sources = [source for arm in known for source in (*arm.sources, arm.initial) if source]
    return [settings.sets[source].generator if source in settings.sets else source for source in sources]


def _sets(settings: Params) -> Iterator[str]:
    """Sets that are drawn with options which their generator does not know."""
    for name in sorted(_used(settings) & set(settings.sets)):
        of = settings.sets[name]
        if of.generator in settings.generators:
            yield from _refused(f"sets.{name}", _drawable, settings.generators[of.generator], of.sampling)


def drawn_with(sampling: Any, options: Mapping[str, Any]) -> Any:
    """Section ``sampling`` of a generator with some other values; raises `FetalkitError` where they are not allowed."""
    return validated(type(sampling), sampling.model_dump() | dict(options), "", "sampling")


def _drawable(generator: Any, options: Mapping[str, Any]) -> None:
    """Raise `FetalkitError` where a generator, as it is trained, cannot draw with these options."""
    try:
        drawn_with(generator.sampling, options).check(generator.training)
    except ValueError as error:
        raise FetalkitError(f"sampling.{error}") from None


def _classifiers(settings: Params) -> Iterator[str]:
    """What would be found out after hours only: networks that timm does not know, and images that do not form pairs."""
    yield from networks.problems(settings.classify, settings.images.image_size, "classify")
    given = settings.classify
    phases = [phase for name in _arms_of(settings) for phase in settings.arms[name].phases]
    if given.batch_size % 2 and any(phase.mixing for phase in phases):
        yield f"classify.batch_size = {given.batch_size}: mixup and cutmix mix pairs; make it an even number"
    for key, steps in _given_by_k(given):
        if lacking := [k for k in settings.splits.shots if k not in steps]:
            yield f"classify.{key}: no number of steps for k = {', '.join(lacking)}; add it"
        if unknown := [k for k in steps if k not in settings.splits.shots]:
            yield f"classify.{key}: k = {', '.join(unknown)} not among splits.shots; remove it"
    for name in dict.fromkeys(phase.augmentation for phase in phases):
        yield from _refused(f"arms: {name}", resolve_name("fetalkit.classifiers.loader:augmentation"), name)


def _given_by_k(given: Any) -> Iterator[tuple[str, dict[str, int]]]:
    """Step budgets that say a number for every k, with their keys below ``classify``."""
    for path, section in [("", given), *((f"classifiers.{name}.", of) for name, of in given.classifiers.items())]:
        for key in ("pretrain_steps", "train_steps"):
            if isinstance(getattr(section, key), dict):
                yield path + key, getattr(section, key)


def _metrics(settings: Params) -> Iterator[str]:
    """Modules that cannot be imported; found out now, and not when the first classifier has been trained."""
    if settings.metrics:
        try:
            resolve_name("fetalkit.metrics.classification:load")(settings.metrics)
        except FetalkitError as error:
            yield str(error)


def _refused(key: str, check: Callable[..., Any], *arguments: Any) -> Iterator[str]:
    try:
        check(*arguments)
    except FetalkitError as error:
        yield f"{key}: {'; '.join(str(error).splitlines()).removeprefix('classify.classifiers: ')}"
