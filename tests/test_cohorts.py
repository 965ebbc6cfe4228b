"""Cohort tables: the real ones where the mirror is, the simulated one, and bad rows, archives and mirrors."""

import tarfile

import numpy as np
import pandas as pd
import pooch
import pytest

from fetalkit import cohorts
from fetalkit.cohorts import base, download
from fetalkit.cohorts.download import Archive
from fetalkit.config import params
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError

PHANTOM = {
    "planes": ["Fetal brain", "Fetal femur"],
    "train_patients": 5,
    "test_patients": 3,
    "images_per_patient": 2,
    "image_size": 48,
    "seed": 3,
}


@pytest.mark.slow
def test_phantom_is_the_same_each_time(tmp_path):
    cohort = cohorts.load("phantom")
    settings = cohort.settings(**PHANTOM)
    first, second = cohort.fetch(settings, tmp_path / "a"), cohort.fetch(settings, tmp_path / "b")
    table = cohort.table(settings, first)
    assert len(table) == 16
    assert table.patient.nunique() == 8
    assert set(table[table.official_split == "train"].patient).isdisjoint(table[table.official_split == "test"].patient)
    for source in table.source:
        assert (first / source).read_bytes() == (second / source).read_bytes()


def test_phantom_changes_with_its_seed(tmp_path):
    cohort = cohorts.load("phantom")
    folders = [cohort.fetch(cohort.settings(**PHANTOM | {"seed": seed}), tmp_path) for seed in (3, 4)]
    assert folders[0] != folders[1]


def test_africa_as_published(mirror, capsys):
    cohort = cohorts.load("africa")
    settings = cohort.settings(planes=list(cohort.planes))
    table = cohort.table(settings, cohort.fetch(settings, mirror))
    assert table.groupby("official_split").size().to_dict() == {"train": 217, "test": 233}
    assert table.groupby("official_split").patient.nunique().to_dict() == {"train": 61, "test": 66}
    assert capsys.readouterr().err == "", "the images are those of the published results"


def test_spain_as_published(mirror):
    cohort = cohorts.load("spain")
    root = cohort.fetch(cohort.settings(planes=list(cohort.planes), subset=None), mirror)
    everything = cohort.table(cohort.settings(planes=list(cohort.planes), subset=None), root)
    assert (len(everything), everything.patient.nunique()) == (12400, 1792)
    part = cohort.table(
        cohort.settings(planes=list(cohort.planes[:4]), subset="fetalkit/cohorts/spain_subset.txt"), root
    )
    assert part.groupby("official_split").size().to_dict() == {"train": 950, "test": 793}


def _table(**changes):
    row = dict(image_id="a", patient="p", plane="Fetal brain", centre="", machine="", operator="", source="a.png")
    rows = pd.DataFrame([row | {"official_split": "train"}, row | {"image_id": "b", "official_split": "test"}])
    for column, value in changes.items():
        rows.loc[1, column] = value
    return rows


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("plane", "Fetal elbow", "unknown plane"),
        ("patient", "", "no patient"),
        ("image_id", "a", "stands twice"),
        ("official_split", "maybe", "neither in train nor in test"),
    ],
)
def test_a_bad_row_is_named(column, value, words):
    with pytest.raises(FetalkitError, match=rf"row 2 .*{words}"):
        base.check(_table(**{column: value}), ("Fetal brain",))


def test_good_rows_pass():
    base.check(_table(), ("Fetal brain",))


def test_a_plane_that_the_cohort_lacks(tmp_path):
    cohort = cohorts.load("africa")
    with pytest.raises(FetalkitError, match="Maternal cervix unknown; allowed: Fetal abdomen"):
        cohort.table(cohort.settings(planes=["Fetal brain", "Maternal cervix"]), tmp_path)


def test_a_mirror_without_the_cohort(tmp_path, monkeypatch):
    monkeypatch.setenv("FETALKIT_MIRROR", str(tmp_path))
    cohort = cohorts.load("africa")
    with pytest.raises(FetalkitError, match="africa/Zenodo_dataset: not found; unpack Zenodo_dataset.tar.xz there"):
        cohort.fetch(cohort.settings(planes=list(cohort.planes)), tmp_path)


