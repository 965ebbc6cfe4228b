"""Contents of the transfer study's ``summary.json``: the study in numbers."""

import pandas as pd

from fetalkit.analysis import summary as of_cohorts
from fetalkit.analysis.outline_effect import Drop
from fetalkit.analysis.summary import plain
from fetalkit.analysis.terms import MEAN
from fetalkit.analysis.transfer_results import TransferComparison, by_group
from fetalkit.experiments.transfer.methods import BASELINES
from fetalkit.experiments.transfer.settings import Transfer

GROUPS = ("centre", "machine", "plane")
_COLUMNS = ["accuracy", "low", "high", "macro_f1", "baseline", "baseline_accuracy", "baseline_macro_f1"]
_COLUMNS += ["unaligned_accuracy", "gain", "gain_low", "gain_high"]


def simulated(plan: Transfer) -> bool:
    """Whether the real images of all its cohorts are simulated too."""
    return all(of_cohorts.simulated(name, own) for name, own in plan.cohorts.items())


def summary(
    compared: TransferComparison, gained: pd.DataFrame, chosen: pd.DataFrame, failed: list[str], drops: dict[str, Drop]
) -> dict:
    """Direction → level → method → accuracy and gain with intervals; accuracies are 0-1, gains are points.

    Parameters
    ----------
    compared, gained, chosen
        The runs, and what `fetalkit.analysis.transfer_results.gains` and `fetalkit.analysis.transfer_choice.choices` make of
        them.
    failed
        Names of the runs that failed.
    drops
        Direction → what accuracy owes to the outline of the fan.

    Returns
    -------
    dict
        JSON types; None stands for what does not exist or could not be measured. ``primary`` lists the comparisons that are
        tested, ``chosen`` what validation patients choose. ``directions`` holds one entry per view of the study: each
        direction, and all left-out places of a cohort together. In each, per level and method: the mean over the
        ``classifiers`` that have the method, beside the baseline of the level and ``unaligned_accuracy`` of the same ones;
        these classifiers one by one; and ``by_centre``, ``by_machine``, ``by_plane`` where these are known. A corrected p
        stands under ``primary`` alone.
    """
    plan = compared.plan
    tests = {view: compared.test(view) for view in plan.views}
    return plain(
        {
            "planes": plan.planes,
            "seeds": list(plan.seeds),
            "labelled_per_plane": plan.labelled,
            "budget": plan.training.model_dump(include={"pretrain_steps", "train_steps", "batch_size"}),
            "test": {view: {"n": len(rows), "patients": rows.group.nunique()} for view, rows in tests.items()},
            "failed_runs": failed,
            "baselines": BASELINES,
            "primary": _primary(gained),
            "chosen": chosen.to_dict("records"),
            "directions": _directions(compared, gained),
            "standard_outline": {
                direction: {
                    "accuracy": drop.before.estimate,
                    "accuracy_with_standard_outline": drop.after.estimate,
                    **{
                        name: 100 * getattr(drop.change, of)
                        for name, of in (("change", "estimate"), ("low", "low"), ("high", "high"))
                    },
                }
                for direction, drop in drops.items()
            },
        }
    )


def _primary(gained: pd.DataFrame) -> list[dict]:
    names = ["view", "level", "method", "baseline", "classifiers", "accuracy", "baseline_accuracy", "gain", "gain_low"]
    return gained.loc[gained.primary, [*names, "gain_high", "p", "p_holm", "n_runs"]].to_dict("records")


def _directions(compared: TransferComparison, gained: pd.DataFrame) -> dict[str, dict]:
    """View → level → method → its numbers."""
    directions: dict[str, dict] = {}
    for view in compared.plan.views:
        parts = {of: by_group(compared, view, of) for of in GROUPS}
        here = gained[gained["view"] == view]
        for row in here[here.classifier == MEAN].to_dict("records"):
            entry = {name: row[name] for name in [*_COLUMNS, "n_runs"]}
            each = here[(here.method == row["method"]) & (here.classifier != MEAN)]
            entry["classifiers"] = {
                of["classifier"]: {name: of[name] for name in _COLUMNS} for of in each.to_dict("records")
            }
            for name, part in parts.items():
                if len(part):
                    mine = part[part.method == row["method"]]
                    entry[f"by_{name}"] = dict(zip(mine.group, mine.accuracy, strict=True))
            directions.setdefault(view, {}).setdefault(row["level"], {})[row["method"]] = entry
    return directions
