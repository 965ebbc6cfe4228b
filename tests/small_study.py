"""A study of a few random images, written where `paths` points: for tests that need splits and synthetic sets."""

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from fetalkit.config import params
from fetalkit.config.shots import Shots
from fetalkit.data.study import Study, set_name
from fetalkit.utils import paths
from fetalkit.utils.files import write_table

TRAIN, TEST, DRAWN = 10, 12, 11  # images per plane; of the test images two per plane are dropped


def write(cohort: str = "phantom", generator: str = "diffusion") -> tuple[Study, str]:
    """Write splits, subsets, images and one synthetic set, of the largest k and the first seed; return study and set's name."""
    settings = params.load(cohort)
    size, k, seed = settings.images.image_size, settings.splits.shots.largest, settings.splits.seeds[0]
    random = np.random.default_rng(0)
    rows = []
    for plane in settings.cohort.planes:
        for number in range(TRAIN + TEST):
            part = "train" if number < TRAIN else "test"
            name = f"{plane.replace(' ', '')}_{number:02d}"
            dropped = "also in train: x" if number >= TRAIN + TEST - 2 else ""
            rows.append((name, f"{part}{number % 5}", f"{part}{number % 5}", plane, "", "", part, part, dropped, False))
    columns = [
        "image_id",
        "patient",
        "group",
        "plane",
        "centre",
        "machine",
        "official_split",
        "part",
        "dropped",
        "linked",
    ]
    table = pd.DataFrame(rows, columns=columns)
    train = table[table.part == "train"]
    write_table(table, paths.data(cohort, "splits", "splits.csv"))
    write_table(train[["plane", "image_id"]].assign(seed=seed, k=k), paths.data(cohort, "splits", "shots.csv"))
    for folder in ("images", "synthetic"):
        paths.data(cohort, folder).mkdir(parents=True, exist_ok=True)
    np.save(paths.data(cohort, "images", "images.npy"), random.integers(0, 256, (len(table), size, size), np.uint8))
    paths.data(cohort, "images", "image_ids.json").write_text(json.dumps(list(table.image_id)))
    labels = np.repeat(np.arange(len(settings.cohort.planes)), DRAWN)
    drawn = random.integers(0, 256, (len(labels), size, size), np.uint8)
    name = set_name(generator, k, seed)
    np.savez_compressed(paths.data(cohort, "synthetic", f"{name}.npz"), images=drawn, labels=labels)
    return Study(cohort, settings), name


def trainable(arms: Sequence[str] = ("real", "real-long", "diffusion")) -> Study:
    """The same with a validation part, for one k and one seed, and with a classifier that is trained in a moment."""
    settings = write()[0].params
    k = settings.splits.shots.largest
    tiny = params.Classifier(model="resnet10t", arguments={"stem_width": 8, "channels": [8, 8, 16, 16]})
    budget = dict(pretrain_steps=1, train_steps=2, batch_size=4)
    classify = settings.classify.model_copy(
        update=dict(arms=list(arms), further=[], classifiers={"resnet": tiny}, pseudo_labels=None, **budget)
    )
    updates = {
        "run": settings.run.model_copy(update={"device": "cpu", "workers": 1}),
        "splits": settings.splits.model_copy(update={"shots": Shots.of([k]), "seeds": [settings.splits.seeds[0]]}),
        "classify": classify,
        "report": settings.report.model_copy(update={"comparisons": []}),
    }
    study = Study("phantom", settings.model_copy(update=updates))
    # The small study has no validation part: the first two train patients are it.
    table = study.table
    table.loc[(table.part == "train") & table.patient.isin(["train0", "train1"]), "part"] = "validation"
    table.to_csv(paths.data("phantom", "splits", "splits.csv"), index=False)
    shots = study.shots[study.shots.image_id.isin(table[table.part == "train"].image_id)]
    shots.to_csv(paths.data("phantom", "splits", "shots.csv"), index=False)
    return Study("phantom", study.params)
