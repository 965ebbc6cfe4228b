"""Why a plane is missed in the target, in words; every number comes from the tables of `fetalkit.analysis.transfer_planes`."""

import pandas as pd

from fetalkit.analysis.accuracies import FEWEST
from fetalkit.analysis.transfer_planes import REMEDIES
from fetalkit.experiments.transfer.methods import CONTROL


def explained(view: str, plane: str, confused: pd.DataFrame, recalled: pd.DataFrame, near: pd.DataFrame, n: int) -> str:
    """Why a plane is missed, in words that follow from the numbers.

    Parameters
    ----------
    view, plane
        Of which direction and plane.
    confused, recalled, near
        As `confusions`, `recalls` and `planes_of_nearest` return them.
    n
        Train images of the plane in the source.
    """
    chance = 1 / confused.called.nunique()
    rows = confused[confused.plane == plane].set_index("called").share
    wrong = rows.drop(plane).sort_values(ascending=False)
    called = ", ".join(f"{name} {share:.0%}" for name, share in wrong.items() if share >= 0.05)
    mine = recalled[recalled.plane == plane]
    source = mine[mine.of == "source"]
    learnt = (
        f"On validation images of the source the same classifiers find {source.recall.iloc[0]:.0%} of the "
        f"{source.n.iloc[0]} images of it, having learnt {n}"
        if len(source)
        else f"The source has {n} train images of it and none for validation"
    )
    tried = mine[(mine.of == "target") & (mine.method != CONTROL)]
    changes = "; ".join(
        f"{REMEDIES[row['method']]} ({row['method']}) {row['unaligned']:.0%} to {row['recall']:.0%}"
        for row in tried.to_dict("records")
    )
    return (
        f"**{view}, {plane}**: {rows[plane]:.0%} of its test images are found (chance: {chance:.0%}); the others are called "
        f"{called}. {learnt}{_missed_anyway(source, float(rows[plane]))}. {_resembled(plane, near)}"
        + (f"What changes it, from the recall of {CONTROL} with the same classifiers: {changes}." if changes else "")
    )


def _missed_anyway(source: pd.DataFrame, found: float) -> str:
    """Whether the plane is missed in the source too, so that the change of place is not to blame."""
    if len(source) and source.n.iloc[0] >= FEWEST and source.recall.iloc[0] <= found + 0.1:
        return ": it is missed there too, so this is no failure of the change of place alone"
    return ""


def _resembled(plane: str, near: pd.DataFrame) -> str:
    around = near[near.plane == plane].set_index("called").share.sort_values(ascending=False)
    if around.empty:
        return ""
    own, most_of_them = around.index[0] == plane, round(around[plane], 2) > 0.5
    most = "more than of any other" if own else f"the most are {around.index[0]} ({around.iloc[0]:.0%})"
    verdict = (
        "most of its look is that of the plane in both places, so that it could be told"
        if own and most_of_them
        else "its look is partly that of the plane, partly that of the place"
        if own
        else "it is another picture in the two places, before any classifier has learnt a plane"
    )
    return (
        f"In features of a network that has learnt no plane, {around[plane]:.0%} of the nearest source images are of that "
        f"plane; {most}: {verdict}. "
    )
