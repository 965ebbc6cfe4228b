"""What a section of ``params.yaml`` for a folder of images could say: proposed from the files, tried, and shown with counts."""

import os.path
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from fetalkit.cohorts import audit, split_words
from fetalkit.cohorts.base import unknown
from fetalkit.cohorts.image_files import ImageFiles
from fetalkit.cohorts.table import Table
from fetalkit.cohorts.table_settings import TableSettings
from fetalkit.config import defaults, params
from fetalkit.config.sections import NAME, read, transfer_sections, validated
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing
from fetalkit.utils.tables import read_table

# What columns are called; the first words are the surest.
_WORDS = {
    "plane": ("plane", "view", "label", "class", "category", "anatomy", "target", "diagnosis", "type"),
    "patient": (
        "patient",
        "mrn",
        "subject",
        "pid",
        "person",
        "case",
        "mother",
        "woman",
        "record",
        "paciente",
        "patnr",
        "patid",
    ),
    "centre": ("centre", "center", "site", "hospital", "clinic", "institution", "country", "ward"),
    "machine": ("machine", "scanner", "device", "vendor", "manufacturer", "equipment", "system"),
    "operator": ("operator", "sonographer", "examiner", "physician"),
    "split": ("split", "set", "train", "test", "partition", "fold", "part", "subset"),
}
_PATIENT_IN_NAME = (
    r"(?i)(patient[_ -]?\d+)",
    r"(?i)(case[_ -]?\d+)",
    r"(?i)(?:^|/)([a-z]*\d+)[_ -][^/]*$",
    r"^([^/]+)/",
)
_TABLES, _WORKBOOKS = (
    (".csv", ".tsv"),
    (".xlsx", ".xls", ".ods"),
)  # the reader of tables says what to do about the latter
_SAMPLE = 200  # rows that tell which column names the images
_FEW = 10  # images of a plane: fewer can hardly be divided
_PER_CENTRE = "patients_per_centre"


@dataclass
class Proposal:
    """A section, the table that it makes of the files, and what is wrong."""

    name: str
    section: dict[str, Any]
    table: pd.DataFrame | None = None
    remarks: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def yaml(self) -> str:
        """The section as ``params.yaml`` would hold it."""
        return yaml.safe_dump(
            {self.name: self.section}, default_flow_style=None, sort_keys=False, allow_unicode=True, width=1000
        )


def propose(name: str, folder: Path, table: Path | None = None) -> Proposal:
    """Look at the files and propose the section `name`; nothing is run or written.

    Parameters
    ----------
    name
        Of the section.
    folder
        Of the images, or an archive of it.
    table
        CSV file; by default the only one in the folder, or none where the images lie in folders named like their planes.

    Raises
    ------
    FetalkitError
        When the name cannot be one, or folder or table are not there.
    """
    _check_name(name)
    root = Table().fetch(_located(folder), paths.work(name, "new"))
    cohort: dict[str, Any] = {"kind": "table", "folder": str(_short(folder))}
    made = Proposal(name, {defaults.KEY: "quick", "cohort": cohort})
    files = ImageFiles(root)
    if not files.names:
        raise FetalkitError(f"{folder}: no image is in it; name the folder that holds the images")
    tables = [
        path for path in sorted(root.iterdir()) if path.suffix.lower() in (*_TABLES, *_WORKBOOKS) and path.is_file()
    ]
    readable = [path for path in tables if path.suffix.lower() in _TABLES]
    if table is None and len(readable) == 1:
        table = readable[0]
    if table is None:
        cohort["planes"] = sorted({name.split("/")[0] for name in files.names if "/" in name} - set(split_words.WORDS))
        if not cohort["planes"]:
            there = (
                f"of {', '.join(path.name for path in tables[:5])}" if tables else "that says what the images are (CSV)"
            )
            raise FetalkitError(
                f"{folder}: name the table {there}: fetalkit new {name} {folder} TABLE; or put the images into folders named "
                "like their planes"
            )
    else:
        _from_table(made, root, table, files)
    if "patient" not in cohort.get("columns", {}):
        _patient_from_names(made, files)
    _try(made, root, files)
    return made


