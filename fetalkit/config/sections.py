"""What all sections of ``params.yaml`` share: strictness, the types of common values, and one clear line per mistake."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from fetalkit.utils.errors import FetalkitError

Steps = Annotated[int, Field(ge=1, le=10_000_000)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what scikit-learn takes
Share = Annotated[float, Field(ge=0, le=1)]
GuidanceKind = Literal["classifier-free", "autoguidance", "classifier"]
ImageSize = Annotated[int, Field(ge=16, le=512, multiple_of=8)]  # px
Model = TypeVar("Model", bound=BaseModel)
FOREIGN = (
    "checkpoint_path",
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "cache_dir",
)  # what timm would load
NAME = re.compile(r"\w[\w-]*")  # of the section of a cohort or of a study between cohorts
TRANSFER = "transfer"  # the section that holds a section for every study from one hospital to another


def unique(values: list) -> list:
    """`values`, or ValueError if one stands there twice."""
    if len(set(values)) != len(values):
        raise ValueError("names something twice")
    return values


def name_of(value: Any) -> Any:
    """A name as text, though YAML may have read a number; ValueError for what it has taken for true, false or nothing."""
    if isinstance(value, bool) or value is None:
        raise ValueError('is no text in YAML, as yes, no, on, off and ~ are not; put it in quotes: "yes"')
    name = str(value) if isinstance(value, int) else value
    if isinstance(name, str) and (not name.strip() or re.search(r"[\0-\x1f\x7f]", name)):
        raise ValueError(f"{name!r} is no name; write one line of text")
    return name


Name = Annotated[str, BeforeValidator(name_of)]


def _frame(value: Any) -> Any:
    if value in ("first", "middle") or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise ValueError("must be first, middle, or the number of a frame, from 1")


Frame = Annotated[Literal["first", "middle"] | int, BeforeValidator(_frame)]  # of a file that has several


class Section(BaseModel):
    """A section of ``params.yaml``: a missing or an unknown key is an error.

    No key may be called ``size``, ``nfiles`` or ``isexec``: DVC leaves parameters of these names out of the key of its run
    cache, and would restore results of other values.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


class CohortSettings(Section):
    """What every cohort can be told.

    Attributes
    ----------
    planes
        Which planes to use, in the order of the class numbers.
    kind
        Where the images come from: a key of `fetalkit.config.params.COHORTS` or ``package.module:Class``; the name of the
        section where it is None.
    public
        Whether its images and the names of its patients may be published; what the kind says where it is None, and no kind
        but those of public data sets says yes.
    title, licence, citation
        What pages and cards say of the images; what the kind says where they are None.
    frame
        Which frame of a file that has several (TIFF, GIF, WebP, DICOM); None refuses such files.
    """

    planes: Annotated[list[Name], Field(min_length=2), AfterValidator(unique)]
    kind: str | None = None
    public: bool | None = None
    title: str | None = None
    licence: str | None = None
    citation: str | None = None
    frame: Frame | None = None


class _Twice(Exception):
    def __init__(self, key: Any, line: int):
        super().__init__(key)
        self.key, self.line = key, line


class _Strict(yaml.SafeLoader):
    """YAML in which no key stands twice: the last one would count, and nobody would be told."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """The mapping of a node."""
        seen = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _Twice(key.value, key.start_mark.line + 1)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read(path: Path) -> dict:
    """Content of ``params.yaml``.

    Raises
    ------
    FetalkitError
        Where it is missing or no such file; names the line of a mistake in the YAML.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Strict)
    except FileNotFoundError:
        raise FetalkitError(f"{path}: not found; run from a checkout of the project") from None
    except OSError as error:
        raise FetalkitError(f"{path}: cannot be read ({error.strerror}); it must be a file that you may read") from None
    except UnicodeDecodeError:
        raise FetalkitError(f"{path.name}: not in UTF-8; save it in that encoding") from None
    except _Twice as error:
        raise FetalkitError(f"{path.name} line {error.line}: {error.key!r} stands twice; remove one of them") from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}" if where else ""
        raise FetalkitError(f"{path.name}{line}: not valid YAML; check indentation, quotes and brackets") from None
    except RecursionError:
        raise FetalkitError(f"{path.name}: more brackets within brackets than can be read; check them") from None
    if not isinstance(content, dict):
        raise FetalkitError(f"{path.name}: must hold one section per cohort")
    for name, section in content.items():
        if not isinstance(name, str) or (isinstance(section, dict) and "cohort" in section):
            _check_name(name, f"{path.name}: section")
    return content


