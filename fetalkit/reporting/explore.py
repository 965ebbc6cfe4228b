"""Two panels for JupyterLab: draw images of a plane with sliders, and classify an image of one's own (``00_explore``).

Both offer what this checkout has trained, and what is released with it; nothing is trained or stored.
"""

import io
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
from PIL import Image

from fetalkit.classifiers.gradcam import gradcam
from fetalkit.classifiers.saved import SavedClassifier
from fetalkit.config import listing, params
from fetalkit.data import images as store
from fetalkit.experiments import trained
from fetalkit.plots.gradcam import overlay
from fetalkit.reporting.drawings import sheet
from fetalkit.utils.errors import FetalkitError

DRAWN, COLUMNS = 8, 4  # images that the sliders show, and in one row
SHOWN = 288  # px of the uploaded image and of its map
# How much of a phantom stays → noise level that it gets; data have standard deviation 0.5.
PHANTOMS = (("none", 0.0), ("a trace", 3.0), ("a little", 1.5), ("half", 0.8), ("much", 0.4), ("nearly all", 0.15))
LABEL = {"description_width": "86px"}
WIDE = {"width": "420px"}
BLUE, RED, AMBER = "#1f5fa8", "#b3261e", "#8a5a00"
RUN = (
    "No {kind} has been trained in this checkout: run <code>make repro</code> (or <code>fetalkit repro {command}</code>), "
    "and open this notebook again."
)


def drawing(cohort: str) -> widgets.Widget:
    """Sliders for a trained generator, or a sentence that says what to run where there is none.

    Raises
    ------
    FetalkitError
        When `cohort`, whose generators come first after the released ones, is unknown.
    """
    return _panel("generator", f"{cohort} train-generators", _names("generator", cohort), Drawing)


def classifying(cohort: str) -> widgets.Widget:
    """A button for an image to classify, or a sentence as of `drawing`, which raises the same."""
    return _panel("classifier", cohort, _names("classifier", cohort), Classifying)


def _panel(kind: str, command: str, names: list[str], made: "type[Drawing | Classifying]") -> widgets.Widget:
    return made(names).widget if names else widgets.HTML(RUN.format(kind=kind, command=escape(command)))


def _names(kind: str, cohort: str) -> list[str]:
    """Names to choose from: what is released, then those of `cohort`, and of them first one that has seen most images."""
    most, own = f"k{params.load(cohort).splits.shots.largest}", f"{cohort}/"
    known, there = listing.released(kind), trained.names(kind)
    return sorted(there, key=lambda name: (name not in known, not name.startswith(own), most not in name))


class Drawing:
    """Sliders, and the images that they ask for.

    Attributes
    ----------
    widget : ipywidgets.Widget
        What to show.
    generator, plane : ipywidgets.Dropdown
    seed, steps : ipywidgets.IntSlider
    guidance : ipywidgets.FloatSlider
        Like `steps` and `phantoms` only where the generator has such an option.
    phantoms : ipywidgets.SelectionSlider
        How much of a simulated phantom stays in each image, from nothing on; the value is the noise level it gets.
    picture : ipywidgets.Image
        Eight images; another seed, other images.
    status : ipywidgets.HTML
        What is shown, or what went wrong.
    """

    def __init__(self, names: Sequence[str]):
        slow: dict[str, Any] = dict(style=LABEL, layout=WIDE, continuous_update=False)
        self.generator = widgets.Dropdown(options=names, description="Generator", style=LABEL, layout=WIDE)
        self.plane = widgets.Dropdown(description="Plane", style=LABEL, layout=WIDE)
        self.seed = widgets.IntSlider(0, 0, 99, description="Seed", **slow)
        self.guidance = widgets.FloatSlider(1.5, min=0, max=6, step=0.25, description="Guidance", **slow)
        self.steps = widgets.IntSlider(12, 2, 50, description="Steps", **slow)
        self.phantoms = widgets.SelectionSlider(options=PHANTOMS, description="Phantom", **slow)
        self.picture = widgets.Image(format="png", layout={"object_fit": "contain", "max_width": "100%"})
        self.status = widgets.HTML()
        self._loaded = lru_cache(maxsize=4)(trained.generator)
        self._options = {"guidance": self.guidance, "steps": self.steps, "phantom_sigma": self.phantoms}
        self._busy = False
        self.generator.observe(lambda _: self._choose(), "value")
        for control in (self.plane, self.seed, *self._options.values()):
            control.observe(lambda _: self._draw(), "value")
        left = widgets.VBox([self.generator, self.plane, self.seed, *self._options.values(), self.status])
        self.widget = widgets.HBox([left, self.picture], layout={"flex_flow": "row wrap", "grid_gap": "20px"})
        self._choose()

    def _choose(self) -> None:
        """Another generator: its planes, and how its study draws from it."""
        try:
            made, usual = self._loaded(self.generator.value)
        except FetalkitError as error:
            self.status.value = _line(str(error), RED)
            return
        self._busy = True  # each change below would draw anew
        known = type(made).Sampling.model_fields
        plane = self.plane.value
        self.plane.options = made.planes
        self.plane.value = plane if plane in made.planes else made.planes[0]
        for name, control in self._options.items():
            control.disabled = name not in known
            if name in known:
                control.value = _nearest(control, usual.get(name, known[name].default))
        self._busy = False
        self._draw()

    def _draw(self) -> None:
        if self._busy:
            return
        self.status.value = _line("drawing …")
        try:
            made, usual = self._loaded(self.generator.value)
            options = {name: control.value for name, control in self._options.items() if not control.disabled}
            labels = np.full(DRAWN, trained.plane_number(made.planes, str(self.plane.value)))
            images = made.sample(labels, seed=self.seed.value, sampling=usual | options)
        except FetalkitError as error:
            self.status.value = _line(str(error), RED)
            return
        self.picture.value = _png(sheet(images, COLUMNS))
        without = [name.partition("_")[0] for name, control in self._options.items() if control.disabled]
        lacks = f" It has no {' and no '.join(without)}." if without else ""
        self.status.value = _line(f"{DRAWN} synthetic images of {images.shape[1]} × {images.shape[2]} px.{lacks}")


