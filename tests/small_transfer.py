"""A transfer study of a few random images of two machines, written where `paths` points; every method takes a second or two."""

import json

import numpy as np
import pandas as pd
import yaml

from fetalkit.data.images import ImageStore
from fetalkit.experiments.transfer.methods import CONTROL, METHODS, baseline
from fetalkit.utils import paths
from fetalkit.utils.files import write_table

STUDY = "phantom"
PLANES = ["Fetal abdomen", "Fetal brain", "Fetal femur"]
MACHINES = ["a", "b"]
PATIENTS = {"train": 6, "validation": 2, "test": 5}  # per machine, with one image of each plane
SIZE, K = 32, 2
DIRECTION = "phantom to b"
TINY = {"resnet": {"model": "resnet10t", "arguments": {"stem_width": 8, "channels": [8, 8, 16, 16]}}}


def parameters():
    """Content of a ``params.yaml`` with the study."""
    content = yaml.safe_load(paths.PARAMS.read_text())
    content["run"] = {"device": "cpu", "precision": "float32", "workers": 1}
    phantom = content["phantom"]
    phantom["cohort"]["planes"], phantom["images"] = PLANES, {"image_size": SIZE}
    diffusion = phantom["generators"]["diffusion"]
    diffusion["training"] |= {"channels": [16, 32], "attention": [False, True], "batch_size": 4, "augment": 0.5}
    diffusion["sampling"]["steps"] = 2
    content["transfer"]["phantom"] |= {
        "leave_out": [{"cohort": "phantom", "by": "machine", "places": ["b"]}],
        "seeds": [0],
        "labelled": K,
        "generator": {"steps": 2, "images_per_plane": 4, "magnifications": [0.8, 1.25]},
        "primary": [],
        "blocks": blocks(*METHODS),
    }
    training = {"classifiers": TINY, "pretrain_steps": 1, "train_steps": 2, "batch_size": 4}
    content["transfer"]["phantom"]["training"] |= training
    return content


def blocks(*methods, directions=(DIRECTION,)):
    """The section ``blocks`` for some methods of the one classifier, and for the baselines that they need."""
    known = [name for name in methods if name in METHODS]
    asked = [*methods, *map(baseline, known)] if CONTROL in methods else methods
    return [dict(methods=list(dict.fromkeys(asked)), directions=list(directions), classifiers=["resnet"])]


def write():
    """Write images and splits of both machines."""
    rows = [
        (f"{machine}-{part}{patient}-{plane[6:]}", f"{machine}-{part}{patient}", plane, machine, part)
        for machine in MACHINES
        for part, number in PATIENTS.items()
        for patient in range(number)
        for plane in PLANES
    ]
    table = pd.DataFrame(rows, columns=["image_id", "patient", "plane", "machine", "part"])
    table = table.assign(group=table.patient, centre="", official_split="", dropped="", linked=False)
    _write(table, np.random.default_rng(0).integers(0, 256, (len(table), SIZE, SIZE), np.uint8))


def change(what, seed=7):
    """Change ``labels`` or ``images`` of a part of machine b on disk, such as ``"labels of train"``."""
    kind, part = what.split(" of ")
    table = pd.read_csv(paths.data(STUDY, "splits", "splits.csv"), keep_default_na=False)
    images = np.array(ImageStore.load(paths.data(STUDY, "images"), SIZE).pixels)
    rows = np.flatnonzero((table.machine == "b") & (table.part == part))
    if kind == "labels":
        table.loc[rows, "plane"] = np.roll(table.plane[rows], 1)  # of every image, so that no order is the old one
    else:
        images[rows] = np.random.default_rng(seed).integers(0, 256, images[rows].shape, np.uint8)
    _write(table, images)


def _write(table, images):
    write_table(table, paths.data(STUDY, "splits", "splits.csv"))
    folder = paths.data(STUDY, "images")
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", images)
    (folder / "image_ids.json").write_text(json.dumps(list(table.image_id)))
