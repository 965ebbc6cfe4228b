"""Nothing of a private cohort gets into a folder that git versions, and no name into a page."""

import copy
import stat
import subprocess

import numpy as np
import pandas as pd
import pytest
import small_clone
import yaml
from PIL import Image

from fetalkit import cohorts
from fetalkit.cohorts import pseudonyms
from fetalkit.config import params, privacy
from fetalkit.config.params import COHORTS, resolve
from fetalkit.reporting import build, display, page_body, pages
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError

# Nobody is called so, and no text of the project has these words.
PATIENT, CENTRE, OPERATOR = "Zyxmueller", "Qwertzhausen", "Wunderlichova"
WORDS = (PATIENT, CENTRE, OPERATOR)
TABLE = f"{CENTRE}.csv"


def write_ward(folder, patients=24, each=4):
    """Images and a table of a ward: three centres, eight patients each; files are named after patients. Returns its section."""
    folder.mkdir()
    random, rows = np.random.default_rng(0), []
    for patient in range(patients):
        for number in range(each):
            file = f"{PATIENT}{patient:02d}_{CENTRE}_{number}.png"
            base = random.integers(0, 255, (6, 8), np.uint8)  # large patches, so that no two look alike
            Image.fromarray(base).resize((64, 48), Image.Resampling.NEAREST).save(folder / file)
            site = f"{CENTRE} {'ABC'[patient % 3]}"
            part = "test" if patient >= patients * 3 // 4 else "train"
            rows.append((file, f"{PATIENT}{patient:02d}", "ab" if number % 2 else "br", site, OPERATOR, part))
    columns = ["file", "mrn", "label", "site", "by", "set"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / TABLE, index=False)
    meant = dict(zip(("image", "patient", "plane", "centre", "operator", "split"), columns, strict=True))
    planes = {"ab": "Fetal abdomen", "br": "Fetal brain"}
    return {"kind": "table", "folder": str(folder), "table": TABLE, "columns": meant, "planes": planes}


@pytest.fixture
def project(elsewhere, monkeypatch):
    """A function that writes params.yaml with a section `ward`, changed as it is told."""
    given = write_ward(elsewhere / "own")
    content = yaml.safe_load(paths.PARAMS.read_text())
    monkeypatch.setattr(paths, "PARAMS", elsewhere / "params.yaml")

    def write(transfer=None, report=None, **changes):
        ward = copy.deepcopy(content["phantom"]) | {"cohort": given | changes}
        ward["report"] |= report or {}
        sections = content | {"ward": ward, "transfer": content["transfer"] | (transfer or {})}
        paths.PARAMS.write_text(yaml.safe_dump(sections, sort_keys=False))
        return params.load_cohort("ward")

    return write


def test_only_published_data_sets_are_public(project):
    project()
    assert all(resolve(COHORTS[kind]).public for kind in ("africa", "phantom", "spain"))
    assert not resolve(COHORTS["table"]).public
    assert all(privacy.public(study) for study in ("phantom", "africa", "spain", "hospitals"))
    assert not privacy.public("ward") and not privacy.public("nowhere")
    project(public=True)
    assert privacy.public("ward")


def test_a_study_between_cohorts_is_as_private_as_any_of_them(project):
    project(transfer={"both": {"across": [["spain", "ward"]]}, "open": {"across": [["spain", "africa"]]}})
    assert not privacy.public("both") and privacy.public("open")
    assert privacy.published("both", "index.html") == paths.ROOT / "reports-private" / "both" / "index.html"
    assert privacy.published("open") == paths.ROOT / "reports" / "open"
    assert not privacy.shows_images("both") and privacy.shows_images("open")


@pytest.mark.parametrize(
    ("public", "wish", "shown"),
    [(False, None, False), (False, True, True), (False, False, False), (True, None, True), (True, False, False)],
)
def test_images_of_private_cohorts_are_shown_on_request_alone(public, wish, shown, project):
    project(public=public, report={"show_images": wish})
    assert privacy.shows_images("ward") == shown


