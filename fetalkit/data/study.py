"""The tables and arrays of one cohort, as the stages after 03_splits read them."""

from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from fetalkit.data import images
from fetalkit.utils import paths

from fetalkit.utils.errors import FetalkitError

from fetalkit.data.images import Labelled

from fetalkit.config.params import Params


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
        On first use of a file that an earlier stage has not made yet.
    """

    def __init__(self, cohort: str, params: Params):
        self.cohort, self.params = cohort, params
        self.planes = list(params.cohort.planes)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per image, in the order of the store; columns as `fetalkit.data.splits.split` makes them."""
        table = pd.read_csv(
            _made(paths.data(self.cohort, "splits", "splits.csv"), "03_splits"),
            dtype={"image_id": str, "patient": str, "group": str},
            keep_default_na=False,
        )
        return table.assign(linked=table.linked == "True" if table.linked.dtype == object else table.linked)

    @cached_property
    def shots(self) -> pd.DataFrame:
        """Nested subsets: ``seed``, ``k`` (text), ``plane``, ``image_id``."""
        return pd.read_csv(
            _made(paths.data(self.cohort, "splits", "shots.csv"), "03_splits"), dtype={"k": str, "image_id": str}
        )

    @cached_property
    def store(self) -> np.ndarray:
        """Memory-mapped images, uint8 (n, size, size)."""
        return images.load(_made(paths.data(self.cohort, "images", "images.npy"), "02_images"))

    def labels(self, rows: pd.DataFrame) -> np.ndarray:
        """Class numbers, int64, of rows of the table: positions of their planes in ``cohort.planes``."""
        return rows.plane.map(self.planes.index).to_numpy(np.int64)

    def labelled(self, rows: pd.DataFrame) -> Labelled:
        """Images and labels of rows of the table."""
        return Labelled(self.store[rows.index.to_numpy()], self.labels(rows))

    def part(self, name: str) -> pd.DataFrame:
        """Rows of a part; those of ``test`` include the dropped images, which the sensitivity analysis needs."""
        return self.table[self.table.part == name]

    def train(self, k: str, seed: int) -> Labelled:
        """The images that a cell, and its generator, may see: the k-shot subset of `seed`."""
        return self.labelled(self.table[self.table.image_id.isin(self._shot(k, seed))])

    def unseen(self, k: str, seed: int) -> Labelled:
        """Images of the train and validation patients of whom the cell (`k`, `seed`) sees none: what a search may judge by."""
        known = pd.concat([self.part("train"), self.part("validation")])
        known = known[known.dropped == ""]
        seen = known[known.image_id.isin(self._shot(k, seed))].group
        return self.labelled(known[~known.group.isin(seen)])

    def _shot(self, k: str, seed: int) -> set[str]:
        """Identifiers of the images of a k-shot subset."""
        chosen = self.shots[(self.shots.k == str(k)) & (self.shots.seed == seed)].image_id
        if chosen.empty:
            raise FetalkitError(f"{self.cohort}: no subset k = {k}, seed = {seed}; run 03_splits again")
        return set(chosen)

    def synthetic(self, generator: str, k: str, seed: int) -> Labelled:
        """Synthetic set of a generator of cell (`k`, `seed`)."""
        path = paths.data(self.cohort, "synthetic", f"{set_name(generator, k, seed)}.npz")
        with np.load(_made(path, "05_synthesis"), allow_pickle=False) as content:
            return Labelled(content["images"], content["labels"])


def set_name(generator: str, k: str, seed: int) -> str:
    """Name of a trained generator and of its synthetic set, e.g. ``diffusion-k10-seed0``."""
    return f"{generator}-k{k}-seed{seed}"


def _made(path: Path, notebook: str) -> Path:
    if not path.exists():
        raise FetalkitError(f"{path}: not found; run {notebook} first, or `dvc repro`")
    return path
