"""Single test images as examples: those that a method got right and the control did not, and where both looked."""

from collections.abc import Sequence

import numpy as np

from fetalkit.experiments.examples import Examples, maps_of, surest, titles_of
from fetalkit.experiments.outcome import Outcome
from fetalkit.experiments.phase_cache import PhaseCache
from fetalkit.experiments.transfer import domains, runs
from fetalkit.experiments.transfer.methods import CONTROL, METHODS
from fetalkit.experiments.transfer.runs import TransferRun
from fetalkit.experiments.transfer.settings import Transfer


def turned(
    study: str, plan: Transfer, outcomes: Sequence[Outcome], direction: str, method: str, each: int = 6
) -> Examples | None:
    """Images that changed from wrong to right: with the maps of `method`, then the same images with those of the control.

    Taken are the surest right calls, of different planes in turn, of the first seed's runs of the first classifier that has the
    method. Maps are of the very images that each classifier saw: with one outline where its method gives them one. None if a
    method predicts from several magnifications (no one image is what it saw), the classifier has no spatial maps, one of the
    runs failed, or no image changed.
    """
    finished = {outcome.run: outcome for outcome in outcomes if not outcome.error}
    having = [name for name in plan.training.classifiers if method in plan.methods_of(direction, name)]
    own, control = (finished.get(TransferRun(direction, name, having[0], plan.seeds[0])) for name in (method, CONTROL))
    if own is None or control is None or METHODS[method].scales:
        return None
    pair = own, control
    data, rows = domains.test(plan, plan.directions[direction])
    probabilities = [outcome.of(list(rows.image_id)) for outcome in pair]
    calls = [of.argmax(axis=1) for of in probabilities]
    changed = (calls[0] == data.labels) & (calls[1] != data.labels)
    chosen = surest(data.labels, probabilities[0].max(axis=1), changed, each)
    if not len(chosen):
        return None
    cache, images, maps, titles = PhaseCache.of(study, runs.STAGE), [], [], []
    for outcome, called in zip(pair, calls, strict=True):
        model, _, _ = runs.train(study, plan, cache, outcome.run)
        seen = runs.test_images(plan, outcome.run)[chosen]
        heat = maps_of(model, seen, called[chosen], plan.run.device)
        if heat is None:
            return None
        images.append(seen)
        maps.append(heat)
        titles += titles_of(plan.planes, data.labels[chosen], called[chosen])
    right = np.repeat([True, False], len(chosen))
    return Examples(own.run, np.concatenate(images), np.concatenate(maps), titles, right)
