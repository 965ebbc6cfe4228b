"""A stranger's folder of 60 images, with a table in another language, from the files to the splits without a line of Python."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import run_here
import yaml
from PIL import Image

from fetalkit import simulator
from fetalkit.cohorts import proposal, source
from fetalkit.config import params
from fetalkit.data.study import Study
from fetalkit.utils import paths

COLUMNS = ("Datei", "PatNr", "Ebene", "Klinik", "Geraet")
PLANES = {"Kopf": "Fetal brain", "Femur": "Fetal femur"}
HOSPITALS = ("Graz", "Münster", "Zürich")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """20 patients of three hospitals, three images each; a table with semicolons and a byte-order mark."""
    folder = tmp_path_factory.mktemp("ward")
    labels, scanners = list(PLANES), list(simulator.SCANNERS)
    specs, lines = [], []
    for number in range(60):
        patient, label = number // 3, labels[number % 2]
        specs.append(simulator.Spec(0, number, patient, PLANES[label], scanners[patient % len(scanners)]))
        lines.append((f"bild_{number:03d}", str(1000 + patient), label, HOSPITALS[patient % 3], scanners[patient % 2]))
    for line, image in zip(lines, simulator.simulate(specs, size=64), strict=True):
        Image.fromarray(image).save(folder / f"{line[0]}.PNG")
    text = "\r\n".join(";".join(line) for line in (COLUMNS, *lines))
    (folder / "liste.csv").write_bytes(text.encode("utf-8-sig"))
    return folder


@pytest.fixture
def ward(folder, elsewhere, monkeypatch):
    """``params.yaml`` with a section of the stranger's, written as it is in the documentation."""
    section = {
        "defaults": "quick",
        "cohort": {
            "kind": "table",
            "folder": str(folder),
            "table": "liste.csv",
            "columns": dict(zip(("image", "patient", "plane", "centre", "machine"), COLUMNS, strict=True)),
            "planes": PLANES,
            "public": True,
        },
        "splits": {"shots": [5, "all"]},
    }
    content = yaml.safe_load(paths.PARAMS.read_text()) | {"ward": section}
    (elsewhere / "params.yaml").write_text(yaml.safe_dump(content, allow_unicode=True))
    monkeypatch.setattr(paths, "PARAMS", elsewhere / "params.yaml")
    yield section
    plt.close("all")


def test_it_is_known_at_sight(folder, elsewhere):
    made = proposal.propose("ward", folder)
    named = made.section["cohort"]["columns"]
    assert (named["image"], named["patient"]) == ("Datei", "PatNr")
    assert any("no column seems to say the plane" in line for line in made.wrong), "whoever reads German says it"


@pytest.mark.slow
def test_from_files_to_splits(ward, monkeypatch):
    source.fetch("ward")
    _, shown = run_here.run("01_cohort", "ward", monkeypatch)
    facts = {key: value for item in shown if isinstance(item, dict) for key, value in item.items()}
    assert (facts["Images"], facts["Patients"], facts["Planes"]) == (60, 20, 2)
    assert facts["Patients with images from more than one centre"] == 0
    assert "25% of the patients were drawn" in run_here.text_of(shown)
    run_here.run("02_images", "ward", monkeypatch)
    _, shown = run_here.run("03_splits", "ward", monkeypatch)
    study = Study("ward", params.load("ward"))
    parts = study.table.groupby("part").patient.nunique()
    assert parts.sum() == 20 and parts["test"] == 5 and parts["validation"] == 3
    assert set(study.table.centre) == set(HOSPITALS) and set(study.table.plane) == set(PLANES.values())
    assert (study.table.groupby("patient").part.nunique() == 1).all()
    assert study.labelled(study.table).images.shape == (60, 32, 32)
    assert study.number_of_images("5", 0) == 10
    shares = {item[0]: item[1] for item in shown if isinstance(item, tuple)}["validation"].set_index("plane")
    assert shares.images["all"] == 9 and (shares["share of images"] > 0).all()


def test_a_corrected_label_is_another_source(ward, folder):
    """An own table that is corrected is noticed, whatever DVC has seen before."""
    before = source.fetch("ward").read_text()
    path = folder / "liste.csv"
    original = path.read_bytes()
    try:
        path.write_bytes(original.replace(b"bild_007;1002;Femur", b"bild_007;1002;Kopf"))
        after = source.fetch("ward").read_text()
    finally:
        path.write_bytes(original)
    assert before != after and source.fetch("ward").read_text() == before


@pytest.mark.slow
def test_planes_called_0_and_1_go_all_the_way(ward, folder, monkeypatch, tmp_path):
    table = pd.read_csv(folder / "liste.csv", sep=";", dtype=str)
    table["Ebene"] = table.Ebene.map({"Kopf": "0", "Femur": "1"})
    table["Klinik"] = table.Klinik.map({name: str(number) for number, name in enumerate(HOSPITALS)})
    table.to_csv(tmp_path / "numbers.csv", index=False)
    content = yaml.safe_load(paths.PARAMS.read_text())
    content["ward"]["cohort"] |= {"table": str(tmp_path / "numbers.csv"), "planes": [0, 1]}
    paths.PARAMS.write_text(yaml.safe_dump(content))
    source.fetch("ward")
    for name in ("01_cohort", "02_images", "03_splits"):
        run_here.run(name, "ward", monkeypatch)
    study = Study("ward", params.load("ward"))
    assert study.planes == ["0", "1"] and study.table.plane.value_counts().to_dict() == {"0": 30, "1": 30}
    assert study.number_of_images("all", 0) == (study.table.part == "train").sum() > 30
    assert set(study.table.centre) == {"0", "1", "2"}
