"""Cards say what is known, and that the rest is not; exports hold the synthetic images and nothing of the real ones."""

import json
import re
from dataclasses import replace

import nbformat
import numpy as np
import pandas as pd
import pytest
import small_study
from huggingface_hub import DatasetCard, ModelCard
from PIL import Image

from fetalkit import generators
from fetalkit.reporting import card_contents, cards, export
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError

pytestmark = pytest.mark.slow

SOURCE = cards.Source(
    cohort="africa",
    title="Five centres",
    citation="Doe J. Somewhere 1 (2023)",
    licence="CC BY 4.0",
    generator="diffusion",
    k="20",
    seed=3,
    planes=("Fetal brain", "Other"),
    seen={"Fetal brain": 20, "Other": 19},
    patients=17,
    image_size=64,
    kind="a class-conditional diffusion model",
)
BEGUN = replace(SOURCE, generator="diffusion-phantoms", phantoms=250)
FIDELITY = dict(fd=12.345, kid=0.0678, precision=0.91, recall=0.42, density=1.23, coverage=0.77, n=150)
MEMORISATION = dict(share=0.125, low=0.081, high=0.183, threshold=0.0321, n=160)
MEASURES = {"of": "this very set", "fidelity": {"some space": FIDELITY}, "memorisation": MEMORISATION}


def model(source=SOURCE, **more):
    arguments = dict(
        settings={"steps": 700}, training={"Training time": "104 s"}, components={"unet": "diffusers.UNet2DModel"}
    )
    return ModelCard(cards.model_card(source, **arguments | more))


def dataset(source=SOURCE, drawn=None, **more):
    return DatasetCard(cards.dataset_card(source, drawn or {"Fetal brain": 5, "Other": 6}, {"steps": 18}, **more))


def python(card):
    return re.findall(r"```python\n(.*?)```", card.text, re.DOTALL)


def test_metadata_can_be_read_back():
    card = model(measures=MEASURES)
    assert (card.data.license, card.data.library_name) == ("cc-by-4.0", "diffusers")
    assert {"ultrasound", "synthetic", "diffusion", "class-conditional"} <= set(card.data.tags)
    assert card.data.pipeline_tag is None, "the Hub has no task for a model that is asked for a class"
    card = dataset(measures=MEASURES)
    assert (card.data.license, card.data.annotations_creators) == ("cc-by-4.0", ["machine-generated"])
    assert card.data.task_categories == ["image-classification"]
    assert (card.data.size_categories, card.data.source_datasets) == (["n<1K"], ["extended|other-five-centres"])
    assert "diffusion-k20-seed3" in card.data.pretty_name


@pytest.mark.parametrize("make", [model, dataset])
def test_a_card_counts_the_phantoms_that_training_began_with(make):
    assert "250 simulated images of every plane" in make(source=BEGUN).text
    assert "simulated images of every plane" not in make().text


@pytest.mark.parametrize("make", [model, dataset])
def test_a_card_says_what_was_seen_and_what_it_is_not_for(make):
    text = make().text
    assert "39 images of 17 patients" in text and "k = 20 images per plane, seed 3" in text
    assert "| Fetal brain | 20 |" in text and "| Other | 19 |" in text
    for phrase in ("Not for clinical use", "not for diagnosis", "not to train sonographers"):
        assert phrase in text
    # The source is named where it is described and again under the licence, which asks for it.
    assert text.count(SOURCE.citation) == 2
    assert "64 × 64 px" in text and "not anonymous" in text
    assert "{{" not in text and "{%" not in text and "\n\n\n\n" not in text


@pytest.mark.parametrize("make", [model, dataset])
def test_figures_are_given_where_they_were_measured(make):
    text = make(measures=MEASURES).text
    assert "Measured on this very set." in text
    assert "**12.5 %** of 160 drawn images" in text and "8.1 % to 18.3 %" in text and "0.0321" in text
    assert "| some space | 12.35 | 0.0678 | 0.91 | 0.42 | 1.23 | 0.77 | 150 |" in text
    assert "not been measured" not in text


