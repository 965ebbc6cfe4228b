"""Archives as other systems make them: what is unpacked, what is left out, what is refused."""

import io
import os
import tarfile
import zipfile

import pytest

from fetalkit.cohorts import archives
from fetalkit.data import formats
from fetalkit.utils.errors import FetalkitError

SCANS = {"ward/a.png": b"A", "ward/brain/b.png": b"B"}


def zipped(path, files, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.filename = name  # with its backslashes
            archive.writestr(entry, content)
    return path


def tarred(path, files, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def content(folder):
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x.tar.bz2", "x.tar.xz", "renamed.bin"])
def test_the_folder_of_the_files_is_returned(tmp_path, name):
    compression = name.rpartition(".")[2]
    if compression in ("zip", "bin"):
        path = zipped(tmp_path / name, SCANS)
    else:
        path = tarred(tmp_path / name, SCANS, "w" if compression == "tar" else f"w:{compression}")
    assert archives.is_archive(path)
    root = archives.unpacked(path, tmp_path / "out" / "archive")
    assert root.name == "ward" and content(root) == {"a.png": b"A", "brain/b.png": b"B"}
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["archive"], "nothing else is left"


def test_files_without_a_folder_and_folders_in_folders(tmp_path):
    flat = archives.unpacked(zipped(tmp_path / "a.zip", {"a.png": b"A", "b.png": b"B"}), tmp_path / "a")
    assert content(flat) == {"a.png": b"A", "b.png": b"B"}
    deep = archives.unpacked(zipped(tmp_path / "b.zip", {"x/y/z/a.png": b"A", "x/y/z/b.png": b"B"}), tmp_path / "b")
    assert deep.name == "z"


def test_it_is_unpacked_once_and_again_when_it_has_changed(tmp_path):
    path = zipped(tmp_path / "x.zip", SCANS)
    root = archives.unpacked(path, tmp_path / "out")
    (root / "a.png").write_bytes(b"mended")
    assert content(archives.unpacked(path, tmp_path / "out"))["a.png"] == b"mended"
    zipped(path, SCANS | {"ward/c.png": b"C"})
    assert content(archives.unpacked(path, tmp_path / "out")) == {"a.png": b"A", "brain/b.png": b"B", "c.png": b"C"}


def test_what_other_systems_put_in_is_left_out(tmp_path):
    files = SCANS | {
        "__MACOSX/ward/._a.png": b"resource",
        "ward/._a.png": b"resource",
        "ward/.DS_Store": b"-",
        "ward/brain/Thumbs.db": b"-",
        "ward/desktop.ini": b"-",
    }
    for number, path in enumerate([zipped(tmp_path / "x.zip", files), tarred(tmp_path / "x.tgz", files)]):
        root = archives.unpacked(path, tmp_path / str(number))
        assert root.name == "ward" and content(root) == {"a.png": b"A", "brain/b.png": b"B"}


def test_names_of_other_systems(tmp_path):
    for number, make in enumerate((zipped, tarred)):
        path = make(tmp_path / f"{number}", {"ward\\a.png": b"A", "ward\\brain\\b.png": b"B", "./ward/c.png": b"C"})
        root = archives.unpacked(path, tmp_path / f"out{number}")
        assert content(root) == {"a.png": b"A", "brain/b.png": b"B", "c.png": b"C"}


def test_a_name_in_utf8_without_the_flag(tmp_path):
    path = zipped(tmp_path / "x.zip", {"w/Gehirn xx.png": b"A", "w/b.png": b"B"})
    path.write_bytes(path.read_bytes().replace(b"Gehirn xx", "Gehirn \xfc".encode()))
    assert set(content(archives.unpacked(path, tmp_path / "out"))) == {"Gehirn \xfc.png", "b.png"}


@pytest.mark.parametrize("name", ["../evil.png", "ward/../../evil.png", "/etc/evil", "..\\evil", "C:\\evil", "C:/evil"])
@pytest.mark.parametrize("make", [zipped, tarred])
def test_an_entry_that_would_leave_the_folder_is_refused(tmp_path, make, name):
    path = make(tmp_path / "x", SCANS | {name: b"!"})
    with pytest.raises(FetalkitError, match="cannot be unpacked: .*evil.* would lie outside the folder"):
        archives.unpacked(path, tmp_path / "out" / "archive")
    assert list((tmp_path / "out").iterdir()) == [] and not (tmp_path / "evil.png").exists()


def test_a_link_that_leads_outside_is_refused(tmp_path):
    path = tarred(tmp_path / "x.tgz", SCANS, "w:gz")
    with tarfile.open(tmp_path / "y.tar", "w") as archive:
        entry = tarfile.TarInfo("ward/link.png")
        entry.type, entry.linkname = tarfile.SYMTYPE, "../../secret"
        archive.addfile(entry)
    with pytest.raises(FetalkitError, match="y.tar: cannot be unpacked"):
        archives.unpacked(tmp_path / "y.tar", tmp_path / "out")
    assert not (tmp_path / "out").exists() and archives.unpacked(path, tmp_path / "out")


def damaged(tmp_path, kind):
    path = zipped(tmp_path / "x.zip", {"ward/a.png": os.urandom(2000), "ward/b.png": b"B"})
    whole = path.read_bytes()
    if kind == "missing":
        path.unlink()
    elif kind == "no archive":
        path.write_bytes(b"Rar!\x1a\x07\x00" + bytes(100))
    elif kind == "nothing":
        path.write_bytes(b"")
    elif kind == "half a zip":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "a changed byte":
        path.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    elif kind == "half a tar":
        tarred(path, {"ward/a.png": os.urandom(5000)})
        path.write_bytes(path.read_bytes()[:3000])
    elif kind == "a bad gzip":
        tarred(path, {"ward/a.png": os.urandom(5000)})
        path.write_bytes(path.read_bytes()[:-8] + bytes(8))
    elif kind == "a password":
        locked = bytearray(whole)
        for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            locked[whole.index(signature) + flags] |= 1
        path.write_bytes(locked)
    elif kind == "no file":
        zipped(path, {"__MACOSX/._a": b"-"})
    elif kind == "sizes that lie":
        lying = bytearray(zipped(path, {"ward/a.png": bytes(3_000_000)}).read_bytes())
        for signature, size in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
            at = lying.index(signature) + size
            lying[at : at + 4] = (10).to_bytes(4, "little")
        path.write_bytes(lying)
    elif kind == "a file and a folder of one name":
        zipped(path, {"ward/a": b"A", "ward/a/b.png": b"B"})
    elif kind == "a long name":
        zipped(path, {f"ward/{'x' * 300}.png": b"A"})
    elif kind == "twice":
        zipped(path, {"ward/a.png": b"A", "ward\\a.png": b"B"})
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "x.zip: cannot be read (No such file"),
        ("no archive", "neither a zip nor a tar file"),
        ("nothing", "neither a zip nor a tar file"),
        ("half a zip", "neither a zip nor a tar file"),
        ("a changed byte", "it is damaged"),
        ("half a tar", "it is damaged"),
        ("a bad gzip", "it is damaged"),
        ("a password", "it needs a password; unpack it by hand"),
        ("no file", "it holds no file"),
        ("twice", "two of its entries are called ward\\a.png"),
        ("sizes that lie", "it is damaged (Bad CRC-32"),
        ("a file and a folder of one name", "the names of its files do not fit on this disk"),
        ("a long name", "the names of its files do not fit on this disk (File name too long"),
        ("larger than the disk", "GB are free"),
    ],
)
def test_a_bad_archive_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, kind, words):
    path = damaged(tmp_path, kind)
    if kind == "larger than the disk":
        monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 100}))
    with pytest.raises(FetalkitError) as error:
        archives.unpacked(path, tmp_path / "out" / "archive")
    assert words in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_what_counts_as_an_image_file(tmp_path):
    names = [
        "a.png",
        "b.JPG",
        "c.Tiff",
        "d.dcm",
        "IM_0001",
        "1.2.840.5",
        "e.csv",
        "f.txt",
        "._a.png",
        "Thumbs.db",
        "no",
    ]
    for name in names:
        (tmp_path / name).write_bytes(bytes(128) + b"DICM" if name in ("IM_0001", "1.2.840.5") else b"x")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "z.png").write_bytes(b"x")
    found = {path.name for path in tmp_path.rglob("*") if formats.is_image_file(path)}
    assert found == {"a.png", "b.JPG", "c.Tiff", "d.dcm", "IM_0001", "1.2.840.5"}
