"""A cohort that a table describes: whatever program has saved it, rows are right or one line says what is wrong."""

import gzip
import os
import shutil
from pathlib import Path

import pytest
import ward

from fetalkit import cohorts
from fetalkit.cohorts import audit
from fetalkit.cohorts.image_files import ImageFiles
from fetalkit.config.sections import validated
from fetalkit.utils.errors import FetalkitError


def table(section, **changes):
    """Rows and notes of a section after changes; None removes a key."""
    section = {key: value for key, value in (section | changes).items() if value is not None}
    settings = validated(cohorts.load("table").settings, section, "params.yaml", "ward.cohort")
    cohort = cohorts.load("ward", settings)
    root = cohort.fetch(settings, Path(settings.folder).parent / "source")
    return cohort.table(settings, root), cohort.notes(settings, root)


def columns(*without, **others):
    meant = dict(zip(("image", "patient", "plane", "centre", "machine", "split"), ward.COLUMNS, strict=True)) | others
    return {key: value for key, value in meant.items() if key not in without}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "ward"


def test_a_section_is_all_it_takes(folder):
    rows, notes = table(ward.write(folder))
    assert len(rows) == 24 and rows.plane.value_counts().to_dict() == {"Fetal abdomen": 12, "Fetal brain": 12}
    first = rows.iloc[0]
    assert (first.image_id, first.source, first.patient) == ("img00_0.png", "img00_0.png", "P00")
    assert (first.centre, first.machine, first.operator, first.official_split) == ("site 0", "V8", "", "train")
    assert rows.groupby("official_split").patient.nunique().to_dict() == {"train": 9, "test": 3}
    assert notes == ['Read as a table in utf-8, "," between columns.']


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_any_separator_and_encoding(folder, separator, encoding):
    lines = [(*line[:3], f"Clínica {line[3]}", *line[4:]) for line in ward.rows()]
    rows, notes = table(ward.write(folder, lines, separator, encoding))
    assert set(rows.centre) == {f"Clínica site {number}" for number in range(3)}
    assert encoding in notes[0]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_of_an_alphabet_without_zeros(folder, encoding):
    names = ("图像", "病人", "切面", "医院", "机器", "分组")
    lines = [(*line[:3], "北京协和医院", *line[4:]) for line in ward.rows()]
    rows, _ = table(ward.write(folder, lines, encoding=encoding, columns=names))
    assert set(rows.centre) == {"北京协和医院"}


def test_utf_16_without_its_mark(folder):
    rows, _ = table(ward.write(folder, encoding="utf-16-le"))
    assert len(rows) == 24


@pytest.mark.parametrize("end", ["\r\n", "\r", " \n\n"])
def test_any_line_end(folder, end):
    assert len(table(ward.write(folder, end=end))[0]) == 24


@pytest.mark.parametrize("quote", ['"', "'"])
def test_quotes_around_cells_that_hold_the_separator(folder, quote):
    lines = [[f"{quote}{cell}{quote}" for cell in line] for line in ward.rows()]
    quoted = [[cell.replace("site", "site, ward") for cell in line] for line in lines]
    section = ward.write(folder, quoted, images=False, columns=[f"{quote}{name}{quote}" for name in ward.COLUMNS])
    ward.write(folder)
    content = "\n".join(",".join(line) for line in ([f"{quote}{name}{quote}" for name in ward.COLUMNS], *quoted))
    (folder / "labels.csv").write_text(content)
    rows, _ = table(section, columns=columns())
    assert set(rows.centre) == {f"site, ward {number}" for number in range(3)}


def test_the_line_that_excel_puts_first(folder):
    section = ward.write(folder, separator=";")
    path = folder / "labels.csv"
    path.write_text("sep=;\n" + path.read_text().replace("img03_0.png;P03", "img03_0.png;"))
    with pytest.raises(FetalkitError, match=r"labels.csv, line 9: img03_0.png has no patient"):
        table(section)


