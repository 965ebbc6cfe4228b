"""What the tables of fidelity say, in words. Every number in a sentence comes from the table that it is given."""

from typing import Any

import numpy as np
import pandas as pd

from fetalkit.analysis.wording import MISSING, SPACE, number, percent
from fetalkit.analysis.wording import listed as _listed
from fetalkit.metrics.compare import ALL, METRICS, REFERENCE


def distance(compared: pd.DataFrame, generator: str, best: str, space: str, k: str) -> str:
    """How far a generator's sets are from real test images, and how far other real images are.

    Parameters
    ----------
    compared
        As `fetalkit.experiments.fidelity.Evaluation.at` returns it.
    generator, best
        Names of two sets; `best` is what a perfect generator would reach.
    space
        Feature space.
    k
        That of the sets.
    """
    rows = compared[(compared.space == space) & (compared.plane == ALL)].set_index("set")
    mine: Any = rows.loc[generator]
    ideal: Any = rows.loc[best]
    if pd.isna(mine.fd) or pd.isna(ideal.fd):
        return f"**{generator}**, k = {k}: too few images for a distance."
    text = (
        f"In the features of {space}, the Fréchet distance of **{generator}** (k = {k}) to real test images is "
        f"{number(mine.fd)}; other real images ({_spoken(best)}) lie at {number(ideal.fd)}"
    )
    factor = mine.fd / ideal.fd if ideal.fd > 0 else np.inf
    if mine.fd <= ideal.fd or round(factor, 1) == 1.0:
        text += ", about as near." if round(factor, 1) == 1.0 else ", no nearer."
    else:
        text += f", {number(factor)} times nearer." if np.isfinite(factor) else ", nearer."
    if pd.isna(mine.precision) or pd.isna(ideal.precision):
        return text
    return (
        f"{text} {_percent(mine.precision)} of its images lie among the real ones (precision; {_percent(ideal.precision)} of "
        f"{_spoken(best)}), and they reach {_percent(mine.recall)} of the real ones (recall; {_percent(ideal.recall)})."
    )


def rivals(compared: pd.DataFrame, generator: str, best: str, space: str) -> str:
    """In which measures each other generator does better than `generator`; empty where there is no other one."""
    rows = compared[(compared.space == space) & (compared.plane == ALL)].set_index("set")
    said = []
    for other in rows.index.difference([generator, best, REFERENCE], sort=False):
        signs = {metric: -1 if metric in ("fd", "kid") else 1 for metric in METRICS}
        shown = {metric: [_as_shown(metric, rows[metric][name]) for name in (other, generator)] for metric in signs}
        gain = {metric: sign * (shown[metric][0] - shown[metric][1]) for metric, sign in signs.items()}
        ahead = [_METRIC_NAMES[metric] for metric, value in gain.items() if value > 0]
        behind = [_METRIC_NAMES[metric] for metric, value in gain.items() if value < 0]
        parts = [f"better than {generator} in {_listed(ahead)}"] if ahead else []
        parts += [f"worse in {_listed(behind)}" if ahead else f"worse than {generator} in {_listed(behind)}"]
        said.append(f"**{other}** is {' and '.join(parts if behind else parts[:-1])}." if ahead or behind else "")
    said = [text for text in said if text]
    if not said:
        return ""
    return " ".join([f"In the features of {space}:", *said, "Means over seeds, whose differences are not tested."])


def _as_shown(metric: str, value: float) -> float:
    """A value as tables print it, so that no set is called better by what nobody sees."""
    return float(f"{value:.1f}" if metric == "fd" else f"{value:.4f}" if metric == "kid" else f"{value:.2f}")


_METRIC_NAMES = {"fd": "Fréchet distance", "kid": "kernel distance"} | {name: name for name in METRICS[2:]}


def texture(table: pd.DataFrame, reference: str = REFERENCE) -> str:
    """How speckle and grey levels of each set differ from those of the reference.

    Parameters
    ----------
    table
        As `fetalkit.metrics.speckle.table` makes it.
    reference
        The set that the others are held against.
    """
    rows = table.set_index("set")
    real: Any = rows.loc[reference]
    said = []
    names = {"snr": "speckle SNR", "lateral_width": "width of speckle", "mean_grey": "mean grey level"}
    for name in rows.index.drop(reference):
        ratios = {label: rows[key].loc[name] / real[key] - 1 for key, label in names.items() if real[key]}
        known = {label: ratio for label, ratio in ratios.items() if np.isfinite(ratio)}
        said.append(f"**{name}**: " + (", ".join(map(_changed, known, known.values())) or MISSING))
    return f"Against {_spoken(reference)} images: {'; '.join(said)}."


def _changed(label: str, ratio: float) -> str:
    return f"{label} {number(100 * ratio, 0, sign=True)}{SPACE}%"


