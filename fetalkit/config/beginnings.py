"""What must fit together where classifiers begin with the weights of a run's generator (`initial` of an arm)."""

from collections.abc import Iterator
from pkgutil import resolve_name
from typing import Any

Params = Any  # fetalkit.config.params.Params, whose checks call this module
SHAPE = ("unshuffle", "channels", "attention", "blocks")


def problems(settings: Params) -> Iterator[str]:
    """Arms of the study whose generator cannot give its weights to their classifiers, or knows more than they may."""
    trained = _trained(settings)
    for name in dict.fromkeys(arm for arm, _ in trained if arm in settings.arms and settings.arms[arm].initial):
        arm = settings.arms[name]
        key, of = f"arms.{name}: initial: {arm.initial}", settings.generators.get(arm.initial)
        if of is None:
            yield f"{key} is no generator of this cohort; there are: {', '.join(settings.generators) or 'none'}"
            continue
        if not isinstance(of.training, resolve_name("fetalkit.generators.diffusion.settings:DiffusionTraining")):
            yield f"{key} has no denoiser; name a diffusion model"
            continue
        phantoms = of.start is not None and of.start.generator
        if "L1" not in arm.level and of.sees_all:
            yield f"{key} has seen images without labels, which level: {arm.level} does not know; make it L1 or L1+L2"
        if "L2" not in arm.level and phantoms:
            yield f"{key} began with phantoms, which level: {arm.level} does not know; make it L2 or L1+L2"
        shape = {part: getattr(of.training, part) for part in SHAPE}
        for classifier in [classifier for other, classifier in trained if other == name]:
            if not _alike(settings.classify.classifiers[classifier], shape):
                words = ", ".join(f"{part}: {_listed(value)}" for part, value in shape.items())
                yield (
                    f"{key}: classifier {classifier} is not the way down of its denoiser, which is model: denoiser_encoder "
                    f"with arguments {{{words}}}; train this arm with such a one alone (classify.further)"
                )


def _trained(settings: Params) -> list[tuple[str, str]]:
    """Arms with the classifiers that they are trained with."""
    given = settings.classify
    pairs = [(arm, name) for arm in given.arms for name, of in given.classifiers.items() if of.everywhere]
    pairs += [(arm, name) for block in given.further for arm in block.arms for name in block.classifiers]
    return list(dict.fromkeys(pairs))


def _alike(spec: Any, shape: dict[str, Any]) -> bool:
    given = {part: _listed(spec.arguments.get(part)) for part in SHAPE}
    return spec.model == "denoiser_encoder" and given == {part: _listed(value) for part, value in shape.items()}


def _listed(value: Any) -> Any:
    """As it stands in ``params.yaml``."""
    return list(value) if isinstance(value, list | tuple) else value
