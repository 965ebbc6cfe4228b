"""Domains, and what training may see of them: the only place where images and labels of a target are handed out.

Training gets a `Material`. What its level does not allow is not in it, and has not been read. Test images come from `test`,
which no training calls.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pandas as pd

from fetalkit.config.params import Params
from fetalkit.data import index as table_of_images
from fetalkit.data.images import Labelled
from fetalkit.data.study import Study
from fetalkit.data.subsets import k_shot_subsets
from fetalkit.experiments.transfer.methods import LABELLED, NONE
from fetalkit.metrics.outline import standardise_mask
from fetalkit.utils.errors import FetalkitError


@dataclass(frozen=True)
class Domain:
    """A cohort, or a part of it: the images whose column `by` is `place`, or with `rest_of_it` all others."""

    cohort: str
    by: str = ""
    place: str = ""
    rest_of_it: bool = False

    def rest(self) -> "Domain":
        """The cohort without this place."""
        return replace(self, rest_of_it=True)

    def rows(self, study: Study, part: str) -> pd.DataFrame:
        """Rows of a part of the study's table that belong here, without dropped images.

        Raises
        ------
        FetalkitError
            When there are none.
        """
        rows = study.part(part)
        rows = rows[rows.dropped == ""]
        if self.by:
            rows = rows[(rows[self.by] == self.place) != self.rest_of_it]
        if rows.empty:
            there = ", ".join(sorted(set(study.part(part)[self.by]) - {""})) if self.by else ""
            raise FetalkitError(
                f"{self.cohort}: no {part} image where {self.by} is {'not ' * self.rest_of_it}{self.place!r}; correct "
                f"transfer in params.yaml (there are: {there or 'none'}; places of private cohorts have pseudonyms, which "
                f"data/{self.cohort}/pseudonyms.csv explains), or run 03_splits again"
            )
        return rows

    def places(self, rows: pd.DataFrame) -> np.ndarray:
        """Place of every row: what the domain goes by, else its centre, or the cohort where that is not known."""
        return rows[self.by or "centre"].replace("", self.cohort).to_numpy(str)


@dataclass(frozen=True)
class Direction:
    """From where to where."""

    name: str
    source: Domain
    target: Domain


class Plan(Protocol):
    """What of `fetalkit.experiments.transfer.settings.Transfer` is needed here."""

    @property
    def cohorts(self) -> dict[str, Params]: ...

    @property
    def directions(self) -> dict[str, Direction]: ...

    @property
    def labelled(self) -> int: ...


@dataclass(frozen=True)
class Material:
    """What training may see.

    Attributes
    ----------
    source, validation
        Train and validation part of the source.
    source_places
        Place of every image of `source`, (n,).
    target, target_places
        Images of the train part of the target, uint8 (m, size, size), and their places; None at level ``"none"``.
    labelled, labelled_rows
        k images per plane with their labels, and which of `target` they are; None below level ``"labelled"``.
    """

    source: Labelled
    validation: Labelled
    source_places: np.ndarray
    target: np.ndarray | None = None
    target_places: np.ndarray | None = None
    labelled: Labelled | None = None
    labelled_rows: np.ndarray | None = None

    def of_target(self) -> tuple[np.ndarray, np.ndarray]:
        """`target` and `target_places`, for methods that may see them."""
        assert self.target is not None and self.target_places is not None, "the level hides the target"
        return self.target, self.target_places

    def of_labelled(self) -> Labelled:
        """`labelled`, for methods that may see it."""
        assert self.labelled is not None, "the level hides the target's labels"
        return self.labelled

    def outlined(self) -> "Material":
        """The same with one outline for all images of the source."""
        parts = {name: getattr(self, name) for name in ("source", "validation")}
        return replace(self, **{name: replace(of, images=outlined(of.images)) for name, of in parts.items()})


def outlined(images: np.ndarray) -> np.ndarray:
    """Copies with the standard outline; an image without a fan stays as it is."""
    return standardise_mask(np.asarray(images))[0]


def material(plan: Plan, direction: Direction, level: str, seed: int) -> Material:
    """Images, and labels, that training may see in a direction at a level.

    The k labelled images are drawn as `k_shot_subsets` draws: nested, and for a whole cohort the very ones of its own
    study. The level above has all that the one below has.

    Raises
    ------
    FetalkitError
        When an earlier stage is missing, or a domain has no images, or fewer than k of a plane.
    """
    study = Study(direction.source.cohort, plan.cohorts[direction.source.cohort])
    train = direction.source.rows(study, "train")
    validation = study.labelled(direction.source.rows(study, "validation"))
    data = Material(study.labelled(train), validation, direction.source.places(train))
    if level == NONE:
        return data
    study = Study(direction.target.cohort, plan.cohorts[direction.target.cohort])
    rows = direction.target.rows(study, "train")
    data = replace(data, target=study.store.images(rows.image_id), target_places=direction.target.places(rows))
    if level != LABELLED:
        return data
    try:
        chosen = k_shot_subsets(rows, [plan.labelled], [seed], study.planes).image_id
    except FetalkitError as error:
        raise FetalkitError(f"transfer.labelled, {direction.name}: {error}") from None
    marked = rows.image_id.isin(set(chosen)).to_numpy()
    return replace(data, labelled=study.labelled(rows[marked]), labelled_rows=np.flatnonzero(marked))


def test(plan: Plan, direction: Direction) -> tuple[Labelled, pd.DataFrame]:
    """Test images of the target with their labels, and their rows of the splits table."""
    study = Study(direction.target.cohort, plan.cohorts[direction.target.cohort])
    rows = direction.target.rows(study, "test")
    return study.labelled(rows), rows


def tested_rows(plan: Plan, direction: Direction) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the splits tables of the images that a run predicts: validation of the source, and test of the target."""
    source = Study(direction.source.cohort, plan.cohorts[direction.source.cohort])
    target = Study(direction.target.cohort, plan.cohorts[direction.target.cohort])
    return direction.source.rows(source, "validation"), direction.target.rows(target, "test")


