"""The tables and arrays of one cohort, as the stages after 03_splits read them. Images go by their ids everywhere."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from fetalkit.config.params import Params
from fetalkit.config.shots import EVERY
from fetalkit.data.images import ImageStore, Labelled
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import made_by


class Study:
    """Images with their splits.

    Parameters
    ----------
    cohort
        Name of the cohort.
    params
        Its settings, from `fetalkit.config.params.load`.

    Raises
    ------
    FetalkitError
        On first use of a file that an earlier stage has not made yet, or has made with other parameters.
    """

    def __init__(self, cohort: str, params: Params):
        self.cohort, self.params = cohort, params
        self.planes = list(params.cohort.planes)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per image, in the order of the index; columns as `fetalkit.data.splits.split` makes them."""
        path = made_by("03_splits", paths.data(self.cohort, "splits", "splits.csv"))
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        return table.assign(linked=table.linked == "True")

    @cached_property
    def shots(self) -> pd.DataFrame:
        """Nested subsets: ``seed``, ``k`` (text), ``plane``, ``image_id``."""
        path = made_by("03_splits", paths.data(self.cohort, "splits", "shots.csv"))
        return pd.read_csv(path, dtype=str, keep_default_na=False).astype({"seed": int})

    @cached_property
    def store(self) -> ImageStore:
        """All images of the cohort, by id; where `tested_on` is validation, test images are hidden."""
        folder = made_by("02_images", paths.data(self.cohort, "images"))
        store = ImageStore.load(folder, self.params.images.image_size)
        if missing := set(self.table.image_id) - set(store.image_ids):
            raise FetalkitError(
                f"{folder}: {len(missing)} images of the splits are not in it, such as {min(missing)}; run 02_images again"
            )
        return store if self.tested_on == "test" else replace(store, hidden=frozenset(self.part("test").image_id))

    def labels(self, rows: pd.DataFrame) -> np.ndarray:
        """Class numbers, int64, of rows of the table: positions of their planes in ``cohort.planes``."""
        return rows.plane.map(self.planes.index).to_numpy(np.int64)

    def labelled(self, rows: pd.DataFrame) -> Labelled:
        """Images and labels of rows of the table."""
        return Labelled(self.store.images(rows.image_id), self.labels(rows))

    def part(self, name: str) -> pd.DataFrame:
        """Rows of a part; those of ``test`` include the dropped images, which the sensitivity analysis needs."""
        return self.table[self.table.part == name]

    @property
    def tested_on(self) -> str:
        """Name of the part that results are of: ``"test"``, or ``"validation"`` where test images are not to be read yet."""
        return self.params.classify.tested_on

    @property
    def tested(self) -> pd.DataFrame:
        """Rows of that part, those included that are dropped."""
        return self.part(self.tested_on)

    @property
    def predicted(self) -> list[str]:
        """Names of the images that every run predicts: validation, then test."""
        parts = dict.fromkeys(["validation", self.tested_on])
        return [name for part in parts for name in self.part(part).image_id]

    def train(self, k: str, seed: int) -> Labelled:
        """The images that a run, and its generator, may see: the k-shot subset of `seed`."""
        return self.labelled(self.table[self.table.image_id.isin(self._subset(k, seed))])

    def beside(self, k: str, seed: int) -> np.ndarray:
        """Train images beside those of `train`, uint8 (n, side, side): for who may see them, but not their labels."""
        others = self.all_train - self._subset(k, seed)
        return self.store.images(self.table.image_id[self.table.image_id.isin(others)])

    def unseen(self, k: str, seed: int) -> Labelled:
        """Images of the train and validation patients of whom the run (`k`, `seed`) sees none: what a search may judge by."""
        known = pd.concat([self.part("train"), self.part("validation")])
        known = known[known.dropped == ""]
        seen = known[known.image_id.isin(self._subset(k, seed))].group
        return self.labelled(known[~known.group.isin(seen)])

    def number_of_images(self, k: str, seed: int) -> int:
        """How many images `train` has, without reading one."""
        return len(self._subset(k, seed))

    def _subset(self, k: str, seed: int) -> set[str]:
        """Identifiers of the images of a k-shot subset."""
        chosen = self.shots[(self.shots.k == k) & (self.shots.seed == seed)].image_id
        if chosen.empty and k == EVERY:  # it is what it is in every study, also where no run trains on it
            return self.all_train
        if chosen.empty:
            raise FetalkitError(f"{self.cohort}: no subset k = {k}, seed = {seed}; run 03_splits again")
        return set(chosen)

    @cached_property
    def all_train(self) -> set[str]:
        """Identifiers of all train images."""
        train = self.part("train")
        return set(train[train.dropped == ""].image_id)

    def ready(self, sets: Iterable[tuple[str, str, int]] = ()) -> None:
        """Look for what jobs will read before they begin: the splits, the images, and `sets` (generator, k, seed).

        Raises
        ------
        FetalkitError
            Once, not for every job; names the notebook that has to run first.
        """
        _ = self.shots, self.store
        files = [paths.data(self.cohort, "synthetic", f"{set_name(*one)}.npz") for one in sets]
        if files:
            made_by("05_synthesis", *files)

    def synthetic(self, generator: str, k: str, seed: int) -> Labelled:
        """Synthetic set of a generator of the run (`k`, `seed`)."""
        path = paths.data(self.cohort, "synthetic", f"{set_name(generator, k, seed)}.npz")
        return read_set(path, self.params.images.image_size)


def read_set(path: Path, image_size: int) -> Labelled:
    """A stored synthetic set.

    Raises
    ------
    FetalkitError
        When it is missing or damaged, or its images have another side than `image_size` px: then other parameters made it.
    """
    try:
        with np.load(made_by("05_synthesis", path), allow_pickle=False) as content:
            data = Labelled(content["images"], content["labels"])
    except (OSError, ValueError, KeyError) as error:
        raise FetalkitError(f"{path}: not a complete synthetic set ({error}); run 05_synthesis again") from error
    if data.images.shape[1:] != (image_size, image_size):
        raise FetalkitError(
            f"{path}: its images have {data.images.shape[1]} px, but images.image_size is {image_size}; run 05_synthesis again"
        )
    return data


def set_name(generator: str, k: str, seed: int) -> str:
    """Name of a trained generator and of its synthetic set, e.g. ``diffusion-k10-seed0``."""
    return f"{generator}-k{k}-seed{seed}"
