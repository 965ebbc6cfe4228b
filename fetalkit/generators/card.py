"""What a saved generator says of itself: ``fetalkit.json``, its card, and ``training.json``, how its training went."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fetalkit.utils.errors import FetalkitError

CARD, RECORD = "fetalkit.json", "training.json"


def read_card(folder: Path) -> dict[str, Any]:
    """Content of ``fetalkit.json``: class, planes, image size, training settings, and what else the class needs.

    Raises
    ------
    FetalkitError
        When there is none, or it is damaged.
    """
    return _read(Path(folder, CARD), ("class", "planes", "image_size", "training"))


def read_record(folder: Path) -> tuple[list[float], float]:
    """Training loss per step, and seconds, from ``training.json``.

    Raises
    ------
    FetalkitError
        When there is none, or it is damaged.
    """
    record = _read(Path(folder, RECORD), ("losses", "seconds"))
    return list(record["losses"]), float(record["seconds"])


def write(folder: Path, card: dict[str, Any], losses: Sequence[float], seconds: float) -> None:
    """Write both files to `folder`, which exists; numbers are read back with the same bits."""
    record = {"losses": list(losses), "seconds": seconds}
    (folder / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    (folder / RECORD).write_text(json.dumps(record) + "\n", encoding="utf-8")


def _read(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for key in keys:
            content[key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FetalkitError(f"{path}: not that of a saved generator ({error}); train the generator again") from error
    return content
