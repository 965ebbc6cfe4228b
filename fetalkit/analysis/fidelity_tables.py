"""What the page on fidelity shows, from all that was measured on the synthetic sets of a study."""

from typing import Any

import numpy as np
import pandas as pd

from fetalkit.analysis import names, wording
from fetalkit.data.images import Labelled
from fetalkit.experiments.fidelity import BEST, PIXELS, Evaluation
from fetalkit.metrics import compare, memorisation

SHOWN = ["n", "FD", "KID", "precision", "recall", "density", "coverage"]
FORMATS = dict(n="{:.0f}", FD="{:.1f}", KID="{:.4f}", precision=".2f", recall=".2f", density=".2f", coverage=".2f")
_SHORT = {"fd": "FD", "kid": "KID"}
BEST_OF = {"FD": "lowest", "KID": "lowest"} | dict.fromkeys(SHOWN[3:], "highest")  # which value of each is the best
_NEAR_COPIES = ["space", "generator", "k", "share", "95 % interval", "n", "threshold"]


def facts(evaluation: Evaluation) -> dict[str, Any]:
    """What is compared with what, by name."""
    imagenet, own = evaluation.vectors
    small = len(evaluation.guidance_sets) + len(evaluation.snapshots)
    return {
        "Synthetic sets": f"{len(evaluation.sets)}, and {small} small variants",
        "Real images": f"{len(evaluation.test.labels)} test, {len(evaluation.train.labels)} train",
        "What they are": [f"{name}: {title}" for name, title in _titles(evaluation).items()],
        "Shown": wording.listed(f"k = {k}" for k in evaluation.shown),
        "Feature space 1, ImageNet": imagenet,
        "Feature space 2, own network": own,
        "Neighbours (precision, recall, density, coverage)": evaluation.options.neighbours,
        "Quantile of near-copies": f"{wording.percent(evaluation.options.near_copy_quantile)} of unseen real images",
    }


def _titles(evaluation: Evaluation) -> dict[str, str]:
    """Set → what it is: the title of its generator, or of the arm that trains on it."""
    settings = evaluation.settings
    titles = {name: arm.title for name, arm in settings.arms.items()}
    titles |= {name: spec.title for name, spec in settings.generators.items()}
    return {name: titles[name] for name in evaluation.names if name in titles}


def headline(evaluation: Evaluation) -> pd.DataFrame:
    """All planes together at every k shown, mean over seeds: ``k``, ``space``, ``set`` and `SHOWN`."""
    table = pd.concat([evaluation.at(k).assign(k=k) for k in evaluation.shown])
    return _named(evaluation, table[table.plane == compare.ALL])[["k", "space", "set", *SHOWN]]


def every_set(evaluation: Evaluation) -> pd.DataFrame:
    """Every set of the study, all planes together: ``space``, ``set``, ``k``, ``seed`` and `SHOWN`."""
    table = evaluation.compared
    table = table[table.set.isin([*evaluation.names, BEST]) & (table.plane == compare.ALL)]
    return _named(evaluation, table)[["space", "set", "k", "seed", *SHOWN]]


def planes(evaluation: Evaluation, space: str, k: str) -> pd.DataFrame:
    """Plane by plane at one k, mean over seeds: ``plane``, ``set`` and `SHOWN`."""
    table = evaluation.at(k)
    table = table[(table.space == space) & (table.plane != compare.ALL)].rename(columns=_SHORT)
    return table[["plane", "set", *SHOWN]].sort_values("plane", kind="stable")


def guidance(evaluation: Evaluation) -> pd.DataFrame:
    """`fetalkit.experiments.fidelity.Evaluation.guided` under the names of the other tables."""
    return evaluation.guided.rename(columns=_SHORT)[["guidance", "scale", "accuracy", *SHOWN]]


def _named(evaluation: Evaluation, table: pd.DataFrame) -> pd.DataFrame:
    """The same with short names of measures and of feature spaces, and no k where there is none."""
    spaces = dict(zip(evaluation.vectors, ["ImageNet", "own network"], strict=True))
    plain: Any = {"space": spaces, "k": {"": None}}  # not every table has a column k
    return table.rename(columns=_SHORT).replace(plain)


def shown_sets(evaluation: Evaluation, k: str) -> dict[str, Labelled]:
    """Real test images, and the images of every generator at one k, first seed."""
    drawn = {name: evaluation.find(name, k, evaluation.first_seed) for name in evaluation.originals(k)}
    return {compare.REFERENCE: evaluation.test} | {name: evaluation.images(of) for name, of in drawn.items()}


def side_by_side(evaluation: Evaluation, k: str, each: int) -> dict[str, np.ndarray]:
    """The first images of every plane in every one of `shown_sets`: plane and set → (`each`, h, w), uint8."""
    return {
        f"{plane} {names.plain(name)}": data.images[data.labels == number][:each]
        for number, plane in enumerate(evaluation.study.planes)
        for name, data in shown_sets(evaluation, k).items()
    }


