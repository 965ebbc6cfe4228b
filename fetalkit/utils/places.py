"""Places on one machine's disk: they tell a reader nothing, and may tell a stranger who somebody is."""

import re
from pathlib import Path

from fetalkit.utils import paths

# Not within an address or encoded pictures, where the same letters may follow each other.
_START, _END = r"(?<![\w+/])", r"(?![\w-])"
_HOMES = re.compile(_START + r"(?:/(?:home|Users)/[\w.-]+|/root)" + _END)


def hide(text: str) -> str:
    """`text` with "…" for the folders of the project and of the mirror, and "~" for anybody's home."""
    for folder, sign in ((paths.mirror(), "…"), (paths.ROOT, "…"), (Path.home(), "~")):
        if folder is not None:
            text = re.sub(_START + re.escape(str(folder)) + _END, sign, text)
    return _HOMES.sub("~", text)
