"""What a section of ``params.yaml`` says of a collection of images that a table or folders describe."""

import codecs
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from fetalkit.cohorts import split_words
from fetalkit.config.sections import CohortSettings, Name, Section, Seed, name_of, validated
from fetalkit.utils.errors import FetalkitError

PER_IMAGE = "image"
NO_PATIENT = (
    "columns.patient is missing: images of one patient on both sides of the split would make every accuracy too high; name "
    "the column, or choose patient: {from_file_name: REGEX}, or patient: image where each image is of another patient"
)


class Columns(Section):
    """Names of the columns; all but image and plane may be left out.

    Attributes
    ----------
    image
        File of the image, below the folder; suffix and sub-folder may be missing.
    plane
        What it shows.
    patient, centre, machine, operator
        Of whom, where, with what, and by whom it was made.
    split
        Whether it is for training or testing.
    """

    image: Name
    plane: Name
    patient: Name | None = None
    centre: Name | None = None
    machine: Name | None = None
    operator: Name | None = None
    split: Name | None = None

    @model_validator(mode="after")
    def _each_once(self):
        columns = list(self.named().values())
        if twice := [column for column in columns if columns.count(column) > 1]:
            raise ValueError(
                f"{twice[0]} is named for two things; name a column once, and leave out what no column says"
            )
        return self

    def named(self) -> dict[str, str]:
        """What → name of its column."""
        return self.model_dump(exclude_none=True)


class FromFileName(Section):
    """The patient is what the first group of a regular expression finds in the image's path."""

    from_file_name: str

    @field_validator("from_file_name")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"is no regular expression ({error})") from None
        if groups != 1:
            raise ValueError(f"has {groups} groups; put one pair of brackets around the patient, such as ^(p[0-9]+)_")
        return pattern


def _patient(value: Any) -> Any:
    """One clear mistake where there is one, not one for each way in which it could be right."""
    if value in (None, PER_IMAGE) or isinstance(value, FromFileName):
        return value
    try:
        return validated(FromFileName, value, "", "from_file_name" if not isinstance(value, dict) else "")
    except FetalkitError as error:
        raise ValueError(f"{error} (allowed: {PER_IMAGE}, or {{from_file_name: REGEX}})") from None


def _mark(value: str) -> str:
    if value.isalnum() or value in "\r\n":
        raise ValueError('must be one mark, such as ";" or "\\t"')
    return value


Mark = Annotated[str, Field(min_length=1, max_length=1), AfterValidator(_mark)]


class TableSettings(CohortSettings):
    """Where images and table are, and what the columns mean.

    Attributes
    ----------
    planes
        As a list; or label in the table → plane, where several labels may be one plane. Images of other labels are left out.
    folder
        Of the images, or a zip or tar file of it; a relative one begins at the project's top.
    table
        CSV file, in `folder` or from there; None where the images lie in folders that are called like their planes.
    columns
        Names of the columns of the table.
    patient
        Where no column says it: ``"image"``, each image is of another patient; or found in the file's name.
    patients_per_centre
        Whether centres number their patients each for itself, so that number 1 of two centres is two persons.
    split
        ``train`` and ``test`` → words of the column that mean them.
    test_fraction, split_seed
        Where no column says it: share of the patients that become test patients, stratified by plane, and seed of the choice.
    separator, encoding, quote
        Of the table; found from the file where they are None.
    """

    folder: Name
    table: Name | None = None
    columns: Columns | None = None
    renamed: dict[Name, Name] = Field(default_factory=dict)  # from `planes`, where these are given as label → plane
    patient: Annotated[Literal["image"] | FromFileName | None, BeforeValidator(_patient)] = None
    patients_per_centre: bool = False
    split: dict[Literal["train", "test"], Annotated[list[Name], Field(min_length=1)]] | None = None
    test_fraction: Annotated[float, Field(gt=0, le=0.5)] = 0.25
    split_seed: Seed = 0
    separator: Mark | None = None
    encoding: str | None = None
    quote: Mark | None = None

    @model_validator(mode="before")
    @classmethod
    def _renaming(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("planes"), dict):
            try:
                renamed = {name_of(label): name_of(plane) for label, plane in value["planes"].items()}
            except ValueError as error:
                raise ValueError(f"planes: {error}") from None
            return value | {"planes": list(dict.fromkeys(renamed.values())), "renamed": renamed}
        return value

    @field_validator("encoding")
    @classmethod
    def _exists(cls, name: str | None) -> str | None:
        try:
            codecs.lookup(name or "utf-8")
        except LookupError:
            raise ValueError("is no encoding; leave it out, or use one such as utf-8 or cp1252") from None
        return name

    @model_validator(mode="after")
    def _fits(self):
        named = self.columns.named() if self.columns else {}
        if (self.table is None) != (self.columns is None):
            raise ValueError("table and columns belong together; give both, or none for folders named like planes")
        if "patient" not in named and self.patient is None:
            raise ValueError(NO_PATIENT)
        if "patient" in named and self.patient is not None:
            raise ValueError("columns.patient and patient both say who the patients are; give one of them")
        if self.patients_per_centre and "centre" not in named:
            raise ValueError("patients_per_centre: needs columns.centre; add it")
        if self.separator and self.separator == (self.quote or '"'):
            raise ValueError("separator and quote are the same; correct one of them")
        if self.split and "split" not in named:
            raise ValueError("split says what words of a column mean; add columns.split")
        if self.split and len(self.split) < len(split_words.WORDS):
            raise ValueError("split needs the words for train and those for test")
        return self

    @property
    def labels(self) -> dict[str, str]:
        """Label in the table → plane."""
        return self.renamed or {plane: plane for plane in self.planes}

    @property
    def makes_split(self) -> bool:
        """Whether no column says who is for training and who for testing."""
        return self.columns is None or self.columns.split is None
