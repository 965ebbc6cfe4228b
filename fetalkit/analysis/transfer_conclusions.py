"""The answer of the transfer study in words, computed from its numbers, and what others have reached beside it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from fetalkit.analysis import answer as answers
from fetalkit.analysis import wording
from fetalkit.analysis.outline_effect import Drop
from fetalkit.analysis.published_transfer import PUBLISHED
from fetalkit.analysis.terms import MEAN, Outcome, outcome
from fetalkit.analysis.wording import counted, listed, missing, number, p_value, percent, points, span
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
        paragraphs.append(" ".join([*parts, *_harmful(gained, view)]))
    return paragraphs


def _harmful(gained: pd.DataFrame, view: str) -> list[str]:
    """Baselines that do worse than the control, so that a gain over them may be harm undone."""
    reached = means(gained, view).set_index("method").accuracy
    said = []
    for name in BASELINES.values():
        if name != CONTROL and name in reached and CONTROL in reached and reached[name] < reached[CONTROL]:
            below = points(100 * (reached[CONTROL] - reached[name])).lstrip("+")
            said.append(f"*{name}* lies {below} below *{CONTROL}*: so much of a gain over it is harm undone.")
    return said


def answer(gained: pd.DataFrame, sizes: Mapping[str, tuple[int, int]], simulated: bool = False) -> list[str]:
    """The answer in a few sentences: what the tested methods show, and how accurate the baselines are in every view.

    Parameters
    ----------
    gained
        As `fetalkit.analysis.transfer_results.gains` returns it.
    sizes
        View → numbers of test images and of their patients, of the views to tell of.
    simulated
        Whether the images of all cohorts are.
    """
    rows = gained[gained.primary].to_dict("records")
    shown: list[Outcome] = [outcome(row) for row in rows]
    if not rows:
        first = answers.EXPLORATORY
    else:
        named = counted(len(rows), "comparison")
        first = (
            f"**{answers.of_outcomes(shown)}** Of {named} with the baseline of the same level, {_tally(rows, shown)}."
        )
    of_views = [_of_view(means(gained, view), view, *size) for view, size in sizes.items()]
    return [first, *of_views] + [answers.SIMULATED] * simulated


def setting(plan: Any) -> list[str]:
    """What the study is of, in a few words each."""
    side = plan.image_size
    return [
        f"cohorts {listed(plan.cohorts)}",
        counted(len(plan.planes), "plane"),
        f"images of {side} × {side} px".replace(" ", wording.SPACE),
        counted(len(plan.seeds), "seed"),
        "the generators are trained on this page's places, and are not judged by themselves",
    ]


def _tally(rows: Sequence[Mapping], shown: Sequence[Outcome]) -> str:
    parts = []
    for kind in ("gain", "loss"):
        of = [row for row, is_ in zip(rows, shown, strict=True) if is_ == kind]
        names = "; ".join(f"{row['method']}, {row['view']}: {_size(row)}" for row in of)
        parts += [f"{len(of)} {'shows' if len(of) == 1 else 'show'} a {kind} after correction ({names})"] if of else []
    if not parts:
        parts.append("none shows a gain or a loss after correction for their number")
    if amount := shown.count("not measured"):
        parts.append(f"{amount} {'was' if amount == 1 else 'were'} not measured, since a run failed")
    return listed(parts)


def _of_view(rows: pd.DataFrame, view: str, images: int, patients: int) -> str:
    """How accurate the baselines of all levels are."""
    by_method = rows.set_index("method").to_dict("index")
    said = []
    for level in LEVELS:
        row = by_method.get(BASELINES[level])
        if row:
            sure = f" ({percent(row['low'])} to {percent(row['high'])})" if not missing(row["low"]) else ""
            said.append(f"{percent(row['accuracy'])}{sure} {_WITH[level]} (*{BASELINES[level]}*)")
    where = f"**{view}**, {counted(images, 'test image')} of {counted(patients, 'patient')}"
    return f"{where}: {', '.join(said) or 'no baseline was trained'}."


def _reached(row: Mapping) -> str:
    if pd.isna(row["accuracy"]):
        return "could not be measured, since a run failed"
    return (
        f"{percent(row['accuracy'])} of the test images are right (95{wording.SPACE}% interval {percent(row['low'])} to "
        f"{percent(row['high'])}; macro F1 {number(row['macro_f1'], 2)})"
    )


def _choice(row: Mapping) -> str:
    if not row["method"]:
        return "nothing, since a run of every method failed"
    if row["method"] == row["baseline"]:
        return f"the baseline {row['method']} itself ({percent(row['accuracy'])})"
    if pd.isna(row["gain"]):
        return f"{row['method']} (not measured, since a run failed)"
    return f"{row['method']}, {percent(row['accuracy'])}: {_size(row)} over {row['baseline']}"


def _size(row: Mapping) -> str:
    return wording.gain(row, "gain_low", "gain_high")


def corrected(gained: pd.DataFrame) -> list[str]:
    """What the tested gains say: how many there are, which stand up to the correction, and each of them."""
    rows = gained[gained.primary].to_dict("records")
    if not rows:
        return ["No comparison of this study is tested: `primary` names none."]
    shown: list[Outcome] = [outcome(row) for row in rows]
    one = len(rows) == 1
    first = (
        f"{counted(len(rows), 'comparison')} {'was' if one else 'were'} named as primary in params.yaml and "
        f"{'is' if one else 'are'} tested; all others are exploratory, and their intervals hold for one comparison at a time. "
        f"With Holm's correction for {'it' if one else 'all of them'}, {_tally(rows, shown)}."
    )
    return [first, *map(_tested, rows)]


def _tested(row: Mapping) -> str:
    where = f"{row['view']}, {row['method']}"
    if outcome(row) == "not measured":
        return f"{where}: not measured, since a run failed."
    says = {"gain": "a gain", "loss": "a loss", "neither": "not told from zero"}[outcome(row)]
    return (
        f"{where}: {percent(row['accuracy'])} against {percent(row['baseline_accuracy'])} of {row['baseline']}, {_size(row)}, "
        f"corrected p = {p_value(row['p_holm'])}: {says}; {counted(row['n_runs'], 'run')}."
    )


def example_method(gained: pd.DataFrame, view: str, levels: Sequence[str], among: Collection[str]) -> str | None:
    """Method whose examples are shown: of some levels and methods that with the largest gain, which no number rests on."""
    rows = means(gained, view).dropna(subset="gain")
    rows = rows[rows.level.isin(levels) & rows.method.isin(among)]
    return None if rows.empty else str(rows.method[rows.gain.idxmax()])


def outline(drops: Mapping[str, Drop]) -> list[str]:
    """One sentence per direction: what accuracy owes to the outline of the fan."""
    return [_owed(direction, drop) for direction, drop in drops.items()]


def _owed(direction: str, drop: Drop) -> str:
    change = drop.change
    if missing(change.estimate):
        return f"{direction}: not measured, since a run failed."
    return (
        f"{direction}: {percent(drop.before.estimate)} with the images as they are, {percent(drop.after.estimate)} with one "
        f"outline for all, {points(100 * change.estimate)} (95{wording.SPACE}% interval "
        f"{span(100 * change.low, 100 * change.high)})."
    )


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