def _check_name(name: Any, what: str) -> None:
    """Refuse what cannot be part of paths, of commands and of keys with dots."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise FetalkitError(
            f"{what} {name!r}: use letters, digits, _ and - alone, in quotes if it looks like a number or date"
        )


class _LeftOut(BaseModel):
    """As much of an entry of ``leave_out`` as tells the cohort."""

    cohort: Name


class _Between(BaseModel):
    """As much of a study from one hospital to another as tells which cohorts it reads; the rest is checked when it is run."""

    across: list[tuple[Name, Name]] | None = None
    leave_out: list[_LeftOut] | None = None


def transfer_sections(path: Path) -> dict[str, dict]:
    """Sections of the studies from one hospital to another by their names; those that are empty are left out.

    Raises
    ------
    FetalkitError
        As `read` does, and where ``transfer`` holds something other than sections.
    """
    sections = read(path).get(TRANSFER) or {}
    if not isinstance(sections, dict):
        raise FetalkitError(f"{path.name}: {TRANSFER} = {sections!r}: must hold one section per study, or nothing")
    for name, section in sections.items():
        _check_name(name, f"{path.name}: {TRANSFER}: name")
        if not isinstance(section, dict | None):
            raise FetalkitError(
                f"{path.name}: {TRANSFER}.{name} = {section!r}: must be a section; correct or remove it"
            )
        validated(_Between, section or {}, path.name, f"{TRANSFER}.{name}")
    return {name: section for name, section in sections.items() if section}


def cohorts_of(section: dict[str, Any]) -> list[str]:
    """Cohorts that a transfer study reads, in the order in which its `section` names them."""
    across = [cohort for pair in section.get("across") or [] for cohort in pair]
    return list(dict.fromkeys([*across, *(entry["cohort"] for entry in section.get("leave_out") or [])]))


def validated(model: type[Model], value: object, file: str, prefix: str) -> Model:
    """`value` as a `model`.

    Parameters
    ----------
    model
        A section.
    value
        What the file holds.
    file
        Name of the file, for messages; empty for none.
    prefix
        Key that the value stands under.

    Raises
    ------
    FetalkitError
        With a line for every mistake: file, key, value and what is allowed.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise FetalkitError("\n".join(_explain(file, prefix, item) for item in error.errors())) from None


def _explain(file: str, prefix: str, item: ErrorDetails) -> str:
    # Pydantic adds the tried alternatives of a union to the location; only keys and list positions help the reader.
    keys = [str(part) for part in item["loc"] if not re.search(r"[\[(-]", str(part)) or str(part) in _hyphened(item)]
    key = ".".join(filter(None, [prefix, *keys]))
    start = f"{file}: " if file else ""
    if item["type"] == "missing":
        return f"{start}{key} is missing; add it"
    if item["type"] == "extra_forbidden":
        return f"{start}{key} = {item['input']!r} is not a known key; correct its name or remove it"
    value = "" if isinstance(item["input"], dict | BaseModel) or not key else f" = {item['input']!r}"
    message = item["msg"].removeprefix("Value error, ")
    return f"{start}{key}{value}{': ' * bool(key)}{message[0].lower()}{message[1:]}"


def _hyphened(item: ErrorDetails) -> set[str]:
    """Names with a hyphen that are keys of the file, such as those of arms, and not pydantic's words for a type."""
    return {str(part) for part in item["loc"] if re.fullmatch(r"[a-z0-9]+([-+][a-z0-9]+)+", str(part))} - _TYPES


_TYPES = {
    "constrained-int",
    "constrained-float",
    "constrained-str",
    "function-after",
    "function-before",
    "function-wrap",
    "function-plain",
    "lax-or-strict",
    "json-or-python",
}
