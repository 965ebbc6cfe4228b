"""Small copies of source images, for a page that shows what a cohort looks like."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fetalkit.config.sections import Frame
from fetalkit.data import images


class Gallery:
    """Source images at thumbnail size.

    Parameters
    ----------
    root, index
        Where the images lie, and the audited table of them, as `fetalkit.cohorts.audit.scan` returns it.
    frame
        As for `fetalkit.data.decoding.read`.
    """

    def __init__(self, root: Path, index: pd.DataFrame, frame: Frame | None = None):
        self.root, self.index = root, index
        self.frame: Frame | None = frame

    def _small(self, sources: pd.Series, size: int) -> list[np.ndarray]:
        return [images.working(images.read(self.root / source, self.frame), size) for source in sources]

    def of_planes(self, planes: Sequence[str], each: int = 8, size: int = 96) -> dict[str, list[np.ndarray]]:
        """Plane → `each` images of it, drawn at random (always the same ones); uint8 (size, size)."""
        shuffled = {plane: self.index[self.index.plane == plane].sample(frac=1, random_state=0) for plane in planes}
        return {plane: self._small(rows[:each].source, size) for plane, rows in shuffled.items()}

    def marked(self, number: int = 8, size: int = 128) -> list[np.ndarray]:
        """The images with the largest share of thin near-white strokes, as burned-in text and calipers are."""
        return self._small(self.index.sort_values("overlay_share", ascending=False)[:number].source, size)

    def duplicates(
        self, pairs: pd.DataFrame, number: int = 9, size: int = 96
    ) -> tuple[list[tuple[np.ndarray, ...]], list[str]]:
        """Pairs of images that show the same picture and a title for each; those that cross the split come first."""
        worst = pairs.sort_values(["crosses_split", "kind"], ascending=False)[:number]
        at = self.index.set_index("image_id").source
        shown = [tuple(self._small(at[list(pair)], size)) for pair in worst[["image_a", "image_b"]].to_numpy()]
        titles = [f"{row.kind}{', crosses split' if row.crosses_split else ''}" for row in worst.itertuples()]
        return shown, titles