@pytest.mark.parametrize("make", [model, dataset])
def test_nothing_is_claimed_where_nothing_was_measured(make):
    text = make().text
    assert "Memorisation has not been measured" in text
    assert "Fidelity (Fréchet and kernel distance, precision, recall, density, coverage) has not been measured" in text
    assert "near-copies of them." in text and "**0" not in text
    only = make(measures={"of": "x", "fidelity": {"some space": {"fd": 2.5, "n": 3}}}).text
    assert "| some space | 2.5 | – | – | – | – | – | 3 |" in only and "Memorisation has not been measured" in only


@pytest.mark.parametrize("make", [model, dataset])
def test_a_generator_from_elsewhere_is_named(make):
    assert "a class-conditional diffusion model" in make().text
    assert "a generator of the kind mine" in make(replace(SOURCE, generator="mine", kind="")).text


def test_training_is_told_as_far_as_it_is_known():
    assert "| steps | 700 |" in model().text and "- Training time: 104 s" in model().text
    assert "has not been recorded" in model(training={}).text
    assert "diffusers" not in model(components={}).text and model(components={}).data.library_name == "fetalkit"
    own = model(
        components={"denoiser": "fetalkit.generators.diffusion.denoiser.Denoiser", "scheduler": "diffusers.Scheduler"}
    )
    assert (
        "from fetalkit.generators.diffusion.denoiser import Denoiser\n" in own.text
        and own.data.library_name == "fetalkit"
    )


@pytest.mark.parametrize(
    ("change", "licence"),
    [
        ({}, "cc-by-4.0"),
        ({"cohort": "phantom", "licence": "MIT (part of this project)"}, "mit"),
        ({"generator": "simulation", "seen": {}, "patients": 0}, "mit"),
        ({"licence": "Ask the hospital"}, "other"),
    ],
)
@pytest.mark.parametrize("make", [model, dataset])
def test_derived_images_inherit_the_licence(make, change, licence):
    card = make(replace(SOURCE, **change))
    assert card.data.license == licence
    assert (card.data.get("license_name") == "ask-the-hospital") == (licence == "other")
    assert ("must be cited" in card.text) == (licence != "mit")
    assert ("simulated phantoms" in card.text) == (licence == "mit")


@pytest.mark.parametrize(
    ("count", "category"), [(999, "n<1K"), (1000, "1K<n<10K"), (99_999, "10K<n<100K"), (2_000_000, "n>1M")]
)
def test_size_category(count, category):
    assert dataset(drawn={"Other": count}).data.size_categories == [category]


def parts(name):
    generator, k, seed = export.NAME.fullmatch(name).groups()
    return generator, k, int(seed)


def train(study, name, **settings):
    """Train and save the generator of the set `name`."""
    generator, k, seed = parts(name)
    seen, class_path = study.train(k, seed), study.params.generators[generator].class_path
    made = generators.create(class_path, study.planes, study.params.images.image_size, settings)
    made.fit(seen.images, seen.labels, seed=0)
    made.save(paths.data(study.cohort, "generators", name))


@pytest.fixture
def study(elsewhere):
    study, name = small_study.write()
    train(study, name, channels=[16, 32], attention=[False, True], steps=2, batch_size=4)
    return study, name


