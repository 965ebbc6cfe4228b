"""Terms that results are summarised and spoken of in."""

import math

from fetalkit.config.report import MEAN as MEAN

FEW = 50  # the largest k that counts as few images
# What a secondary summary of the paper, not its abstract, says of the gain: on average, and with few images per class.
CLAIMED = {"full": 5.2, "few_shot": 11.7}
SIGNIFICANT = 0.05  # corrected p below which a primary comparison is told from zero
COLUMNS = {"full": "full data", "few_shot": f"k ≤ {FEW}"}


def meaning(low: float, high: float) -> str:
    """Where a 95 % interval of a gain lies; it is not corrected for the number of comparisons, so no more is said of it."""
    if math.isnan(low) or math.isnan(high):
        return "not measured, since a run failed"
    if low > 0:
        return "interval above zero"
    if high < 0:
        return "interval below zero"
    return "interval around zero"
