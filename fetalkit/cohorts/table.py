"""Any collection of images that a table, or the names of folders, describe: a section of ``params.yaml`` and no Python."""

import re
from functools import cache
from pathlib import Path

import pandas as pd

from fetalkit.cohorts import split_words
from fetalkit.cohorts.archives import is_archive, unpacked
from fetalkit.cohorts.base import COLUMNS, Cohort, unknown
from fetalkit.cohorts.image_files import ImageFiles, plain
from fetalkit.cohorts.table_settings import PER_IMAGE, FromFileName, TableSettings
from fetalkit.data.splits import held_out
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.tables import Format, read_table

_WHERE = ("centre", "machine", "operator")


class Table(Cohort[TableSettings]):
    """Images of a folder, described by a table or by the names of sub-folders."""

    title = "Own images"
    licence = "not stated"
    citation = "not published"
    planes = ()  # those that the section names
    settings = TableSettings

    def fetch(self, settings: TableSettings, folder: Path) -> Path:
        root = paths.ROOT / Path(settings.folder).expanduser()
        if is_archive(root):
            return unpacked(root, folder / "archive")
        if not root.is_dir():
            raise FetalkitError(f"{root}: no such folder or archive; correct cohort.folder in params.yaml")
        return root

    def rows(self, settings: TableSettings, root: Path) -> pd.DataFrame:
        given, _ = _listed(settings, root)
        rows = _of_planes(settings, given)
        where = given.attrs["where"]
        rows = _with_images(rows, ImageFiles(root), where)
        rows["patient"] = _patients(settings, rows, where)
        for column in _WHERE:
            rows[column] = rows[column].mask(unknown(rows[column]), "")
        rows = rows.sort_values("image_id")
        rows["official_split"] = _split(settings, rows, where)
        _one_side(rows, where)
        return rows[list(COLUMNS)]

    def notes(self, settings: TableSettings, root: Path) -> list[str]:
        given, format_ = _listed(settings, root)
        left = given.plane[~given.plane.isin(settings.labels)].replace("", "no plane").value_counts()
        counts = ", ".join(f"{label} ({number})" for label, number in left.items())
        return [
            sentence
            for sentence, applies in (
                (f"Read as {format_}.", format_),
                (f"Left out, since `cohort.planes` does not name them: {counts}.", counts),
                (
                    "Each image is taken for another patient (`patient: image`): where that is not so, images of a patient "
                    "stand on both sides of the split, and every accuracy is too high.",
                    settings.patient == PER_IMAGE,
                ),
                (
                    "The table names another patient for every image: check that its column does not number images.",
                    settings.patient is None and len(given) > 1 and given.patient.is_unique,
                ),
                (
                    f"No column says who is for testing: {settings.test_fraction:.0%} of the patients were drawn, stratified "
                    f"by plane (`split_seed` {settings.split_seed}).",
                    settings.makes_split and (given.split == "").all(),
                ),
            )
            if applies
        ]


@cache
def _read(path: Path, columns: tuple[str, ...], written: Format, state: tuple[int, int]) -> pd.DataFrame:
    """A table, read once in this `state` (length and time of change) of its file."""
    return read_table(path, columns, written, advice="correct cohort.table in params.yaml")


def _listed(settings: TableSettings, root: Path) -> tuple[pd.DataFrame, str]:
    """What table or folders say, all planes: text columns ``image``, ``plane``, ``split`` ...; and how it was read."""
    if settings.columns is None or settings.table is None:
        return _from_folders(settings, root), ""
    path, named = place_of(settings.table, root), settings.columns.named()
    written = Format(settings.separator, settings.encoding, settings.quote)
    state = path.stat() if path.is_file() else None
    raw = _read(path, tuple(named.values()), written, (state.st_size, state.st_mtime_ns) if state else (0, 0))
    given = pd.DataFrame({what: raw[column] for what, column in named.items()}, index=raw.index)
    given = given.reindex(columns=["image", "plane", "patient", "split", *_WHERE], fill_value="")
    given.attrs["where"] = path.name
    return given, f"a table in {raw.attrs['encoding']}, {raw.attrs['separator']} between columns"


def place_of(table: str, root: Path) -> Path:
    """Where a table lies: in the folder of the images, else from the project's top."""
    inside = root / table
    return inside if inside.exists() else paths.ROOT / Path(table).expanduser()


def _from_folders(settings: TableSettings, root: Path) -> pd.DataFrame:
    """Images of ``<plane>/...``, or of ``train/<plane>/...`` and ``test/<plane>/...``."""
    parts = split_words.meaning("")
    rows = []
    for name in ImageFiles(root).names:
        first, *others = name.split("/")
        part = parts.get(first.casefold(), "") if first not in settings.labels and len(others) > 1 else ""
        plane = (others[0] if part else first) if others else ""
        rows.append((name, plane, part))
    given = pd.DataFrame(rows, columns=["image", "plane", "split"], dtype=str)
    given = given.reindex(columns=["image", "plane", "patient", "split", *_WHERE], fill_value="")
    given.index += 1
    given.attrs["where"] = str(root)
    return given