def test_export_can_be_loaded_as_its_cards_say(study, tmp_path, monkeypatch):
    study, name = study
    record = paths.data("phantom", "generators", name, "training.json")
    record.write_text('{"losses": [1.0, 0.5], "seconds": 61.4}')
    run = dict(
        gpu=None, cpu="A processor", started="2026-01-02", commit="c0ffee", python="3.12.1", versions={"torch": "2.9"}
    )
    stage = paths.executed("phantom", "04_generator")
    stage.parent.mkdir()
    nbformat.write(nbformat.v4.new_notebook(metadata={"fetalkit": run}), stage)
    export.export("phantom", name, tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out")

    card = ModelCard.load(tmp_path / "out" / "generator" / "README.md")
    assert card.data.license == "mit"
    for line in ("Training time: 61 s", "Device: A processor, one thread", "Versions: Python 3.12.1, torch 2.9"):
        assert f"- {line}\n" in card.text
    seen = small_study.TRAIN * len(study.planes)
    assert f"{seen} images of 5 simulated patients" in card.text
    with_fetalkit, in_parts = python(card)
    size, names = study.params.images.image_size, {}
    exec(with_fetalkit, names)
    assert names["images"].shape == (8, size, size) and names["images"].dtype == np.uint8
    exec(in_parts, names)
    assert names["denoiser"].config.n_labels == len(study.planes) + 1 and names["scheduler"].config.sigma_data
    assert card.data.library_name == "fetalkit", "diffusers alone cannot load it"

    card = DatasetCard.load(tmp_path / "out" / "images" / "README.md")
    assert f"{small_study.DRAWN * len(study.planes)} synthetic images" in card.text
    _, with_pandas = python(card)
    exec(with_pandas, names)
    table = names["table"]
    assert list(table.columns) == ["file_name", "plane", "label", "generator", "k", "seed", "number"]
    drawn = study.synthetic(*parts(name))
    assert (table.label == drawn.labels).all() and (table.plane == [study.planes[i] for i in drawn.labels]).all()
    train = tmp_path / "out" / "images" / "train"
    images = np.stack([np.asarray(Image.open(train / file)) for file in table.file_name])
    assert (images == drawn.images).all()
    assert {path.relative_to(train).as_posix() for path in train.rglob("*.png")} == set(table.file_name)


def test_no_real_image_is_exported(study, tmp_path):
    study, name = study
    path = paths.data("phantom", "synthetic", f"{name}.npz")
    drawn = study.synthetic(*parts(name))
    drawn.images[4] = study.store.pixels[0]
    np.savez_compressed(path, images=drawn.images, labels=drawn.labels)
    export.export("phantom", name, tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "images" / "train" / "metadata.csv")
    assert list(table.number) == [number for number in range(len(drawn.images)) if number != 4]
    assert "1 further images of the set are left out" in (tmp_path / "out" / "images" / "README.md").read_text()
    real = {image.tobytes() for image in study.store.pixels}
    files = list((tmp_path / "out").rglob("*.png"))
    assert len(files) == len(table)
    assert not any(np.asarray(Image.open(file)).tobytes() in real for file in files)


def test_a_generator_without_weights_has_no_card(elsewhere, tmp_path):
    _, name = small_study.write(generator="simulation")
    folder = paths.data("phantom", "generators", name)
    folder.mkdir(parents=True)
    card = {"class": "fetalkit.generators.simulated:SimulatedGenerator", "planes": [], "image_size": 8, "training": {}}
    (folder / "fetalkit.json").write_text(json.dumps(card))
    export.export("phantom", name, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out" / "generator").iterdir()] == ["fetalkit.json"]
    assert "no image" in (tmp_path / "out" / "images" / "README.md").read_text()


def test_a_generator_that_holds_real_images_is_not_exported(elsewhere, tmp_path):
    study, name = small_study.write(generator="interpolation")
    train(study, name)
    with pytest.raises(FetalkitError, match=f"phantom: {name} holds its training images, which are never exported"):
        export.export("phantom", name, tmp_path / "exports" / "out")
    assert not (tmp_path / "exports").exists()


def test_the_card_of_interpolated_images_claims_no_training():
    kind = "convex combinations of real images of the same plane; nothing is trained"
    text = dataset(replace(SOURCE, generator="interpolation", kind=kind)).text
    assert f"drawn for a study of diffusion pre-training by {kind}." in text
    assert "learned" not in text and "was trained" not in text


def test_the_card_of_a_gan_loads_its_network(elsewhere, tmp_path, monkeypatch):
    study, name = small_study.write(generator="gan")
    train(study, name, channels=[8, 16], steps=1, batch_size=4)
    size = study.params.images.image_size
    export.export("phantom", name, tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out")
    card, names = ModelCard.load(tmp_path / "out" / "generator" / "README.md"), {}
    for code in python(card):
        exec(code, names)
    assert names["images"].shape == (8, size, size) and names["generator"].config.latent == 64
    assert "vectors (n, 64)" in card.text and "denoiser" not in card.text and "no class" not in card.text


class Network:
    """Stands for a network of diffusers' kind."""


class Outside(generators.Generator):
    """A generator from outside the package."""

    def _fit(self, images, labels, **more):
        pass

    def _sample(self, labels, **more):
        raise NotImplementedError


def test_networks_of_a_generator_from_outside_are_loaded_by_their_own_class(tmp_path):
    card = {"class": f"{__name__}:Outside", "planes": ["a", "b"], "image_size": 8, "training": {}}
    files = {
        "fetalkit.json": card,
        "net/config.json": {"_class_name": "Network"},
        "scheduler/scheduler_config.json": {"_class_name": "EDMEulerScheduler"},
        "notes/config.json": {},
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    assert card_contents.components(tmp_path) == {
        "net": f"{__name__}.Network",
        "scheduler": "diffusers.EDMEulerScheduler",
    }


def test_a_failed_export_leaves_nothing(elsewhere, tmp_path):
    _, name = small_study.write()
    with pytest.raises(FetalkitError, match=r"fetalkit\.json: not that of a saved generator"):
        export.export("phantom", name, tmp_path / "exports" / "out")
    assert list((tmp_path / "exports").iterdir()) == []


@pytest.mark.parametrize(
    ("cohort", "name", "folder", "message"),
    [
        ("mars", None, "out", "no section 'mars'; there are: phantom, africa"),
        (
            "phantom",
            "gan-k5-seed9",
            "out",
            "no synthetic set or classifier is called 'gan-k5-seed9'; there are: diffusion-kall-seed0",
        ),
        ("africa", None, "out", "there is none yet; run 05_synthesis first"),
        ("phantom", None, "full", "full: is there already and not an empty folder; name a new one"),
    ],
)
def test_wrong_calls_are_one_line(elsewhere, tmp_path, cohort, name, folder, message):
    _, made = small_study.write()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(FetalkitError, match=message) as caught:
        export.export(cohort, name or made, tmp_path / folder)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "full" / "notes.txt").read_text() == "mine" and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("generator", "kind", "phantoms"),
    [
        ("diffusion", "a class-conditional diffusion model with guidance", 0),
        ("diffusion-phantoms", "a class-conditional diffusion model with guidance, whose training began with", 50),
        ("diffusion-novel", "guidance; near-copies of the images that it has seen were left out", 0),
    ],
)
def test_a_source_is_described_as_params_yaml_says(elsewhere, generator, kind, phantoms):
    study, name = small_study.write(generator=generator)
    source = card_contents.source(study, *parts(name))
    assert kind in source.kind and source.phantoms == phantoms and source.patients == 5
    assert set(source.seen.values()) == {small_study.TRAIN}
    origin = card_contents.origin(study, source)
    assert origin.generator == generator.replace("-novel", "") and "left out" not in origin.kind


def test_measures_are_those_of_the_set_or_else_of_its_generator(elsewhere):
    study, name = small_study.write()
    generator, k, seed = parts(name)
    assert card_contents.measured(study, generator, k, seed) is None
    folder = paths.data("phantom", "fidelity")
    folder.mkdir()
    content = {
        "some space": {generator: FIDELITY, "gan": FIDELITY | {"fd": 1.0}},
        "memorisation": {generator: MEMORISATION},
    }
    (folder / "fidelity.json").write_text(json.dumps(content))
    measures = card_contents.measured(study, generator, k, seed)
    assert measures == MEASURES | {"of": f"{generator} at k = {k}, not necessarily of this seed"}
    # Of another k nothing is known, of another generator no memorisation.
    assert card_contents.measured(study, generator, "3", seed) is None
    assert card_contents.measured(study, "gan", k, seed)["fidelity"]["some space"]["fd"] == 1.0
    assert "memorisation" not in card_contents.measured(study, "gan", k, seed)

    memorisation = {"n_memorisation" if key == "n" else key: value for key, value in MEMORISATION.items()}
    row = dict(generator=generator, k=k, seed=seed, feature_space="a") | FIDELITY | memorisation
    rows = [row, row | dict(feature_space="b", fd=7.0), row | dict(seed=seed + 1, fd=9.0), row | dict(k="3", fd=8.0)]
    rows.append(row | dict(generator="gan", share=np.nan, fd=np.nan))
    pd.DataFrame(rows).to_csv(folder / "sets.csv", index=False)
    measures = card_contents.measured(study, generator, k, seed)
    assert measures["of"] == "this very set" and measures["memorisation"] == MEMORISATION
    assert measures["fidelity"] == {"a": FIDELITY, "b": FIDELITY | {"fd": 7.0}}
    assert card_contents.measured(study, generator, "3", seed)["fidelity"]["a"]["fd"] == 8.0
    measures = card_contents.measured(study, "gan", k, seed)
    assert "memorisation" not in measures and "fd" not in measures["fidelity"]["a"]
