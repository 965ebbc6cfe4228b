"""Where the images of each plane go in a new place, and why: confusions, what the source taught, nearest images, grey levels.

Four questions about a plane that is missed. *Had it been learnt?* Recall on validation images of the source, beside that on the
target. *Is it another picture there?* The planes of the nearest source images, in features of a network that has learnt no
plane: if these are of other planes, the images themselves differ. *Is it grey levels or magnification?* Recall of methods that
change these alone. *Does it help to be told?* Recall with k labelled images of the target. All words follow from the numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors

from fetalkit.analysis import results
from fetalkit.analysis.transfer_results import SETS, TransferComparison
from fetalkit.experiments.transfer.domains import Direction, Gathered
from fetalkit.experiments.transfer.methods import CONTROL
from fetalkit.metrics import outline

NEIGHBOURS, SHOWN = 5, 6  # images that are looked for around each, and pairs that are shown
# Methods that change one thing about the images or the training, and what that is.
REMEDIES = {
    "multi-resolution": "several magnifications",
    "histogram": "grey levels of the target",
    "fourier": "light and shade of the target",
    "adabn": "normalisation of the target",
    "pseudo-label": "images of the target under the control's calls",
    "joint": "k labelled images per plane of the target",
}


def confusions(compared: TransferComparison, view: str, method: str = CONTROL, of: str = "target") -> pd.DataFrame:
    """What images of every plane are called, mean over the classifiers that have the method, and seeds.

    Parameters
    ----------
    of
        ``"target"`` (test images) or ``"source"`` (validation images).

    Returns
    -------
    pandas.DataFrame
        ``plane``, ``called``, ``n`` (images of the plane), ``share`` (of them that are called so, in [0, 1]; NaN where a run
        failed). Planes that have no image are left out.
    """
    plan, names = compared.plan, compared.classifiers(view, method)
    labels = results.labels_of(compared.test(view, of), plan.planes)
    shares = []
    for name, seed in product(names, plan.seeds):
        probabilities = compared.probabilities(view, method, name, seed, of)
        called = np.eye(len(plan.planes))[probabilities.argmax(axis=1)]
        shares.append(np.where(np.isnan(probabilities).any(axis=1, keepdims=True), np.nan, called))
    mean = np.mean(shares, axis=0)
    rows = [
        {
            "plane": plane,
            "called": called,
            "n": int((labels == number).sum()),
            "share": mean[labels == number, column].mean(),
        }
        for number, plane in enumerate(plan.planes)
        for column, called in enumerate(plan.planes)
        if (labels == number).any()
    ]
    return pd.DataFrame(rows)


def recalls(compared: TransferComparison, view: str) -> pd.DataFrame:
    """Recall per plane: of the control in the source and in the target, and of `REMEDIES` in the target.

    Returns
    -------
    pandas.DataFrame
        ``plane``, ``of`` (``"source"`` or ``"target"``), ``method``, ``classifiers``, ``n`` (images), ``recall`` and
        ``unaligned`` (of the control with the same classifiers, on the same images), in [0, 1].
    """
    asked = [(CONTROL, of) for of in SETS]
    asked += [(name, "target") for name in REMEDIES if name in compared.methods(view)]
    parts = []
    for method, of in asked:
        names, labels = (
            compared.classifiers(view, method),
            results.labels_of(compared.test(view, of), compared.plan.planes),
        )
        right = {name: _right(compared, view, name, names, of, labels) for name in dict.fromkeys((method, CONTROL))}
        for number, plane in enumerate(compared.plan.planes):
            mine = labels == number
            if mine.any():
                row = {
                    "plane": plane,
                    "of": of,
                    "method": method,
                    "classifiers": ", ".join(names),
                    "n": int(mine.sum()),
                }
                parts.append(row | {"recall": right[method][mine].mean(), "unaligned": right[CONTROL][mine].mean()})
    return pd.DataFrame(parts)


def _right(
    compared: TransferComparison, view: str, method: str, names: Sequence[str], of: str, labels: np.ndarray
) -> np.ndarray:
    """Share of classifiers and seeds that are right, (images,); NaN where a run failed."""
    each = [compared.probabilities(view, method, name, seed, of) for name in names for seed in compared.plan.seeds]
    return np.mean([np.where(np.isnan(p).any(axis=1), np.nan, p.argmax(axis=1) == labels) for p in each], axis=0)


def nearest(vectors: np.ndarray, source: np.ndarray, target: np.ndarray, neighbours: int = NEIGHBOURS) -> np.ndarray:
    """For every target image the nearest source images, by the angle between feature vectors.

    Parameters
    ----------
    vectors
        (n, d), of all images.
    source, target
        Rows of `vectors`, (m,) and (t,).
    neighbours
        How many; fewer if there are no more source images.

    Returns
    -------
    ndarray, int (t, neighbours)
        Rows of `vectors`, the nearest first.
    """
    search = NearestNeighbors(n_neighbors=min(neighbours, len(source)), metric="cosine").fit(vectors[source])
    return source[search.kneighbors(vectors[target], return_distance=False)]


def planes_of_nearest(planes: np.ndarray, target: np.ndarray, found: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """Planes of the source images that target images are nearest to.

    Parameters
    ----------
    planes
        Of all images, (n,).
    target, found
        As `nearest` takes and returns them.
    names
        Of the planes, in order.

    Returns
    -------
    pandas.DataFrame
        ``plane`` (of the target image), ``called`` (of its neighbours), ``n`` (target images), ``share`` (of the neighbours, in
        [0, 1]); rows as `confusions` has them.
    """
    rows = []
    for plane in (name for name in names if (planes[target] == name).any()):
        of = planes[found[planes[target] == plane]]
        rows += [
            {"plane": plane, "called": called, "n": len(of), "share": float((of == called).mean())} for called in names
        ]
    return pd.DataFrame(rows)


def appearance(seen: Gathered) -> pd.DataFrame:
    """Grey levels and field of view of every plane in every place.

    Returns
    -------
    pandas.DataFrame
        ``plane``, ``place``, ``n`` (images), and means over them: ``grey`` (mean grey level inside the fan, 0-255),
        ``contrast`` (standard deviation there), ``dark`` (share of the fan below 5 % of white) and ``fan`` (share of the
        square image that the fan fills), the last two in [0, 1].
    """
    fans = outline.fan_masks(seen.images)
    inside = np.where(fans, seen.images, np.nan).reshape(len(fans), -1)
    some = fans.any(axis=(1, 2))
    table = pd.DataFrame({"place": seen.places, "plane": seen.planes, "n": 1, "fan": fans.mean(axis=(1, 2))})
    table.loc[some, "grey"] = np.nanmean(inside[some], axis=1)
    table.loc[some, "contrast"] = np.nanstd(inside[some], axis=1)
    table.loc[some, "dark"] = [np.mean(of[~np.isnan(of)] < 0.05 * 255) for of in inside[some]]
    grouped = table.groupby(["plane", "place"], as_index=False)
    return grouped.agg({"n": "sum", "grey": "mean", "contrast": "mean", "dark": "mean", "fan": "mean"})


def weakest(confused: pd.DataFrame) -> str:
    """The plane with the lowest recall, from `confusions`; ``""`` where nothing was measured."""
    own = confused[confused.plane == confused.called].dropna(subset="share")
    return "" if own.empty else str(own.plane[own.share.idxmin()])


@dataclass(frozen=True)
class Missed:
    """Why planes of one direction are missed, in tables.

    Attributes
    ----------
    target, source
        Rows of `seen` that belong to each, and `nearest`: those of the source images nearest to every target image.
    confused, known
        `confusions` in the target and in the source.
    near
        `planes_of_nearest`.
    recalled
        `recalls`.
    """

    name: str
    source: np.ndarray
    target: np.ndarray
    nearest: np.ndarray
    confused: pd.DataFrame
    known: pd.DataFrame
    near: pd.DataFrame
    recalled: pd.DataFrame

    @classmethod
    def of(cls, compared: TransferComparison, seen: Gathered, vectors: np.ndarray, direction: Direction) -> "Missed":
        """Of a direction; `vectors` (images, features) of all images that were `seen`."""
        source, target = seen.rows(direction.source), seen.rows(direction.target)
        found = nearest(vectors, source, target)
        return cls(
            direction.name,
            source,
            target,
            found,
            confusions(compared, direction.name),
            confusions(compared, direction.name, of="source"),
            planes_of_nearest(seen.planes, target, found, compared.plan.planes),
            recalls(compared, direction.name),
        )

    def table(self) -> pd.DataFrame:
        """All of it in one long table, with ``direction`` and ``of``."""
        parts = {
            "called in the target": self.confused,
            "called in the source": self.known,
            "planes of the nearest": self.near,
        }
        every = [table.assign(direction=self.name, of=of) for of, table in parts.items()]
        return pd.concat([*every, self.recalled.assign(direction=self.name, of="recall in the " + self.recalled.of)])

    def learnt(self, seen: Gathered, plane: str) -> int:
        """Train images of a plane in the source."""
        return int(((seen.planes[self.source] == plane) & (seen.parts[self.source] == "train")).sum())

    def examples(self, seen: Gathered, plane: str) -> tuple[np.ndarray, list[str]]:
        """The first images of a plane in the target, then the source image nearest to each: pictures and titles."""
        mine = np.flatnonzero(seen.planes[self.target] == plane)[:SHOWN]
        rows = np.concatenate([self.target[mine], self.nearest[mine, 0]])
        return seen.images[rows], [f"{seen.planes[row]}, {seen.places[row]}" for row in rows]