def first_samples(evaluation: Evaluation, each: int = 2) -> tuple[dict[str, np.ndarray], list[str]]:
    """The first real test images of every plane, and at every k shown the first ones of the first generator, for a large sheet.

    Returns
    -------
    tuple
        Plane → (columns, h, w), uint8, white where there are fewer; and what stands in each column.
    """
    sheets = {names.plain(compare.REFERENCE): evaluation.test}
    for k in evaluation.shown:
        name, drawn = list(shown_sets(evaluation, k).items())[1]
        sheets[f"{name}\nk = {k}"] = drawn
    rows = {}
    for number, plane in enumerate(evaluation.study.planes):
        rows[plane] = np.full((len(sheets) * each, *evaluation.test.images.shape[1:]), 255, np.uint8)
        for place, data in enumerate(sheets.values()):
            images = data.images[data.labels == number][:each]
            rows[plane][place * each : place * each + len(images)] = images
    return rows, [title for title in sheets for _ in range(each)]


def embedding(evaluation: Evaluation, space: str, k: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """t-SNE of `shown_sets`: points (n, 2), and set and plane of each."""
    sets, seed = shown_sets(evaluation, k), evaluation.first_seed
    vectors = {compare.REFERENCE: evaluation.vectors[space][-1][compare.REFERENCE]} | {
        name: evaluation.features(evaluation.find(name, k, seed), space) for name in evaluation.originals(k)
    }
    points = compare.embed(np.concatenate(list(vectors.values())), evaluation.options.seed)
    labels = np.concatenate([sets[name].labels for name in vectors])
    return (
        points,
        np.repeat(list(vectors), [len(of) for of in vectors.values()]),
        np.array(evaluation.study.planes)[labels],
    )


def recognised(evaluation: Evaluation) -> pd.DataFrame:
    """Share of images whose plane the study's own network names as asked for, mean over seeds.

    Returns
    -------
    pandas.DataFrame
        ``k``, ``set``, ``all`` and a column per plane: every set at every k shown, then the real ones, without k.
    """
    shares = evaluation.called.groupby(["k", "set", "plane"], sort=False).accuracy.mean().unstack("plane")
    rows = [(k, name) for k in evaluation.shown for name in evaluation.names_at(k)]
    rows += [("", BEST), ("", compare.REFERENCE)]
    shares = shares.loc[rows, [compare.ALL, *evaluation.study.planes]].reset_index()
    return shares.assign(k=shares.k.mask(shares.k == "", None))


def nearest_distances(evaluation: Evaluation, space: str, k: str) -> tuple[dict[str, np.ndarray], float]:
    """Distances to the nearest train image at one k, first seed: set → (n,); and the threshold of near-copies."""
    seed = evaluation.first_seed
    unseen = evaluation.unseen((k, seed), space).distance
    distances = {compare.REFERENCE: unseen} | {
        name: evaluation.nearest(evaluation.find(name, k, seed), space).distance for name in evaluation.names_at(k)
    }
    return distances, memorisation.threshold(unseen, evaluation.options.near_copy_quantile)


def closest_pairs(
    evaluation: Evaluation, k: str, number: int = 12
) -> tuple[list[tuple[np.ndarray, np.ndarray]], pd.Series, float]:
    """Images of the study's subject that are nearest to a train image, by pixels, first seed.

    Returns
    -------
    pairs : list
        (drawn, train image, mirrored where that is nearer), each uint8 (h, w); nearest first.
    distances : pandas.Series
        RMS pixel difference of each pair.
    threshold : float
        Of near-copies.
    """
    drawn = evaluation.find(evaluation.names_at(k)[0], k, evaluation.first_seed)
    seen = evaluation.study.train(*drawn.known).images
    closest = memorisation.closest(evaluation.nearest(drawn, PIXELS), number)
    mirrored = memorisation.mirrored(seen)
    pairs = [
        (drawn.data.images[one], (mirrored if flipped else seen)[of])
        for one, of, flipped in zip(closest.synthetic, closest.train, closest.mirrored, strict=True)
    ]
    return pairs, closest.distance, evaluation.threshold(drawn.known)


def near_copies(evaluation: Evaluation) -> pd.DataFrame:
    """Near-copies of every generator by pixels and by ImageNet features, seeds pooled, with 95 % intervals."""
    spaces = {PIXELS: "pixels", next(iter(evaluation.vectors)): "ImageNet"}
    table = pd.concat([evaluation.pooled(space).assign(space=name) for space, name in spaces.items()])
    table["95 % interval"] = [
        f"{100 * low:.1f} to {wording.percent(high)}" for low, high in table[["low", "high"]].to_numpy()
    ]
    return table[_NEAR_COPIES]