def test_tables_have_pseudonyms_and_the_key_says_whose(project):
    settings = project()
    cohort = cohorts.load("ward", settings)
    root = cohort.fetch(settings, paths.ROOT)
    table, key = cohort.table(settings, root), cohort.key(settings, root)
    shown = table.drop(columns="source").to_csv()
    assert not any(word in shown for word in WORDS)
    assert set(table.patient) == {f"patient-{number:02d}" for number in range(1, 25)}
    assert set(table.centre) == {"centre-1", "centre-2", "centre-3"} and set(table.operator) == {"operator-1"}
    assert table.image_id.is_monotonic_increasing and table.image_id.is_unique
    # The same persons and places behind them.
    real = project(public=True)
    named = cohort.table(real, root).set_index("source")
    back = key.set_index(["column", "pseudonym"]).name
    for row in table.itertuples():
        assert back["patient", row.patient] == named.patient[row.source]
        assert back["centre", row.centre] == named.centre[row.source]
        assert back["image_id", row.image_id] == named.image_id[row.source]
    assert cohort.key(real, root) is None


def test_pseudonyms_follow_from_the_images_and_not_from_the_names_alone(project):
    settings = project()
    cohort = cohorts.load("ward", settings)
    root = cohort.fetch(settings, paths.ROOT)
    first = cohort.key(settings, root)
    pd.testing.assert_frame_equal(first, cohort.key(settings, root))
    patients = first[first.column == "patient"]
    assert patients.name.tolist() != sorted(patients.name), "no place in the alphabet"
    with (root / min(cohort.table(settings, root).source)).open("ab") as image:
        image.write(b" ")
    other = cohort.key(settings, root)
    assert other[other.column == "patient"].name.tolist() != patients.name.tolist()