def _refuse(rows: pd.DataFrame, bad: pd.Series, where: str, problem: str) -> None:
    """Raise for the first bad row."""
    if bad.any():
        line, row = bad.idxmax(), rows.loc[bad.idxmax()]
        more = f" ({int(bad.sum())} such rows)" if bad.sum() > 1 else ""
        raise FetalkitError(f"{where}, line {line}: {row.image or 'an image'} {problem}{more}")


def _of_planes(settings: TableSettings, given: pd.DataFrame) -> pd.DataFrame:
    """Rows of the planes that are asked for, under these names."""
    where, labels = given.attrs["where"], settings.labels
    near = {_loosely(label): label for label in labels}
    likely = given.plane.map(lambda label: label not in labels and _loosely(label) in near)
    if likely.any():
        label = given.plane[likely].iloc[0]
        problem = f"has the plane {label!r}, but cohort.planes says {near[_loosely(label)]!r}; write it in one way"
        _refuse(given, likely, where, problem)
    rows = given[given.plane.isin(labels)].copy()
    rows["plane"] = rows.plane.map(labels)
    if lacking := [label for label in labels if not (given.plane == label).any()]:
        there = ", ".join(label for label in given.plane.value_counts().index[:12] if label) or "none"
        raise FetalkitError(
            f"{where}: no image of {', '.join(lacking)}; correct cohort.planes in params.yaml (planes there: {there})"
        )
    return rows


def _loosely(label: str) -> str:
    return re.sub(r"[\W_]+", " ", label.casefold()).strip() or label


def _with_images(rows: pd.DataFrame, files: ImageFiles, where: str) -> pd.DataFrame:
    """`rows` with ``source``, the file below the folder, and ``image_id``; files that are missing are left to the audit."""
    _refuse(rows, rows.image == "", where, "has no name")
    found = []
    for line, name in rows.image.items():
        try:
            found.append(files.find(name))
        except FetalkitError as error:
            raise FetalkitError(f"{where}, line {line}: {error}") from None
    if not any(found):
        there = f"it has {files.names[0]}" if files.names else "it has no image"
        raise FetalkitError(
            f"{where}: none of its {len(rows)} images is in {files.root}, such as {rows.image.iloc[0]} ({there}); correct "
            "cohort.folder or columns.image in params.yaml"
        )
    rows = rows.assign(source=[path or plain(name) for path, name in zip(found, rows.image, strict=True)])
    outside = rows.source.str.split("/").map(lambda parts: ".." in parts)
    _refuse(rows, outside, where, "would lie outside of the folder; correct its name, or cohort.folder")
    twice = rows.source.duplicated()
    if twice.any():
        first = rows.index[rows.source == rows.source[twice].iloc[0]][0]
        another = rows.plane[twice].iloc[0] != rows.plane[first]
        problem = f"stands in line {first} already{', with another plane' * another}; remove one of the rows"
        _refuse(rows, twice, where, problem)
    return rows.assign(image_id=rows.source)


def _patients(settings: TableSettings, rows: pd.DataFrame, where: str) -> pd.Series:
    if settings.patient == PER_IMAGE:
        return rows.image_id
    if isinstance(settings.patient, FromFileName):
        patients = rows.source.str.extract(settings.patient.from_file_name)[0].fillna("")
        _refuse(rows, patients == "", where, "has no patient in its name; correct cohort.patient.from_file_name")
        return patients
    _refuse(
        rows, unknown(rows.patient), where, "has no patient; give every patient a name or number, or remove the rows"
    )
    if settings.patients_per_centre:
        _refuse(rows, unknown(rows.centre), where, "has no centre, which patients_per_centre needs; fill it in")
        return rows.centre + "/" + rows.patient
    return rows.patient


def _split(settings: TableSettings, rows: pd.DataFrame, where: str) -> pd.Series:
    """``train`` or ``test`` of every row: as the table or the folders say, else drawn by patient."""
    if settings.makes_split and (rows.split == "").all():
        people = rows[["plane"]].assign(group=rows.patient)
        chosen = held_out(people, settings.test_fraction, settings.split_seed, "cohort.test_fraction", "patients")
        part = pd.Series("train", index=rows.index)
        part.iloc[chosen] = "test"
        return part
    column = settings.columns.split if settings.columns and settings.columns.split else "train or test"
    part = split_words.parts(rows.split, column, settings.split)
    bad = part.isna()
    if bad.any():
        _refuse(rows, bad, where, f"is neither for training nor for testing; {split_words.advice(rows.split[bad])}")
    return part


def _one_side(rows: pd.DataFrame, where: str) -> None:
    """Raise where a patient is for training and for testing: here the real name is known, later stages may have a pseudonym."""
    sides = rows.groupby("patient").official_split.nunique()
    both = sides.index[sides > 1]
    if len(both):
        lines = [
            rows.index[(rows.patient == both[0]) & (rows.official_split == part)].min() for part in split_words.WORDS
        ]
        advice = "put all images of a patient on one side, or leave out columns.split and the study divides them"
        if rows.centre[rows.patient == both[0]].nunique() > 1:
            advice += ", or add patients_per_centre: true if centres number theirs each for itself"
        raise FetalkitError(
            f"{where}: patient {both[0]} is for training (line {lines[0]}) and for testing (line {lines[1]}); {advice} "
            f"({len(both)} such patients)"
        )
