"""No picture of one cohort may stand in another when a study goes from one to the other."""

from types import SimpleNamespace

import imagehash
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fetalkit.cohorts.audit import HASH_SIDE
from fetalkit.experiments import leaks
from fetalkit.utils.errors import FetalkitError

SPLITS = SimpleNamespace(near_duplicate_bits=32, near_duplicate_correlation=0.95)


def cohort(pictures):
    """Index and images of smooth random pictures; names are numbers, so that they occur in every cohort."""
    images = np.stack(pictures)
    codes = [str(imagehash.phash(Image.fromarray(image), hash_size=HASH_SIDE)) for image in images]
    files = [f"{image.tobytes()!r}" for image in images]
    index = pd.DataFrame(
        {"image_id": [f"{row}" for row in range(len(images))], "sha256": files, "phash": codes, "blank": False}
    )
    return index.assign(patient="p", plane="Fetal brain", official_split="train"), images


def pictures(seed, n=6):
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 12, 12), np.uint8)
    return [np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BICUBIC)) for image in coarse]


def plan(monkeypatch, **cohorts):
    known = {name: cohort(images) for name, images in cohorts.items()}
    monkeypatch.setattr(leaks, "index_and_images", lambda name, settings: known[name])
    return dict.fromkeys(cohorts, SimpleNamespace(splits=SPLITS))


def test_different_pictures_pass_and_are_counted(monkeypatch):
    assert leaks.check(plan(monkeypatch, here=pictures(0), there=pictures(1))) == 12


def test_pictures_that_stand_twice_in_one_cohort_are_not_meant(monkeypatch):
    twice = pictures(0)
    assert leaks.check(plan(monkeypatch, here=[*twice, twice[0]], there=pictures(1))) == 13


def test_one_cohort_alone_has_nothing_to_be_compared_with(monkeypatch):
    assert leaks.check(plan(monkeypatch, here=pictures(0))) == 0


@pytest.mark.parametrize("kind", ["exact", "near"])
def test_a_shared_picture_is_found_and_refused(monkeypatch, kind):
    here, there = pictures(0), pictures(1)
    there[3] = here[2] if kind == "exact" else (here[2] * 0.9 + 3).astype(np.uint8)
    study = plan(monkeypatch, here=here, there=there)
    shared = leaks.shared(*zip(cohort(here), cohort(there), strict=True), 32, 0.95)
    assert shared[["image_a", "image_b", "kind"]].to_numpy().tolist() == [["2", "3", kind]]
    with pytest.raises(FetalkitError, match=r"1 pictures stand in here and in there \(2 = 3\): .* leave them"):
        leaks.check(study)
