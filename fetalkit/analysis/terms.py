"""Terms that results are summarised and spoken of in."""

import math

MEAN = "mean of all"  # classifiers
FEW = 50  # the largest k that counts as few images
COLUMNS = {"full": "full data", "few_shot": f"k ≤ {FEW}"}


def meaning(low: float, high: float) -> str:
    """What a 95 % interval of a gain says."""
    if math.isnan(low) or math.isnan(high):
        return "not measured, since a run failed"
    if low > 0:
        return "a gain that chance alone is unlikely to give"
    if high < 0:
        return "a loss that chance alone is unlikely to give"
    return "not distinguishable from no effect"
