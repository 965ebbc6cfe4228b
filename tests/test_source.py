"""The digest of a cohort's source files: what they hold counts, where they lie and when they were written does not."""

import json
import os
import shutil

import pandas as pd
import pytest
from own_package import own  # noqa: F401
from PIL import Image

from fetalkit.cohorts import source
from fetalkit.utils import paths


@pytest.fixture
def ward(own, elsewhere, image_folder):  # noqa: F811
    """The digests of an own cohort, and the folder of its files; the folder can be given."""
    root, table = image_folder
    place = root / "ward"
    place.mkdir()
    for name in table.source:
        shutil.move(root / name, place / name)
    table.to_csv(place / "table.csv", index=False)
    settings = {"kind": "own.ward:Ward", "planes": ["Fetal brain", "Fetal femur"], "folder": str(place)}
    own(lambda content: content.update(ward=content["phantom"] | {"cohort": settings}))

    def digests(folder=place):
        own(lambda content: content["ward"]["cohort"].update(folder=str(folder)))
        assert source.fetch("ward") == paths.data("ward", "source.json")
        return json.loads(paths.data("ward", "source.json").read_text())

    return place, digests


def test_what_is_written_down(ward):
    _, digests = ward
    first = digests()
    assert first["images"] == 24 and set(first) == {"images", "table_sha256", "images_sha256"}
    assert len(first["table_sha256"]) == len(first["images_sha256"]) == 64
    assert digests() == first


def test_a_corrected_label_is_noticed(ward):
    place, digests = ward
    before = digests()
    table = pd.read_csv(place / "table.csv", keep_default_na=False)
    row = table.index[table.plane == "Fetal brain"][0]
    table.loc[row, "plane"] = "Fetal femur"
    table.to_csv(place / "table.csv", index=False)
    after = digests()
    assert after["table_sha256"] != before["table_sha256"] and after["images_sha256"] == before["images_sha256"]


def test_a_replaced_image_is_noticed(ward):
    place, digests = ward
    before = digests()
    path = place / "p03_1.png"
    about = path.stat()
    Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path)
    after = digests()
    assert after["images_sha256"] != before["images_sha256"] and after["table_sha256"] == before["table_sha256"]
    assert path.stat().st_mtime_ns != about.st_mtime_ns


def test_two_images_that_are_swapped_are_noticed(ward):
    place, digests = ward
    before = digests()
    one, two = place / "p03_1.png", place / "p04_1.png"
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)
    assert digests()["images_sha256"] != before["images_sha256"]


def test_an_image_of_a_plane_that_is_not_used_does_not_count(ward):
    place, digests = ward
    before = digests()
    Image.new("L", (90, 60), 7).save(place / "p03_0.png")  # an abdomen
    assert digests() == before


def test_moving_the_folder_changes_nothing(ward, tmp_path):
    place, digests = ward
    before = digests()
    shutil.move(place, tmp_path / "elsewhere")
    assert digests(tmp_path / "elsewhere") == before


def test_another_time_of_a_file_changes_nothing(ward):
    place, digests = ward
    before = digests()
    for path in place.iterdir():
        os.utime(path, (1, 1))
    assert digests() == before


def test_a_missing_image_is_left_to_the_audit(ward):
    place, digests = ward
    before = digests()
    (place / "p03_1.png").unlink()
    after = digests()
    assert after["images"] == 24 and after["images_sha256"] != before["images_sha256"]


def test_digests_that_are_known_are_not_computed_again(ward, monkeypatch):
    _, digests = ward
    before = digests()
    known = paths.work("ward", "digests.json").read_text()
    monkeypatch.setattr(source.Path, "read_bytes", lambda path: pytest.fail(f"{path} was read again"))
    assert digests() == before and paths.work("ward", "digests.json").read_text() == known
