"""Cards of generators, synthetic sets and classifiers in the format of the Hugging Face Hub: README.md with YAML front matter.

The functions are pure: they are told what was measured, and say so where nothing was. The text is in ``templates/*_card.md.j2``
and follows Mitchell et al., Model Cards for Model Reporting, FAT* 2019, arXiv 1810.03993, and Gebru et al., Datasheets for
Datasets, Communications of the ACM 64 (12), 2021, arXiv 1803.09010.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from huggingface_hub import CardData, DatasetCard, DatasetCardData, ModelCard, ModelCardData

from fetalkit.data.study import set_name

TEMPLATES = Path(__file__).with_name("templates")
# How licences of cohorts begin -> identifier at the Hub.
LICENCES = {"CC BY 4.0": "cc-by-4.0", "MIT": "mit"}
TAGS = ["ultrasound", "fetal-ultrasound", "medical", "synthetic", "fetalkit"]
# The Hub has no task of this name: its unconditional image generation is of models that cannot be asked for a class.
TASK = ["image-generation", "class-conditional"]
_SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}


@dataclass(frozen=True)
class Source:
    """Which generator a card is about, and what it has seen.

    Attributes
    ----------
    cohort, title, citation, licence
        Of the cohort, as its `fetalkit.cohorts.Cohort` gives them.
    generator, k, seed
        Of the generator, and of the subset that it has seen.
    planes
        In the order of the class numbers.
    seen
        Plane -> number of training images; empty for a generator that has seen none.
    patients
        Number of patients whom the training images show.
    image_size
        Side of the square images in px.
    phantoms
        Simulated images per plane that the weights which training began with have learnt; 0 where they are random.
    kind
        What it is, as the middle of a sentence; by default its name alone is told.
    """

    cohort: str
    title: str
    citation: str
    licence: str
    generator: str
    k: str
    seed: int
    planes: tuple[str, ...]
    seen: Mapping[str, int]
    patients: int
    image_size: int
    phantoms: int = 0
    kind: str = ""

    @property
    def described(self) -> str:
        """What it is, as the middle of a sentence."""
        return self.kind or f"a generator of the kind {self.generator}"

    @property
    def name(self) -> str:
        """Name of the generator's folder and of its synthetic set."""
        return set_name(self.generator, self.k, self.seed)

    @property
    def real(self) -> bool:
        """Whether images of patients were seen; those of the phantom cohort are simulated."""
        return bool(self.seen) and self.cohort != "phantom"


@dataclass(frozen=True)
class Release:
    """A generator as it is released with the project.

    Attributes
    ----------
    name
        Of its folder below ``models/``.
    sampling
        How it draws where nothing else is asked for.
    alone
        Whether diffusers can draw with it where fetalkit is not installed.
    """

    name: str
    sampling: Mapping[str, Any]
    alone: bool


def model_card(
    source: Source,
    settings: Mapping[str, Any],
    training: Mapping[str, Any],
    components: Mapping[str, str],
    measures: Mapping[str, Any] | None = None,
    release: Release | None = None,
) -> str:
    """Card of a saved generator.

    Parameters
    ----------
    source
        The generator and its data.
    settings
        Of the training, as ``fetalkit.json`` holds them.
    training
        What is known of the training, label -> value, e.g. ``{"Training time": "104 s"}``; may be empty.
    components
        Subfolder -> dotted name of the class that loads it with ``from_pretrained``; empty where there is none.
    measures
        ``of`` (what was measured, a phrase), ``memorisation`` (``share``, ``low``, ``high`` in [0, 1], ``threshold``, ``n``)
        and ``fidelity`` (feature space -> ``fd``, ``kid``, ``precision``, ``recall``, ``density``, ``coverage``, ``n``);
        missing parts are reported as not measured. Where there is ``recognised`` (``judge``, ``real``, ``n``, ``by_plane``),
        it is told how many images show the plane asked for.
    release
        Where it is released with the project.

    Returns
    -------
    str
        Markdown with YAML front matter.
    """
    data = ModelCardData(
        library_name="diffusers" if _of_diffusers(components) or (release and release.alone) else "fetalkit",
        tags=[*TAGS, *TASK, source.generator],
        **_licence(source),
    )
    about = dict(settings=dict(settings), training=training, components=components, release=release)
    text = _text("model_card.md.j2", source, measures, **about)
    return str(ModelCard(_joined(data, text)))


