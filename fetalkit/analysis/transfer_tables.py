"""Tables of the transfer study as a reader wants them: numbers with their intervals as text, so that a line fits a page."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fetalkit.analysis.terms import MEAN
from fetalkit.analysis.transfer_planes import NEIGHBOURS, Missed
from fetalkit.experiments.transfer import domains
from fetalkit.experiments.transfer.methods import ABLATION, BASELINES, CONTROL


def sizes(plan: Any) -> pd.DataFrame:
    """Numbers of images of every direction: ``direction``, ``source: train``, ``validation``, ``target: train``, ``test``."""
    rows = []
    for direction in plan.directions.values():
        data = domains.material(plan, direction, "unlabelled", plan.seeds[0])
        counts = [len(of) for of in (data.source.labels, data.validation.labels, data.target) if of is not None]
        rows.append((direction.name, *counts, len(domains.test(plan, direction)[1])))
    return pd.DataFrame(rows, columns=["direction", "source: train", "validation", "target: train", "test"])


def methods(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of `fetalkit.analysis.transfer_results.gains`: accuracy, baseline and gain of every method."""
    return pd.DataFrame(
        {
            "direction": rows["view"],
            "method": rows.method,
            "classifiers": rows.classifiers,
            "accuracy": _accuracies(rows),
            "macro F1": rows.macro_f1,
            "baseline": _baselines(rows),
            "its macro F1": rows.baseline_macro_f1,
            "unaligned": rows.unaligned_accuracy,
            "gain over baseline, points": _points(rows.gain, rows.gain_low, rows.gain_high),
        }
    )


def chosen(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of `fetalkit.analysis.transfer_choice.choices`: what was chosen among what, and what it reached."""
    return pd.DataFrame(
        {
            "direction": rows["view"],
            "level": rows.level,
            "classifiers": rows.classifiers,
            "chosen among": rows.among,
            "chosen": rows.method,
            "in the source": rows.validation_accuracy,
            "in the target": rows.accuracy,
            "macro F1": rows.macro_f1,
            "baseline": _baselines(rows),
            "gain over baseline, points": _points(rows.gain, rows.gain_low, rows.gain_high),
        }
    )


def knowledge(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of `fetalkit.analysis.transfer_choice.knowledge`: what the baselines of the levels reach."""
    return pd.DataFrame(
        {
            "direction": rows["view"],
            "level": rows.level,
            "baseline": rows.baseline,
            "classifiers": rows.classifiers,
            "accuracy": _accuracies(rows),
            "macro F1": rows.macro_f1,
            "unaligned": rows.unaligned_accuracy,
            "more than unaligned, points": _points(rows.more, rows.more_low, rows.more_high),
        }
    )


def ablation(gained: pd.DataFrame, views: Sequence[str]) -> pd.DataFrame:
    """Several scales in training, in prediction or in both, classifier by classifier, from a table of gains.

    Returns
    -------
    pandas.DataFrame
        ``direction``, ``classifier``, ``scales in training``, ``in prediction``, ``accuracy``, ``macro F1``, ``baseline``,
        ``gain over baseline, points``; empty where no such method was trained.
    """
    lines = []
    each = gained[(gained.classifier != MEAN) & gained["view"].isin(views)]
    for (view, classifier), rows in each.groupby(["view", "classifier"], sort=False):
        for (training, prediction), method in ABLATION.items():
            if method in set(rows.method):
                key = {"direction": view, "classifier": classifier}
                key |= {"scales in training": training, "in prediction": prediction}
                numbers = methods(rows[rows.method == method]).iloc[0]
                lines.append(
                    key | numbers[["accuracy", "macro F1", "baseline", "gain over baseline, points"]].to_dict()
                )
    return pd.DataFrame(lines)


def stacked(groups: Mapping[str, Mapping[str, pd.DataFrame]]) -> pd.DataFrame:
    """One table of `fetalkit.analysis.transfer_results.groups`, with ``view`` and ``of``."""
    parts = [part.assign(view=view, of=of) for of, by_view in groups.items() for view, part in by_view.items()]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def places(parts: pd.DataFrame, primary: Sequence[str]) -> pd.DataFrame:
    """Baselines and primary methods by centre and machine, of a table as `stacked` makes it: numbers, then as `methods`.

    Where all test images of a direction are of one place, it has no row: its numbers are those of the direction.
    """
    rows = parts[(parts.of != "plane") & parts.method.isin([*BASELINES.values(), *primary])]
    rows = rows[rows.groupby(["view", "of"]).group.transform("nunique") > 1]
    return pd.concat([rows[["of", "group", "n", "patients"]], methods(rows)], axis=1)


def confusions(missed: Missed) -> dict[str, pd.DataFrame]:
    """What images of a direction are called, and the planes of their nearest source images, under the titles of a figure."""
    return {
        f"{CONTROL}, target (test)": missed.confused,
        f"{CONTROL}, source (validation)": missed.known,
        f"planes of the {NEIGHBOURS} nearest source images": missed.near,
    }


def _accuracies(rows: pd.DataFrame) -> list[str]:
    return [
        "not measured" if np.isnan(mean) else f"{mean:.1%} ({100 * low:.0f} to {100 * high:.0f})"
        for mean, low, high in zip(rows.accuracy, rows.low, rows.high, strict=True)
    ]


def _baselines(rows: pd.DataFrame) -> list[str]:
    return [f"{name} {reached:.1%}" for name, reached in zip(rows.baseline, rows.baseline_accuracy, strict=True)]


def _points(gains: Iterable[float], lows: Iterable[float], highs: Iterable[float]) -> list[str]:
    return [
        "" if np.isnan(gain) else f"{gain:+.1f} ({low:+.1f} to {high:+.1f})"
        for gain, low, high in zip(gains, lows, highs, strict=True)
    ]
