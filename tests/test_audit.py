"""The audit finds what is there: facts, duplicates, crossings, bad files."""

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from fetalkit import cohorts
from fetalkit.cohorts import audit
from fetalkit.data import splits
from fetalkit.utils.errors import FetalkitError


def test_facts(image_folder):
    root, table = image_folder
    Image.new("RGB", (90, 60), (200, 30, 30)).save(root / "p00_0.png")
    index, thumbnails = audit.scan(root, table)
    assert thumbnails.shape == (36, 64, 64)
    first = index.iloc[0]
    assert (first.width, first.height, first["mode"], first.colour) == (90, 60, "RGB", True)
    assert not index.colour[1:].any()


def test_burned_in_text_is_seen():
    dark = Image.new("L", (300, 200), 20)
    assert audit._overlay_share(np.asarray(dark)) == 0
    ImageDraw.Draw(dark).text((20, 20), "GA 20w3d  TIB 0.4", fill=255)
    assert audit._overlay_share(np.asarray(dark)) > audit.OVERLAY_SHARE


def test_duplicates(image_folder):
    root, table = image_folder
    shutil.copy(root / "p00_0.png", root / "p09_0.png")  # exact, train and test
    dimmer = np.asarray(Image.open(root / "p01_1.png")) * 0.9
    Image.fromarray(dimmer.astype(np.uint8)).save(root / "p02_1.png")  # near, both in train
    pairs = audit.duplicates(*audit.scan(root, table), bits=32, correlation=0.95)
    assert pairs[["image_a", "image_b", "kind"]].values.tolist() == [
        ["p00_0", "p09_0", "exact"],
        ["p01_1", "p02_1", "near"],
    ]
    assert audit.duplicate_counts(pairs) == {"pairs": 1, "cross_split": 1, "near_pairs": 1, "near_cross_split": 0}


def test_no_duplicates(image_folder):
    root, table = image_folder
    pairs = audit.duplicates(*audit.scan(root, table), bits=32, correlation=0.95)
    assert len(pairs) == 0
    assert audit.duplicate_counts(pairs)["pairs"] == 0


def test_blocks_do_not_change_the_pairs(image_folder, monkeypatch):
    root, table = image_folder
    for patient in range(1, 12, 2):
        shutil.copy(root / "p00_0.png", root / f"p{patient:02d}_0.png")
    scanned = audit.scan(root, table)
    whole = audit.duplicates(*scanned, bits=32, correlation=0.95)
    monkeypatch.setattr(audit, "_BLOCK", 5)
    pd.testing.assert_frame_equal(audit.duplicates(*scanned, bits=32, correlation=0.95), whole)
    assert len(whole) == 21


def test_all_bad_files_in_one_message(image_folder):
    root, table = image_folder
    (root / "p03_0.png").unlink()
    (root / "p04_0.png").write_bytes((root / "p05_0.png").read_bytes()[:200])
    (root / "p06_0.png").write_text("hello")
    with pytest.raises(FetalkitError) as error:
        audit.scan(root, table)
    message = str(error.value)
    assert message.startswith("3 of 36 images cannot be read")
    assert "p03_0.png: missing" in message
    assert "p04_0.png: corrupt" in message
    assert "p06_0.png: no image but text" in message


BLANKS = {
    "black": np.zeros((60, 90), np.uint8),
    "grey": np.full((60, 90), 128, np.uint8),
    "noise of a few levels": np.random.default_rng(1).normal(20, 2, (60, 90)).astype(np.uint8),
    "a clock on black": np.pad(np.full((5, 9), 255, np.uint8), ((50, 5), (70, 11))),
}


def with_shared(image_folder, pictures):
    """The folder with one more image per patient, all of them `pictures`, in turn."""
    root, table = image_folder
    rows = []
    for number, (_, first) in enumerate(table.groupby("patient").first().reset_index().iterrows()):
        Image.fromarray(pictures[number % len(pictures)]).save(root / f"{first.patient}_x.png")
        rows.append({**first, "image_id": f"{first.patient}_x", "source": f"{first.patient}_x.png"})
    return root, pd.concat([table, pd.DataFrame(rows)], ignore_index=True)


@pytest.mark.parametrize("name", BLANKS)
def test_blank_frames_are_left_out_and_join_no_patients(image_folder, name):
    root, table = with_shared(image_folder, [BLANKS[name]])
    index, thumbnails = audit.scan(root, table)
    assert list(index.image_id[index.blank]) == [f"p{patient:02d}_x" for patient in range(12)]
    pairs = audit.duplicates(index, thumbnails, bits=32, correlation=0.95)
    assert len(pairs) == 0
    index, pairs, left_out = audit.only_scans(index, pairs)
    assert len(index) == 36 and list(index.index) == list(range(36)) and len(left_out) == 12
    assert set(left_out.why) == {"blank"} and set(left_out.columns) == {"image_id", "patient", "plane", "why"}
    assert splits.groups(index, pairs).nunique() == 12, "patients stay different persons"