def test_a_table_without_a_column(tmp_path):
    (tmp_path / "African_planes_database.csv").write_text("Patient_num,Plane\n1,Fetal brain\n")
    cohort = cohorts.load("africa")
    with pytest.raises(FetalkitError, match="column Train, Center, Filename is missing"):
        cohort.table(cohort.settings(planes=list(cohort.planes)), tmp_path)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_table_of_spain_may_be_saved_anew(tmp_path, separator):
    columns = ["Image_name", "Patient_num", "Plane", "Brain_plane", "Operator", "US_Machine", "Train "]
    lines = [
        ["x", "1", "Fetal brain", "Trans-thalamic", "Op. 1", "Aloka", "1 "],
        ["y", "2", "Other", "Other", "", "", "0"],
    ]
    text = "\n".join(separator.join(line) for line in [columns, *lines])
    (tmp_path / "FETAL_PLANES_DB_data.csv").write_text(text)
    cohort = cohorts.load("spain")
    rows = cohort.table(cohort.settings(planes=["Other", "Fetal brain"], subset=None), tmp_path)
    assert rows.official_split.tolist() == ["train", "test"] and rows.plane.tolist() == ["Fetal brain", "Other"]


def test_brain_planes(tmp_path):
    header = "Image_name;Patient_num;Plane;Brain_plane;Operator;US_Machine;Train \n"
    lines = [f"x{n};{n};Fetal brain;{plane};Op;Aloka;1 \n" for n, plane in enumerate(("Trans-thalamic", "Other"))]
    lines += ["y;7;Fetal brain;Trans-cerebellum;Op;Aloka;0 \n", "z;8;Other;Not A Brain;Op;Aloka;0 \n"]
    (tmp_path / "FETAL_PLANES_DB_data.csv").write_text(header + "".join(lines))
    cohort = cohorts.load("brain")
    rows = cohort.table(cohort.settings(planes=["Trans-thalamic", "Trans-cerebellum"], subset=None), tmp_path)
    assert rows.image_id.tolist() == ["x0", "y"] and rows.plane.tolist() == ["Trans-thalamic", "Trans-cerebellum"]


def test_brain_as_in_the_mirror(mirror):
    settings = params.load_cohort("brain")
    cohort = cohorts.load("brain", settings)
    root = cohort.fetch(settings, mirror)
    rows = cohort.table(settings, root)
    assert rows.groupby("official_split").patient.nunique().to_dict() == {"train": 515, "test": 530}
    counts = rows.groupby(["plane", "official_split"]).size()
    assert counts["Trans-thalamic"].to_dict() == {"test": 710, "train": 820}
    assert counts["Trans-cerebellum"].to_dict() == {"test": 308, "train": 353}
    assert counts["Trans-ventricular"].to_dict() == {"test": 296, "train": 292}
    assert all((root / source).is_file() for source in rows.source)
    (note,) = cohort.notes(settings, root)
    assert note.endswith("1465 of 1543 train images, 1314 of 1406 test images of these planes.")


def test_a_subset_with_an_unknown_name(tmp_path, elsewhere):
    (tmp_path / "FETAL_PLANES_DB_data.csv").write_text(
        "Image_name;Patient_num;Plane;Brain_plane;Operator;US_Machine;Train \nx;1;Other;Not A Brain;Other;Aloka;1 \n"
    )
    (elsewhere / "list.txt").write_text("x\ny\n")
    cohort = cohorts.load("spain")
    with pytest.raises(FetalkitError, match=r"list.txt: y is not in FETAL_PLANES_DB_data.csv"):
        cohort.table(cohort.settings(planes=["Other", "Fetal brain"], subset="list.txt"), tmp_path)


@pytest.fixture
def served(tmp_path, monkeypatch):
    """An archive that "Zenodo" serves: pooch's download step copies a local file instead."""
    monkeypatch.delenv("FETALKIT_MIRROR", raising=False)
    (tmp_path / "pack" / "Top").mkdir(parents=True)
    (tmp_path / "pack" / "Top" / "table.csv").write_text("a,b\n")
    packed = tmp_path / "served.tar.xz"
    with tarfile.open(packed, "w:xz") as stream:
        stream.add(tmp_path / "pack" / "Top", "Top")

    def download(url, output_file, pup, **_):
        with open(output_file, "wb") as stream:
            stream.write(packed.read_bytes())

    monkeypatch.setattr(pooch.core, "choose_downloader", lambda *_, **__: download)
    return packed


