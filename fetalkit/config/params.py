"""Typed view of ``params.yaml``: every knob of the study, checked before anything runs."""

import re
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from fetalkit import cohorts
from fetalkit.config import arms
from fetalkit.config.sections import Rate, Section, Steps, unique
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError

GuidanceKind = Literal["classifier-free", "classifier"]


class Run(Section):
    """Where things run; has no influence on what is computed apart from rounding."""

    device: Literal["auto", "cpu", "cuda", "mps"]
    precision: Literal["auto", "float32", "bfloat16"]
    workers: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)]


class Images(Section):
    """Working resolution of all networks."""

    size: Annotated[int, Field(ge=16, le=512, multiple_of=8)]


class Splits(Section):
    """Patient-level splits, k-shot subsets and seeds of the study."""

    validation_fraction: Annotated[float, Field(gt=0, le=0.5)]
    validation_seed: Annotated[int, Field(ge=0)]
    near_duplicate_bits: Annotated[int, Field(ge=0, le=32)]
    near_duplicate_correlation: Annotated[float, Field(gt=0, le=1)]
    shots: Annotated[list[Annotated[int, Field(ge=1)] | Literal["all"]], Field(min_length=1), AfterValidator(unique)]
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), AfterValidator(unique)]


class Diffusion(Section):
    """Denoiser and its training; see `fetalkit.generators.diffusion.settings`."""

    unshuffle: Literal[1, 2, 4, 8]
    channels: Annotated[list[Annotated[int, Field(ge=8, multiple_of=8)]], Field(min_length=1)]
    attention: list[bool]
    blocks: Annotated[int, Field(ge=1, le=8)]
    steps: Steps
    batch_size: Annotated[int, Field(ge=1)]
    learning_rate: Rate
    ema_length: Rate
    label_dropout: Annotated[float, Field(ge=0, lt=1)]
    augment: Annotated[float, Field(ge=0, le=1)]
    guide_steps: Annotated[int, Field(ge=0, le=10_000_000)]
    snapshots: Annotated[list[Rate], AfterValidator(unique)]


class Gan(Section):
    """Both networks of the GAN and their training; see `fetalkit.generators.gan.settings`."""

    unshuffle: Literal[1, 2, 4, 8]
    channels: Annotated[list[Annotated[int, Field(ge=8, multiple_of=8)]], Field(min_length=1)]
    latent: Annotated[int, Field(ge=1)]
    steps: Steps
    batch_size: Annotated[int, Field(ge=1)]
    learning_rate: Rate
    discriminator_rate: Rate
    ema_length: Rate
    augment: Annotated[float, Field(ge=0, le=1)]
    penalty: Annotated[float, Field(ge=0)]
    penalty_every: Annotated[int, Field(ge=1)]


class Start(Section):
    """Training on phantoms that the generator `diffusion-phantoms` begins from; all else as in `Diffusion`."""

    images_per_plane: Annotated[int, Field(ge=1)]
    steps: Steps


class DiffusionSampler(Section):
    """How images are drawn from a trained diffusion model."""

    steps: Annotated[int, Field(ge=2, le=1000)]
    guidance_kind: GuidanceKind
    guidance: Annotated[float, Field(ge=0, le=20)]
    guidance_interval: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=2, max_length=2)]


class GanSampler(Section):
    """How images are drawn from a trained GAN."""

    temperature: Annotated[float, Field(ge=0, le=2)]


class Interpolation(Section):
    """How images are interpolated."""

    neighbours: Annotated[int, Field(ge=1)]


class Simulator(Section):
    """How phantoms are drawn as a synthetic set."""

    simulated_size: Annotated[int, Field(ge=32, le=512)]


class Synthesis(Section):
    """How synthetic sets are drawn from trained generators; options per kind of generator."""

    images_per_plane: Annotated[int, Field(ge=1)]
    diffusion: DiffusionSampler
    gan: GanSampler
    interpolation: Interpolation
    simulation: Simulator


class Fidelity(Section):
    """What the fidelity stage looks at beside the sets of the arms."""

    generators: Annotated[list[str], AfterValidator(unique)]
    guidance_scales: dict[GuidanceKind, Annotated[list[Annotated[float, Field(ge=0, le=20)]], AfterValidator(unique)]]
    variant_images_per_plane: Annotated[int, Field(ge=2)]
    neighbours: Annotated[int, Field(ge=1, le=100)]
    near_copy_quantile: Rate
    seed: Annotated[int, Field(ge=0)]


class Classifier(Section):
    """A timm model by name, with keyword arguments for ``timm.create_model``; see `fetalkit.classifiers.models.create`.

    What is given here of steps and learning rate takes the place of that of `Classify`, and ``input_size`` that of the images.
    """

    model: str
    arguments: dict[str, int | float | str | bool | list[int | float]]
    pretrained: bool = False
    input_size: Annotated[int, Field(ge=16, le=512)] | None = None
    learning_rate: Rate | None = None
    pretrain_steps: Steps | None = None
    train_steps: Steps | None = None


