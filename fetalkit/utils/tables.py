"""Reading of other people's tables: every cell as text, whatever program has saved them."""

import codecs
import csv
import difflib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fetalkit.utils.errors import FetalkitError

SEPARATORS = (",", ";", "\t", "|")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # of spreadsheet programs: .xlsx and .ods, .xls
_SHOWN, _LETTERS = 12, 40  # columns that a message names, and letters of each
# What other files begin with that are saved under the name of a table, and letters that no text has.
_NO_TABLES = {
    r"\s*<(!doctype html|html)": "is a web page, as a download leaves behind that needs a login; fetch the table again",
    r"version https://git-lfs": "is a pointer of Git LFS; run `git lfs pull`",
    r"\s*[\[{]\s*[\[{\"]": "is JSON; save it as CSV",
}
_NO_TEXT = re.compile(r"[\0-\x08\x0e-\x1f\x7f]")
_CONFLICT = re.compile(r"^(<{7} |>{7} )", re.MULTILINE)


@dataclass(frozen=True)
class Format:
    """How a table is written; what is None is found from the file.

    Attributes
    ----------
    separator
        Character between cells.
    encoding
        A name that Python knows, such as ``"utf-8"`` or ``"cp1250"``.
    quote
        Character around cells that hold a separator.
    """

    separator: str | None = None
    encoding: str | None = None
    quote: str | None = None


def read_table(
    path: Path,
    columns: Sequence[str] = (),
    written: Format = Format(),
    advice: str = "unpack the archive again or correct FETALKIT_MIRROR",
) -> pd.DataFrame:
    """All cells of a text table as strings stripped of spaces, empty cells as ``""``; the index is the line in the file.

    Its ``attrs`` say ``encoding`` and ``separator``.

    Separator, encoding (UTF-8, UTF-16 or UTF-32 with their marks, else Windows' Latin-1), line ends and quotes are found from
    the file. Cells beyond the header are ignored where they are empty, as spreadsheet programs leave them.

    Parameters
    ----------
    path
        Of the file.
    columns
        Those that it must have; they also tell the separator.
    written
        What is known of its format.
    advice
        What to do when it is not there.

    Raises
    ------
    FetalkitError
        When the file is missing, is not such a table, has no rows, or lacks one of `columns`.
    """
    text, encoding = _text(path, written.encoding, advice)
    _check_text(path, text)
    first, _, rest = text.partition("\n")
    if first.strip().lower().startswith("sep=") and len(first.strip()) == 5:  # Excel's own line
        written, text = Format(first.strip()[4], written.encoding, written.quote), rest
    shift = int(text is rest)
    quote = written.quote or ("'" if text.lstrip().startswith("'") else '"')
    separators = [written.separator] if written.separator else list(SEPARATORS)
    headers = {separator: _header(text, separator, quote) for separator in separators}
    separator = max(headers, key=lambda each: (set(columns) <= set(headers[each]), len(headers[each])))
    names = headers[separator]
    if not names:
        reason = (
            "its first line is no header; correct it"
            if text.strip()
            else "is empty; name the table, or export it again"
        )
        raise FetalkitError(f"{path}: {reason}")
    _check_columns(path, names, columns, separator)
    lines, rows = _rows(path, text, separator, quote, len(names))
    if not rows:
        raise FetalkitError(f"{path}: has a header and no row; add rows to it")
    if sum(map(bool, names)) > 1 and not any(any(row[1:]) for row in rows):
        raise FetalkitError(
            f"{path}: its header has {len(names)} columns and its rows have one; put {_spelt(separator)} between the cells of "
            "all lines"
        )
    frame = pd.DataFrame(rows, index=pd.Index(lines) + shift, columns=names, dtype=str)
    frame = frame.loc[:, [bool(name) for name in names]]
    frame.attrs |= {"encoding": encoding, "separator": _spelt(separator)}
    return frame


