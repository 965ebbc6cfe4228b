"""How good the images were that classifiers have trained on, next to real ones; from the tables of 06_fidelity."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from fetalkit.analysis.wording import number
from fetalkit.metrics.compare import ALL, REFERENCE
from fetalkit.metrics.features import IMAGENET
from fetalkit.utils.errors import FetalkitError

SPACE = IMAGENET  # of the Fréchet distance
Grade = Literal["weak", "fair", "good"]
GRADES: tuple[Grade, ...] = ("weak", "fair", "good")
FAIR, GOOD, HALF = 0.7, 0.9, 0.5  # of the share of real test images that is recognised
NEAR, FAR = 2.0, 4.0  # times the Fréchet distance of real train images
_BEST = "real_train"  # set of real images that a perfect generator would equal


def quality(folder: Path, sets: Sequence[str], shots: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Quality of synthetic sets.

    Parameters
    ----------
    folder
        With ``fidelity.csv``, ``fidelity.json`` and, for near-copies, ``sets.csv``: ``data/<cohort>/fidelity``; a published
        report lacks the last.
    sets
        Their names; those that have not been measured are left out.
    shots
        k of the study.

    Returns
    -------
    dict
        Set → ``cas_share`` (accuracy of a classifier that was trained on the set of the largest k alone, over that of one that
        was trained on real images) and ``by_k``: k → ``recognised`` and ``recognised_real`` (share of its images, and of real
        test images, that a classifier of real images calls as asked for), ``weakest``, ``weakest_recognised`` and
        ``weakest_recognised_real`` (the plane for which the one is the smallest part of the other, and the same of it), ``fd``
        and ``fd_real`` (Fréchet distance to real test images in `SPACE`, of the set and of real train images), ``near_copies``
        (share). Means over seeds; None where something was not measured. Empty where the stage has not run.

    Raises
    ------
    FetalkitError
        When a file is damaged.
    """
    if not (folder / "fidelity.csv").exists():
        return {}
    measured = _json(folder / "fidelity.json")
    table = pd.read_csv(folder / "fidelity.csv", dtype={"k": str}, keep_default_na=False, na_values=[""])
    table = table[(table.feature_space == SPACE) & (table.plane == ALL)]
    copies = pd.read_csv(folder / "sets.csv", dtype={"k": str}) if (folder / "sets.csv").exists() else None
    found: dict[str, dict[str, Any]] = {}
    for name in sets:
        by_k = {k: _at(name, k, measured, table, copies) for k in shots}
        by_k = {k: entry for k, entry in by_k.items() if entry["fd"] is not None or entry["recognised"] is not None}
        if by_k:
            found[name] = {"cas_share": measured.get("cas_share", {}).get(name), "by_k": by_k}
    return found


def _json(path: Path) -> dict[str, Any]:
    """Contents of ``fidelity.json``, which an earlier edition may not have published."""
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise FetalkitError(f"{path}: damaged ({error}); run 06_fidelity again, or get it back from git") from None


def _at(
    name: str, k: str, measured: dict[str, Any], table: pd.DataFrame, copies: pd.DataFrame | None
) -> dict[str, float | None]:
    """Quality of one set at one k."""
    recognised = measured.get("recognised_by_k", {}).get(k, {})
    entry = {
        "recognised": recognised.get(name, {}).get(ALL),
        "recognised_real": recognised.get(REFERENCE, {}).get(ALL),
        **_weakest(recognised.get(name, {}), recognised.get(REFERENCE, {})),
        "fd": _mean(table.fd[(table.set == name) & (table.k == k)]),
        "fd_real": _mean(table.fd[table.set == _BEST]),
        "near_copies": None,
    }
    if copies is not None:
        rows = copies[(copies.generator == name) & (copies.k == k)].drop_duplicates("seed")
        entry["near_copies"] = _mean(rows.share)
    return entry


def _weakest(drawn: Mapping[str, float], real: Mapping[str, float]) -> dict[str, Any]:
    """The plane that is recognised least, beside real images of it."""
    parts = {plane: drawn[plane] / real[plane] for plane in drawn if plane != ALL and real.get(plane)}
    plane = min(parts, key=lambda plane: parts[plane], default=None)
    shares = (None, None) if plane is None else (drawn[plane], real[plane])
    return dict(zip(("weakest", "weakest_recognised", "weakest_recognised_real"), (plane, *shares), strict=True))


def grade(entry: Mapping[str, Any]) -> Grade | None:
    """One word for a set of images at one k, from an entry of ``by_k``: `GOOD` and `FAIR` say how much is asked for.

    The share of the images that is recognised, over that of real test images; where a plane is recognised less than `HALF` as
    often as real images of it, one step lower. And no more than fair where the Fréchet distance is above `NEAR` times that of
    real train images, weak above `FAR` times. None where nobody has named the images.
    """
    if entry.get("recognised") is None or not entry.get("recognised_real"):
        return None
    return GRADES[min(_recognised(entry), _near(entry))]


def held_back(entry: Mapping[str, Any]) -> str:
    """What keeps a set from a better word, where its images are recognised well enough for one; empty where nothing does."""
    if grade(entry) is None or _near(entry) >= _recognised(entry):
        return ""
    return (
        f"{number(entry['fd'] / entry['fd_real'], 2)} times that of real ones, which makes it {grade(entry)}: by what is "
        f"recognised alone it would be {GRADES[_recognised(entry)]}"
    )


def _recognised(entry: Mapping[str, Any]) -> int:
    """Place among `GRADES` by what is recognised alone."""
    part = round(entry["recognised"] / entry["recognised_real"], 6)  # 0.72 of 0.8 is 0.9
    steps = int(part >= FAIR) + int(part >= GOOD)
    if entry.get("weakest_recognised_real"):
        steps -= int(round(entry["weakest_recognised"] / entry["weakest_recognised_real"], 6) < HALF)
    return max(steps, 0)


def _near(entry: Mapping[str, Any]) -> int:
    """Highest place among `GRADES` that the Fréchet distance allows."""
    if entry.get("fd") is None or not entry.get("fd_real"):
        return len(GRADES) - 1
    distance = entry["fd"] / entry["fd_real"]
    return 2 - int(distance > NEAR) - int(distance > FAR)


def _mean(values: pd.Series) -> float | None:
    mean = float(values.mean()) if len(values) else np.nan
    return None if np.isnan(mean) else round(mean, 4)
