"""What was trained can be used: predict, draw, export, and a warning of images that are unlike the train images."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_study
import trained_study
from huggingface_hub import ModelCard
from PIL import Image
from trained_study import GENERATOR, RUN

from fetalkit import cli, cohorts, generators
from fetalkit.classifiers import saved, trainer
from fetalkit.classifiers.novelty import TrainingSet
from fetalkit.config import params
from fetalkit.data import folders
from fetalkit.data.images import ImageStore
from fetalkit.data.study import Study
from fetalkit.experiments import trained
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import write_table

ROOT = Path(__file__).parents[1]


@pytest.fixture
def study(elsewhere, monkeypatch):
    """The small study with a trained run and generator, in the working folder."""
    study = trained_study.make(monkeypatch)
    monkeypatch.chdir(elsewhere)
    return study


@pytest.fixture
def ward(study, elsewhere):
    """A folder as people have them: images in folders, and what is no image."""
    test = trained_study.labelled(study, "test")
    trained_study.save_images(test.images[:3], elsewhere / "ward" / "monday")
    trained_study.save_images(test.images[3:5], elsewhere / "ward")
    (elsewhere / "ward" / "broken.png").write_bytes(b"\x89PNG and no more")
    (elsewhere / "ward" / "labels.csv").write_text("file,plane\n")
    (elsewhere / "ward" / ".DS_Store").write_bytes(b"x")
    (elsewhere / "ward" / "__MACOSX").mkdir()
    (elsewhere / "ward" / "__MACOSX" / "image000.png").write_bytes(b"x")
    return elsewhere / "ward"


def command(capsys, *arguments):
    """Exit code, output and error lines of the command line."""
    code = cli.main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, [line for line in printed.err.splitlines() if line.startswith("fetalkit: ")]


@pytest.mark.slow
def test_predict_writes_what_the_classifier_says(study, ward, capsys):
    code, out, _ = command(capsys, "predict", f"phantom/{RUN}", ward)
    assert code == 0 and out.startswith("predictions.csv: 6 images: ") and "1 not readable" in out
    table = pd.read_csv("predictions.csv", keep_default_na=False)
    chances = [f"probability {plane}" for plane in study.planes]
    assert list(table.columns) == ["image", "plane", *chances, "warning"]
    names = ["broken.png", "image000.png", "image001.png"] + [f"monday/image{number:03d}.png" for number in range(3)]
    assert table.image.tolist() == names
    assert table.plane[0] == "" and table.warning[0].startswith("corrupt") and str(ward) not in table.warning[0]
    assert (table.loc[0, chances] == "").all()
    # Of the very weights that the study has kept, on the very pixels that it has seen.
    classifier = trained.classifier(f"phantom/{RUN}")
    images = trained_study.labelled(study, "test").images[[3, 4, 0, 1, 2]]
    expected = trainer.predict(classifier.model, images, classifier.device)
    assert np.allclose(table.loc[1:, chances].astype(float), expected, atol=1e-4)
    assert table.plane[1:].tolist() == [study.planes[number] for number in expected.argmax(axis=1)]
    # The parts of a name may be told apart by slashes too, as folders are.
    assert trained.classifier("phantom/real/resnet10t-half/kall/seed0").card == classifier.card


@pytest.mark.slow
def test_an_exported_classifier_says_the_same(study, ward, capsys):
    assert command(capsys, "export", "phantom", RUN, "our-classifier")[0] == 0
    assert command(capsys, "predict", f"phantom/{RUN}", ward)[0] == 0
    shutil.rmtree(paths.ROOT / "data")
    assert command(capsys, "predict", "our-classifier", ward, "--out", "tables/ward.csv")[0] == 0
    assert Path("tables/ward.csv").read_text() == Path("predictions.csv").read_text()


@pytest.mark.slow
def test_the_folder_of_a_classifier_says_how_to_use_it_and_names_nobody(study, capsys):
    command(capsys, "export", "phantom", RUN, "our-classifier")
    folder = Path("our-classifier")
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "fetalkit.json",
        "model.safetensors",
        "training_set.safetensors",
    ]
    card = json.loads((folder / "fetalkit.json").read_text())
    assert (card["model"], card["arguments"]) == ("resnet10t", trained_study.TINY["arguments"])
    assert card["planes"] == study.planes and card["image_size"] == study.params.images.image_size
    assert card["trained_on"]["images"] == dict.fromkeys(study.planes, 6) and card["trained_on"]["patients"] == 3
    table = pd.read_csv(paths.data("phantom", "classify", "results.csv")).set_index("metric").value
    assert card["measured"]["test"]["accuracy"] == pytest.approx(table["accuracy"], abs=1e-4)
    assert card["measured"]["validation"]["accuracy"] == pytest.approx(table["validation_accuracy"], abs=1e-4)
    assert card["warning"]["quantile"] == 0.95 and "Mahalanobis" in card["warning"]["method"]
    readme = ModelCard.load(folder / "README.md")
    assert readme.data.license == "mit" and readme.data.pipeline_tag == "image-classification"
    assert "Not for clinical use" in readme.text and "{{" not in readme.text and "{%" not in readme.text
    assert (
        "| part | accuracy | balanced accuracy | macro f1 |\n|---|---|---|---|\n| validation patients |" in readme.text
    )
    written = b"".join(path.read_bytes() for path in folder.iterdir())
    people = {*study.table.patient, *study.table.image_id}
    assert not [name for name in people if name.encode() in written]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda card: card | {"arguments": {"checkpoint_path": "x.pth"}}, "arguments.checkpoint_path is not allowed"),
        (lambda card: card | {"model": "hf-hub:someone/model"}, "timm has no model 'hf-hub:someone/model'"),
        (lambda card: card | {"planes": card["planes"][:-1]}, "weights of another network"),
        (lambda card: card | {"warning": {}}, "warning.threshold is no number"),
        (lambda card: {key: card[key] for key in card if key != "planes"}, "planes is missing"),
        (lambda card: {"class": "a:B"}, "a generator, not a classifier; `fetalkit draw` draws with it"),
        (lambda card: [], "input should be a valid dictionary"),
    ],
)
def test_a_folder_of_another_kind_is_one_line(study, capsys, change, message):
    command(capsys, "export", "phantom", RUN, "model")
    path = Path("model/fetalkit.json")
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(FetalkitError, match=re.escape(message)) as caught:
        saved.load("model")
    assert "\n" not in str(caught.value)
    if message.startswith("a generator"):
        path.write_text("{")
        with pytest.raises(FetalkitError, match="fetalkit.json: damaged"):
            saved.load("model")
        path.unlink()
        with pytest.raises(FetalkitError, match="model: no saved classifier, there is no fetalkit.json in it"):
            saved.load("model")


@pytest.mark.slow
def test_wrong_calls_of_predict_are_one_line(study, ward, capsys):
    model = f"phantom/{RUN}"
    for arguments, message in (
        (("typo", ward), f"typo: no such folder, and no trained classifier of this name; there are {model}"),
        (("phantom/real_resnet_k10_seed0", ward), f"of this name; there are {model}"),
        ((model, "nowhere"), "nowhere: there is no such folder; name one with images in it"),
        ((model, "empty"), "empty: no file in it is an image by its name"),
        ((model, "ward/broken.png"), "ward/broken.png: no image can be read; the first: corrupt"),
        ((model, ward, "--out", "there.csv"), "there.csv: is there already; delete it, or name another"),
        ((f"data/phantom/generators/{GENERATOR}", ward), "a generator, not a classifier"),
    ):
        Path("empty").mkdir(exist_ok=True)
        Path("there.csv").write_text("mine")
        code, _, lines = command(capsys, "predict", *arguments)
        assert code == 1 and len(lines) == 1 and message in lines[0], (arguments, lines)
    assert Path("there.csv").read_text() == "mine" and not Path("predictions.csv").exists()


@pytest.mark.slow
def test_weights_that_the_results_do_not_tell_of_are_refused(study):
    path = paths.data("phantom", "classify", "results.csv")
    table = pd.read_csv(path)
    table.loc[table.metric == "validation_accuracy", "value"] += 0.3
    write_table(table, path)
    with pytest.raises(FetalkitError, match="parameters or images have changed since it was trained; run 07_classify"):
        trained.classifier(f"phantom/{RUN}")


@pytest.mark.slow
def test_draw_writes_images_of_a_plane_and_a_sheet(study, capsys):
    code, out, _ = command(
        capsys, "draw", f"phantom/{GENERATOR}", "--plane", "fetal BRAIN", "-n", 3, "--seed", 2, "--steps", 4
    )
    folder = Path(f"drawn/{GENERATOR}-fetal-brain-seed2")
    assert code == 0 and out == f"3 images and sheet.png are in {folder}\n"
    files = sorted(path.name for path in folder.iterdir())
    assert files == [*(f"fetal-brain-000{number}.png" for number in range(3)), "sheet.png"]
    images = np.stack([np.asarray(Image.open(folder / name)) for name in files[:3]])
    made = generators.load(paths.data("phantom", "generators", GENERATOR))
    usual = study.params.generators["diffusion"].sampling.model_dump() | {"steps": 4}
    label = np.full(3, study.planes.index("Fetal brain"))
    np.testing.assert_array_equal(images, made.sample(label, seed=2, sampling=usual))
    about = Image.open(folder / files[1]).text
    assert about["Comment"] == "synthetic" and (about["seed"], about["number"], about["steps"]) == ("2", "1", "4")
    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.size == (2 * 132 + 4, 2 * 132 + 4)
    # With guidance it is another image; of a folder, the class's own options hold.
    stronger = trained.draw(f"phantom/{GENERATOR}", "Fetal brain", 3, 2, steps=4, guidance=6)
    assert (stronger != images).any()
    again = trained.draw(paths.data("phantom", "generators", GENERATOR), "Fetal brain", 3, 2, steps=4)
    np.testing.assert_array_equal(again, images)


@pytest.mark.slow
def test_generators_are_drawn_from_wherever_they_lie(study, capsys, elsewhere):
    origin = paths.data("phantom", "generators", GENERATOR)
    shutil.copytree(origin, paths.released("ours"))
    shutil.copytree(origin, elsewhere / "theirs")
    assert trained.names("generator") == [f"phantom/{GENERATOR}", "ours"]
    released, theirs = (trained.draw(name, "Fetal femur", 2, steps=3) for name in ("ours", elsewhere / "theirs"))
    np.testing.assert_array_equal(released, theirs)
    assert command(capsys, "draw", "ours", "--plane", "Fetal femur", "-n", 1, "--steps", 2, "--out", "out")[0] == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["fetal-femur-0000.png", "sheet.png"]


@pytest.mark.slow
def test_wrong_calls_of_draw_are_one_line(study, capsys):
    ours = f"phantom/{GENERATOR}"
    command(capsys, "export", "phantom", RUN, "our-classifier")
    Path("full").mkdir()
    Path("full/mine.txt").write_text("mine")
    brain = ("--plane", "Fetal brain")
    for arguments, message in (
        ((ours, "--plane", "brian"), "plane 'brian' is none of the generator's; there are: Fetal brain, "),
        ((ours, "--plane", "Fetal fermur"), "there are: Fetal femur, "),
        ((ours, "--plane", "cervix"), "there are: Maternal cervix, "),
        (("phantom/diffusion-k10-seed0", *brain), f"no trained generator of this name; there are {ours}"),
        (("nothing", *brain), f"nothing: no such folder, and no trained generator of this name; there are {ours}"),
        (("our-classifier", *brain), "a classifier, not a generator; `fetalkit predict` classifies with it"),
        (("full", *brain), "not that of a saved generator"),
        ((ours, *brain, "--out", "full"), "full: is there already and not an empty folder"),
        ((ours, *brain, "-n", "0"), "-n 0: give a number of images of at least 1"),
        ((ours, *brain, "--steps", "1"), "sampling.steps = 1: input should be greater than or equal to 2"),
    ):
        code, _, lines = command(capsys, "draw", *arguments)
        assert code == 1 and len(lines) == 1 and message in lines[0], (arguments, lines)
    assert [path.name for path in Path("full").iterdir()] == ["mine.txt"] and not Path("drawn").exists()


@pytest.mark.parametrize("checkout", [True, False], ids=["checkout", "installed by pip"])
def test_nothing_trained_is_one_line(elsewhere, capsys, monkeypatch, checkout):
    monkeypatch.chdir(elsewhere)
    if not checkout:
        monkeypatch.setattr(paths, "PARAMS", elsewhere / "params.yaml")
    for arguments in (("predict", "phantom/real", "."), ("draw", "phantom/diffusion", "--plane", "Fetal brain")):
        code, _, lines = command(capsys, *arguments)
        kind = "classifier" if arguments[0] == "predict" else "generator"
        assert code == 1 and len(lines) == 1
        assert f"no such folder, and no {kind} has been trained in this checkout" in lines[0]


def test_files_of_a_folder(tmp_path):
    for name in ("b.PNG", "a.dcm", "notes.TXT", "deep/er/c.jpg", "__MACOSX/b.png", "._b.png", "Thumbs.db"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = [path.relative_to(tmp_path).as_posix() for path in folders.files(tmp_path)]
    assert found == ["a.dcm", "b.PNG", "deep/er/c.jpg"]
    assert folders.files(tmp_path / "notes.TXT") == [tmp_path / "notes.TXT"]


def test_distances_are_those_of_mahalanobis():
    random = np.random.default_rng(0)
    mixing = random.normal(size=(5, 5))
    labels = np.repeat([0, 2], 4000)
    centres = np.array([[0.0] * 5, [9.0] * 5])
    features = (random.normal(size=(8000, 5)) @ mixing + centres[labels // 2]).astype(np.float32)
    held_out = (random.normal(size=(4000, 5)) @ mixing + centres[1]).astype(np.float32)
    fitted = TrainingSet.of(features, labels, held_out)
    near = np.linalg.inv(mixing.T @ mixing)
    point = np.array([[1.0, -2.0, 3.0, 0.5, 7.0]], np.float32)
    exact = min(((point - centre) @ near @ (point - centre).T).item() for centre in centres)
    assert fitted.distances(point)[0] == pytest.approx(exact, rel=0.1)
    # Of normal features the squared distances follow a chi-squared distribution: its 95 % quantile for 5 degrees is 11.07.
    assert fitted.threshold == pytest.approx(11.07, rel=0.1)
    few = TrainingSet.of(features[::200], labels[::200], held_out[:19])
    assert (few.distances(held_out[:19]) <= few.threshold).all()


def rates(classifier, images):
    """Share of images that get the warning, by their kind."""
    size = classifier.card.image_size
    rate = {}
    for kind, some in images.items():
        small = [saved.store.working(Image.fromarray(image), size) for image in some]
        rate[kind] = float(np.mean([bool(classifier.warning(one)) for one in classifier.classify(np.stack(small))[1]]))
    return rate


@pytest.mark.slow
def test_the_warning_fires_for_strangers_and_seldom_else(elsewhere, monkeypatch):
    monkeypatch.setattr(small_study, "TRAIN", 60)
    monkeypatch.setattr(trained_study, "TINY", trained_study.HALF)
    study = trained_study.make(monkeypatch, steps=60, images=trained_study.phantoms)
    classifier = trained.classifier(f"phantom/{RUN}")
    known = {part: trained_study.labelled(study, part).images for part in ("validation", "test")}
    rate = rates(classifier, trained_study.strangers(40) | known)
    assert rate["noise"] >= 0.95 and rate["photographs"] >= 0.7, rate  # 100 % and 88 % when this was written
    assert rate["validation"] <= 0.05 and rate["test"] <= 0.15, rate  # 4 % and 2 %


@pytest.mark.slow
def test_a_classifier_of_spain_is_used_on_images_of_the_mirror(elsewhere, mirror, monkeypatch, capsys):
    root = mirror / "spain" / "FETAL_PLANES_ZENODO"
    if not root.exists():
        pytest.skip(f"{root} is not there: no images of spain to test with")
    monkeypatch.setattr(paths, "ROOT", ROOT)  # the list of images that the study uses is the repository's
    settings = params.load("spain")
    table = cohorts.load("spain", settings.cohort).table(settings.cohort, root)
    monkeypatch.setattr(paths, "ROOT", elsewhere)
    trained_study.change_parameters(
        "spain", monkeypatch, classifiers={"resnet10t-half": trained_study.HALF}, train_steps=150
    )
    settings, random = params.load("spain"), np.random.default_rng(0)
    held_out = set(random.choice(np.unique(table.patient[table.official_split == "train"]), 60, replace=False))
    table = table.assign(group=table.patient, part=table.official_split, dropped="", linked=False)
    table.loc[table.patient.isin(held_out) & (table.part == "train"), "part"] = "validation"
    table = table.groupby(["part", "plane"], group_keys=False).head(60).reset_index(drop=True)
    write_table(table, paths.data("spain", "splits", "splits.csv"))
    train = table[table.part == "train"]
    write_table(train[["plane", "image_id"]].assign(seed=0, k="all"), paths.data("spain", "splits", "shots.csv"))
    sources = [root / source for source in table.source]
    size = settings.images.image_size
    ImageStore.build(table.image_id.tolist(), sources, size, paths.data("spain", "images"))
    trained_study.train_run("spain", RUN)

    monkeypatch.chdir(elsewhere)
    test = table[table.part == "test"]
    Path("ward").mkdir()
    for source in test.source:
        (Path("ward") / Path(source).name).symlink_to(root / source)
    assert command(capsys, "predict", f"spain/{RUN}", "ward")[0] == 0
    predicted = pd.read_csv("predictions.csv", keep_default_na=False).set_index("image")
    called = predicted.plane[[Path(source).name for source in test.source]].to_numpy()
    unlike = float(predicted.warning.str.startswith("unlike").mean())
    study = Study("spain", settings)
    known = {"validation": trained_study.labelled(study, "validation").images}
    rate = rates(trained.classifier(f"spain/{RUN}"), trained_study.strangers(40) | known)
    assert np.mean(called == test.plane) > 0.7  # 85 % when this was written
    assert rate["noise"] >= 0.95 and rate["photographs"] >= 0.9, rate  # all of both
    assert rate["validation"] <= 0.05 and unlike <= 0.15, (rate, unlike)  # 4 % and 2 %


@pytest.mark.slow
def test_the_examples_of_the_documentation_run(study, ward, capsys):
    command(capsys, "export", "phantom", RUN, "our-classifier")
    trained_study_set = paths.data("phantom", "synthetic", f"{GENERATOR}.npz")
    assert trained_study_set.exists()
    command(capsys, "export", "phantom", GENERATOR, "our-generator")
    paths.released().symlink_to(ROOT / "models")
    text = (ROOT / "docs" / "use.md").read_text()
    size, outcomes = study.params.images.image_size, []
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        namespace: dict = {}
        exec(compile(block, "docs/use.md", "exec"), namespace)
        outcomes += [namespace[name] for name in ("table", "images") if name in namespace]
    first, drawn, second, others = outcomes
    pd.testing.assert_frame_equal(first, second)
    assert len(first) == 6 and drawn.shape == others.shape == (16, size, size)
    commands = [line.strip() for line in re.findall(r"(?m)^ {4}(fetalkit (?:predict|draw) .+)$", text)]
    assert len(commands) == 5
    for line in commands:
        assert command(capsys, *shlex.split(line)[1:])[0] == 0, line