def _check_name(name: str) -> None:
    taken = {*read(paths.PARAMS), *transfer_sections(paths.PARAMS)}
    if not NAME.fullmatch(name) or name[0].isdigit():
        raise FetalkitError(f"{name!r}: no name for a cohort; use letters, digits, _ and -, beginning with a letter")
    if name in taken or name in params.COHORTS:
        raise FetalkitError(f"{name}: {paths.PARAMS.name} has that name already; choose another one")


def _located(folder: Path) -> TableSettings:
    """As much of the settings as it takes to find the folder."""
    return TableSettings.model_construct(folder=str(folder.expanduser().absolute()))


def _short(path: Path) -> Path:
    """A path as ``params.yaml`` says it: from the project's top where it lies there."""
    path = path.expanduser().absolute()
    return path.relative_to(paths.ROOT) if path.is_relative_to(paths.ROOT) else path


def _from_table(made: Proposal, root: Path, table: Path, files: ImageFiles) -> None:
    inside = root / table
    path = inside if inside.exists() else table.expanduser().absolute()
    raw = read_table(path, advice="name the table as you would for ls, or below the folder of the images")
    made.remarks.append(
        f"{path.name}: {len(raw)} rows, read as {raw.attrs['encoding']} with {raw.attrs['separator']} between columns"
    )
    twice = raw.columns.duplicated(keep=False)
    made.wrong += [
        f"column {name} stands twice in {path.name}; rename one of them" for name in sorted(set(raw.columns[twice]))
    ]
    raw = raw.loc[:, ~twice]
    columns = guess(raw, files)
    shown = path.relative_to(root) if path.is_relative_to(root) else _short(path)
    made.section["cohort"] |= {"table": shown.as_posix(), "columns": columns}
    for what in ("image", "plane"):
        if what not in columns:
            made.wrong.append(f"no column seems to say the {what}; there are: {', '.join(raw.columns)}")
    if "plane" in columns:
        labels = raw[columns["plane"]]
        made.section["cohort"]["planes"] = sorted(set(labels[~unknown(labels)]))


