"""A generator of a subset depends on the images of that subset alone, whatever its kind."""

import json

import numpy as np
import pandas as pd
import pytest

from fetalkit import generators
from fetalkit.config import params, sets
from fetalkit.data.study import set_name
from fetalkit.experiments import generator_training, outputs, training_search
from fetalkit.utils import devices, paths
from fetalkit.utils.files import write_table

PLANES, SIZE, EACH, K = ["Fetal brain", "Fetal femur"], 32, 6, 3


@pytest.fixture
def settings(elsewhere):
    settings = params.load("phantom", paths.NOTEBOOKS.parent / "params.yaml")
    network = dict(channels=[16, 32], attention=[False, True], steps=2, guide_steps=1, snapshots=[0.5])
    whole = dict(training=network, budget=None, stopping=None)
    changes = {
        "run": dict(device="cpu", precision="float32", workers=1),
        "cohort": dict(planes=PLANES),
        "images": dict(image_size=SIZE),
        "splits": dict(shots=[K, "all"], seeds=[0]),
        "generators": {
            "diffusion": whole,
            "diffusion-phantoms": whole | {"start": dict(images_per_plane=1, steps=2)},
            "gan": {"training": dict(channels=[16, 32], latent=8, steps=2, batch_size=2)},
        },
        # What asks for more than these two planes and two values of k.
        "classify": dict(arms=["real", "diffusion"], further=[]),
        "report": dict(comparisons=[]),
    }
    return training_search.changed(settings, changes)


def write(others: int) -> None:
    """Splits and images; those outside of the subset of K images per plane come from the seed `others`."""
    table = pd.DataFrame(
        {"image_id": f"{plane}-{number}", "patient": str(number), "group": str(number), "plane": plane, "centre": "",
         "machine": "", "official_split": "train", "part": "train", "dropped": "", "linked": False}
        for plane in PLANES for number in range(EACH)
    )  # fmt: skip
    write_table(table, paths.data("phantom", "splits", "splits.csv"))
    shots = pd.concat([table.groupby("plane").head(K).assign(k=str(K)), table.assign(k="all")])
    write_table(shots[["k", "plane", "image_id"]].assign(seed=0), paths.data("phantom", "splits", "shots.csv"))
    store = np.random.default_rng(others).integers(0, 256, (len(table), SIZE, SIZE), np.uint8)
    inside = table.groupby("plane").cumcount() < K
    store[inside] = np.random.default_rng(99).integers(0, 256, (inside.sum(), SIZE, SIZE), np.uint8)
    paths.data("phantom", "images").mkdir(parents=True, exist_ok=True)
    np.save(paths.data("phantom", "images", "images.npy"), store)
    paths.data("phantom", "images", "image_ids.json").write_text(json.dumps(list(table.image_id)))


def drawn(settings, generator: str, k: str) -> bytes:
    """What a freshly trained generator draws."""
    work = paths.work("phantom", "generators")
    for checkpoint in work.glob(f"{set_name(generator, k, 0)}*"):
        checkpoint.unlink()
    generator_training.train("phantom", settings, generator, k, 0)
    made = generators.load(paths.data("phantom", "generators", set_name(generator, k, 0)), device="cpu")
    options = sets.sampling(settings, generator)
    return made.sample(np.array([0, 1, 1]), seed=0, sampling=options).tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("generator", ["diffusion", "diffusion-phantoms", "gan", "interpolation"])
def test_images_outside_of_the_subset_change_nothing(settings, generator):
    write(others=0)
    if settings.generators[generator].start:
        generator_training.train_start("phantom", settings, generator)
    one, all_one = drawn(settings, generator, str(K)), drawn(settings, generator, "all")
    write(others=1)
    assert drawn(settings, generator, str(K)) == one
    # The same comparison can fail: at k = all the other images are in the subset.
    assert drawn(settings, generator, "all") != all_one


@pytest.mark.slow
def test_what_another_kind_of_machine_has_trained_is_taken(settings, monkeypatch):
    write(others=0)
    folder = paths.data("phantom", "generators", set_name("diffusion", str(K), 0))
    generator_training.train("phantom", settings, "diffusion", str(K), 0)
    before = outputs.fingerprint(folder)
    monkeypatch.setattr(devices, "rounding", lambda *_: ["another machine"])
    generator_training.train("phantom", settings, "diffusion", str(K), 0)
    assert outputs.fingerprint(folder) == before
    # The report says so, and `fetalkit verify` no longer asks for the same bits.
    assert outputs.roundings("phantom") == [before.partition("\n")[2]] != ["another machine"]


def test_the_start_from_phantoms_reads_no_image(settings):
    """There are no splits and no images at all, and yet it can be trained."""
    generator_training.train_start("phantom", settings, "diffusion-phantoms")
    folder = paths.data("phantom", "generators", "diffusion-phantoms-start")
    made = generators.load(folder, device="cpu")
    assert made.training.steps == 2 and not list(folder.glob("snapshots/*"))


def test_jobs_are_what_the_runs_need(settings):
    further = [params.Block(arms=["gan", "diffusion-novel"], shots=[K], classifiers=["resnet10t-half"])]
    classify = settings.classify.model_copy(update={"arms": ["real", "diffusion"], "further": further})
    settings = settings.model_copy(update={"classify": classify})
    names = [set_name(**job) for job in sets.jobs(settings)]
    assert names == [
        "diffusion-k3-seed0",
        "diffusion-kall-seed0",
        "gan-k3-seed0",
        "simulation-k3-seed0",
        "simulation-kall-seed0",
    ]
    assert [set_name(**job) for job in sets.derived(settings)] == ["diffusion-novel-k3-seed0"]