class Block(Section):
    """Arms that are trained in some cells only, to save time: those of these shots and classifiers."""

    arms: Annotated[list[str], AfterValidator(unique)]
    shots: Annotated[list[Annotated[int, Field(ge=1)] | Literal["all"]], AfterValidator(unique)]
    classifiers: Annotated[list[str], AfterValidator(unique)]

    def __str__(self) -> str:
        parts = ", ".join(self.arms), f"k = {', '.join(map(str, self.shots))}", ", ".join(self.classifiers)
        return "; ".join(parts)


class Training(Section):
    """Classifiers and step budgets: P = ``pretrain_steps`` on synthetic images, N = ``train_steps`` on real ones."""

    classifiers: Annotated[dict[str, Classifier], Field(min_length=1)]
    pretrain_steps: Steps
    train_steps: Steps
    batch_size: Annotated[int, Field(ge=2)]
    learning_rate: Rate
    weight_decay: Annotated[float, Field(ge=0, lt=1)]
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]

    def steps(self, classifier: str) -> tuple[int, int]:
        """P and N of a classifier."""
        own = self.classifiers[classifier]
        return own.pretrain_steps or self.pretrain_steps, own.train_steps or self.train_steps


class Classify(Training):
    """Arms of the study, and how they are trained."""

    arms: Annotated[list[str], Field(min_length=1), AfterValidator(unique)]
    further: list[Block]


class Report(Section):
    """Intervals of the report."""

    bootstrap_resamples: Annotated[int, Field(ge=100, le=1_000_000)]
    bootstrap_seed: Annotated[int, Field(ge=0)]


class Params(Section):
    """Every knob of one cohort's study."""

    run: Run
    cohort: cohorts.Settings
    images: Images
    splits: Splits
    diffusion: Diffusion
    gan: Gan
    start: Start
    synthesis: Synthesis
    fidelity: Fidelity
    classify: Classify
    report: Report

    @model_validator(mode="after")
    def _consistent(self):
        given = self.classify
        named = [("arms", given.arms, arms.ARMS)]
        for number, block in enumerate(given.further):
            named += [
                (f"further.{number}.arms", block.arms, arms.ARMS),
                (f"further.{number}.shots", block.shots, self.splits.shots),
                (f"further.{number}.classifiers", block.classifiers, given.classifiers),
            ]
        for key, found, allowed in named:
            if unknown := [str(value) for value in found if value not in allowed]:
                raise ValueError(
                    f"classify.{key}: {', '.join(unknown)} unknown; allowed: {', '.join(map(str, allowed))}"
                )
        further = [arm for block in given.further for arm in block.arms]
        if twice := set(given.arms) & set(further):
            raise ValueError(f"classify.further: {', '.join(sorted(twice))} already in classify.arms; name it once")
        if arms.CEILING in [*given.arms, *further] and arms.EVERY not in self.splits.shots:
            raise ValueError(f"classify.arms: {arms.CEILING} needs {arms.EVERY!r} among splits.shots; add it")
        if not set(given.arms) & set(arms.CONTROLS):
            raise ValueError(f"classify.arms: no control; add one of: {', '.join(arms.CONTROLS)}")
        return self


def load(cohort: str, path: Path | None = None) -> Params:
    """Settings of `cohort` from ``params.yaml``.

    Parameters
    ----------
    cohort
        A section of the file and a module of `fetalkit.cohorts`.
    path
        Another file to read; ``params.yaml`` at the project's top by default.

    Raises
    ------
    FetalkitError
        Names the file, the key, the value found and what is allowed.
    """
    path = path or paths.PARAMS
    module = cohorts.load(cohort)
    content = read(path)
    if cohort not in content:
        raise FetalkitError(f"{path.name}: no section {cohort!r}; add one (copy that of phantom and adapt it)")
    section = content[cohort] if isinstance(content[cohort], dict) else {}
    settings = validated(module.settings, section.get("cohort", {}), path, f"{cohort}.cohort")
    return validated(Params, section | {"run": content.get("run"), "cohort": settings}, path, cohort)


def validated(model: type[BaseModel], value: object, path: Path, prefix: str):
    """`value` as a `model`; FetalkitError with a line for every mistake, whose key begins with `prefix`."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise FetalkitError("\n".join(_explain(path, prefix, item) for item in error.errors())) from None


def read(path: Path) -> dict:
    """Content of ``params.yaml``; FetalkitError where it is no such file."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FetalkitError(f"{path}: not found; run from a checkout of the project") from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}" if where else ""
        raise FetalkitError(f"{path.name}{line}: not valid YAML; check indentation, quotes and brackets") from None
    if not isinstance(content, dict):
        raise FetalkitError(f"{path.name}: must hold one section per cohort")
    return content


def _explain(path: Path, prefix: str, item: dict) -> str:
    # Pydantic adds the tried alternatives of a union to the location; only keys and list positions help the reader.
    keys = [str(part) for part in item["loc"] if not re.search(r"[\[(-]", str(part))]
    key = ".".join([prefix, *keys])
    if item["type"] == "missing":
        return f"{path.name}: {key} is missing; add it"
    if item["type"] == "extra_forbidden":
        return f"{path.name}: {key} = {item['input']!r} is not a known key; correct its name or remove it"
    found = "" if isinstance(item["input"], dict | BaseModel) else f" = {item['input']!r}"
    message = item["msg"].removeprefix("Value error, ")
    return f"{path.name}: {key}{found}: {message[0].lower()}{message[1:]}"
