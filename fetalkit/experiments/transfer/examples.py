"""Single test images as exhibits: those that a method got right and the control did not, and where both looked."""

from collections.abc import Sequence

import numpy as np

from fetalkit.classifiers import gradcam
from fetalkit.config.runs import Outcome
from fetalkit.experiments.examples import Exhibit, surest
from fetalkit.experiments.transfer import domains
from fetalkit.experiments.transfer.methods import CONTROL
from fetalkit.experiments.transfer.runs import Cell, train_cell
from fetalkit.experiments.transfer.settings import Transfer
from fetalkit.utils import devices
from fetalkit.utils.errors import FetalkitError


def turned(
    folder: str, plan: Transfer, outcomes: Sequence[Outcome], direction: str, method: str, each: int = 6
) -> Exhibit | None:
    """Images that changed from wrong to right: with the maps of `method`, then the same images with those of the control.

    Taken are the surest right calls, of different planes in turn, of the first seed's runs of the first classifier that has the
    method. None if that has no spatial maps, one of the runs failed, or no image changed.
    """
    found = {outcome.cell: outcome for outcome in outcomes if not outcome.error}
    having = [name for name in plan.training.classifiers if method in plan.methods_of(direction, name)]
    runs = [found.get(Cell(direction, name, having[0], plan.seeds[0])) for name in (method, CONTROL)]
    if None in runs:
        return None
    data, rows = domains.test(plan, plan.directions[direction])
    probabilities = [run.probabilities[-len(rows) :] for run in runs]
    calls = [of.argmax(axis=1) for of in probabilities]
    changed = (calls[0] == data.labels) & (calls[1] != data.labels)
    chosen = surest(data.labels, probabilities[0].max(axis=1), changed, each)
    if not len(chosen):
        return None
    names = [plane.removeprefix("Fetal ").removeprefix("Maternal ").lower() for plane in plan.planes]
    device, maps, titles = devices.device(plan.run.device), [], []
    for run, called in zip(runs, calls, strict=True):
        model, _, _ = train_cell(folder, plan, run.cell)
        try:
            maps.append(gradcam.gradcam(model, data.images[chosen], called[chosen], device))
        except FetalkitError:  # a network without spatial maps
            return None
        titles += [f"{names[data.labels[row]]} → {names[called[row]]}" for row in chosen]
    right = np.repeat([True, False], len(chosen))
    return Exhibit(runs[0], np.tile(data.images[chosen], (2, 1, 1)), np.concatenate(maps), titles, right)
