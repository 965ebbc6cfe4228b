"""Which state of a generator's training is kept, by a rule that is fixed beforehand and sees validation patients alone.

Later states draw better images until they begin to repeat what they have seen. So the state is kept that lies nearest to
validation images, among those that draw few near-copies of train images.
"""

import copy
from typing import Any

import numpy as np
import pandas as pd

from fetalkit.config.generation import Stopping
from fetalkit.config.sections import Section
from fetalkit.data.images import Labelled
from fetalkit.experiments import drawing
from fetalkit.generators.trainer import snapshot_step
from fetalkit.metrics import compare, distances, features, memorisation

COLUMNS = ["share", "step", "kid", "near_copies", "kept"]


def stop(
    made: Any, data: Labelled, validation: Labelled, seed: int, sampling: Section, rule: Stopping, quantile: float
) -> pd.DataFrame:
    """Let a trained generator go back to the state that the rule chooses.

    Parameters
    ----------
    made
        A generator that has just been trained, with ``snapshots`` and `keep_snapshot`.
    data
        What it was trained on.
    validation
        Images that judge.
    seed
        Of what is drawn.
    sampling
        How it is drawn.
    rule
        Largest share of near-copies, and number of images.
    quantile
        Of the distances of validation images, below which a drawn image is a near-copy.

    Returns
    -------
    pandas.DataFrame
        A row per state, in the order of the training: ``share`` of the training, ``step``, ``kid`` (kernel distance from
        validation images in ImageNet features), ``near_copies`` (share), ``kept`` (one of them is True).
    """
    states: dict[float, Any] = {**made.snapshots, 1.0: None}
    space = features.imagenet(made.device.type)
    drawn: dict[str, np.ndarray] = {"real": validation.images}
    labels = {"real": validation.labels}
    for share in sorted(states):
        state: Any = copy.copy(made)
        if share < 1:
            state.keep_snapshot(share)
        name = f"state {100 * share:.0f}%"
        images, planes = drawing.draw(state, name, made.planes, rule.images_per_plane, seed, sampling)
        drawn[str(share)], labels[str(share)] = images, planes
    # As many of every plane on both sides.
    rows = {name: np.concatenate(of) for name, of in compare.draw(labels, made.planes, seed).items()}
    vectors = features.of_sets(space, {name: of[rows[name]] for name, of in drawn.items()})
    table = pd.DataFrame(
        dict(
            share=share,
            step=snapshot_step(share, made.training.steps),
            kid=distances.kernel(vectors["real"], vectors[str(share)]),
            near_copies=float(
                memorisation.near_copies(drawn[str(share)], data.images, validation.images, quantile).mean()
            ),
        )
        for share in sorted(states)
    )
    kept = chosen(table, rule.near_copies)
    if kept < 1:
        made.keep_snapshot(kept)
    return table.assign(kept=table.share == kept)[COLUMNS]


def chosen(states: pd.DataFrame, near_copies: float) -> float:
    """Share of the training of the state to keep.

    Parameters
    ----------
    states
        ``share``, ``kid`` and ``near_copies``, in the order of the training.
    near_copies
        Largest share of near-copies.
    """
    allowed = states[np.arange(len(states)) < max(1, int((states.near_copies > near_copies).cumsum().eq(0).sum()))]
    return float(allowed.share[allowed.kid.idxmin()])