def _nearest(control: Any, value: float) -> float:
    """`value`, or of a slider over a few values the nearest."""
    few = [known for _, known in getattr(control, "options", ())]
    return min(few, key=lambda known: abs(known - value), default=value)


class Classifying:
    """A button for an image, and what a trained classifier says of it.

    Attributes
    ----------
    widget : ipywidgets.Widget
        What to show.
    classifier : ipywidgets.Dropdown
    upload : ipywidgets.FileUpload
        Takes one file; it is not stored.
    picture : ipywidgets.Image
        The image as the classifier sees it, and under the Grad-CAM map of the plane that it was called.
    result : ipywidgets.HTML
        Probability of every plane, and warnings; or what went wrong.
    """

    def __init__(self, names: Sequence[str]):
        self.classifier = widgets.Dropdown(options=names, description="Classifier", style=LABEL, layout=WIDE)
        self.upload = widgets.FileUpload(description="Choose an image", multiple=False, layout={"width": "180px"})
        self.result = widgets.HTML("The image stays on this machine, and is not stored.")
        self.picture = widgets.Image(format="png", layout={"display": "none", "max_width": "100%"})
        self._loaded = lru_cache(maxsize=4)(trained.classifier)
        self.classifier.observe(lambda _: self._classify(), "value")
        self.upload.observe(lambda _: self._classify(), "value")
        left = widgets.VBox([self.classifier, self.upload, self.result])
        self.widget = widgets.HBox([left, self.picture], layout={"flex_flow": "row wrap", "grid_gap": "20px"})

    def _classify(self) -> None:
        if not self.upload.value:
            return
        file = self.upload.value[0]
        self.result.value = "classifying …"
        try:
            classifier = self._loaded(self.classifier.value)
            image = _read(file["name"], bytes(file["content"]), classifier.card.image_size)
        except FetalkitError as error:
            self.picture.layout.display = "none"
            self.result.value = _line(str(error), RED)
            return
        probabilities, distances = classifier.classify(image[None])
        called = int(probabilities[0].argmax())
        lines = [_bars(classifier.planes, probabilities[0])]
        if warning := classifier.warning(distances[0]):
            lines.append(_line(f"Careful: {warning}.", AMBER))
        parts, caption = _attributed(classifier, image, called)
        self.picture.value = _png(np.hstack(parts))
        self.picture.layout.display = ""
        self.result.value = "".join([f"<b>{escape(file['name'])}</b>", *lines, _line(caption)])


def _read(name: str, content: bytes, size: int) -> np.ndarray:
    """Working copy of an uploaded file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"image{Path(name).suffix}")
        path.write_bytes(content)
        try:
            return store.working(store.read(path), size)
        except FetalkitError as error:
            raise FetalkitError(str(error).replace(str(path), name)) from None


def _attributed(classifier: SavedClassifier, image: np.ndarray, called: int) -> tuple[list[np.ndarray], str]:
    """The image, and if the network has maps the image under its map, all RGB; and what they show."""
    parts = [_enlarged(np.repeat(image[..., None], 3, axis=2))]
    try:
        (heat,) = gradcam(classifier.model, image[None], np.array([called]), classifier.device)
    except FetalkitError:
        return (
            parts,
            "Right: the image as the classifier sees it. This network has no map of where it looked (Grad-CAM).",
        )
    parts += [np.full((SHOWN, 8, 3), 255, np.uint8), _enlarged((255 * overlay(image, heat)).round().astype(np.uint8))]
    return (
        parts,
        f"Right: the image as the classifier sees it; bright, what spoke for {classifier.planes[called]} (Grad-CAM).",
    )


def _enlarged(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((SHOWN, SHOWN), Image.Resampling.BICUBIC))


def _bars(planes: Sequence[str], probabilities: np.ndarray) -> str:
    """Probabilities as bars, the highest first."""
    rows = []
    for number in np.argsort(-probabilities, kind="stable"):
        share = float(probabilities[number])
        bar = f'<div style="background:{BLUE};height:12px;width:{max(1, round(160 * share))}px"></div>'
        rows.append(
            f'<tr><td style="padding-right:12px">{escape(str(planes[int(number)]))}</td>'
            f'<td style="text-align:right;padding-right:12px">{100 * share:.1f} %</td><td>{bar}</td></tr>'
        )
    return f'<table style="line-height:1.5;margin:6px 0">{"".join(rows)}</table>'


def _line(text: str, colour: str = "") -> str:
    shade = f";color:{colour}" if colour else ""
    return f'<div style="max-width:420px;line-height:1.4{shade}">{escape(text)}</div>'


def _png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="png")
    return stream.getvalue()
