"""A study of a few random images, written where `paths` points: for tests that need splits and synthetic sets."""

import json

import numpy as np
import pandas as pd

from fetalkit.config import params
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
