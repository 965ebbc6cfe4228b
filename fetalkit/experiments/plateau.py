"""How many steps classifiers need on real images: accuracy against steps, and the budget that a fixed rule reads off.

An arm that spends steps on something other than real images loses to a control that is still rising, whatever it is worth. So
the study spends P + N steps where the control is flat: the smallest budget tried from which on no larger one is better by more
than `WITHIN`, on patients that the runs have not seen. A third of it is N.
"""

from collections.abc import Sequence

import pandas as pd

from fetalkit.config.arms import REAL
from fetalkit.config.params import Params
from fetalkit.config.runs import Run
from fetalkit.experiments.training_search import changed, judged
from fetalkit.utils import parallel

WITHIN = 0.01  # of accuracy
REAL_SHARE = 1 / 3  # N as a share of P + N


def curves(
    cohort: str,
    settings: Params,
    *,
    classifiers: Sequence[str],
    shots: Sequence[str],
    seeds: Sequence[int],
    steps: Sequence[int],
) -> pd.DataFrame:
    """Train the control `real` for every number of steps, each with a whole schedule of its own.

    Parameters
    ----------
    cohort, settings
        The study.
    classifiers, shots, seeds
        Which runs.
    steps
        Numbers of optimiser steps.

    Returns
    -------
    pandas.DataFrame
        One row per training: ``classifier``, ``k``, ``seed``, ``steps``, ``n`` images that are judged by
        (`fetalkit.data.study.Study.unseen`), ``accuracy`` on them (0-1) and ``seconds`` of training.

    Raises
    ------
    FetalkitError
        Names the trainings that failed, after all others have finished.
    """
    jobs = [
        dict(
            cohort=cohort,
            settings=_with_steps(settings, classifier, number),
            sets={},
            candidate=str(number),
            run=Run(REAL, classifier, k, seed),
        )
        for number in sorted(steps, reverse=True)  # the longest first, so that no core waits for one at the end
        for classifier in classifiers
        for k in shots
        for seed in seeds
    ]
    rows = pd.DataFrame(parallel.run(judged, jobs, parallel.workers(settings.run), "trainings"))
    rows = rows.assign(steps=rows.candidate.astype(int)).drop(columns=["candidate", "arm"])
    return rows.sort_values(["classifier", "k", "steps", "seed"], kind="stable", ignore_index=True)


def budgets(curves: pd.DataFrame) -> pd.DataFrame:
    """N and P by the rule.

    Parameters
    ----------
    curves
        As `curves` returns them.

    Returns
    -------
    pandas.DataFrame
        One row per classifier and k: ``steps`` (P + N), ``P``, ``N``, ``accuracy`` after so many steps and ``best`` of all
        budgets (means over seeds, 0-1), and ``flat``: whether a larger budget was tried, without which nothing is known of the
        plateau.
    """
    rows = []
    for (classifier, k), of in curves.groupby(["classifier", "k"], sort=False):
        mean = of.groupby("steps").accuracy.mean().sort_index()
        # The best of this budget and all larger ones: no larger one may gain more than the tolerance.
        later = mean[::-1].cummax()[::-1]
        chosen = int(mean.index[(later - mean <= WITHIN)].min())
        real = round(REAL_SHARE * chosen)
        rows.append(
            {
                "classifier": classifier,
                "k": k,
                "steps": chosen,
                "P": chosen - real,
                "N": real,
                "accuracy": mean[chosen],
                "best": mean.max(),
                "flat": chosen < mean.index.max(),
            }
        )
    return pd.DataFrame(rows)


def _with_steps(settings: Params, classifier: str, steps: int) -> Params:
    own = {"classifiers": {classifier: {"train_steps": steps}}}
    return changed(settings, {"classify": own})
