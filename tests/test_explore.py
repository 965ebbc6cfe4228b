"""The panels of 00_explore: sliders draw, an upload is classified, and nothing trained is a sentence."""

import io
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import numpy as np
import pytest
import trained_study
from nbclient import NotebookClient
from PIL import Image

from fetalkit.experiments import trained
from fetalkit.generators.gan.generator import GanGenerator
from fetalkit.reporting import explore
from fetalkit.reporting.drawings import sheet
from fetalkit.utils import paths

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
OURS = f"phantom/{trained_study.GENERATOR}"
RUN = f"phantom/{trained_study.RUN}"


@pytest.fixture
def study(elsewhere, monkeypatch):
    return trained_study.make(monkeypatch)


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(picture.value)))


def upload(panel, name, content):
    """What the browser sends."""
    file = dict(
        name=name, type="image/png", size=len(content), content=memoryview(content), last_modified=datetime.now(UTC)
    )
    panel.upload.value = (file,)


def png(image):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="png")
    return stream.getvalue()


def test_sliders_draw_what_they_ask_for(study):
    panel = explore.Drawing(trained.names("generator"))
    usual = study.params.generators["diffusion"].sampling
    assert (panel.guidance.value, panel.steps.value) == (usual.guidance, usual.steps)
    panel.plane.value, panel.steps.value = "Fetal brain", 3
    first = pixels(panel.picture)
    np.testing.assert_array_equal(first, sheet(trained.draw(OURS, "Fetal brain", 8, 0, steps=3), 4))
    panel.seed.value = 5
    assert (pixels(panel.picture) != first).any()
    panel.seed.value = 0
    np.testing.assert_array_equal(pixels(panel.picture), first)
    panel.guidance.value = 6
    assert (pixels(panel.picture) != first).any()
    assert "8 synthetic images of 32 × 32 px." in panel.status.value
    panel.guidance.value, panel.phantoms.value = usual.guidance, 0.4
    drawn = trained.draw(OURS, "Fetal brain", 8, 0, steps=3, phantom_sigma=0.4)
    np.testing.assert_array_equal(pixels(panel.picture), sheet(drawn, 4))


def test_a_generator_without_an_option_says_so(study, elsewhere):
    seen = study.train("all", 0)
    made = GanGenerator(study.planes, 32, {"channels": [8, 16], "steps": 1, "batch_size": 4})
    made.fit(seen.images, seen.labels, seed=0)
    made.save(paths.released("rival"))
    panel = explore.Drawing(trained.names("generator"))
    panel.plane.value, before = "Fetal femur", pixels(panel.picture)
    panel.generator.value = "rival"
    assert panel.guidance.disabled and panel.steps.disabled and panel.plane.value == "Fetal femur"
    assert "It has no guidance and no steps and no phantom." in panel.status.value
    assert (pixels(panel.picture) != before).any()
    # Gone or damaged in the meantime: the panel says so, and goes on with another one.
    shutil.rmtree(paths.data("phantom", "generators", trained_study.GENERATOR) / "denoiser")
    panel = explore.Drawing(trained.names("generator"))
    assert "not a complete generator" in panel.status.value and explore.RED in panel.status.value
    panel.generator.value = "rival"
    assert explore.RED not in panel.status.value and len(panel.picture.value)


def test_an_upload_is_classified(study):
    panel = explore.Classifying(trained.names("classifier"))
    image = trained_study.labelled(study, "test").images[0]
    upload(panel, "<b>mine</b>.png", png(image))
    probabilities, _ = trained.classifier(RUN).classify(image[None])
    called = int(probabilities.argmax())
    assert f"{100 * probabilities[0, called]:.1f} %" in panel.result.value
    assert panel.result.value.index(study.planes[called]) < panel.result.value.index("Right: the image")
    assert (
        "&lt;b&gt;mine&lt;/b&gt;.png" in panel.result.value
        and f"spoke for {study.planes[called]}" in panel.result.value
    )
    left, right = pixels(panel.picture)[:, : explore.SHOWN], pixels(panel.picture)[:, -explore.SHOWN :]
    assert np.ptp(left, axis=2).max() == 0 and np.ptp(right, axis=2).max() > 0, "a map has colours"
    upload(panel, "report.pdf", b"%PDF-1.7 and so on")
    assert panel.result.value.count("report.pdf: no image but") == 1
    assert panel.picture.layout.display == "none"
    upload(panel, "again.png", png(255 - image))
    assert panel.picture.layout.display == "" and "again.png" in panel.result.value


