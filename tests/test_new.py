"""fetalkit new: what is proposed for a folder of images, and what is said to be wrong with it."""

import shutil
from pathlib import Path

import pytest
import ward
import yaml

from fetalkit import cli, cohorts
from fetalkit.cohorts import proposal
from fetalkit.config import params
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A copy of ``params.yaml``, and a folder for images."""
    shutil.copyfile(paths.PARAMS, tmp_path / "params.yaml")
    monkeypatch.setattr(paths, "PARAMS", tmp_path / "params.yaml")
    return tmp_path / "ward"


def test_the_section_works_as_proposed(here, capsys):
    ward.write(here, ward.rows(patients=20, each=3), separator=";", encoding="utf-8-sig")
    before = paths.PARAMS.read_text()
    assert cli.main(["new", "ward", str(here), "labels.csv"]) == 0
    told = capsys.readouterr().out
    assert paths.PARAMS.read_text() == before, "nothing is written unless asked for"
    assert len(yaml.safe_load(told.partition("\n\n")[0])["ward"]) == 3
    assert len(told.partition("\n\n")[0].splitlines()) <= 12
    assert "60 images of 20 patients" in told and "To look at" not in told
    assert "site 1" in told and "train" in told, "counts per plane and centre"
    assert cli.main(["new", "ward", str(here), "labels.csv", "--write"]) == 0
    assert paths.PARAMS.read_text().startswith(before)
    settings = params.load("ward")
    assert settings.cohort.columns.named() == {
        "image": "file", "plane": "label", "patient": "mrn", "centre": "site", "machine": "scanner", "split": "set",
    }  # fmt: skip
    assert settings.cohort.planes == ["ABD", "BR"] and list(settings.splits.shots) == ["5", "all"]
    assert cli.main(["new", "ward", str(here)]) == 1
    assert "ward: params.yaml has that name already; choose another one" in capsys.readouterr().err


@pytest.mark.parametrize(
    "names",
    [
        ("Image_name", "Patient_num", "Plane", "Center", "US_Machine", "Train"),
        ("filename", "subject_id", "view", "hospital", "device", "partition"),
        ("Datei", "PatNr", "Class", "institution", "Vendor", "is_test"),
    ],
)
def test_columns_are_known_by_their_names_and_cells(here, names):
    words = {"train": "1", "test": "0"} if names[5] == "Train" else {"train": "no", "test": "yes"}
    words = words if names[5] != "partition" else {"train": "training", "test": "testing"}
    lines = [(*line[:5], words[line[5]]) for line in ward.rows(patients=20)]
    ward.write(here, lines, columns=names)
    made = proposal.propose("ward", here)
    asked = ("image", "patient", "plane", "centre", "machine", "split")
    assert made.section["cohort"]["columns"] == dict(zip(asked, names, strict=True))
    assert made.table is not None and (made.table.official_split == "test").sum() == 10 and made.wrong == []


def test_without_a_patient_column_the_reason_is_told(here):
    lines = [(f"{number}.png", *line[2:]) for number, line in enumerate(ward.rows())]
    ward.write(here, lines, columns=("file", "label", "site", "scanner", "set"))
    made = proposal.propose("ward", here)
    assert made.table is None and "images of one patient on both sides of the split" in made.wrong[0]
    with pytest.raises(FetalkitError, match="ward: not written, since it would not work yet"):
        proposal.write(made)


def test_patients_are_guessed_from_names(here):
    ward.write(here, [(f"{line[2]}/{line[0]}", *line[1:]) for line in ward.rows(patients=20, each=4)])
    (here / "labels.csv").unlink()
    made = proposal.propose("ward", here)
    cohort = made.section["cohort"]
    assert cohort["planes"] == ["ABD", "BR"] and "columns" not in cohort
    assert made.table is not None and made.table.patient.nunique() == 20
    assert any("guessed from the names of the files, such as 'img00'" in remark for remark in made.remarks)
    assert any("25% of the patients were drawn" in remark for remark in made.remarks)


def test_what_is_wrong_is_told_at_once(here):
    lines = ward.rows(patients=12)
    lines[0] = ("img00_0.png", "P03", *lines[0][2:])
    ward.write(here, lines)
    (told,) = proposal.propose("ward", here).wrong
    assert told.startswith(
        "labels.csv: patient P03 is for training (line 2) and for testing (line 8); put all images of"
    )
    ward.write(here, [(line[0], "P01" if line[1] == "P02" else line[1], *line[2:]) for line in ward.rows(patients=12)])
    (here / "img05_1.png").unlink()
    made = proposal.propose("ward", here)
    told = "\n".join(made.wrong)
    for words in (
        "1 of 24 images are not there, such as img05_1.png",
        "1 patients have images from more than one centre, such as P01",
        "ABD has 9 train images; add some",
    ):
        assert words in told
    (here / "extra.png").write_bytes((here / "img01_1.png").read_bytes())
    ward.write(here, ward.rows(patients=12))
    (here / "extra.png").touch()
    assert any("1 images of the folder are in no row that is used, such as extra.png" in line for line in
               proposal.propose("ward", here).wrong)  # fmt: skip


def test_numbers_that_centres_give_each_for_itself(here):
    """As in the table of africa: number 1 of one centre is for training, that of another one for testing."""
    lines = [(line[0], str(int(line[1][1:]) // 3), *line[2:]) for line in ward.rows(patients=36)]
    ward.write(here, lines, columns=("Filename", "Patient_num", "Plane", "Center", "machine", "Train"))
    made = proposal.propose("ward", here)
    assert made.section["cohort"]["patients_per_centre"] is True and made.wrong == []
    assert made.table is not None and made.table.patient.nunique() == 36
    assert any("one patient of each centre, since labels.csv: patient" in line for line in made.remarks)


@pytest.mark.slow
def test_what_is_proposed_for_africa_is_the_cohort_africa(mirror):
    made = proposal.propose("own-africa", mirror / "africa" / "Zenodo_dataset", Path("African_planes_database.csv"))
    cohort, settings = cohorts.load("africa"), params.load_cohort("africa")
    theirs = cohort.table(settings, cohort.fetch(settings, mirror))
    assert made.table is not None and made.wrong == []
    for column in ("source", "patient", "plane", "centre", "official_split"):
        assert made.table[column].tolist() == theirs[column].tolist(), column


def test_the_column_that_is_called_like_what_it_says_comes_first(here):
    lines = [(*line[:3], "x" + line[2], *line[3:]) for line in ward.rows(patients=20)]
    ward.write(
        here, lines, columns=("Image_name", "Patient_num", "Plane", "Brain_plane", "Center", "US_Machine", "Train")
    )
    assert proposal.propose("ward", here).section["cohort"]["columns"]["plane"] == "Plane"


def test_a_column_that_stands_twice_is_told(here):
    ward.write(here, ward.rows(patients=20), columns=("file", "mrn", "label", "site", "mrn", "set"))
    made = proposal.propose("ward", here)
    assert made.wrong[0] == "column mrn stands twice in labels.csv; rename one of them"
    assert "patient" not in made.section["cohort"]["columns"]


@pytest.mark.parametrize(
    ("name", "folder", "words"),
    [
        ("my ward", "ward", "no name for a cohort; use letters"),
        ("run", "ward", "run: params.yaml has that name already"),
        ("table", "ward", "table: params.yaml has that name already"),
        ("ward", "nowhere", "nowhere: no such folder or archive"),
        ("ward", ".", "no image is in it"),
        ("ward", "no table", "name the table that says what the images are (CSV): fetalkit new ward"),
        ("ward", "two tables", "name the table of a.csv, labels.csv: fetalkit new ward"),
        ("ward", "a workbook", "name the table of labels.xlsx: fetalkit new ward"),
    ],
)
def test_what_cannot_be_is_one_line(here, tmp_path, name, folder, words, capsys):
    if folder not in ("nowhere", "."):
        ward.write(here)
    if folder == "two tables":
        (here / "a.csv").write_bytes((here / "labels.csv").read_bytes())
    elif folder == "a workbook":
        (here / "labels.csv").rename(here / "labels.xlsx")
    elif folder == "no table":
        (here / "labels.csv").unlink()
    folder = folder if folder in ("nowhere", ".") else here.name
    assert cli.main(["new", name, str(tmp_path / folder)]) == 1
    error = capsys.readouterr().err
    assert words in error and len(error.splitlines()) == 1
