"""The answer of a study in words, computed from its numbers."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from fetalkit.analysis import gains
from fetalkit.analysis.terms import COLUMNS, meaning

# What a secondary summary of the paper, not its abstract, says of the gain: at full data, and with few images per class.
CLAIMED = {"full": 5.2, "few_shot": 11.7}


def _size(entry: Mapping[Hashable, Any]) -> str:
    return f"{entry['gain']:+.1f} points (95 % interval {entry['low']:+.1f} to {entry['high']:+.1f})"


def opening(headline: dict, subject: str = "diffusion") -> list[str]:
    """The answer in three sentences: what pre-training on diffusion images does, beside what else, and how sure that is."""
    mine = {column: entry for column in COLUMNS if (entry := headline.get(subject, {}).get(column))}
    if not mine:
        return ["This study has no runs with diffusion pre-training, so it gives no answer."]
    effect = "; ".join(
        f"{_size(entry)} at {COLUMNS[column]}, {meaning(entry['low'], entry['high'])}" for column, entry in mine.items()
    )
    first = f"**Pre-training on diffusion images changed accuracy by {effect}.**"
    column = "few_shot" if "few_shot" in mine else "full"
    rivals = {arm: entry for arm, of in headline.items() if (entry := of["same_runs"][column])}
    ranked = sorted(rivals, key=lambda arm: rivals[arm]["gain"], reverse=True)
    second = f"No runs at {COLUMNS[column]} have all of the pre-trainings and augmentations, so they are not ranked."
    if ranked:
        order = ", ".join(f"{arm} {rivals[arm]['gain']:+.1f}" for arm in ranked)
        second = (
            f"In the {rivals[ranked[0]]['n_runs']} runs at {COLUMNS[column]} that all of them have, the pre-trainings and "
            f"augmentations rank {order} points over the better control."
        )
    significant = [arm for arm, of in headline.items() if of.get(column) and of[column]["p_holm"] < 0.05]
    third = "After correction for the number of comparisons (Holm), " + (
        f"{', '.join(significant)} differ{'s' * (len(significant) == 1)} from the better control at {COLUMNS[column]}."
        if significant
        else f"none of them differs from the better control at {COLUMNS[column]}."
    )
    return [first, second, third]


def headline_table(headline: dict) -> pd.DataFrame:
    """One row per arm and column of the headline: measured beside claimed."""
    rows = []
    for arm, of in headline.items():
        for column, name in COLUMNS.items():
            entry = of.get(column)
            if entry:
                rows.append(
                    {
                        "arm": arm,
                        "images": name,
                        "gain, points": entry["gain"],
                        "95 % interval": f"{entry['low']:+.1f} to {entry['high']:+.1f}",
                        "p (Holm)": entry["p_holm"],
                        "over real": _gain(of, "over_real", column),
                        "over real-long": _gain(of, "over_real_long", column),
                        "runs": entry["n_runs"],
                        "in the same runs": _gain(of, "same_runs", column),
                        "claimed": CLAIMED[column] if arm == "diffusion" else np.nan,
                    }
                )
    return pd.DataFrame(rows)


def _gain(of: dict, kind: str, column: str) -> float:
    entry = of[kind][column] if kind in of else None
    return entry["gain"] if entry else np.nan


def each(gained: pd.DataFrame, arm: str) -> list[str]:
    """One sentence per k: the gain of `arm` over the better control, and whether its interval excludes zero."""
    rows = gained[gained.better_control & (gained.classifier == gains.MEAN) & (gained.arm == arm)]
    return [
        f"{row['arm']}, k = {row['k']}: {_size(row)} over {row['control']}, mean over classifiers - "
        f"{meaning(row['low'], row['high'])}."
        for row in rows.to_dict("records")
    ]


def replacement(headline: dict) -> list[str]:
    """One sentence per arm: by which factor it multiplies the real images."""
    sentences = []
    for arm, of in headline.items():
        factor = of["worth_factor"]
        if factor is None:
            continue
        if np.isnan(factor):
            sentences.append(
                f"{arm}: by which factor it multiplies the real images could not be measured: a run failed."
            )
            continue
        bound = {"": "", "unclear": "about "}.get(of["worth_bound"], f"{of['worth_bound']} ")
        sentences.append(
            f"{arm}: as good as {bound}{factor:.2f} times the real images "
            f"(95 % interval {of['worth_low']:.2f} to {of['worth_high']:.2f}), geometric mean over all k but the largest."
        )
    return sentences