def test_rows_that_end_in_a_separator_more_than_the_header(folder):
    section = ward.write(folder, end=";;\n", separator=";")
    path = folder / "labels.csv"
    path.write_text(path.read_text().replace("set;;\n", "set\n"))
    rows, _ = table(section)
    assert (rows.patient == "P" + rows.source.str[3:5]).all() and set(rows.official_split) == {"train", "test"}


def test_a_cell_too_many_is_named(folder):
    section = ward.write(folder)
    path = folder / "labels.csv"
    path.write_text(path.read_text().replace("site 1,V8", "site 1, ward 2,V8", 1))
    with pytest.raises(FetalkitError, match=r"labels.csv: line 4 has 7 cells, the header has 6; put quotes around"):
        table(section)


def test_a_quote_that_is_never_closed(folder):
    section = ward.write(folder)
    path = folder / "labels.csv"
    path.write_text(path.read_text().replace(",P10,", ',"P10,', 1))
    with pytest.raises(FetalkitError, match="a quote that opens in line 22 is never closed"):
        table(section)


HEADER = b"file,mrn,label,site,scanner,set\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "labels.csv: is empty; name the table"),
        (b"file,mrn,label,site,scanner,set\n", "labels.csv: has a header and no row"),
        (b"file,mrn,label,site,scanner,set\n\n , \n", "labels.csv: has a header and no row"),
        (b"PK\x03\x04rest", "is a workbook of a spreadsheet program; save its sheet as CSV"),
        (b"file,MRN,label,site,scanner,set\n1,2,3,4,5,6\n", r"column mrn is missing \(found.*; did you mean MRN\?"),
        (b"file,mrn,label,site,scanner,set,mrn\n1,2,3,4,5,6,7\n", "column mrn stands there twice; rename or remove"),
        (HEADER + b"a.png,1,ABD,x\0y,V8,train\n", r"labels.csv: is no text table \(line 2 holds the byte 0x00\)"),
        (
            HEADER + b"a\x1b[31m.png,1,ABD,x,V8,train\n",
            r"is no text table \(line 2 holds the byte 0x1b\); save it as CSV",
        ),
        (bytes(500), "labels.csv: is nothing but zeros, as a copy leaves behind that was broken off"),
        (gzip.compress(HEADER * 9, mtime=0), "is no text table"),
        (b"\x89PNG\r\n\x1a\n" + b"IHDR" * 20, r"is no text table \(line 2 holds the byte 0x1a\)"),
        (
            b"\n<!DOCTYPE html><html>Please log in</html>",
            "is a web page, as a download leaves behind that needs a login",
        ),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is a pointer of Git LFS; run `git lfs pull`"),
        (b'[{"file": "a.png", "mrn": 1}]', "is JSON; save it as CSV"),
        (HEADER + b"<<<<<<< HEAD\na.png,1,ABD,x,V8,train\n=======\n", "line 2 is a mark of an unfinished merge of git"),
        (
            HEADER + b"a.png;1;ABD;x;V8;train\n",
            'its header has 6 columns and its rows have one; put "," between the cells',
        ),
        (b"x" * 200_000 + b"," + HEADER + b"1,2,3,4,5,6,7\n", "labels.csv: its first line is no header; correct it"),
        (HEADER + b"x" * 200_000 + b",2,3,4,5,6\n", r"not a readable table \(line 2: field larger than field limit"),
    ],
)
def test_what_is_no_table_is_one_line(folder, content, words):
    section = ward.write(folder)
    (folder / "labels.csv").write_bytes(content)
    with pytest.raises(FetalkitError, match=words) as error:
        table(section)
    assert len(str(error.value).splitlines()) == 1


def test_a_column_that_is_not_needed_may_stand_twice(folder):
    lines = [(*line, "x", "y") for line in ward.rows()]
    rows, _ = table(ward.write(folder, lines, columns=(*ward.COLUMNS, "note", "note")), columns=columns())
    assert len(rows) == 24