def _of_diffusers(components: Mapping[str, str]) -> bool:
    return bool(components) and all(name.startswith("diffusers.") for name in components.values())


def dataset_card(
    source: Source,
    drawn: Mapping[str, int],
    options: Mapping[str, Any],
    left_out: int = 0,
    measures: Mapping[str, Any] | None = None,
) -> str:
    """Card of a synthetic set.

    Parameters
    ----------
    source
        The generator and its data.
    drawn
        Plane -> number of images in the set.
    options
        How the images were drawn, e.g. the number of steps of the sampler.
    left_out
        Images that were not exported because they equal a real one.
    measures
        As for `model_card`.

    Returns
    -------
    str
        Markdown with YAML front matter.
    """
    count = sum(drawn.values())
    data = DatasetCardData(
        pretty_name=f"Synthetic fetal ultrasound planes: {source.name} on {source.cohort}",
        annotations_creators=["machine-generated"],
        size_categories=[next((size for limit, size in _SIZES.items() if count < limit), "n>1M")],
        source_datasets=[f"extended|other-{_slug(source.title)}" if source.real else "original"],
        task_categories=["image-classification"],
        tags=[*TAGS, source.generator],
        **_licence(source),
    )
    text = _text("dataset_card.md.j2", source, measures, drawn=drawn, options=options, count=count, left_out=left_out)
    return str(DatasetCard(_joined(data, text)))


def classifier_card(card: Mapping[str, Any]) -> str:
    """Card of a saved classifier, from its ``fetalkit.json``: Markdown with YAML front matter."""
    about, names = card["trained_on"], list(dict.fromkeys(name for of in card["measured"].values() for name in of))
    data = ModelCardData(
        library_name="fetalkit",
        pipeline_tag="image-classification",
        tags=[*(tag for tag in TAGS if tag != "synthetic"), "timm"],
        **_licence_named(str(about.get("licence", "MIT"))),
    )
    text = _environment().get_template("classifier_card.md.j2").render(card=card, about=about, names=names)
    return str(ModelCard(_joined(data, text)))


def _licence(source: Source) -> dict[str, Any]:
    """Metadata of the licence: that of the images seen, since derived images inherit it; else that of the project."""
    return _licence_named(source.licence if source.seen else "MIT")


def _licence_named(name: str) -> dict[str, Any]:
    for begin, identifier in LICENCES.items():
        if name.startswith(begin):
            return {"license": identifier}
    return {"license": "other", "license_name": _slug(name)}


def _slug(name: str) -> str:
    """`name` as an identifier of the Hub: small letters, digits, dots and hyphens."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.") or "not-stated"


def _joined(data: CardData, text: str) -> str:
    return f"---\n{data.to_yaml()}\n---\n{text}"


def _text(template: str, source: Source, measures: Mapping[str, Any] | None, **more: Any) -> str:
    measures = measures or {}
    return (
        _environment()
        .get_template(template)
        .render(
            source=source,
            licence=_licence(source),
            memorisation=measures.get("memorisation"),
            fidelity=measures.get("fidelity"),
            recognised=measures.get("recognised"),
            of=measures.get("of", "this set"),
            **more,
        )
    )


@cache
def _environment() -> jinja2.Environment:
    # Strict: a word that is missing in a card is a mistake, not an empty space. Nothing here is HTML.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"cell": _cell, "percent": lambda share: f"{100 * share:.1f} %"}
    return environment


def _cell(value: Any) -> str:
    """Value as a cell of a Markdown table."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    return str(value).replace("|", "\\|").replace("\n", " ")