def test_the_key_is_its_owners_alone(tmp_path):
    path = tmp_path / "ward" / pseudonyms.FILE
    for _ in range(2):
        pseudonyms.write(pd.DataFrame({"column": ["patient"], "name": ["a"], "pseudonym": ["patient-1"]}), path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == [pseudonyms.FILE]


def test_a_page_leaves_out_pictures_and_messages_and_keeps_charts(elsewhere, monkeypatch):
    import matplotlib.pyplot as plt
    from executed_notebooks import execute
    from nbformat.v4 import new_output

    shown = []
    monkeypatch.setattr(display, "_show", shown.append)
    chart, axes = plt.subplots()
    axes.plot([1, 2])
    display.figure(chart, "chart", "A chart.")
    picture, axes = plt.subplots()
    axes.imshow(np.zeros((4, 4)))
    display.figure(picture, "picture", "A picture.")
    # Rasters are pictures wherever they are drawn: in a chart that matplotlib makes one of, and in one from elsewhere.
    rasterized, axes = plt.subplots()
    axes.plot([1, 2], rasterized=True)
    display.figure(rasterized, "rasterized", "Pixels in a chart.")
    shown.append("<figure class='fetalkit chart'><svg><image href='data:image/png;base64,iVBO'/></svg></figure>")
    html = [new_output("display_data", data={"text/html": text}) for text in shown]
    bare = new_output("display_data", data={"image/png": "iVBORw0KGgo="})
    drawn = new_output("display_data", data={"image/svg+xml": "<svg><text>A name</text></svg>"})
    said = new_output("stream", name="stderr", text=f"{PATIENT}.dcm: odd header")
    execute("01_cohort", "# Title", [*html, bare, drawn, said])
    open_ = page_body.read("africa", "01_cohort").body
    assert open_.count("<img") == 3 and open_.count("<svg") == 3 and PATIENT in open_ and "<svg" in open_
    closed = page_body.read("africa", "01_cohort", reveal=page_body.Reveal(images=False, messages=False)).body
    assert closed.count("<svg") == 1 and "<im" not in closed and closed.count(page_body.LEFT_OUT) == 5
    assert 'id="chart"' in closed and "A picture." in closed
    assert PATIENT not in closed and "A name" not in closed
    assert len(pages.render("africa", ["01_cohort"], [], "01_cohort", {}, page_body.Reveal(False, False))) == 1


def test_the_foot_of_a_private_page_says_nothing_of_folders_and_columns(project):
    project()
    assert build.cohort_settings("ward")["cohort"] == {"planes": ["Fetal abdomen", "Fetal brain"]}
    project(public=True)
    assert build.cohort_settings("ward")["cohort"]["table"] == TABLE


def test_export_refuses_a_folder_that_git_versions(project):
    from fetalkit.reporting.export import export

    project()
    paths.data("ward", "synthetic").mkdir(parents=True)
    paths.data("ward", "synthetic", "diffusion-k10-seed0.npz").touch()
    with pytest.raises(
        FetalkitError, match=r"out: git would version it, and ward is not public; name a folder outside"
    ):
        export("ward", "diffusion-k10-seed0", paths.ROOT / "out")


@pytest.mark.slow
@pytest.mark.long
def test_no_name_leaves_the_folder_of_the_data(tmp_path):
    """A whole study of a ward, published and exported: every file that git would add, and every page, is searched."""
    clone = small_clone.Clone(tmp_path / "clone")
    content = yaml.safe_load((clone.folder / "params.yaml").read_text())
    ward = copy.deepcopy(content["phantom"]) | {"cohort": write_ward(tmp_path / "own")}
    ward["splits"] |= {"shots": [2, "all"], "seeds": [0]}
    tiny = {"resnet10t": {"model": "resnet10t", "arguments": {"stem_width": 8, "channels": [8, 8, 16, 16]}}}
    ward["classify"] |= {"arms": ["real", "real-long", "diffusion"], "further": [], "classifiers": tiny}
    ward["report"] |= {"comparisons": []}
    ward["fidelity"] |= {"generators": [], "variant_images_per_plane": 2}
    transfer = copy.deepcopy(content["transfer"]["phantom"]) | {
        "leave_out": [{"cohort": "ward", "by": "centre", "places": ["centre-2"]}],
        "blocks": [{"methods": ["unaligned"], "directions": ["ward to centre-2"], "classifiers": ["resnet10t"]}],
    }
    clone.change(ward=ward, transfer={"ward": transfer})
    clone.commit()

    done = clone("python", "-m", "fetalkit", "repro", "ward")
    assert clone("git", "status", "--porcelain").stdout == ""
    printed = clone("python", "-m", "fetalkit", "publish", "ward").stdout
    assert "reports-private/ward/index.html" in printed and "not public" in printed
    clone("python", "-m", "fetalkit", "readme")
    clone("python", "-m", "fetalkit", "export", "ward", "diffusion-kall-seed0", str(tmp_path / "out"))
    verified = clone("python", "-m", "fetalkit", "verify", "ward").stdout

    added = clone("git", "add", "--all", "--dry-run").stdout
    assert "ward" not in added and not (clone.folder / "reports" / "ward").exists()
    assert "[ward]" not in (clone.folder / "README.md").read_text()
    tracked = clone("git", "ls-files").stdout.split("\n")
    searched = [clone.folder / name for name in tracked if name]
    for place in (clone.folder / "reports-private", tmp_path / "out"):
        searched += [path for path in place.rglob("*") if path.is_file()]
    assert len(searched) > 100 and any(path.name == "08_transfer.html" for path in searched)
    for path in searched:
        if path != clone.folder / "params.yaml":
            assert found(path) == [], path
    assert not any(word in text for word in WORDS for text in (done.stdout, done.stderr, printed, verified, added))
    # All that pages and figures are made from has pseudonyms too: in data/, files are named by what they are read from alone.
    index = pd.read_csv(clone.folder / "data" / "ward" / "cohort" / "index.csv")
    assert not any(word in index.drop(columns="source").to_csv() for word in WORDS)
    for path in (clone.folder / "data" / "ward").rglob("*"):
        if path.is_file() and path.name not in ("index.csv", pseudonyms.FILE):
            assert found(path) == [], path
    assert stat.S_IMODE((clone.folder / "data" / "ward" / pseudonyms.FILE).stat().st_mode) == 0o600
    front = (clone.folder / "reports-private" / "ward" / "01_cohort.html").read_text()
    assert page_body.LEFT_OUT in front and "centre-2" in (clone.folder / "data/ward/pages/08_transfer.html").read_text()
    ignored = subprocess.run(["git", "check-ignore", "reports-private/ward/index.html"], cwd=clone.folder, check=False)
    assert ignored.returncode == 0


def found(path):
    """Words that a file, or its name, holds."""
    text = path.as_posix().encode() + path.read_bytes()
    return [word for word in WORDS if word.lower().encode() in text.lower()]