def test_an_encoding_that_does_not_fit(folder):
    section = ward.write(folder, [(*line[:3], "Málaga", *line[4:]) for line in ward.rows()], encoding="cp1252")
    with pytest.raises(FetalkitError, match="labels.csv: is not in the encoding utf-8; leave that out"):
        table(section, encoding="utf-8")
    with pytest.raises(FetalkitError, match=r"ward.cohort.encoding = 'utf8000': is no encoding"):
        table(section, encoding="utf8000")
    assert set(table(section)[0].centre) == {"Málaga"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"columns": columns("patient")}, "columns.patient is missing: images of one patient on both sides"),
        ({"patient": "image"}, "columns.patient and patient both say who the patients are"),
        ({"table": None}, "table and columns belong together"),
        ({"columns": columns("patient"), "patient": {"from_file_name": "("}}, "is no regular expression"),
        ({"columns": columns("patient"), "patient": {"from_file_name": "img"}}, "has 0 groups; put one pair of brackets"),
        ({"columns": columns("centre"), "patients_per_centre": True}, "patients_per_centre: needs columns.centre"),
        ({"planes": {"ABD": "Fetal abdomen", True: "Fetal brain"}}, "put it in quotes"),
        ({"columns": columns("patient"), "patient": "each"}, r"'each'.*allowed: image, or \{from_file_name: REGEX\}"),
        ({"planes": ["ABD"]}, "planes"),
        ({"planes": ["ABD", "ABD"]}, "twice"),
        ({"folder": "/nowhere/at/all"}, "/nowhere/at/all: no such folder or archive; correct cohort.folder"),
        ({"table": "others.csv"}, "others.csv: not found; correct cohort.table"),
        ({"split": {"train": ["train"]}}, "split needs the words for train and those for test"),
        ({"folder": ""}, "folder = '': '' is no name; write one line of text"),
        ({"table": "a\nb.csv"}, "table = .* is no name; write one line of text"),
        ({"planes": {"ABD": "", "BR": "Fetal brain"}}, "planes: '' is no name"),
        ({"planes": {"ABD": "Fetal\nabdomen", "BR": "Fetal brain"}}, "planes: .* is no name; write one line of text"),
        ({"separator": "\n"}, r"separator = '\\n': must be one mark, such as"),
        ({"separator": "a"}, "separator = 'a': must be one mark"),
        ({"separator": '"'}, "separator and quote are the same; correct one of them"),
        ({"quote": "\n"}, r"quote = '\\n': must be one mark"),
        ({"columns": columns() | {"centre": "mrn"}}, "columns: mrn is named for two things; name a column once"),
        ({"columns": columns("split"), "split_seed": 2**32}, "split_seed = 4294967296: input should be less than"),
        ({"columns": columns("split"), "test_fraction": float("nan")}, "test_fraction = nan: input should be less than"),
    ],
)  # fmt: skip
def test_a_section_that_cannot_be_is_one_line(folder, changes, words):
    section = ward.write(folder)
    with pytest.raises(FetalkitError, match=words) as error:
        table(section, **changes)
    assert len(str(error.value).splitlines()) == 1


# Planes


def test_planes_that_are_called_0_and_1(folder):
    lines = [(*line[:2], ward.LABELS.index(line[2]), *line[3:]) for line in ward.rows()]
    rows, _ = table(ward.write(folder, lines), planes=[0, 1])
    assert set(rows.plane) == {"0", "1"} and rows.plane.map(type).eq(str).all()
    renamed, _ = table(ward.write(folder, lines), planes={0: "Fetal abdomen", 1: "Fetal brain"})
    assert set(renamed.plane) == {"Fetal abdomen", "Fetal brain"}


def test_several_labels_may_be_one_plane_and_others_are_left_out(folder):
    lines = ward.rows()
    lines = [(*line[:2], "TT" if number % 4 == 1 else line[2], *line[3:]) for number, line in enumerate(lines)]
    lines[0] = (*lines[0][:2], "LEG", *lines[0][3:])
    lines[2] = (*lines[2][:2], "", *lines[2][3:])
    rows, notes = table(ward.write(folder, lines), planes={"ABD": "belly", "BR": "head", "TT": "head"})
    assert rows.plane.value_counts().to_dict() == {"head": 12, "belly": 10}
    assert "Left out, since `cohort.planes` does not name them: LEG (1), no plane (1)." in notes


