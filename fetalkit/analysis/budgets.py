"""What runs cost: the table of budgets, summed over phases."""

import pandas as pd

_PARTS = {
    "classifier_flops": "classifier's training",
    "generator_flops": "generator",
    "drawing_flops": "drawing",
    "total_flops": "all",
}
CONTROL = "real-long"
_TERA = 1e12


def costs(budgets: pd.DataFrame) -> pd.DataFrame:
    """Floating-point operations of every arm, in TFLOP per run, mean over seeds.

    Parameters
    ----------
    budgets
        One row per run and phase: ``classifier``, ``k``, ``arm``, ``seed`` and the columns that
        `fetalkit.experiments.compute.noted` adds.

    Returns
    -------
    pandas.DataFrame
        ``classifier``, ``k``, ``arm``, ``classifier's training``, ``generator``, ``drawing``, ``all``, and ``× real-long``:
        ``all`` as a multiple of that control's, NaN where it was not trained.
    """
    keys = ["classifier", "k", "arm"]
    runs = budgets.groupby([*keys, "seed"], sort=False)[list(_PARTS)].sum() / _TERA
    table = runs.groupby(keys, sort=False).mean().rename(columns=_PARTS).reset_index()
    of_control = table[table.arm == CONTROL].set_index(["classifier", "k"])["all"]
    places = pd.MultiIndex.from_frame(table[["classifier", "k"]])
    table["× real-long"] = table["all"].to_numpy() / of_control.reindex(places).to_numpy()
    return table
