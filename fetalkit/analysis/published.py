"""Summaries as they are published: those of an earlier edition in the present form, so that readers know one form alone."""

from collections.abc import Mapping
from typing import Any

from fetalkit.analysis.terms import CLAIMED, MEAN

_EARLIER_MEAN = "mean of all"  # name of `MEAN` in summaries of earlier editions


def current(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The contents of a ``summary.json`` in the present form.

    In earlier editions ``headline`` was what is now its entry ``arms``, nothing was named beforehand, and classifiers were not
    asked whether they had converged. What is in the present form, or is no summary of a cohort, comes back as it is.
    """
    content = dict(summary)
    headline = content.get("headline")
    if not isinstance(headline, dict) or {"primary", "arms"} <= set(headline):
        return content
    content["headline"] = {"primary": [], "generator": {}, "best": [], "claimed": CLAIMED, "arms": headline}
    rows = content.get("gains", [])
    content["gains"] = [row | {"classifier": MEAN} if row.get("classifier") == _EARLIER_MEAN else row for row in rows]
    return content
