"""A small study of simulated images with a trained classifier and generator, as this checkout would hold them."""

import numpy as np
import yaml
from PIL import Image
from small_study import write

from fetalkit import generators
from fetalkit.analysis import results
from fetalkit.config import params
from fetalkit.data.images import Labelled
from fetalkit.data.study import Study
from fetalkit.experiments import classification
from fetalkit.generators.simulated import SimulatedGenerator
from fetalkit.utils import paths
from fetalkit.utils.files import write_table

RUN, GENERATOR = "real_resnet10t-half_kall_seed0", "diffusion-kall-seed0"
TINY = {"model": "resnet10t", "arguments": {"stem_width": 8, "channels": [8, 16, 32, 64]}}
HALF = {"model": "resnet10t", "arguments": {"stem_width": 16, "channels": [32, 64, 128, 256]}}
NETWORKS = {"channels": [16, 32], "attention": [False, True], "snapshots": [0.5]}


def change_parameters(cohort, monkeypatch, **classify):
    """Write a ``params.yaml`` where `paths` points: one k, one seed, the arm `real` and its longer control."""
    content = yaml.safe_load(paths.PARAMS.read_text())
    content["run"] |= {"device": "cpu", "precision": "float32", "workers": 1}
    section = content[cohort]
    section["splits"] |= {"shots": ["all"], "seeds": [0]}
    section["classify"] |= {"arms": ["real", "real-long", "diffusion"], "further": [], **classify}
    section["report"]["comparisons"] = []
    monkeypatch.setattr(paths, "PARAMS", paths.ROOT / "params.yaml")
    paths.PARAMS.write_text(yaml.safe_dump(content, sort_keys=False))


def make(monkeypatch, steps=2, images=None) -> Study:
    """Write the study and train the run `RUN` and the generator `GENERATOR`; `images` take the place of random ones."""
    change_parameters(
        "phantom", monkeypatch, classifiers={"resnet10t-half": TINY}, pretrain_steps=1, train_steps=steps, batch_size=16
    )
    study, _ = write()
    table = study.table
    table.loc[(table.part == "train") & table.patient.isin(["train0", "train1"]), "part"] = "validation"
    write_table(table, paths.data("phantom", "splits", "splits.csv"))
    shots = study.shots[study.shots.image_id.isin(table[table.part == "train"].image_id)]
    write_table(shots, paths.data("phantom", "splits", "shots.csv"))
    if images is not None:
        np.save(paths.data("phantom", "images", "images.npy"), images(study))
    train_run("phantom", RUN)
    seen, class_path = study.train("all", 0), study.params.generators["diffusion"].class_path
    made = generators.create(
        class_path, study.planes, study.params.images.image_size, {**NETWORKS, "steps": 2, "batch_size": 4}
    )
    made.fit(seen.images, seen.labels, seed=0)
    made.save(paths.data("phantom", "generators", GENERATOR))
    return Study("phantom", study.params)


def train_run(cohort, name):
    """Train one run of the arm `real`, and leave behind what 07_classify does."""
    settings = params.load(cohort)
    run = next(run for run in classification.all_runs(settings) if run.name == name)
    outcome = classification.train_and_predict(
        cohort, settings, classification.PhaseCache.of(cohort, classification.STAGE), run
    )
    write_table(results.long_table(Study(cohort, settings), [outcome]), paths.data(cohort, "classify", "results.csv"))
    classification.keep_weights(cohort, [outcome])


def phantoms(study: Study) -> np.ndarray:
    """A simulated image of its plane for every row of the study's table."""
    labels = study.labels(study.table)
    made = SimulatedGenerator(study.planes, study.params.images.image_size)
    return made.sample(labels, seed=5, sampling={"simulated_size": 64})


def save_images(images: np.ndarray, folder, prefix="image"):
    """Write uint8 (n, height, width, ...) as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{prefix}{number:03d}.png")


def strangers(count: int, side: int = 160) -> dict[str, np.ndarray]:
    """Images that no scanner makes, uint8 (count, side, side): noise, and pieces of the two photographs of scikit-learn."""
    from sklearn.datasets import load_sample_images

    random = np.random.default_rng(1)
    pieces = []
    for number in range(count):
        photograph = load_sample_images().images[number % 2].mean(axis=2)
        top, left = (int(random.integers(0, whole - side)) for whole in photograph.shape)
        pieces.append(photograph[top : top + side, left : left + side])
    noise = random.integers(0, 256, (count, side, side))
    return {"noise": noise.astype(np.uint8), "photographs": np.stack(pieces).astype(np.uint8)}


def labelled(study: Study, part: str) -> Labelled:
    """Images of a part that are not dropped."""
    rows = study.part(part)
    return study.labelled(rows[rows.dropped == ""])
