"""The answer of the transfer study in words, computed from its numbers, and what others have reached beside it."""

from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from fetalkit.analysis.outline_effect import Drop
from fetalkit.analysis.published_transfer import PUBLISHED
from fetalkit.analysis.terms import MEAN
from fetalkit.experiments.transfer.methods import BASELINES, CONTROL, LEVELS

_WITH = dict(
    zip(LEVELS, ("knowing nothing of the target", "with its images", "with labels of k images per plane"), strict=True)
)


def means(gained: pd.DataFrame, view: str) -> pd.DataFrame:
    """Rows of a view that are means over classifiers, from `fetalkit.analysis.transfer_results.gains`."""
    return gained[(gained["view"] == view) & (gained.classifier == MEAN)]


def opening(gained: pd.DataFrame, chosen: pd.DataFrame, views: Sequence[str]) -> list[str]:
    """One paragraph per view: what the control reaches with each classifier, and what one would have chosen at each level.

    Parameters
    ----------
    gained, chosen
        As `fetalkit.analysis.transfer_results.gains` and `fetalkit.analysis.transfer_choice.choices` return them.
    """
    paragraphs = []
    for view in views:
        control = gained[(gained["view"] == view) & (gained.method == CONTROL)].sort_values(
            "classifier", key=lambda names: names == MEAN, kind="stable"
        )
        control = control[(control.classifier != MEAN) | (len(control) > 2)]  # of one classifier no mean
        reached = "; ".join(f"{row['classifier']} {_reached(row)}" for row in control.to_dict("records"))
        parts = [f"**{view}**: of *{CONTROL}*, {reached}."]
        for level in LEVELS:
            rows = chosen[(chosen["view"] == view) & (chosen.level == level)]
            calls = "; ".join(f"{row['classifier']}: {_choice(row)}" for row in rows.to_dict("records"))
            if calls:
                parts.append(f"{_WITH[level].capitalize()}, the source's validation patients choose, {calls}.")
        paragraphs.append(" ".join(parts))
    return paragraphs


def _reached(row: Mapping) -> str:
    if pd.isna(row["accuracy"]):
        return "could not be measured, since a run failed"
    return (
        f"{row['accuracy']:.1%} of the test images are right (95 % interval {row['low']:.1%} to {row['high']:.1%}; macro F1 "
        f"{row['macro_f1']:.2f})"
    )


def _choice(row: Mapping) -> str:
    if not row["method"]:
        return "nothing, since a run of every method failed"
    if row["method"] == row["baseline"]:
        return f"the baseline {row['method']} itself ({row['accuracy']:.1%})"
    if pd.isna(row["gain"]):
        return f"{row['method']} (not measured, since a run failed)"
    return f"{row['method']}, {row['accuracy']:.1%}: {_size(row)} over {row['baseline']}"


def _size(row: Mapping) -> str:
    return f"{row['gain']:+.1f} points (95 % interval {row['gain_low']:+.1f} to {row['gain_high']:+.1f})"


def corrected(gained: pd.DataFrame) -> list[str]:
    """What the tested gains say: how many there are, which stand up to the correction, and each of them."""
    rows = gained[gained.primary]
    measured = rows[rows.p_holm.notna()]
    if rows.empty:
        return ["No comparison of this study is tested: `primary` names none."]
    standing = measured[measured.p_holm < 0.05]
    named = ", ".join(f"{row['method']} ({row['view']})" for row in standing.to_dict("records"))
    verdict = f"these differ from the baseline of their level: {named}" if named else "none differs from its baseline"
    first = (
        f"{len(rows)} comparisons were named as primary in params.yaml and are tested; all others are exploratory, and their "
        f"intervals hold for one comparison at a time. After Holm's correction for the {len(measured)} that could be "
        f"measured, {verdict}."
    )
    return [
        first,
        *(
            f"{row['view']}, {row['method']}: "
            + (
                f"{row['accuracy']:.1%} against {row['baseline_accuracy']:.1%} of {row['baseline']}, {_size(row)}, corrected p "
                f"= {row['p_holm']:.3f}, {row['n_runs']} runs."
                if pd.notna(row["p_holm"])
                else "not measured, since a run failed."
            )
            for row in rows.to_dict("records")
        ),
    ]


def example_method(gained: pd.DataFrame, view: str, levels: Sequence[str], among: Collection[str]) -> str | None:
    """Method whose examples are shown: of some levels and methods that with the largest gain, which no number rests on."""
    rows = means(gained, view).dropna(subset="gain")
    rows = rows[rows.level.isin(levels) & rows.method.isin(among)]
    return None if rows.empty else str(rows.method[rows.gain.idxmax()])


def one_place(view: str, of: str, part: pd.DataFrame) -> str:
    """Why a direction is not shown by ``centre`` or ``machine``, from its table of groups, which has one or none."""
    return f"{view}: the {of} of the test images is " + ("one alone." if len(part) else "not known.")


def outline(drops: Mapping[str, Drop]) -> list[str]:
    """One sentence per direction: what accuracy owes to the outline of the fan."""
    return [
        f"{direction}: {drop.before.estimate:.1%} with the images as they are, {drop.after.estimate:.1%} with one outline for "
        f"all, {100 * drop.change.estimate:+.1f} points (95 % interval {100 * drop.change.low:+.1f} to "
        f"{100 * drop.change.high:+.1f})."
        for direction, drop in drops.items()
    ]


def beside_published(gained: pd.DataFrame, view: str, seen: str, tested: str, k: int) -> pd.DataFrame:
    """What others have published, and below it what this study's baselines and primary methods reached, by classifier.

    Parameters
    ----------
    gained
        As `fetalkit.analysis.transfer_results.gains` returns it.
    view
        From where to where.
    seen, tested
        What the classifiers here had seen of the source, and what they were tested on.
    k
        Labelled images per plane of the target.

    Returns
    -------
    pandas.DataFrame
        Columns of `fetalkit.analysis.published_transfer.COLUMNS`, numbers as text, in percent.
    """
    tested_methods = set(gained.method[gained.primary]) | set(BASELINES.values())
    rows = gained[(gained["view"] == view) & (gained.classifier != MEAN) & gained.method.isin(tested_methods)]
    more = dict(zip(LEVELS, ("", "; unlabelled African images", f"; {k} African images per plane"), strict=True))
    ours = [
        {
            "study": "this study",
            "method": f"{row['method']}, {row['classifier']}",
            "had seen": seen + more[row["level"]],
            "known of the target": row["level"],
            "tested on": tested,
            "accuracy": _percent(row["accuracy"]),
            "F1": _percent(row["macro_f1"]),
            "recall": "",
            "source": "here",
            "checked in": "here",
        }
        for row in rows.to_dict("records")
    ]
    return pd.concat([PUBLISHED, pd.DataFrame(ours, columns=PUBLISHED.columns)], ignore_index=True)


def _percent(share: float) -> str:
    return "not measured" if pd.isna(share) else f"{100 * share:.1f}"
