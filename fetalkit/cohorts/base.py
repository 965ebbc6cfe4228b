"""What a cohort is: a collection of images with a table that says what they are."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import pandas as pd

from fetalkit.cohorts import pseudonyms
from fetalkit.config.sections import CohortSettings
from fetalkit.data.index import COLUMNS
from fetalkit.utils.errors import FetalkitError

__all__ = ["COLUMNS", "UNKNOWN", "Cohort", "check", "unknown"]

# What programs and people write where they do not know.
UNKNOWN = frozenset({"", "nan", "none", "null", "na", "n/a", "unknown", "unk", "-", "--", "?", "."})


SettingsT = TypeVar("SettingsT", bound=CohortSettings)


class Cohort(ABC, Generic[SettingsT]):
    """A collection of images with a table that says what they are."""

    title: ClassVar[str]
    licence: ClassVar[str]
    citation: ClassVar[str]
    public: ClassVar[bool] = False  # whether anybody may see the images, as those of a published data set
    planes: ClassVar[tuple[str, ...]]  # all that it has; empty where its settings alone say that
    settings: type[SettingsT]

    @abstractmethod
    def fetch(self, settings: SettingsT, folder: Path) -> Path:
        """Make sure that the source files exist, in `folder` or in the mirror, and return the folder that holds them.

        Raises
        ------
        FetalkitError
            When they can be neither found nor made nor downloaded.
        """

    @abstractmethod
    def rows(self, settings: SettingsT, root: Path) -> pd.DataFrame:
        """Tidy table of the files below `root`: one row per image, the columns `COLUMNS`; all planes, all patients.

        ``official_split`` is ``"train"`` or ``"test"``; ``source`` is the path below `root`.
        """

    def notes(self, settings: SettingsT, root: Path) -> list[str]:
        """What the first page has to say of how the table was made: sentences, in Markdown."""
        return []

    def table(self, settings: SettingsT, root: Path) -> pd.DataFrame:
        """Checked rows of the planes that `settings` asks for, sorted by ``image_id``; with pseudonyms if not public.

        Raises
        ------
        FetalkitError
            For planes that the cohort does not have, duplicate names, empty cells, or a split other than train and test.
        """
        rows = self._checked(settings, root)
        shown = rows if self._is_public(settings) else pseudonyms.replaced(rows, root)
        return shown.sort_values("image_id", ignore_index=True)

    def key(self, settings: SettingsT, root: Path) -> pd.DataFrame | None:
        """Which pseudonym of `table` stands for whom, as `fetalkit.cohorts.pseudonyms.key`; None where there are none."""
        return None if self._is_public(settings) else pseudonyms.key(self._checked(settings, root), root)

    def _is_public(self, settings: SettingsT) -> bool:
        return self.public if settings.public is None else settings.public

    def _checked(self, settings: SettingsT, root: Path) -> pd.DataFrame:
        allowed = self.planes or tuple(settings.planes)
        if surplus := set(settings.planes) - set(allowed):
            raise FetalkitError(
                f"params.yaml: cohort.planes: {', '.join(sorted(surplus))} unknown; allowed: {', '.join(allowed)}"
            )
        rows = self.rows(settings, root)[list(COLUMNS)]
        check(rows, allowed)
        if lacking := [plane for plane in settings.planes if not (rows.plane == plane).any()]:
            raise FetalkitError(f"image table: no image of {', '.join(lacking)}; leave it out of cohort.planes")
        return rows[rows.plane.isin(settings.planes)]


def unknown(cells: pd.Series) -> pd.Series:
    """Which cells say nothing: empty, or a word for what is not known."""
    return cells.isna() | cells.astype(str).str.strip().str.casefold().isin(UNKNOWN)


def check(rows: pd.DataFrame, planes: tuple[str, ...]) -> None:
    """Raise `FetalkitError` naming the first bad row of an image table."""
    problems = {
        "has no image name": rows.image_id.isna() | (rows.image_id == ""),
        "stands twice": rows.image_id.duplicated(),
        "has no patient": unknown(rows.patient),
        f"has an unknown plane (allowed: {', '.join(planes)})": ~rows.plane.isin(planes),
        "is neither in train nor in test": ~rows.official_split.isin(["train", "test"]),
    }
    for problem, bad in problems.items():
        if bad.any():
            number = int(bad.to_numpy().argmax())
            row = rows.iloc[number]
            raise FetalkitError(
                f"image table, row {number + 1} ({row.image_id}; plane {row.plane!r}) {problem}; correct the table "
                f"({int(bad.sum())} such rows)"
            )
