"""All published studies side by side: which comparisons are shown of each, and what they say together."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fetalkit.analysis.answer import about_diffusion
from fetalkit.analysis.summary import SIMULATED
from fetalkit.analysis.terms import COLUMNS, MEAN, SUBJECT, Outcome, outcome
from fetalkit.analysis.wording import MISSING, SPACE, counted, listed, missing, number

SHOWN = ("10", "all")  # k of exploratory gains, as in README.md; the report of a study has all
Quality = Mapping[str, Mapping[str, Any]]  # as `fetalkit.analysis.generator_quality.quality` returns it


@dataclass(frozen=True)
class Row:
    """One comparison of a study.

    Attributes
    ----------
    arm, control, level, classifier
        What was compared.
    images
        Numbers of images per plane, in words.
    gain, low, high
        Points and their 95 % interval; None where a run failed.
    p_holm
        Corrected p; None of what was not named beforehand, or not measured.
    primary, chosen
        Whether it was named beforehand; whether validation patients chose the arm among all of its level.
    measures
        Entries of ``by_k`` of the `Quality` of what the arm trains on.
    """

    arm: str
    control: str
    level: str
    classifier: str
    images: str
    gain: float | None
    low: float | None
    high: float | None
    p_holm: float | None
    primary: bool
    chosen: bool = False
    measures: tuple[Mapping[str, float | None], ...] = ()

    @property
    def told(self) -> bool:
        """Whether it was named beforehand and is told from zero after correction."""
        return self.primary and outcome({"gain": self.gain, "p_holm": self.p_holm}) in ("gain", "loss")

    @property
    def side(self) -> int | None:
        """1 where the interval lies above zero, -1 below, 0 around it; None where there is none."""
        if self.low is None or self.high is None:
            return None
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


@dataclass(frozen=True)
class Cohort:
    """What the overview says of a study of one cohort.

    Attributes
    ----------
    name
        Of its report.
    tested
        Whether test patients were read; numbers of validation patients are no results.
    simulated
        Whether its real images are simulated too.
    named
        What every primary comparison about a diffusion model shows.
    others
        What the other primary comparisons show, such as that of a positive control.
    rows
        The comparisons that are shown.
    """

    name: str
    tested: bool
    simulated: bool
    named: tuple[Outcome, ...]
    others: tuple[Outcome, ...]
    rows: tuple[Row, ...]


def cohort(name: str, summary: Mapping[str, Any], quality: Quality) -> Cohort:
    """Comparisons of one study: of diffusion pre-training, and of the recipe that validation patients chose at each level.

    Parameters
    ----------
    name
        Of its report.
    summary
        As `fetalkit.analysis.published.current` returns it.
    quality
        Of its synthetic sets.
    """
    simulated = summary.get("simulated", summary.get("cohort") == SIMULATED)
    if summary.get("tested_on", "test") != "test":
        return Cohort(name, False, simulated, (), (), ())
    headline = summary.get("headline", {})
    primary = headline.get("primary", [])
    rows = [_row(one, _shots(one["k"]), [one["k"]], quality, True) for one in primary if one["arm"] == SUBJECT]
    rows = rows or list(_exploratory(summary, quality))
    rows += [row for best in headline.get("best", []) for row in _chosen(best, primary, quality)]
    # Diffusion pre-training may itself be what was chosen: one row then, which says so.
    once = {(row.arm, row.control, row.classifier, row.images): row for row in rows}
    named, others = (
        tuple(outcome(one) for one in primary if about_diffusion(one) == of_diffusion) for of_diffusion in (True, False)
    )
    return Cohort(name, True, simulated, named, others, tuple(once.values()))


def _row(
    entry: Mapping[str, Any], images: str, shots: Iterable[str], quality: Quality, primary: bool, **about: Any
) -> Row:
    by_k = [quality.get(name, {}).get("by_k", {}) for name in entry.get("sets", [entry["arm"]])]
    named: str = entry.get("classifier", MEAN)
    gain, low, high = (None if missing(entry.get(key)) else entry[key] for key in ("gain", "low", "high"))
    values = {
        "control": entry.get("control"),
        "level": entry.get("level", "L0"),
        "classifier": {MEAN: "mean of classifiers"}.get(named, named)
        + " (not converged)" * (entry.get("converged") is False),
        "p_holm": entry.get("p_holm") if primary else None,
        "measures": tuple(of[k] for of in by_k for k in shots if k in of),
    }
    about = values | about
    return Row(entry["arm"], images=images, gain=gain, low=low, high=high, primary=primary, **about)


def _shots(k: str) -> str:
    return "all images" if k == "all" else f"k = {k}"


def _exploratory(summary: Mapping[str, Any], quality: Quality) -> Iterator[Row]:
    """Gains of diffusion pre-training over the better control, mean over classifiers, where none was named beforehand."""
    for row in summary.get("gains", []):
        if (row["arm"], row["classifier"], row["better_control"]) == (SUBJECT, MEAN, True) and row["k"] in SHOWN:
            yield _row(row, _shots(row["k"]), [row["k"]], quality, False)


def _chosen(best: Mapping[str, Any], primary: Sequence[Mapping[str, Any]], quality: Quality) -> Iterator[Row]:
    """A recipe over the best control of its level: the comparisons of the two that were named beforehand, or all in one."""
    controls = best.get("controls") or {}
    mine = [one for one in primary if one["arm"] == best["arm"] and controls.get(one["k"]) == one["control"]]
    for one in mine:
        yield _row(one, _shots(one["k"]), [one["k"]], quality, True, chosen=True)
    if not mine:
        over = ", ".join(dict.fromkeys(controls.values())) or "its control"
        yield _row(best, COLUMNS[best["images"]], controls, quality, False, control=over, chosen=True)


def answer(cohorts: Sequence[Cohort]) -> list[list[str]]:
    """What all studies say together, in paragraphs of sentences; the first is the answer.

    Parameters
    ----------
    cohorts
        As `cohort` returns them.
    """
    tested = [one for one in cohorts if one.tested]
    if not any(one.rows or one.named or one.others for one in tested):
        return [["No result on test patients is published yet."]]
    paragraphs = [
        [*_confirmed(tested)],
        [*_diffusion(tested), *_recipes(tested)],
        [*_generators(tested)],
        [*_simulated(tested)],
    ]
    return [sentences for sentences in paragraphs if sentences]


def _confirmed(tested: Sequence[Cohort]) -> Iterator[str]:
    """What the comparisons that were named beforehand say, and where there are none."""
    outcomes = [shown for one in tested for shown in one.named]
    others = [shown for one in tested for shown in one.others]
    if not outcomes:
        about = " about a diffusion model" * bool(others)
        yield f"Nothing is confirmed: in no study was a comparison{about} named before test patients were read."
        return
    number_of = Counter(outcomes)
    gains, losses = counted(number_of["gain"], "gain"), counted(number_of["loss"], "loss", "losses")
    yield f"{gains} confirmed." if number_of["gain"] else "No gain is confirmed."
    where = listed(one.name for one in tested if one.named)
    parts = [gains, losses, f"{number_of['neither']} not told from zero"]
    parts += [f"{number_of['not measured']} not measured"] * bool(number_of["not measured"])
    yield (
        f"{counted(len(outcomes), 'comparison')} {'was' if len(outcomes) == 1 else 'were'} named before test patients were "
        f"read, in {where}: {listed(parts)}, after correction for their number."
    )
    if others:
        yield (
            f"Beside {'it' if len(outcomes) == 1 else 'them'}, {counted(len(others), 'comparison')} without a diffusion model: "
            f"{counted(others.count('gain'), 'gain')}."
        )
    if unnamed := [one.name for one in tested if not one.named + one.others]:
        yield (
            f"In {listed(unnamed)} no comparison was named beforehand, so {'its' if len(unnamed) == 1 else 'their'} "
            "numbers explore and confirm nothing."
        )


def _diffusion(tested: Sequence[Cohort]) -> Iterator[str]:
    """Where the gains of diffusion pre-training lie."""
    rows = [(one.name, row) for one in tested for row in one.rows if row.arm == SUBJECT]
    measured = [(name, row.gain, row.side) for name, row in rows if row.gain is not None]
    if not measured:
        yield "What diffusion pre-training gains was not measured."
        return
    sides, studies = [side for _, _, side in measured], listed(dict.fromkeys(name for name, _, _ in measured))
    yield (
        f"Diffusion pre-training gains {_range([gain for _, gain, _ in measured], 1, sign=True)}{SPACE}points over controls "
        f"that know no more ({counted(len(measured), 'comparison')} in {studies}; "
        f"95{SPACE}% interval above zero in {sides.count(1)}, below in {sides.count(-1)}, around it in {sides.count(0)})."
    )


def _recipes(tested: Sequence[Cohort]) -> Iterator[str]:
    """Which of the recipes that validation patients chose are ahead on test patients."""
    chosen = [(one.name, row) for one in tested for row in one.rows if row.chosen and row.gain is not None]
    if not chosen:
        return
    ahead = [f"{row.arm} in {name}" for name, row in chosen if row.side == 1]
    has = f"{len(ahead)} have" if len(ahead) > 1 else f"{len(ahead) or 'none'} has"
    yield (
        f"Of {counted(len(chosen), 'comparison')} of recipes that validation patients chose, {has} an interval above zero"
        f"{f': {listed(ahead)}' if ahead else ''}."
    )


def _generators(tested: Sequence[Cohort]) -> Iterator[str]:
    """How good the images were that classifiers were pre-trained on."""
    measures = [entry for one in tested for row in one.rows if row.arm == SUBJECT for entry in row.measures]
    recognised, real = _known(measures, "recognised", 100), _known(measures, "recognised_real", 100)
    if recognised:
        beside = f" ({_range(real)}{SPACE}% of real ones)" if real else ""
        yield (
            f"A classifier recognises {_range(recognised)}{SPACE}% of the diffusion images as the plane that was asked for"
            f"{beside}."
        )
    apart, real = _known(measures, "fd"), _known(measures, "fd_real")
    if apart:
        beside = f" (of real train images {_range(real)})" if real else ""
        yield f"Their Fréchet distance from real test images is {_range(apart)}{beside}."


def beside_real(row: Row, name: str, scale: float = 1) -> str:
    """A measure of the images of a row's arm, ``recognised`` or ``fd``, and that of real images in brackets."""
    values, real = _known(row.measures, name, scale), _known(row.measures, f"{name}_real", scale)
    return (_range(values) + (f" ({_range(real)})" if real else "")) if values else MISSING


def _known(measures: Iterable[Mapping[str, float | None]], name: str, scale: float = 1) -> list[float]:
    values = [entry.get(name) for entry in measures]
    return [scale * value for value in values if value is not None]


def _simulated(tested: Sequence[Cohort]) -> Iterator[str]:
    if names := [one.name for one in tested if one.simulated]:
        yield (f"The real images of {listed(names)} are simulated too: they say nothing about patients.")


def _range(values: Sequence[float], digits: int = 0, sign: bool = False) -> str:
    """The least and the largest value, or the one that they are."""
    ends = dict.fromkeys(number(of(values), digits, sign) for of in (min, max))
    return f"{SPACE}to{SPACE}".join(ends)