@dataclass(frozen=True)
class Gathered:
    """Train and validation images of all cohorts of a study, to look at the gap between places; nothing is trained on them.

    Attributes
    ----------
    images
        uint8 (n, size, size).
    planes, places, patients, cohorts, parts
        Of every image, (n,); patients of different cohorts have different names.
    index
        Rows of the tables that 01_cohort makes, in the same order.
    """

    images: np.ndarray
    planes: np.ndarray
    places: np.ndarray
    patients: np.ndarray
    cohorts: np.ndarray
    parts: np.ndarray
    index: pd.DataFrame

    def rows(self, domain: Domain) -> np.ndarray:
        """Rows of the images of a domain, int (m,)."""
        inside = self.cohorts == domain.cohort
        if domain.by:
            inside &= (self.places == domain.place) != domain.rest_of_it
        return np.flatnonzero(inside)


def gathered(plan: Plan) -> Gathered:
    """All that is not test, of all cohorts; raises FetalkitError where an earlier stage is missing."""
    of_cohort = {domain.cohort: domain for each in plan.directions.values() for domain in (each.source, each.target)}
    parts = []
    for cohort, domain in of_cohort.items():
        study = Study(cohort, plan.cohorts[cohort])
        rows = study.table[study.table.part != "test"]
        index = table_of_images.read(cohort).set_index("image_id").loc[rows.image_id]
        patients = cohort + " " + rows.group
        named = np.full(len(rows), cohort)
        parts.append(
            (study.store.images(rows.image_id), rows.plane, domain.places(rows), patients, named, rows.part, index)
        )
    images, planes, places, patients, cohorts, of_parts, index = zip(*parts, strict=True)
    arrays = dict(images=images, planes=planes, places=places, patients=patients, cohorts=cohorts, parts=of_parts)
    return Gathered(**{name: np.concatenate(of) for name, of in arrays.items()}, index=pd.concat(index))