def test_a_plane_written_in_two_ways_is_named(folder):
    lines = [(*line[:2], "abd " if number == 4 else line[2], *line[3:]) for number, line in enumerate(ward.rows())]
    with pytest.raises(FetalkitError, match=r"line 6: img02_0.png has the plane 'abd', but cohort.planes says 'ABD'"):
        table(ward.write(folder, lines))


def test_a_plane_that_no_row_has(folder):
    with pytest.raises(FetalkitError, match=r"no image of HEART; .*\(planes there: ABD, BR\)"):
        table(ward.write(folder), planes=["ABD", "HEART"])


# Patients


@pytest.mark.parametrize("nobody", ["", "nan", "None", "unknown", "-", "N/A", "?"])
def test_a_patient_whom_nobody_knows_is_refused(folder, nobody):
    lines = [(line[0], nobody if line[1] in ("P03", "P05") else line[1], *line[2:]) for line in ward.rows()]
    with pytest.raises(FetalkitError, match=r"labels.csv, line 8: img03_0.png has no patient; .*\(4 such rows\)"):
        table(ward.write(folder, lines))


def test_a_place_that_nobody_knows_is_no_place(folder):
    lines = [(*line[:3], "unknown" if line[3] == "site 0" else line[3], "-", line[5]) for line in ward.rows()]
    rows, _ = table(ward.write(folder, lines))
    assert set(rows.centre) == {"", "site 1", "site 2"} and set(rows.machine) == {""}


