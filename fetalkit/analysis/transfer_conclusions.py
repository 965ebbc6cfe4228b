"""The answer of the transfer study in words, computed from its numbers, and what others have reached."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from fetalkit.analysis.conclusions import meaning
from fetalkit.analysis.gains import MEAN
from fetalkit.analysis.outline_effect import Drop
from fetalkit.experiments.transfer.methods import CONTROL, LEVELS

_WITH = dict(
    zip(LEVELS, ("knowing nothing of the target", "with its images", "with labels of k images per plane"), strict=True)
)
# Zero-shot accuracy (%) on the African images as published; lowest and highest of several classifiers.
PUBLISHED = pd.DataFrame(
    [
        ("FU-LoRA, real images alone", "6,148 Spanish images", "whole African test set", "54.9 to 74.7"),
        (
            "FU-LoRA, synthetic images and augmentation",
            "6,148 Spanish images",
            "whole African test set",
            "73.0 to 82.4",
        ),
    ],
    columns=["study", "trained on", "tested on", "accuracy, %"],
)
REFERENCE = (
    "Wang F, Whelan K, Silvestre G, Curran KM. Generative Diffusion Model Bootstraps Zero-shot Classification of Fetal "
    "Ultrasound Images In Underrepresented African Populations. arXiv 2407.20072 (2024)."
)


def means(gained: pd.DataFrame, view: str) -> pd.DataFrame:
    """Rows of a view that are means over classifiers, from `fetalkit.analysis.transfer_results.gains`."""
    return gained[(gained["view"] == view) & (gained.classifier == MEAN)]


def best(gained: pd.DataFrame, view: str, levels: Sequence[str], among: Collection[str] | None = None) -> str | None:
    """Method with the largest gain in a view; None if there is none that did not fail.

    Parameters
    ----------
    gained
        As `fetalkit.analysis.transfer_results.gains` returns it.
    view
        One of the study's.
    levels
        Methods at these count.
    among
        Of them, only these; by default all.
    """
    rows = means(gained, view).dropna(subset="gain")
    rows = rows[rows.level.isin(levels) & (rows.method.isin(among) if among is not None else True)]
    return None if rows.empty else str(rows.method[rows.gain.idxmax()])


def opening(gained: pd.DataFrame, views: Sequence[str]) -> list[str]:
    """One paragraph per view: what the control reaches, and what does best at each level."""
    paragraphs = []
    for view in views:
        rows = means(gained, view).set_index("method")
        control: Any = rows.loc[CONTROL]
        reached = (
            "could not be measured, since a run failed"
            if pd.isna(control.accuracy)
            else f"is right in {control.accuracy:.1%} of the test images "
            f"(95 % interval {control.low:.1%} to {control.high:.1%})"
        )
        parts = []
        for level in LEVELS:
            if method := best(gained, view, [level]):
                row: Any = rows.loc[method]
                parts.append(
                    f"{_WITH[level]}, {method}: {row.gain:+.1f} points (95 % interval {row.gain_low:+.1f} to "
                    f"{row.gain_high:+.1f}), {meaning(row.gain_low, row.gain_high)}"
                )
        paragraphs.append(
            f"**{view}**: *{CONTROL}* {reached}. Highest gains over it, with the same classifiers: {'; '.join(parts)}."
        )
    return paragraphs


def corrected(gained: pd.DataFrame) -> str:
    """Which gains stand up to the correction for the number of comparisons."""
    rows = gained[gained.p_holm < 0.05]
    named = ", ".join(f"{row.method} ({row.view}, {row.gain:+.1f})" for row in rows.itertuples())
    number = int(gained.p_holm.notna().sum())
    return f"After correction for all {number} comparisons (Holm), " + (
        f"these differ from {CONTROL}: {named}."
        if named
        else f"no method differs from {CONTROL}. The highest gains above are the best of several, so part of them is luck."
    )


def outline(drops: Mapping[str, Drop]) -> list[str]:
    """One sentence per direction: what accuracy owes to the outline of the fan."""
    return [
        f"{direction}: {drop.before.estimate:.1%} with the images as they are, {drop.after.estimate:.1%} with one outline for "
        f"all, {100 * drop.change.estimate:+.1f} points (95 % interval {100 * drop.change.low:+.1f} to "
        f"{100 * drop.change.high:+.1f})."
        for direction, drop in drops.items()
    ]


def beside_published(gained: pd.DataFrame, view: str, n_train: int, n_test: int) -> pd.DataFrame:
    """Published zero-shot accuracies, and below them what this study reached without any image of the target."""
    rows = gained[(gained["view"] == view) & (gained.level == LEVELS[0]) & (gained.classifier != MEAN)]
    ours = [
        (
            f"here, {row['method']}, {row['classifier']}",
            f"{n_train} Spanish images",
            f"{n_test} African images",
            "–" if pd.isna(row["accuracy"]) else f"{100 * row['accuracy']:.1f}",
        )
        for row in rows.to_dict("records")
    ]
    return pd.concat([PUBLISHED, pd.DataFrame(ours, columns=PUBLISHED.columns)], ignore_index=True)