def test_a_cover_page_joins_no_patients_but_a_picture_of_two_does(image_folder):
    cover = np.asarray(Image.open(image_folder[0] / "p00_0.png").transpose(Image.Transpose.ROTATE_180))
    root, table = with_shared(image_folder, [cover])
    shutil.copy(root / "p00_0.png", root / "p01_0.png")
    index, thumbnails = audit.scan(root, table)
    pairs = audit.duplicates(index, thumbnails, bits=32, correlation=0.95)
    index, pairs, left_out = audit.only_scans(index, pairs)
    assert list(left_out.image_id) == [f"p{patient:02d}_x" for patient in range(12)]
    assert set(left_out.why) == {"the same picture under 12 patients"}
    assert pairs[["image_a", "image_b"]].values.tolist() == [["p00_0", "p01_0"]]
    assert splits.groups(index, pairs).nunique() == 11


def test_nothing_is_left_out_of_a_cohort_of_scans(image_folder):
    root, table = image_folder
    index, thumbnails = audit.scan(root, table)
    pairs = audit.duplicates(index, thumbnails, bits=32, correlation=0.95)
    same, kept, left_out = audit.only_scans(index, pairs)
    pd.testing.assert_frame_equal(same, index)
    assert len(kept) == 0 and len(left_out) == 0


def test_a_cohort_of_blank_frames_alone_is_one_line(image_folder):
    root, table = image_folder
    for source in table.source:
        Image.new("L", (90, 60)).save(root / source)
    index, thumbnails = audit.scan(root, table)
    with pytest.raises(FetalkitError, match="no scan among the 36 images: blank"):
        audit.only_scans(index, audit.duplicates(index, thumbnails, bits=32, correlation=0.95))


def test_a_frame_is_chosen_for_files_that_have_several(image_folder):
    root, table = image_folder
    first = Image.open(root / "p00_0.png")
    first.save(root / "p01_0.png", "TIFF", save_all=True, append_images=[Image.open(root / "p02_0.png")])
    with pytest.raises(FetalkitError, match="1 of 36 images cannot be read.*\n.*p01_0.png: holds 2 frames"):
        audit.scan(root, table)
    index, _ = audit.scan(root, table, 2)
    assert index.frames.tolist() == [1] * 3 + [2] + [1] * 32 and index.format[3] == "TIFF"
    assert index.phash[3] == index.phash[6], "its second frame is the image of another patient"


def test_a_changed_file_is_noticed(image_folder):
    root, table = image_folder
    index, _ = audit.scan(root, table)
    audit.verify(root, index)
    shutil.copy(root / "p00_0.png", root / "p11_2.png")
    with pytest.raises(FetalkitError, match=r"p11_2.png: has changed since the audit"):
        audit.verify(root, index)


def test_patients_crossing(image_folder):
    _, table = image_folder
    assert audit.patients_crossing(table) == []
    table.loc[0, "official_split"] = "test"
    assert audit.patients_crossing(table) == ["p00"]


def test_numbers_that_repeat_between_centres(image_folder):
    """Three hospitals number their patients from 1 each: those of one number may be several persons."""
    _, table = image_folder
    assert audit.patients_of_several_centres(table) == [], "nothing is known of centres"
    numbers = table.patient.str[1:].astype(int)
    merged = table.assign(centre="site " + (numbers % 3).astype(str), patient=(numbers // 3).astype(str))
    assert audit.patients_of_several_centres(merged) == ["0", "1", "2", "3"]
    apart = merged.assign(patient=merged.centre + "/" + merged.patient)
    assert audit.patients_of_several_centres(apart) == []


@pytest.mark.slow
def test_africa_has_the_known_duplicates(mirror):
    cohort = cohorts.load("africa")
    settings = cohort.settings(planes=list(cohort.planes))
    root = cohort.fetch(settings, mirror)
    measured = audit.duplicates(*audit.scan(root, cohort.table(settings, root)), bits=32, correlation=0.95)
    counts = audit.duplicate_counts(measured)
    assert (counts["pairs"], counts["cross_split"]) == (47, 22)
    known = {"Algeria/patient004_DZA_plane0", "Algeria/patient031_DZA_plane0"}
    assert any({row.image_a, row.image_b} == known and row.crosses_split for row in measured.itertuples())