def test_numbers_that_repeat_between_centres(folder):
    lines = [(line[0], str(int(line[1][1:]) // 3), *line[2:5], "train") for line in ward.rows()]
    section = ward.write(folder, lines)
    assert table(section)[0].patient.nunique() == 4
    rows, _ = table(section, patients_per_centre=True)
    assert rows.patient.nunique() == 12 and "site 2/3" in set(rows.patient)


def test_patients_from_the_names_of_files(folder):
    section = ward.write(folder)
    named = {"from_file_name": "(?i)IMG([0-9]+)_"}
    rows, _ = table(section, columns=columns("patient"), patient=named)
    assert (rows.patient == rows.source.str[3:5]).all() and rows.patient.nunique() == 12
    with pytest.raises(
        FetalkitError, match="line 2: img00_0.png has no patient in its name; correct cohort.patient.from"
    ):
        table(section, columns=columns("patient"), patient={"from_file_name": "img(1[0-9]+)_"})


def test_every_image_another_patient_is_said(folder):
    rows, notes = table(ward.write(folder), columns=columns("patient"), patient="image")
    assert rows.patient.nunique() == 24 and any("every accuracy is too high" in note for note in notes)


def test_a_patient_for_every_image_is_said(folder):
    lines = [(line[0], f"A{number}", *line[2:]) for number, line in enumerate(ward.rows())]
    _, notes = table(ward.write(folder, lines))
    assert any("another patient for every image: check that its column" in note for note in notes)
    assert not any("another patient" in note for note in table(ward.write(folder))[1])


# Split


@pytest.mark.parametrize(
    ("column", "train", "test"),
    [
        ("set", "Train", "TEST"),
        ("part", "training", "testing"),
        ("Train", "1", "0"),
        ("is_test", "no", "Yes"),
        ("for training", "TRUE", "false"),
    ],
)
def test_words_of_the_split(folder, column, train, test):
    lines = [(*line[:5], {"train": train, "test": test}[line[5]]) for line in ward.rows()]
    rows, _ = table(ward.write(folder, lines, columns=(*ward.COLUMNS[:5], column)))
    assert set(rows.patient[rows.official_split == "test"]) == {"P03", "P07", "P11"}


@pytest.mark.parametrize("word", ["val", "", "1", "yes", "maybe"])
def test_another_word_is_refused_with_its_row(folder, word):
    lines = [(*line[:5], word if line[1] == "P02" else line[5]) for line in ward.rows()]
    with pytest.raises(FetalkitError, match=rf"line 6: img02_0.png is neither .*{word}.*\(2 such rows\)"):
        table(ward.write(folder, lines))


def test_own_words_of_the_split(folder):
    lines = [(*line[:5], {"train": "A", "test": 2}[line[5]]) for line in ward.rows()]
    rows, _ = table(ward.write(folder, lines), split={"train": ["a", "b"], "test": [2]})
    assert set(rows.patient[rows.official_split == "test"]) == {"P03", "P07", "P11"}


def test_a_patient_on_both_sides(folder):
    lines = [(line[0], "P00" if line[1] in ("P03", "P07") else line[1], *line[2:]) for line in ward.rows()]
    lines[10] = (lines[10][0], "P11", *lines[10][2:])
    words = (
        r"labels.csv: patient P00 is for training \(line 2\) and for testing \(line 8\); put all images of a patient on"
    )
    with pytest.raises(FetalkitError, match=rf"{words} .*\(2 such patients\)"):
        table(ward.write(folder, lines))


def test_without_a_column_the_split_is_drawn_by_patient(folder):
    section = ward.write(folder, ward.rows(patients=20, each=4))
    rows, notes = table(section, columns=columns("split"))
    assert (rows.groupby("patient").official_split.nunique() == 1).all()
    test = rows[rows.official_split == "test"]
    assert test.patient.nunique() == 5 and test.plane.value_counts().to_dict() == {
        "Fetal abdomen": 10,
        "Fetal brain": 10,
    }
    assert any("25% of the patients were drawn" in note for note in notes)
    again, _ = table(section, columns=columns("split"))
    other, _ = table(section, columns=columns("split"), split_seed=1)
    half, _ = table(section, columns=columns("split"), test_fraction=0.5)
    assert rows.equals(again) and set(other[other.official_split == "test"].patient) != set(test.patient)
    assert half[half.official_split == "test"].patient.nunique() == 10
    shuffled = ward.rows(patients=20, each=4)[::-1]
    assert table(ward.write(folder, shuffled, images=False), columns=columns("split"))[0].equals(rows)


def test_too_few_patients_for_a_split(folder):
    section = ward.write(folder, ward.rows(patients=3))
    with pytest.raises(
        FetalkitError, match=r"only 3 patients: too few for cohort.test_fraction = 0.25, which takes 1 of 4"
    ):
        table(section, columns=columns("split"))


# Images


def test_names_of_other_systems(folder):
    lines = [(f"sub/{line[0]}", *line[1:]) for line in ward.rows()]
    section = ward.write(folder, lines)
    spelt = [lambda n: n.replace("/", "\\"), lambda n: n[4:], lambda n: n[:-4], lambda n: n[4:-4],
             lambda n: n.replace(".png", ".PNG"), lambda n: "C:\\export\\" + n[4:], lambda n: "./" + n]  # fmt: skip
    others = [(spelt[number % len(spelt)](line[0]), *line[1:]) for number, line in enumerate(lines)]
    assert table(ward.write(folder, others, images=False))[0].equals(table(section)[0])


def test_a_link_to_an_image_is_that_image(folder):
    section = ward.write(folder)
    (folder / "img00_0.png").rename(folder.parent / "elsewhere.png")
    (folder / "img00_0.png").symlink_to(folder.parent / "elsewhere.png")
    index, _ = audit.scan(folder, table(section)[0])
    assert len(index) == 24 and "img00_0.png" in set(index.source)


def test_a_name_that_may_be_two_images(folder):
    section = ward.write(folder, [(f"{line[3]}/{line[0]}", *line[1:]) for line in ward.rows()])
    other = folder / "site 1" / "img00_0.png"
    other.write_bytes((folder / "site 0" / "img00_0.png").read_bytes())
    path = folder / "labels.csv"
    path.write_text(path.read_text().replace("site 0/img00_0.png", "img00_0"))
    with pytest.raises(FetalkitError, match=r"line 2: img00_0: may be site 0/img00_0.png or site 1/img00_0.png"):
        table(section)


def test_the_same_image_in_two_rows(folder):
    for another, words in (
        ("ABD", "stands in line 2 already; remove"),
        ("BR", "stands in line 2 already, with another plane; remove"),
    ):
        lines = [*ward.rows(), ("IMG00_0.png", "P00", another, "site 0", "V8", "train")]
        section = ward.write(folder, lines)
        (folder / "IMG00_0.png").unlink()
        with pytest.raises(FetalkitError, match=rf"line 26: IMG00_0.png {words}"):
            table(section)


def test_a_folder_without_the_images_of_the_table(folder):
    section = ward.write(folder, images=False)
    (folder / "other.png").write_bytes(b"")
    with pytest.raises(
        FetalkitError, match=r"none of its 24 images is in .*, such as img00_0.png \(it has other.png\)"
    ):
        table(section)


def test_nothing_outside_of_the_folder_is_read(folder):
    ward.write(folder)
    (folder.parent / "img00_0.jpg").write_bytes(b"")
    files = ImageFiles(folder)
    assert files.find("../img00_0.png") == "img00_0.png" and files.find("../img00_0.jpg") is None
    assert "labels.csv" not in files.names and len(files.names) == 24


def test_a_name_that_leads_outside_is_refused(folder):
    section = ward.write(folder, [("../" * (line[0] == "img03_0.png") + line[0], *line[1:]) for line in ward.rows()])
    (folder / "img03_0.png").unlink(missing_ok=True)
    with pytest.raises(
        FetalkitError, match=r"line 8: ../img03_0.png would lie outside of the folder; correct its name"
    ):
        table(section)


@pytest.mark.parametrize(
    ("name", "source"),
    [("/etc/passwd", "etc/passwd"), ("x" * 5000, "x" * 5000), ("self", "self"), ("pipe.png", "pipe.png")],
)
def test_what_can_be_no_image_is_left_to_the_audit(folder, name, source):
    section = ward.write(folder)
    (folder / "self").symlink_to(folder / "self")
    os.mkfifo(folder / "pipe.png")
    path = folder / "labels.csv"
    path.write_text(path.read_text().replace("img03_0.png", name))
    rows, _ = table(section)
    assert source in set(rows.source)
    with pytest.raises(
        FetalkitError, match=r"^1 of 24 images cannot be read; .*\n.*: (missing|cannot be read|a device or a)"
    ):
        audit.scan(folder, rows)


def test_an_archive_in_place_of_the_folder(folder, tmp_path):
    section = ward.write(folder)
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "ward")
    assert table(section, folder=packed)[0].equals(table(section)[0])


def test_folders_that_are_called_like_their_planes(folder):
    section = ward.write(folder, [(f"{line[2]}/{line[0]}", *line[1:]) for line in ward.rows()])
    section |= {"table": None, "columns": None, "patient": {"from_file_name": "img([0-9]+)_"}}
    rows, notes = table(section)
    assert rows.patient.nunique() == 12 and set(rows.plane) == {"Fetal abdomen", "Fetal brain"}
    assert rows[rows.official_split == "test"].patient.nunique() == 3 and len(notes) == 1
    with pytest.raises(FetalkitError, match="columns.patient is missing: images of one patient"):
        table(section, patient=None)


def test_folders_for_training_and_testing(folder):
    section = ward.write(folder, [(f"{line[5].upper()}/{line[2]}/{line[0]}", *line[1:]) for line in ward.rows()])
    rows, notes = table(section, table=None, columns=None, patient={"from_file_name": "img([0-9]+)_"})
    assert set(rows.patient[rows.official_split == "test"]) == {"03", "07", "11"} and notes == []
