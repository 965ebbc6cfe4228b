"""Generators that come with the project: made by `fetalkit release`, drawn without training, and by diffusers alone."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import trained_study
import yaml
from diffusers import DiffusionPipeline
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file
from trained_study import GENERATOR

from fetalkit import cli, cohorts, generators
from fetalkit.config import listing, params
from fetalkit.experiments import trained
from fetalkit.generators.gan.generator import GanGenerator
from fetalkit.reporting import explore
from fetalkit.reporting import release as releasing
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.streams import rng

ROOT = Path(__file__).parents[1]
RELEASED = ("spain-64", "spain-128")
LARGEST = 10_000_000  # bytes of a released generator


@pytest.fixture
def study(elsewhere, monkeypatch):
    """The small study with a trained generator, in the working folder."""
    study = trained_study.make(monkeypatch)
    monkeypatch.chdir(elsewhere)
    return study


def command(capsys, *arguments):
    """Exit code, output and error lines of the command line."""
    code = cli.main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, [line for line in printed.err.splitlines() if line.startswith("fetalkit: ")]


def with_diffusers(card: ModelCard) -> str:
    """The card's lines for diffusers alone."""
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", card.text, re.DOTALL) if "diffusers" in block]
    return code


def run_without_fetalkit(code: str, folder: Path) -> list[np.ndarray]:
    """Run code where `import fetalkit` fails; return the images that it leaves behind."""
    program = "import sys\nsys.modules['fetalkit'] = None  # as if it were not installed\n" + code
    environment = os.environ | {"HF_HOME": str(folder / "cache"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return [np.asarray(Image.open(path)) for path in sorted(folder.glob("image-*.png"))]


def draws_what_fetalkit_draws(folder: Path, modules: Path, monkeypatch) -> None:
    """From the same noise, the pipeline of a released generator draws the same images."""
    monkeypatch.setattr("diffusers.utils.dynamic_modules_utils.HF_MODULES_CACHE", str(modules))
    monkeypatch.syspath_prepend(modules)
    pipeline = DiffusionPipeline.from_pretrained(str(folder), trust_remote_code=True)
    assert {parameter.dtype for parameter in pipeline.denoiser.parameters()} == {torch.float32}
    about = generators.read_card(folder)
    size, plane = about["image_size"], about["planes"].index("Fetal brain")
    noise = torch.stack([torch.randn(1, size, size, generator=rng(5, "image", row)) for row in range(2)])
    theirs = pipeline("Fetal brain", latents=noise, output_type="np").images[..., 0] * 255
    made = generators.load(folder, "cpu", "float32")
    ours = made.sample(np.full(2, plane), seed=5, sampling=about["sampling"])
    assert np.abs(theirs - ours).max() <= 1.5


@pytest.mark.slow
def test_a_release_is_what_its_card_says(study, capsys, elsewhere, monkeypatch):
    code, _, lines = command(
        capsys, "release", "phantom", GENERATOR, "models/mine", "--about", "Device=a small machine"
    )
    assert code == 0, lines
    folder = paths.released("mine")
    card = ModelCard.load(folder / "README.md")
    assert card.text.startswith("\n# mine, a generator") or card.text.startswith("# mine, a generator")
    assert card.data.license == "mit" and card.data.library_name == "diffusers"
    for phrase in ("Device: a small machine", "Measured on 10", "are near-copies of a training image", "| all |"):
        assert phrase in card.text, phrase
    assert "of real train images instead" in card.text and "test images were not read" in card.text
    assert {f"| {plane} |" in card.text for plane in study.planes} == {True}
    assert "{{" not in card.text and "{%" not in card.text and "\n\n\n\n" not in card.text
    assert not [path for path in folder.rglob("*.json") if str(elsewhere) in path.read_text()], "a path of the machine"
    # Small on the disk, and single precision to compute with: the images are those of the trained network.
    weights = load_file(folder / "denoiser" / "diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    origin = paths.data("phantom", "generators", GENERATOR)
    before, after = (generators.load(of, "cpu", "float32") for of in (origin, folder))
    assert {parameter.dtype for parameter in after.denoiser.parameters()} == {torch.float32}
    usual = study.params.generators["diffusion"].sampling
    images = [made.sample(np.arange(4), seed=1, sampling=usual).astype(int) for made in (before, after)]
    assert np.abs(images[0] - images[1]).max() <= 4
    # It draws as its study does, wherever it lies.
    assert generators.read_card(folder)["sampling"] == usual.model_dump(mode="json")
    shutil.copytree(folder, elsewhere / "theirs")
    drawn = trained.draw(elsewhere / "theirs", "Fetal brain", 2, seed=3)
    labels = np.full(2, study.planes.index("Fetal brain"))
    np.testing.assert_array_equal(drawn, generators.load(folder).sample(labels, seed=3, sampling=usual))
    # With diffusers alone, led away from the early state as in the study.
    images = run_without_fetalkit(with_diffusers(card), paths.released())
    assert len(images) == 8 and {image.shape for image in images} == {(32, 32)}
    assert usual.guidance_kind == "autoguidance" and "| guidance_kind | autoguidance |" in card.text
    draws_what_fetalkit_draws(folder, elsewhere / "modules", monkeypatch)
    # What is not drawn with is not released.
    content = yaml.safe_load(paths.PARAMS.read_text())
    content["phantom"]["generators"]["diffusion"]["sampling"]["guidance_kind"] = "classifier-free"
    paths.PARAMS.write_text(yaml.safe_dump(content, sort_keys=False))
    releasing.release("phantom", GENERATOR, paths.released("free"), images=24)
    assert (folder / "early").exists() and not paths.released("free", "early").exists()
    assert generators.load(paths.released("free")).early is None


@pytest.mark.slow
def test_a_generator_that_is_no_diffusion_model_is_released_without_a_pipeline(study, elsewhere):
    seen = study.train("all", 0)
    made = GanGenerator(study.planes, 32, {"channels": [8, 16], "steps": 1, "batch_size": 4})
    made.fit(seen.images, seen.labels, seed=0)
    made.save(elsewhere / "gan-kall-seed0")
    releasing.release("phantom", "gan-kall-seed0", paths.released("rival"), images=24)
    assert not list(paths.released("rival").rglob("*.py"))
    assert "diffusers alone" not in paths.released("rival", "README.md").read_text()
    assert trained.draw("rival", "Fetal brain", 2).shape == (2, 32, 32)


@pytest.mark.slow
def test_wrong_releases_are_one_line(study, capsys, elsewhere, monkeypatch):
    origin = paths.data("phantom", "generators", GENERATOR)
    Path("full").mkdir()
    Path("full/mine.txt").write_text("mine")
    shutil.copytree(origin, "weights")
    shutil.copytree(origin, "other/diffusion-kall-seed0")
    content = json.loads(Path("other/diffusion-kall-seed0/fetalkit.json").read_text())
    Path("other/diffusion-kall-seed0/fetalkit.json").write_text(json.dumps(content | {"image_size": 64}))
    for arguments, message in (
        (("phantom", GENERATOR, "full"), "is there already and not an empty folder"),
        (("phantom", "weights", "out"), "weights: call the folder as the study calls its generators"),
        (("phantom", "diffusion-k3-seed9", "out"), "not that of a saved generator"),
        (("phantom", "other/diffusion-kall-seed0", "out"), "at 64 px, but the study phantom has"),
    ):
        code, _, lines = command(capsys, "release", *arguments)
        assert code == 1 and len(lines) == 1 and message in lines[0], (arguments, lines)
    monkeypatch.setattr("fetalkit.config.privacy.public", lambda cohort: False)
    with pytest.raises(FetalkitError, match="git would version it, and phantom is not public"):
        releasing.release("phantom", GENERATOR, Path("models/mine"))
    assert not Path("out").exists() and not paths.released().exists()


def test_a_damaged_sampling_of_a_card_is_one_line(elsewhere):
    shutil.copytree(ROOT / "models" / "spain-64", elsewhere / "mine")
    content = generators.read_card(elsewhere / "mine")
    for sampling, message in ((["steps"], "must be a mapping"), ({"steps": "many"}, "sampling.steps")):
        (elsewhere / "mine" / "fetalkit.json").write_text(json.dumps(content | {"sampling": sampling}))
        with pytest.raises(FetalkitError, match=message):
            trained.draw(elsewhere / "mine", "Fetal brain", 1)


@pytest.mark.parametrize("name", RELEASED)
def test_what_is_released_is_small_and_has_a_card(name):
    folder = ROOT / "models" / name
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= LARGEST
    card, text = ModelCard.load(folder / "README.md"), (folder / "README.md").read_text()
    spain = cohorts.load("spain", params.load("spain").cohort)
    assert card.data.license == "cc-by-4.0" and text.count(spain.citation) == 2
    for phrase in ("758 images of", "Not for clinical use", "of 1000 drawn images are near-copies", "Device: "):
        assert phrase in text, phrase
    assert "not been measured" not in text and "two hospitals" in text
    usual = generators.read_card(folder)["sampling"]
    assert (usual["guidance"], usual["steps"], usual["guidance_interval"]) == (2.0, 12, [0.2, 5.0])


@pytest.mark.parametrize(("name", "section"), [("spain-64", "spain"), ("spain-128", "spain-128")])
def test_what_is_released_is_made_by_the_recipe_of_its_section(name, section):
    made = generators.read_card(ROOT / "models" / name)
    recipe = params.load(section).generators["diffusion"]
    said = recipe.training.model_dump(mode="json")
    if recipe.budget:
        said["steps"] = recipe.budget.steps(758, said["batch_size"], said["steps"])  # images, as its card says
    differ = {key for key in said if said[key] != made["training"][key]}
    assert differ <= {"guide_steps", "snapshots"}  # which leave the denoiser as it is
    assert made["sampling"] == recipe.sampling.model_dump(mode="json")


@pytest.mark.slow
@pytest.mark.parametrize("name", RELEASED)
def test_diffusers_alone_draws_what_fetalkit_draws(name, tmp_path, monkeypatch):
    shutil.copytree(ROOT / "models" / name, tmp_path / name)
    images = run_without_fetalkit(with_diffusers(ModelCard.load(tmp_path / name / "README.md")), tmp_path)
    size = generators.read_card(tmp_path / name)["image_size"]
    assert len(images) == 8 and {image.shape for image in images} == {(size, size)}
    draws_what_fetalkit_draws(tmp_path / name, tmp_path / "modules", monkeypatch)


@pytest.mark.slow
def test_a_fresh_clone_draws_lists_and_explores(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, out, lines = command(capsys, "draw", "spain-64", "--plane", "Fetal brain", "-n", 16)
    assert code == 0, lines
    assert out == "16 images and sheet.png are in drawn/spain-64-fetal-brain-seed0\n"
    images = [np.asarray(Image.open(path)) for path in sorted(Path("drawn").rglob("fetal-brain-*.png"))]
    assert len(images) == 16 and len({image.tobytes() for image in images}) == 16
    assert 20 < np.mean(images) < 100 and np.mean([image.std() for image in images]) > 20, "planes, not noise"
    code, out, _ = command(capsys, "list", "generators")
    assert code == 0 and [line.split()[0] for line in out.splitlines()][-2:] == list(RELEASED)
    code, _, lines = command(capsys, "draw", "spain-46", "--plane", "Fetal brain")
    assert code == 1 and "spain-64" in lines[0] and "spain-128" in lines[0]
    assert explore._names("generator", "phantom")[0] == "spain-64"


def test_released_generators_are_listed_smallest_first():
    assert listing.released("generator") == list(RELEASED)
