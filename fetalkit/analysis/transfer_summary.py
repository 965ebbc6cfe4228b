"""Contents of the transfer study's ``summary.json``: the study in numbers."""

import pandas as pd

from fetalkit.analysis.gains import MEAN
from fetalkit.analysis.outline_effect import Drop
from fetalkit.analysis.summary import plain
from fetalkit.analysis.transfer_results import TransferComparison, by_group

GROUPS = ("centre", "machine", "plane")
_NAMES = {"gain": "gain_over_unaligned", "control": "accuracy_unaligned"}
_COLUMNS = ["accuracy", "low", "high", "control", "gain", "gain_low", "gain_high", "p_holm"]


def summary(compared: TransferComparison, gained: pd.DataFrame, failed: list[str], drops: dict[str, Drop]) -> dict:
    """Direction → level → method → accuracy and gain with intervals; accuracies are 0-1, gains are points.

    Parameters
    ----------
    compared, gained
        The runs, and what `fetalkit.analysis.transfer_results.gains` makes of them.
    failed
        Names of the runs that failed.
    drops
        Direction → what accuracy owes to the outline of the fan.

    Returns
    -------
    dict
        JSON types; None stands for what does not exist or could not be measured. ``directions`` holds one entry per view of
        the study: each direction, and all left-out places of a cohort together. In each, per level and method: the mean over
        the classifiers that have the method, beside ``accuracy_unaligned`` of the same ones; ``classifiers`` one by one; and
        ``by_centre``, ``by_machine``, ``by_plane`` where these are known.
    """
    plan, directions = compared.plan, {}
    for view in plan.views:
        parts = {of: by_group(compared, view, of) for of in GROUPS}
        here = gained[gained["view"] == view]
        for row in here[here.classifier == MEAN].to_dict("records"):
            entry = {_NAMES.get(name, name): row[name] for name in _COLUMNS}
            each = here[(here.method == row["method"]) & (here.classifier != MEAN)]
            entry["classifiers"] = {
                of["classifier"]: {_NAMES.get(name, name): of[name] for name in _COLUMNS[:-1]}
                for of in each.to_dict("records")
            }
            for name, part in parts.items():
                if len(part):
                    mine = part[part.method == row["method"]]
                    entry[f"by_{name}"] = dict(zip(mine.group, mine.accuracy, strict=True))
            directions.setdefault(view, {}).setdefault(row["level"], {})[row["method"]] = entry
    tests = {view: compared.test(view) for view in plan.views}
    return plain(
        {
            "planes": plan.planes,
            "seeds": list(plan.seeds),
            "labelled_per_plane": plan.labelled,
            "budget": plan.training.model_dump(include={"pretrain_steps", "train_steps", "batch_size"}),
            "test": {view: {"n": len(rows), "patients": rows.group.nunique()} for view, rows in tests.items()},
            "failed_runs": failed,
            "directions": directions,
            "standard_outline": {
                direction: {
                    "accuracy": drop.before.estimate,
                    "accuracy_with_standard_outline": drop.after.estimate,
                    **{
                        name: 100 * getattr(drop.change, of)
                        for name, of in (("change", "estimate"), ("low", "low"), ("high", "high"))
                    },
                    "p": drop.change.p,
                }
                for direction, drop in drops.items()
            },
        }
    )
