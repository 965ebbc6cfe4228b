"""A trained generator as it is released with the project: ``fetalkit release COHORT GENERATOR FOLDER``.

`FOLDER` is one that `fetalkit draw` and `fetalkit.generators.load` read: weights in half precision, a card (README.md) with
what was measured on validation patients, and how it draws where nothing else is asked for (``sampling`` in ``fetalkit.json``).
A diffusion model comes with a pipeline, too: its folder can be loaded by diffusers, where fetalkit is not installed. No image
is written, and none of a test patient is read.
"""

import ast
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fetalkit import generators
from fetalkit.config import params, runs
from fetalkit.data.study import Study
from fetalkit.experiments import validated
from fetalkit.generators import card
from fetalkit.generators.base import Generator
from fetalkit.generators.diffusion import denoiser
from fetalkit.generators.diffusion.generator import DiffusionGenerator
from fetalkit.generators.diffusion.settings import DiffusionSampling
from fetalkit.generators.smote import IMAGES
from fetalkit.reporting import card_contents, cards, export, pipeline
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing

_DIGITS = 3  # of the losses: enough for a curve


def release(
    cohort: str, name: str, folder: Path, about: Mapping[str, Any] | None = None, images: int = validated.IMAGES
) -> None:
    """Write generator `name` of `cohort` to `folder`, all or nothing.

    Parameters
    ----------
    cohort
        Whose images and splits must be here, and whose section of ``params.yaml`` says how is drawn.
    name
        Of the generator, e.g. ``"diffusion-kall-seed0"``; or its folder, called so, where it was trained elsewhere.
    folder
        New or empty; its name is that of the released generator.
    about
        What its card says of the training beside what the study knows: label → value, e.g. ``{"Device": "NVIDIA H100"}``.
    images
        Number of images by which it is measured.

    Raises
    ------
    FetalkitError
        When the cohort or the generator is unknown, is of another study, or holds training images, an earlier stage is missing,
        or `folder` is not empty, cannot be written, or is one that git versions and the cohort is private.
    """
    settings = params.load(cohort)
    folder = export.target(cohort, folder)
    origin = Path(name) if Path(name).is_dir() else paths.data(cohort, "generators", name)
    parts = export.NAME.fullmatch(origin.resolve().name)
    if parts is None or parts["generator"] not in settings.generators:
        raise FetalkitError(
            f"{name}: call the folder as the study calls its generators, <generator>-k<k>-seed<seed>; "
            f"{cohort} has: {', '.join(settings.generators)}"
        )
    if (origin / IMAGES).exists():
        raise FetalkitError(f"{name}: holds its training images, which are never released; name another generator")
    study, k, seed = Study(cohort, settings), parts["k"], int(parts["seed"])
    made = _read(origin, study)
    sampling = settings.generators[parts["generator"]].sampling
    known = runs.seen(settings, parts["generator"], k)
    measures = validated.measure(made, study, known, seed, sampling, images)
    source = card_contents.source(study, parts["generator"], k, seed)
    with replacing(folder) as temporary:
        alone = _write(temporary, made, sampling)
        told = {"Training time": f"{made.seconds:.0f} s"} if made.seconds else {}
        if origin == card_contents.saved(source):
            told |= export.training(source)
        text = cards.model_card(
            source,
            generators.read_card(temporary)["training"],
            told | dict(about or {}),
            card_contents.components(temporary),
            measures,
            cards.Release(folder.name, sampling.model_dump(mode="json"), alone),
        )
        (temporary / "README.md").write_text(text, encoding="utf-8")


def _read(folder: Path, study: Study) -> Generator:
    """The generator, which is one of the study."""
    made = generators.load(folder, study.params.run.device)
    here, there = (tuple(study.planes), study.params.images.image_size), (made.planes, made.image_size)
    if here != there:
        raise FetalkitError(
            f"{folder}: draws {', '.join(there[0])} at {there[1]} px, but the study {study.cohort} has "
            f"{', '.join(here[0])} at {here[1]} px; name its own study"
        )
    return made


def _write(folder: Path, made: Generator, sampling: Any) -> bool:
    """Write the generator, small and with its way of drawing; return whether diffusers alone can draw with it."""
    if isinstance(made, DiffusionGenerator):  # without networks that nothing is drawn with
        made.early = made.early if sampling.guidance_kind == "autoguidance" else None
        made.guide = made.guide if sampling.guidance_kind == "classifier" else None
    made.losses = [round(loss, _DIGITS) for loss in made.losses]
    made.save(folder)
    _halve(folder)
    _forget(folder)
    _say(folder, {"sampling": sampling.model_dump(mode="json")})
    return isinstance(made, DiffusionGenerator) and _write_pipeline(folder, made, sampling)


def _halve(folder: Path) -> None:
    """Store the weights of all networks in half precision, as generators of the package do by themselves."""
    for path in sorted(folder.glob("*/*.safetensors")):
        with safe_open(path, "pt") as stored:
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118  # it is no dict
            about = stored.metadata()
        halves = {key: of.half() if of.is_floating_point() else of for key, of in tensors.items()}
        if wide := [key for key, of in halves.items() if not bool(torch.isfinite(of).all())]:
            raise FetalkitError(f"{path.name}: {wide[0]} has weights beyond the range of half precision")
        save_file(halves, path, about)


def _forget(folder: Path) -> None:
    """Leave out of the networks' settings from where they were read: a path of this machine."""
    for path in sorted(folder.glob("*/config.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        content.pop("_name_or_path", None)
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _say(folder: Path, more: Mapping[str, Any]) -> None:
    """Add to what the generator says of itself."""
    content = {**generators.read_card(folder), **more}
    (folder / card.CARD).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _write_pipeline(folder: Path, made: DiffusionGenerator, sampling: Any) -> bool:
    """Write what diffusers needs to draw; return whether it can: its pipeline knows no guidance by a classifier."""
    if not isinstance(sampling, DiffusionSampling) or sampling.guidance_kind == "classifier":
        return False
    for network in ("denoiser", "early") if made.early else ("denoiser",):
        (folder / network / "denoiser.py").write_text(_alone(Path(denoiser.__file__)), encoding="utf-8")
    shutil.copyfile(pipeline.__file__, folder / "pipeline.py")
    low, high = sampling.guidance_interval
    scheduler = json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
    index = {
        "_class_name": ["pipeline", pipeline.FetalPlanePipeline.__name__],
        "_diffusers_version": scheduler["_diffusers_version"],
        "denoiser": ["denoiser", denoiser.Denoiser.__name__],
        "scheduler": ["diffusers", scheduler["_class_name"]],
        "early": ["denoiser", denoiser.Denoiser.__name__] if made.early else [None, None],
        "id2label": {str(number): plane for number, plane in enumerate(made.planes)},
        "image_size": made.image_size,
        "pixel_mean": made.scale.mean,
        "pixel_std": made.scale.std,
        "steps": sampling.steps,
        "guidance": sampling.guidance,
        "guidance_low": low,
        "guidance_high": high,
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return True


def _alone(path: Path) -> str:
    """Source of a module, with the constants that it imports from the project written out."""
    source = path.read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fetalkit."):
            values = {alias.name: getattr(denoiser, alias.name) for alias in node.names}
            lines = "\n".join(f"{name} = {value!r}" for name, value in values.items())
            source = source.replace(str(ast.get_source_segment(source, node)), lines)
    return source
