"""How far apart the images of two hospitals are, before any classifier of planes is trained.

Three views of the same gap. The *proxy A-distance* asks how well a classifier tells the hospitals apart; it has a module of its
own, `fetalkit.metrics.separability`. The *Fréchet distance* compares their feature vectors. *Average images and power spectra*
show what differs to the eye. The first two have a reference: what they give for two halves of one hospital's patients, between
which there is no gap.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement, product
from typing import Any

import numpy as np
import pandas as pd
import torch

from fetalkit.metrics import distances, speckle
from fetalkit.metrics.compare import ALL
from fetalkit.metrics.grouped import Names, checked, halves
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.streams import rng

DRAWS = 10
FEWEST = 8  # images on either side: of fewer, a Fréchet distance says more of the draw than of the hospitals
_NO_DISTANCE = {"n": 0, "fd": np.nan, "sd": np.nan}


def frechet_between(
    features: np.ndarray,
    centres: Names,
    patients: Names,
    planes: Names,
    seed: int,
    draws: int = DRAWS,
    fewest: int = FEWEST,
) -> pd.DataFrame:
    """Fréchet distance between every pair of centres, beside that between two halves of one centre.

    The distance is not 0 for two draws from one centre, and it grows as n shrinks. So all pairs are drawn in one way: of each
    centre, half the patients at random, and of them as many images of a plane as the half with the fewest has. A distance
    between centres is then as large as that within a centre if there is no gap, whatever the numbers of images are.

    Parameters
    ----------
    features
        (n, d).
    centres, patients, planes
        (n,), of each row.
    seed
        Of the halves and of the images drawn.
    draws
        How often halves and images are drawn; at least 2.
    fewest
        Images on either side that a distance is taken of, at least 2. A centre with fewer of a plane in a half is left out of
        that plane's distances.

    Returns
    -------
    pandas.DataFrame
        ``a``, ``b`` (the same name twice: within that centre), ``plane`` (``"all"`` or a name), ``n`` (images on either
        side), ``fd`` (mean over draws), ``sd`` (over draws), ``within`` (mean of the two centres' references). NaN, with n = 0,
        where a centre has too few images. ``"all"`` is of the planes that every centre has.

    Raises
    ------
    FetalkitError
        When the lengths do not fit, a feature is not finite, or `draws` or `fewest` is below 2.
    """
    if min(draws, fewest) < 2:
        raise FetalkitError(f"{draws} draws of at least {fewest} images: a Fréchet distance needs two of both")
    features, centres, patients, planes = checked(features, centres=centres, patients=patients, planes=planes)
    names, kinds = sorted(set(centres)), sorted(set(planes))
    rows = {name: np.flatnonzero(centres == name) for name in names}
    halved = [{name: halves(rows[name], patients, seed, name, draw) for name in names} for draw in range(draws)]
    available = _available(halved, planes, names, kinds)
    measured = []
    for plane in (ALL, *kinds):
        able, number = _comparable(available, plane, fewest)
        drawn = [
            {key: features[of] for key, of in _drawn_halves(draw, able, planes, number, seed, turn).items()}
            for turn, draw in enumerate(halved)
        ]
        for a, b in combinations_with_replacement(names, 2):
            distance = _distance(drawn, a, b, int(number.sum())) if {a, b} <= set(able) else _NO_DISTANCE
            measured.append({"a": a, "b": b, "plane": plane} | distance)
    return _with_references(pd.DataFrame(measured, columns=["a", "b", "plane", "n", "fd", "sd"]))


def _available(halved: Sequence[Mapping], planes: np.ndarray, names: list[str], kinds: list[str]) -> pd.DataFrame:
    """Images of a plane (row) that a centre (column) has in each of its halves, in the worst draw."""
    return pd.DataFrame(
        {
            name: {kind: min((planes[half] == kind).sum() for draw in halved for half in draw[name]) for kind in kinds}
            for name in names
        }
    )


def _distance(drawn: Sequence[Mapping[tuple[str, int], np.ndarray]], a: str, b: str, n: int) -> dict:
    """Mean and standard deviation over the draws, between a first half of `a` and a second half of `b`."""
    values = [distances.frechet(sets[a, 0], sets[b, 1]) for sets in drawn]
    return {"n": n, "fd": float(np.mean(values)), "sd": float(np.std(values, ddof=1))}


def _comparable(available: pd.DataFrame, plane: str, fewest: int) -> tuple[list[str], pd.Series]:
    """Centres with enough images of a plane, and the number of images to draw of it; or of each plane, for ``"all"``."""
    centres: list[Any] = list(available)
    if plane == ALL:
        # Equal planes on both sides, or their shares would count as a gap; a plane that some centre lacks drops out.
        number = available.min(axis=1)
        return (centres if number.sum() >= fewest else []), number
    counts: Any = available.loc[plane]
    able = [name for name in centres if counts[name] >= fewest]
    return able, available.loc[[plane], able].min(axis=1)


def _with_references(table: pd.DataFrame) -> pd.DataFrame:
    """The table with ``within``: the mean of the distances within either centre."""
    own = table[table.a == table.b].set_index(["a", "plane"]).fd
    references = [own.loc[list(zip(table[side], table.plane, strict=True))].to_numpy() for side in ("a", "b")]
    return table.assign(within=np.mean(references, axis=0))


def matrix(table: pd.DataFrame, plane: str = ALL, value: str = "fd") -> pd.DataFrame:
    """Square matrix, centre by centre, of a column of `frechet_between`; with ``fd`` the references are on the diagonal.

    Raises
    ------
    FetalkitError
        When the table has no such plane.
    """
    rows = table[table.plane == plane]
    if rows.empty:
        raise FetalkitError(f"no plane {plane!r} in the table; there are {', '.join(dict.fromkeys(table.plane))}")
    half = rows.pivot(index="a", columns="b", values=value)
    return half.combine_first(half.T).rename_axis(index=None, columns=None)


def mean_images(images: np.ndarray, centres: Names) -> dict[str, np.ndarray]:
    """Average image of every centre.

    Parameters
    ----------
    images
        uint8 (n, size, size).
    centres
        (n,), of each image.

    Returns
    -------
    dict
        Centre → float (size, size) in [0, 255], centres sorted.

    Raises
    ------
    FetalkitError
        When the shapes or types do not fit.
    """
    places = _of_images(images, centres)
    return {name: images[places == name].mean(axis=0) for name in sorted(set(places))}


def radial_spectrum(images: np.ndarray, centres: Names) -> pd.DataFrame:
    """Power spectrum of every centre, as `fetalkit.metrics.speckle.measure` takes it: the mean over directions and images.

    Parameters
    ----------
    images
        uint8 (n, size, size).
    centres
        (n,), of each image.

    Returns
    -------
    pandas.DataFrame
        Index ``cycles`` (per image, 1 to size // 2), a column per centre, sorted; in squared grey levels.

    Raises
    ------
    FetalkitError
        When the shapes or types do not fit.
    """
    places = _of_images(images, centres)
    power = {name: speckle.measure(images[places == name]).power for name in sorted(set(places))}
    return pd.DataFrame(power, index=pd.RangeIndex(1, images.shape[1] // 2 + 1, name="cycles"))


def _drawn_halves(
    draw: Mapping[str, Sequence[np.ndarray]],
    centres: Sequence[str],
    planes: np.ndarray,
    number: pd.Series,
    seed: int,
    turn: int,
) -> dict[tuple[str, int], np.ndarray]:
    """Rows that are drawn of each half (0 and 1) of each of `centres`."""
    return {
        (name, side): _drawn(draw[name][side], planes, number, seed, name, side, turn)
        for name, side in product(centres, (0, 1))
    }


def _drawn(rows: np.ndarray, planes: np.ndarray, number: pd.Series, seed: int, *key: int | str) -> np.ndarray:
    """`number[plane]` of the rows of every plane, at random."""
    chosen = []
    of_plane: dict[Any, Any] = number.to_dict()
    for plane, n in of_plane.items():
        mine = rows[planes[rows] == plane]
        order = torch.randperm(len(mine), generator=rng(seed, "gap", plane, *key)).numpy()
        chosen.append(mine[order[:n]])
    return np.concatenate(chosen)


def _of_images(images: np.ndarray, centres: Names) -> np.ndarray:
    places = np.asarray(centres, dtype=str)
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1] != images.shape[2] or not len(images):
        raise FetalkitError(f"images are {images.dtype} {images.shape}; uint8 (n, size, size) is needed, n at least 1")
    if places.shape != images.shape[:1]:
        raise FetalkitError(f"{len(images)} images but centres of shape {places.shape}: name the centre of every image")
    return places
