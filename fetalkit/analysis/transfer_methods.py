"""What each method from one place to another does, in a line."""

from collections.abc import Iterable

import pandas as pd

from fetalkit.experiments.transfer.methods import BASELINES, METHODS

DOES = {
    "unaligned": "trained on the source's images alone",
    "multi-scale": "crops over a wide range of scales in training",
    "multi-resolution": "prediction averaged over several magnifications",
    "multi-scale+multi-resolution": "both of these",
    "ultrasound": "four transforms in training that imitate how ultrasound images come about and go wrong",
    "standard-outline": "all images, in training and test, get one outline of the fan",
    "synthetic-source": "pre-training on images of a diffusion model of the source",
    "synthetic-magnified": "the same, drawn at several magnifications",
    "synthetic-aligned": "the same, while the features of drawn and of real images are drawn together (CORAL)",
    "pseudo-label": "also the target's images, under the planes that unaligned calls them",
    "coral": "covariances of the features of source and target are drawn together (CORAL)",
    "mmd": "features of source and target are drawn together by a kernel distance (MMD)",
    "dann": "features from which an adversary cannot tell source and target (DANN)",
    "adabn": "batch normalisation estimated anew from the target's images (AdaBN)",
    "histogram": "the source's images get grey levels of the target's",
    "fourier": "the source's images get the coarse light and shade of the target's",
    "synthetic-target": "pre-training on images of a diffusion model of both places, which saw the target's under the planes "
    "that unaligned calls them",
    "target-only": "trained on the target's labelled images alone",
    "joint": "the target's labelled images beside the source's",
    "joint+coral": "joint, with CORAL",
    "joint+synthetic-target": "joint, after the pre-training of synthetic-target",
}


def table(used: Iterable[str]) -> pd.DataFrame:
    """``knows of the target``, ``method``, ``what it does`` of the methods `used`, those of a level together."""
    rows = [(METHODS[name].level, name, f"{DOES[name]}{_baseline(name)}") for name in METHODS if name in set(used)]
    rows.sort(key=lambda row: list(BASELINES).index(row[0]))
    return pd.DataFrame(rows, columns=["knows of the target", "method", "what it does"])


def _baseline(name: str) -> str:
    return "; the baseline of its level" if name in BASELINES.values() else ""