def _text(path: Path, encoding: str | None, advice: str) -> tuple[str, str]:
    """Content of a file, and its encoding."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FetalkitError(f"{path}: not found; {advice}") from None
    except OSError as error:
        raise FetalkitError(f"{path}: cannot be read ({error.strerror}); name a text table, and check rights") from None
    if content.startswith(_WORKBOOKS):
        raise FetalkitError(f"{path}: is a workbook of a spreadsheet program; save its sheet as CSV and name that file")
    tried = [encoding] if encoding else [*_marked(content), "utf-8", "cp1252", "latin-1"]
    for name in tried:
        try:
            text = content.decode(name)
        except LookupError:
            raise FetalkitError(f"{path}: there is no encoding {name!r}; use one such as utf-8 or cp1252") from None
        except UnicodeError:
            continue
        return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"), name
    raise FetalkitError(f"{path}: is not in the encoding {encoding}; leave that out, or give the right one")


def _marked(content: bytes) -> list[str]:
    """Encodings that the first bytes tell: by a mark, or by zeros in every second one."""
    marked = [name for mark, name in _MARKS if content.startswith(mark)]
    first, second = (content[parity:200:2].count(0) for parity in (0, 1))
    if marked or max(first, second) < 3 or max(first, second) < 4 * min(first, second):  # a stray zero is no sign
        return marked[:1]
    return ["utf-16-le" if second > first else "utf-16-be"]


def _check_text(path: Path, text: str) -> None:
    """Raise where the text is that of something else than a table."""
    for pattern, problem in _NO_TABLES.items():
        if re.match(pattern, text, re.IGNORECASE):
            raise FetalkitError(f"{path}: {problem}")
    if text and not text.strip("\0"):
        raise FetalkitError(f"{path}: is nothing but zeros, as a copy leaves behind that was broken off; copy it again")
    if odd := _NO_TEXT.search(text.rstrip("\x1a")):  # which old programs put at the end
        line = text.count("\n", 0, odd.start()) + 1
        raise FetalkitError(
            f"{path}: is no text table (line {line} holds the byte 0x{ord(odd.group()):02x}); save it as CSV, or correct it"
        )
    if mark := _CONFLICT.search(text):
        line = text.count("\n", 0, mark.start()) + 1
        raise FetalkitError(f"{path}: line {line} is a mark of an unfinished merge of git; choose one of the versions")


def _header(text: str, separator: str, quote: str) -> list[str]:
    records = csv.reader(io.StringIO(text), delimiter=separator, quotechar=quote, skipinitialspace=True)
    try:
        return next(([cell.strip() for cell in cells] for cells in records if any(cells)), [])
    except csv.Error:
        return []


def _check_columns(path: Path, names: Sequence[str], columns: Sequence[str], separator: str) -> None:
    """Raise unless every one of `columns` is among `names` once."""
    if missing := [name for name in columns if name not in names]:
        by_small = {name.casefold(): name for name in names}
        near = difflib.get_close_matches(missing[0].casefold(), by_small, 1)
        hint = f"; did you mean {by_small[near[0]]}?" if near else ""
        more = f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN)
        shown = ", ".join(name[:_LETTERS] for name in names[:_SHOWN]) + more
        raise FetalkitError(
            f"{path}: column {', '.join(missing)} is missing (found, with {_spelt(separator)} between: {shown}){hint}"
        )
    if twice := [name for name in columns if list(names).count(name) > 1]:
        raise FetalkitError(f"{path}: column {twice[0]} stands there twice; rename or remove one of them")


def _spelt(separator: str) -> str:
    return "a tab" if separator == "\t" else f'"{separator}"'


def _rows(path: Path, text: str, separator: str, quote: str, width: int) -> tuple[list[int], list[list[str]]]:
    """Line numbers and cells of all rows below the header, each `width` cells long."""
    records = csv.reader(io.StringIO(text), delimiter=separator, quotechar=quote, skipinitialspace=True)
    lines, rows, before = [], [], 0
    try:
        for cells in records:
            line, before = before + 1, records.line_num
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            if any(cells[width:]):
                raise FetalkitError(
                    f"{path}: line {line} has {len(cells)} cells, the header has {width}; put quotes around cells that hold "
                    f"{_spelt(separator)}"
                )
            lines.append(line)
            rows.append(cells[:width] + [""] * (width - len(cells)))
    except csv.Error as error:
        raise FetalkitError(f"{path}: not a readable table (line {records.line_num}: {error}); correct it") from None
    if rows and "\n" in "".join(rows[-1]) and _is_open(text, separator, quote):
        raise FetalkitError(f"{path}: a quote that opens in line {lines[-1]} is never closed; correct it")
    return lines[1:], rows[1:]


def _is_open(text: str, separator: str, quote: str) -> bool:
    """Whether the text ends within quotes, which only the strict reader tells."""
    try:
        for _ in csv.reader(
            io.StringIO(text), delimiter=separator, quotechar=quote, skipinitialspace=True, strict=True
        ):
            pass
    except csv.Error as error:
        return "end of data" in str(error)
    return False