def labels(called: pd.DataFrame, generators: list[str], k: str, classifier: str) -> str:
    """How often a network trained on real images calls an image what it was drawn as.

    Parameters
    ----------
    called
        As `fetalkit.experiments.fidelity.Evaluation.called`.
    generators
        Whose sets.
    k
        Of which runs; the mean over seeds is given.
    classifier
        Name of the network.
    """
    rows = called[called.plane == ALL]
    real = rows[rows.set == REFERENCE].accuracy.iloc[0]
    mine = rows[rows.k == k].groupby("set").accuracy.mean()
    drawn = ", ".join(f"{_percent(mine.get(name, np.nan))} of the images of **{name}**" for name in generators)
    text = f"{classifier} gives {drawn} (k = {k}) the plane that was asked for"
    return f"{text}, and {_percent(real)} of real test images theirs."


def guidance(guided: pd.DataFrame) -> list[str]:
    """What each kind of guidance does from its smallest to its largest scale.

    Parameters
    ----------
    guided
        As `fetalkit.experiments.fidelity.Evaluation.guided`.
    """
    said = []
    for kind, rows in guided.groupby("guidance", sort=False):
        rows = rows.sort_values("scale")
        if len(rows) < 2:
            continue
        name = kind if kind == "autoguidance" else f"{kind} guidance"
        text = (
            f"**{name}** at scale {_listed(f'{scale:g}' for scale in rows.scale)}: accuracy on the samples "
            f"{_course(rows.accuracy)}, recall {_course(rows.recall)}, coverage {_course(rows.coverage)}."
        )
        if rows.fd.notna().any():
            best = rows.loc[rows.fd.idxmin()]
            text += f" Nearest to real test images is scale {best.scale:g} (Fréchet distance {number(best.fd)})."
        said.append(text)
    return said


def _course(shares: pd.Series) -> str:
    return " → ".join(map(_percent, shares))


def copies(pooled: pd.DataFrame, k: str, expected: float, by: str) -> list[str]:
    """Whether the generators copy more than unseen real images resemble train images anyway.

    Parameters
    ----------
    pooled
        As `fetalkit.experiments.fidelity.Evaluation.pooled`.
    k
        Of which runs.
    expected
        Share of near-copies among unseen real images.
    by
        What distances are taken of: ``"pixels"`` or the name of a feature space.
    """
    said = []
    for row in pooled[pooled.k == k].to_dict("records"):
        if pd.isna(row["share"]):
            said.append(f"By {by}, near-copies of {row['generator']} at k = {row['k']} were not measured.")
            continue
        comparison = "not told from"
        if row["low"] > expected:
            comparison = "more than"
        elif row["high"] < expected:
            comparison = "less than"
        interval = f"95 % interval {_percent(row['low'], 1)} to {_percent(row['high'], 1)}"
        said.append(
            f"By {by}, **{_percent(row['share'], 1)}** ({interval}) of {row['n']:,} images of {row['generator']} at k = {k} "
            f"are near-copies of a train image, seen or alike by chance: {comparison} the {_percent(expected, 1)} among unseen "
            "real images."
        )
    return said


def trends(pooled: pd.DataFrame, over_time: pd.DataFrame, generator: str, expected: float) -> list[str]:
    """How near-copies change from the smallest to the largest k, and from the first to the last weights.

    Parameters
    ----------
    pooled, over_time
        As `fetalkit.experiments.fidelity.Evaluation` makes them, k in ascending order.
    generator
        Whose sets.
    expected
        Share of near-copies among unseen real images: below it, more of them mean nothing.
    """
    mine, said = pooled[pooled.generator == generator], []
    if len(mine) > 1:
        few, many = mine.iloc[0], mine.iloc[-1]
        said.append(f"From k = {few.k} to k = {many.k}, near-copies of **{generator}** {_moved(few, many, expected)}.")
    for k, rows in over_time.groupby("k", sort=False):
        rows = rows.sort_values("step")
        if rows.step.nunique() > 1:
            early, late = rows.iloc[0], rows.iloc[-1]
            steps = f"From step {early.step} to step {late.step} at k = {k}, first seed"
            said.append(f"{steps}, near-copies {_moved(early, late, expected)}.")
    return said


def cards(files: list[str]) -> str:
    """Links to the cards of all sets.

    Parameters
    ----------
    files
        As `fetalkit.reporting.card_contents.write` returns them: ``<name of the set>/dataset.md`` and
        ``<name of the set>/generator.md``.
    """
    links: dict[str, list[str]] = {}
    for file in files:
        name, _, kind = file.removesuffix(".md").partition("/")
        links.setdefault(name, []).append(f"[{kind}](cards/{name}/{kind}.html)")
    lines = [f"- {name}: {' and '.join(of)}" for name, of in links.items()]
    return "\n".join(["[Cards](cards/index.html), beside this page in the report:", "", *lines])


def _moved(before: pd.Series, after: pd.Series, expected: float) -> str:
    way = "do not change beyond their intervals"
    if max(before.low, after.low) <= expected:
        way = "are at no time told from those among unseen real images"
    elif after.low > before.high:
        way = "become more"
    elif after.high < before.low:
        way = "become fewer"
    return f"{way}: {_percent(before.share, 1)} → {_percent(after.share, 1)}"


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _percent(share: float, digits: int = 0) -> str:
    return percent(share, digits)
