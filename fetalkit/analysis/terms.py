"""Terms that results are summarised and spoken of in."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from fetalkit.config.report import MEAN as MEAN

SUBJECT = "diffusion"  # the arm, the set and the kind of generator that the claim is about
PAPERS = "real"  # the control that the paper's abstract speaks of
FEW = 50  # the largest k that counts as few images
# What a secondary summary of the paper, not its abstract, says of the gain: on average, and with few images per class.
CLAIMED = {"full": 5.2, "few_shot": 11.7}
SIGNIFICANT = 0.05  # corrected p below which a primary comparison is told from zero
COLUMNS = {"full": "full data", "few_shot": f"k ≤ {FEW}"}

Outcome = Literal["gain", "loss", "neither", "not measured"]


def outcome(entry: Mapping[Any, Any]) -> Outcome:
    """What a primary comparison shows, by its corrected p alone: an entry with ``gain`` and ``p_holm``."""
    p, gained = entry["p_holm"], entry["gain"]
    if any(value is None or math.isnan(value) for value in (p, gained)):
        return "not measured"
    if p >= SIGNIFICANT or not gained:
        return "neither"
    return "gain" if gained > 0 else "loss"


def meaning(low: float, high: float) -> str:
    """Where a 95 % interval of a gain lies; it is not corrected for the number of comparisons, so no more is said of it."""
    if math.isnan(low) or math.isnan(high):
        return "not measured, since a run failed"
    if low > 0:
        return "interval above zero"
    if high < 0:
        return "interval below zero"
    return "interval around zero"