def test_a_download_is_checked_and_unpacked(tmp_path, served):
    archive = Archive("x", "10.5281/zenodo.1", "x.tar.xz", "Top", md5=pooch.file_hash(str(served), "md5"))
    root = download.locate(archive, tmp_path / "source")
    assert (root / "table.csv").read_text() == "a,b\n"
    assert not (tmp_path / "source" / "x.tar.xz").exists()


def test_images_that_are_not_the_published_ones_are_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FETALKIT_MIRROR", str(tmp_path))
    image = tmp_path / "x" / "Top" / "a" / "1.png"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"first")
    archive = Archive(
        "x", "10.5281/zenodo.1", "x.zip", "Top", images_sha256=download.images_digest(tmp_path / "x" / "Top")
    )
    assert download.locate(archive, tmp_path) == tmp_path / "x" / "Top"
    assert capsys.readouterr().err == ""
    for change in (lambda: image.write_bytes(b"other"), lambda: image.rename(image.parent / "2.png"), image.unlink):
        image.write_bytes(b"first")
        change()
        download.locate(archive, tmp_path)
        told = capsys.readouterr().err
        assert "not the images that the published results of x were made from" in told and told.count("\n") == 1


@pytest.mark.slow
def test_a_wrong_checksum_is_refused(tmp_path, served):
    archive = Archive("x", "10.5281/zenodo.1", "x.tar.xz", "Top", md5="0" * 32)
    with pytest.raises(FetalkitError, match=r"x.tar.xz: .*does not match.*run again"):
        download.locate(archive, tmp_path / "source")
    assert not (tmp_path / "source" / "Top").exists()


def test_a_data_set_that_another_section_has_is_not_fetched_again(tmp_path, elsewhere, served):
    archive = Archive("x", "10.5281/zenodo.1", "x.tar.xz", "Top", md5=pooch.file_hash(str(served), "md5"))
    first = download.locate(archive, paths.data("x", "source"))
    served.unlink()
    assert download.locate(archive, paths.data("another", "source")) == first


def test_a_mirror_may_hold_the_archive_itself(tmp_path, served, monkeypatch):
    (tmp_path / "mirror" / "x").mkdir(parents=True)
    served.rename(tmp_path / "mirror" / "x" / "x.tar.xz")
    monkeypatch.setenv("FETALKIT_MIRROR", str(tmp_path / "mirror"))
    root = download.locate(Archive("x", "10.5281/zenodo.1", "x.tar.xz", "Top", md5="0" * 32), tmp_path / "source")
    assert (root / "table.csv").read_text() == "a,b\n" and root.is_relative_to(tmp_path / "source")


def test_a_corrupt_archive_is_refused(tmp_path, served):
    served.write_bytes(b"not an archive")
    archive = Archive("x", "10.5281/zenodo.1", "x.tar.xz", "Top", md5=pooch.file_hash(str(served), "md5"))
    with pytest.raises(FetalkitError, match="cannot be unpacked"):
        download.locate(archive, tmp_path / "source")
    assert not (tmp_path / "source" / "Top").exists()


def test_without_network_the_message_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.delenv("FETALKIT_MIRROR", raising=False)

    def refuse(*_, **__):
        raise ConnectionError("no route")

    monkeypatch.setattr(pooch.core, "choose_downloader", refuse)
    archive = Archive("africa", "10.5281/zenodo.1", "x.zip", "Top", md5="0" * 32)
    with pytest.raises(FetalkitError, match=r"download of doi:10.5281/zenodo.1 failed .*set FETALKIT_MIRROR"):
        download.locate(archive, tmp_path)


def test_the_subset_list_names_no_image_twice():
    names = (paths.ROOT / "fetalkit/cohorts/spain_subset.txt").read_text().split()
    assert len(np.unique(names)) == len(names) == 1818