def guess(raw: pd.DataFrame, files: ImageFiles) -> dict[str, str]:
    """What → column, as far as names and cells tell; each column at most once."""
    chosen: dict[str, str] = {}
    sample = raw.iloc[:: max(1, len(raw) // _SAMPLE)]
    shares = {column: sum(map(_found, [files] * len(sample), sample[column])) / len(sample) for column in raw.columns}
    image = max(shares, key=lambda column: shares[column])
    if shares[image] > 0:
        chosen["image"] = image
    for what, words in _WORDS.items():
        fitting = [
            (*rank, column)
            for column in raw.columns
            if column not in chosen.values() and (rank := _rank(column, words)) is not None and _fits(raw[column], what)
        ]
        if fitting:
            chosen[what] = min(fitting)[-1]
    return chosen


def _found(files: ImageFiles, name: str) -> bool:
    try:
        return bool(name) and files.find(name) is not None
    except FetalkitError:
        return True  # several images of that name: it is one all the same


def _rank(column: str, words: Sequence[str]) -> tuple[int, int] | None:
    """Place of the first word that is in a column's name, and length of the name; None where none is."""
    parts = re.sub(r"[\W_]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column)).casefold().split()
    whole = "".join(parts)
    fitting = (number for number, word in enumerate(words) if word in parts or (len(word) > 4 and word in whole))
    return next(((number, len(whole)) for number in fitting), None)


def _fits(cells: pd.Series, what: str) -> bool:
    """Whether cells may be what a column's name says."""
    different = cells[~unknown(cells)].nunique()
    if what == "split":
        return bool(split_words.parts(cells, str(cells.name)).notna().all())
    if what == "plane":
        return 2 <= different <= max(2, len(cells) // 2)
    return different >= (2 if what == "patient" else 1)


def _patient_from_names(made: Proposal, files: ImageFiles) -> None:
    """Propose a pattern that finds some patients with several images each."""
    for pattern in _PATIENT_IN_NAME:
        patients = pd.Series(files.names).str.extract(pattern)[0]
        if patients.notna().all() and 2 <= patients.nunique() < len(patients):
            made.section["cohort"]["patient"] = {"from_file_name": pattern}
            made.remarks.append(
                f"the patients are guessed from the names of the files, such as {patients.iloc[0]!r} of {files.names[0]}: "
                "check that, since nothing protects from a wrong guess"
            )
            return


def _try(made: Proposal, root: Path, files: ImageFiles) -> None:
    """Make the table that the section asks for, and note what is wrong with it."""
    cohort = made.section["cohort"]
    try:
        settings, table = _tried(made.name, cohort, root)
    except FetalkitError as error:
        try:  # The same number of two centres may be two persons.
            settings, table = _tried(made.name, cohort | {_PER_CENTRE: True}, root)
        except FetalkitError:
            made.wrong += str(error).splitlines()
            return
        cohort[_PER_CENTRE] = True
        made.remarks.append(f"a number is taken for one patient of each centre, since {str(error).partition('; ')[0]}")
    made.table = table
    train = table[table.official_split == "train"].plane.value_counts()
    # A fifth of them will be validation.
    few = max(1, min(5, int(0.7 * min(train.get(plane, 0) for plane in settings.planes))))
    made.section["splits"] = {"shots": [few, "all"]}
    made.remarks += [note.replace("`", "") for note in Table().notes(settings, root)[1 if settings.table else 0 :]]
    made.wrong += _faults(settings, table, root, files)


def _tried(name: str, cohort: dict[str, Any], root: Path) -> tuple[TableSettings, pd.DataFrame]:
    """Settings and table of a section, with the real names: who looks is whoever has the files."""
    settings = validated(TableSettings, cohort | {"public": True}, "", f"{name}.cohort")
    return settings, Table().table(settings, root)


def _faults(settings: TableSettings, table: pd.DataFrame, root: Path, files: ImageFiles) -> Iterator[str]:
    """What would stop the study, or make it less than it could be."""
    missing = [source for source in table.source if not os.path.isfile(root / source)]
    if missing:
        yield f"{len(missing)} of {len(table)} images are not there, such as {missing[0]}; correct the table"
    unnamed = sorted(set(files.names) - set(table.source))
    if unnamed and not missing:
        yield f"{len(unnamed)} images of the folder are in no row that is used, such as {unnamed[0]}"
    if several := audit.patients_of_several_centres(table):
        yield (
            f"{len(several)} patients have images from more than one centre, such as {several[0]}; where centres number their "
            f"patients each for itself, add {_PER_CENTRE}: true"
        )
    for part in ("train", "test"):
        counts = table[table.official_split == part].plane.value_counts()
        for plane in settings.planes:
            if counts.get(plane, 0) < (_FEW if part == "train" else 1):
                yield f"{plane} has {counts.get(plane, 0)} {part} images; add some, or leave the plane out"


def counts(table: pd.DataFrame) -> str:
    """Images and patients per plane and per centre, as text."""
    blocks = []
    for column in ("plane", "centre"):
        if (table[column] != "").any():
            groups = table.groupby(column)
            of = groups.agg(images=("image_id", "size"), patients=("patient", "nunique"))
            sides = table.groupby([column, "official_split"]).size().unstack(fill_value=0)
            blocks.append(of.join(sides.reindex(columns=["train", "test"], fill_value=0)).to_string())
    return "\n\n".join(blocks)


def write(proposal: Proposal) -> None:
    """Append the section to ``params.yaml``; all that stands there stays as it is.

    Raises
    ------
    FetalkitError
        When the section would not work as it is, or the file cannot be written.
    """
    if proposal.table is None:
        raise FetalkitError(f"{proposal.name}: not written, since it would not work yet: {proposal.wrong[0]}")
    text = paths.PARAMS.read_text(encoding="utf-8").rstrip("\n")
    with replacing(paths.PARAMS) as temporary:
        temporary.write_text(f"{text}\n\n{proposal.yaml}", encoding="utf-8")