def test_an_upload_that_is_a_stranger_gets_the_warning(study, monkeypatch):
    panel = explore.Classifying(trained.names("classifier"))
    upload(panel, "known.png", png(trained_study.labelled(study, "test").images[0]))
    monkeypatch.setattr("fetalkit.classifiers.novelty.TrainingSet.distances", lambda self, features: np.array([1e9]))
    upload(panel, "stranger.png", png(np.zeros((40, 40), np.uint8)))
    assert "Careful: unlike the training set: distance 1e+09" in panel.result.value


def test_a_network_without_maps_says_so(study, monkeypatch):
    monkeypatch.setattr("fetalkit.classifiers.gradcam.LEAST_SIDE", 1000)
    panel = explore.Classifying(trained.names("classifier"))
    upload(panel, "mine.png", png(trained_study.labelled(study, "test").images[0]))
    assert "This network has no map" in panel.result.value and pixels(panel.picture).shape[1] == explore.SHOWN


def test_the_notebook_runs_where_something_has_been_trained(study, elsewhere, monkeypatch):
    clone = _clone(elsewhere)
    monkeypatch.setenv("PYTHONPATH", str(clone))
    monkeypatch.delenv("FETALKIT_COHORT", raising=False)
    notebook = nbformat.read(ROOT / "notebooks" / "00_explore.ipynb", 4)
    resources = {"metadata": {"path": str(clone)}}
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources)
    client.execute(env=dict(os.environ))
    _, drawing, classifying = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    for output in (drawing, classifying):
        assert "application/vnd.jupyter.widget-view+json" in output[0].data
    widgets = client.nb.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"].values()
    assert {"FileUploadModel", "FloatSliderModel", "DropdownModel"} <= {widget["model_name"] for widget in widgets}
    assert any(OURS in widget["state"].get("_options_labels", []) for widget in widgets)


def test_the_notebook_runs_where_nothing_has_been_trained(elsewhere):
    shown = str(_run(_clone(elsewhere)))
    assert "No generator has been trained in this checkout" in shown and "No classifier has been trained" in shown


def test_the_notebook_opens_with_a_released_generator(elsewhere):
    """Right after the install: nothing has been trained."""
    clone = _clone(elsewhere)
    (clone / "models").symlink_to(ROOT / "models")
    state = _run(clone)["application/vnd.jupyter.widget-state+json"]["state"].values()
    dropdowns = [widget["state"] for widget in state if widget["model_name"] == "DropdownModel"]
    generator, plane = (next(of for of in dropdowns if of["description"] == name) for name in ("Generator", "Plane"))
    assert generator["_options_labels"] == ["spain-64", "spain-128"] and generator["index"] == 0
    assert "Fetal brain" in plane["_options_labels"]
    values = {widget["state"].get("description"): widget["state"].get("value") for widget in state}
    assert values["Guidance"] == 2 and values["Steps"] == 12, "as its card says"
    assert "8 synthetic images of 64 × 64 px." in str(state) and "No classifier has been trained" in str(state)


def test_a_released_generator_comes_before_those_of_the_study(study, elsewhere):
    (elsewhere / "models").symlink_to(ROOT / "models")
    panel = explore.drawing("phantom")
    assert panel.children[0].children[0].options == ("spain-64", "spain-128", OURS)


def _run(clone):
    """Run the notebook by the runner, as all notebooks are; return the state of its widgets."""
    shutil.copytree(ROOT / "notebooks", clone / "notebooks")
    command = [sys.executable, "-m", "fetalkit", "run", "00_explore", "--cohort", "phantom"]
    environment = os.environ | {"PYTHONPATH": str(clone)}
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return nbformat.read(paths.executed("phantom", "00_explore"), 4).metadata.widgets


def _clone(folder):
    """The package as the kernel of a notebook finds it, with its data beside it."""
    shutil.copytree(ROOT / "fetalkit", folder / "fetalkit", ignore=shutil.ignore_patterns("__pycache__"))
    if not (folder / "params.yaml").exists():
        shutil.copy(ROOT / "params.yaml", folder)
    return folder
