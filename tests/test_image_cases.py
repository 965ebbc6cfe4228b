"""From an archive with images of every kind to what the networks see: each is seen as the plain one, or named and left out."""

import zipfile

import matplotlib.pyplot as plt
import numpy as np
import pytest
import run_here
import small_dicom
import yaml
from PIL import Image, ImageFilter

from fetalkit.cohorts import source
from fetalkit.config import params
from fetalkit.data import splits
from fetalkit.data.images import ImageStore
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError

PLANES = ("Fetal abdomen", "Fetal brain")
SIZE = 32


def scan(seed):
    """A fan with speckle and a ring, 120 x 90 px."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:90, 0:120]
    fan = (np.abs(x - 60) < (y + 10) * 0.7) & (y > 4)
    ring = np.abs(np.hypot(x - random.uniform(40, 80), y - random.uniform(40, 60)) - 20) < 4
    grey = np.where(fan, np.clip(random.gamma(2.0, 25.0, (90, 120)) + 120 * ring, 0, 255), 0)
    return np.asarray(Image.fromarray(grey.astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.6)))


def kinds(folder):
    """The same picture in files of every kind; the name says which."""
    plain = scan(0)
    image, fan = Image.fromarray(plain), plain > 0
    white = np.where(fan, plain, 255)
    image.save(folder / "plain.png")
    image.quantize(128).save(folder / "palette.png")
    image.convert("RGBA").save(folder / "opaque.png")
    image.convert("RGB").convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    image.save(folder / "upper.JPG", "JPEG", quality=95)
    image.convert("RGB").save(folder / "web.webp", lossless=True)
    image.save(folder / "bitmap.bmp")
    image.save(folder / "a b ü Ж.png")
    Image.fromarray(plain.astype(np.uint16) * 257).save(folder / "sixteen.png")
    Image.fromarray(plain.astype(np.uint16) * 16).save(folder / "twelve.png")
    Image.fromarray(plain.astype(np.uint16)).save(folder / "eight_of_16.png")
    Image.fromarray(np.dstack([white] * 3 + [fan * 255]).astype(np.uint8)).save(folder / "transparent.png")
    Image.fromarray(np.dstack([white, fan * 255]).astype(np.uint8), "LA").save(folder / "transparent_grey.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.jpg", quality=95, exif=exif)
    image.save(folder / "sweep.tif", save_all=True, append_images=[Image.fromarray(scan(8)), Image.fromarray(scan(9))])
    small_dicom.write(folder / "IM_0001", plain)
    burned = plain.copy()
    burned[:4] = 255  # the fan begins below
    small_dicom.write(folder / "renamed.png", burned, SequenceOfUltrasoundRegions=[small_dicom.region(0, 5, 119, 89)])
    small_dicom.write(folder / "inverted.dcm", 255 - plain, PhotometricInterpretation="MONOCHROME1")
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def ward(tmp_path, elsewhere, monkeypatch):
    """A zip file of a Mac: patients with a scan of each plane and a blank frame, one of them with a picture of every kind."""
    folder = tmp_path / "ward"
    folder.mkdir()
    lines = [f"{name},kinds,Fetal brain" for name in kinds(folder)]
    Image.new("L", (120, 90)).save(folder / "blank_0.png")
    for number in range(12):
        for plane in PLANES:
            name = f"{number}_{plane[6:]}.png"
            Image.fromarray(scan(100 + 10 * number + len(plane))).save(folder / name)
            lines.append(f"{name},p{number},{plane}")
        (folder / f"blank_{number}.png").write_bytes((folder / "blank_0.png").read_bytes())
        lines.append(f"blank_{number}.png,p{number},Fetal brain")
    (folder / "list.csv").write_text("\n".join(["file,mrn,label", *lines]) + "\n", encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "ward.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"ward/{path.name}")
            archive.writestr(f"__MACOSX/ward/._{path.name}", b"resource")
        archive.writestr("ward/.DS_Store", b"-")
    section = {
        "defaults": "quick",
        "cohort": {
            "kind": "table",
            "folder": str(tmp_path / "ward.zip"),
            "table": "list.csv",
            "columns": {"image": "file", "patient": "mrn", "plane": "label"},
            "planes": list(PLANES),
            "frame": "first",
            "public": True,
        },
        "images": {"image_size": SIZE},
        "splits": {"shots": [2, "all"]},
    }

    def write(**changes):
        content = yaml.safe_load(paths.PARAMS.read_text()) | {"ward": section | {"cohort": section["cohort"] | changes}}
        (elsewhere / "params.yaml").write_text(yaml.safe_dump(content))
        monkeypatch.setattr(paths, "PARAMS", elsewhere / "params.yaml")

    write()
    yield write
    plt.close("all")


@pytest.mark.slow
def test_every_kind_is_seen_as_the_plain_one(ward, monkeypatch):
    source.fetch("ward")
    variables, shown = run_here.run("01_cohort", "ward", monkeypatch)
    facts = {key: value for item in shown if isinstance(item, dict) for key, value in item.items()}
    assert facts["Blank frames and cover pages, left out"] == 12
    assert facts["Files with several frames"] == "1 (taken: first)"
    assert facts["DICOM files"] == 3 and facts["... that name no ultrasound region: nothing is masked"] == 2
    assert "12 images are no scans" in run_here.text_of(shown).replace(f"12 of {len(variables['table'])}", "12")
    left = {item[0]: item[1] for item in shown if isinstance(item, tuple)}["left-out"]
    assert set(left.why) == {"blank"} and len(left) == 12
    index, pairs = variables["index"], variables["pairs"]
    assert splits.groups(index, pairs).nunique() == 13, "who shares nothing but a blank frame stays another person"
    run_here.run("02_images", "ward", monkeypatch)
    store = ImageStore.load(paths.data("ward", "images"), SIZE)
    seen = dict(zip(store.image_ids, store.pixels.astype(int), strict=True))
    of_kinds = index.image_id[~index.image_id.str.match(r"\d")]
    assert len(of_kinds) == 18
    for name in of_kinds:
        assert np.abs(seen[name] - seen["plain.png"]).mean() < 1.5, name


@pytest.mark.slow
def test_a_sweep_without_a_choice_stops_the_study_in_one_line(ward, monkeypatch):
    ward(frame=None)
    source.fetch("ward")
    with pytest.raises(
        FetalkitError, match=r"^1 of \d+ images cannot be read.*\n.*sweep.tif: holds 3 frames; say which is meant"
    ):
        run_here.run("01_cohort", "ward", monkeypatch)
    assert not paths.data("ward", "cohort").exists()
    assert params.load_cohort("ward").frame is None
