"""Images below a folder, found by the names that other systems have given them."""

import os.path
from collections import defaultdict
from functools import cached_property
from pathlib import Path, PurePosixPath

from fetalkit.data.formats import is_image_file
from fetalkit.utils.errors import FetalkitError


def plain(name: str) -> str:
    """A name as this system writes it: ``/`` between folders, no beginning that says "here" or "at the top"."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    return "/".join(parts)


class ImageFiles:
    """The images below a folder, by their names.

    Parameters
    ----------
    root
        The folder; it is read on first use only.
    """

    def __init__(self, root: Path):
        self.root = root

    @cached_property
    def names(self) -> list[str]:
        """Paths below the folder, ``/`` between their parts, sorted."""
        return sorted(path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if is_image_file(path))

    @cached_property
    def _by_name(self) -> list[dict[str, list[str]]]:
        """How a name may be meant, the surest first → names in small letters → paths."""
        meant: list[dict[str, list[str]]] = [defaultdict(list) for _ in range(4)]
        for name in self.names:
            path = PurePosixPath(name)
            for known, key in zip(meant, (name, str(path.with_suffix("")), path.name, path.stem), strict=True):
                known[key.casefold()].append(name)
        return meant

    def find(self, name: str) -> str | None:
        r"""Path below the folder of the image called `name`; None where there is none.

        The suffix and the folders may be left out, letters be small or capital, and ``\`` stand for ``/``.

        Raises
        ------
        FetalkitError
            When several images may be meant.
        """
        wanted = plain(name)
        if ".." not in wanted.split("/") and os.path.isfile(self.root / wanted):  # False for what can be no name
            return wanted
        whole, last = wanted.casefold(), wanted.rpartition("/")[2].casefold()
        for known, key in zip(self._by_name, (whole, whole, last, last), strict=True):
            found = known.get(key, [])
            if len(found) > 1:
                raise FetalkitError(
                    f"{name}: may be {found[0]} or {found[1]} in {self.root}; write folder and suffix into the table"
                )
            if found:
                return found[0]
        return None
