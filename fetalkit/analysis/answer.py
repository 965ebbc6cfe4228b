"""The answer of a study in a few plain sentences, from its ``summary.json``: what the first screen of its report says.

One word comes first, and it follows from corrected p-values alone (`fetalkit.analysis.terms.outcome`). Which comparison is
quoted is a rule too: of those about a diffusion model the first one named that shows what the word says.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fetalkit.analysis import wording
from fetalkit.analysis.generator_quality import grade, held_back
from fetalkit.analysis.terms import COLUMNS, MEAN, PAPERS, SUBJECT, Outcome, outcome
from fetalkit.config.shots import EVERY

Entry = Mapping[Any, Any]
EXPLORATORY = (
    "**Nothing was named before test patients were read, so all of this report is exploratory and confirms nothing.**"
)
NONE_NAMED = "No primary comparison is named yet, so all of this report is exploratory."
SIMULATED = "The real images here are **simulated** too: this shows how the study works, and says nothing of patients."
PERFECT = "simulation"  # arm whose generator, of simulated real images, is the perfect one
MOST_POINTS = 100  # that a gain can have
_AFTER = {
    "real": "after the paper's shorter training on real images",
    "real-long": "after equally long training on real images",
    "replay": "after training twice on the same real images",
    "pseudo-label": "after pre-training on unlabelled images that classifiers have named",
    "fixmatch": "after semi-supervised training (FixMatch)",
    "diffusion": "after diffusion pre-training",
    "diffusion-guided": "after pre-training on phantoms redrawn by the diffusion model",
    "phantoms-and-guided": "after pre-training on phantoms, half of them redrawn by the diffusion model",
    "gan": "after GAN pre-training",
    "simulation": "after pre-training on simulated phantoms",
    "simulation-matched": "after pre-training on phantoms matched to the images",
}


def sentences(summary: Mapping[str, Any]) -> list[str]:
    """The answer, in Markdown: what came out and for how many patients, how sure it is, and how good the generator was.

    Parameters
    ----------
    summary
        Contents of a ``summary.json`` in the present form (`fetalkit.analysis.published.current`); None or NaN where something
        was not measured.
    """
    named = summary["headline"]["primary"]
    quoted = _quoted(named)
    said = [] if tested(summary) else [_not_tested(summary)]
    if quoted is None:
        said += _exploratory(summary)
    else:
        said += [_lead(summary, quoted), _how_sure(quoted, named)]
    said += generator(summary["headline"], quoted)
    return said + ([_simulated(named)] if summary.get("simulated") else [])


def _simulated(named: Sequence[Entry]) -> str:
    """That the real images are simulated, and what follows for an arm whose images the same simulator draws."""
    perfect = next((entry for entry in named if entry["arm"] == PERFECT), None)
    if perfect is None:
        return SIMULATED
    found = {
        "gain": "and it is ahead here",
        "loss": "but here it is behind",
        "neither": "but the seeds and patients of this one are too few to tell it from zero after correction",
        "not measured": f"which was not measured, since {why_missing(perfect)}",
    }[outcome(perfect)]
    gained = "" if wording.missing(perfect["gain"]) else f" ({wording.gain(perfect)} over {perfect['control']})"
    return (
        f"{SIMULATED} *{PERFECT}* draws with the very simulator that made the real images: a positive control. A study that "
        f"works finds it ahead, {found}{gained}."
    )


def setting(summary: Mapping[str, Any]) -> list[str]:
    """What the study is of, in a few words each."""
    side = summary["image_size"]
    sizes = " / ".join(f"{summary[f'n_{part}']:,}" for part in ("train", "validation", "test"))
    return [
        f"{summary['cohort']}: {summary['title']}",
        wording.counted(len(summary["planes"]), "plane"),
        f"{side} × {side} px".replace(" ", wording.SPACE),
        f"{sizes} images (train / validation / test)",
        f"k = {', '.join(summary['shots'])}",
        wording.counted(len(summary["seeds"]), "seed"),
    ]


def tested(summary: Mapping[str, Any]) -> bool:
    """Whether numbers are of test patients, and not of those whom choices are made on."""
    return summary.get("tested_on", "test") == "test"


def _not_tested(summary: Mapping[str, Any]) -> str:
    return (
        "**No result yet:** no test patient has been looked at. The numbers are of "
        f"{people(summary)}, on whom choices are made: they tell where the study stands."
    )


def people(summary: Mapping[str, Any]) -> str:
    """How many patients and images the numbers are of."""
    part = "test" if tested(summary) else "validation"
    kind = ("" if tested(summary) else "validation ") + ("simulated " if summary.get("simulated") else "")
    patients = wording.counted(summary[f"patients_{part}"], f"{kind}patient")
    return f"{patients}, {wording.counted(summary[f'n_{part}'], 'image')}"


def about_diffusion(entry: Entry) -> bool:
    """Whether a primary comparison is about a diffusion model; where an earlier edition does not say, by the arm's name."""
    return entry.get("diffusion", entry["arm"].startswith(SUBJECT))


def word(named: Sequence[Entry]) -> str:
    """What the primary comparisons about a diffusion model show, in a word."""
    outcomes: list[Outcome] = [outcome(entry) for entry in named if about_diffusion(entry)]
    return of_outcomes(outcomes) if outcomes else "No comparison named beforehand is about a diffusion model."


def of_outcomes(outcomes: Sequence[Outcome]) -> str:
    """What some primary comparisons show together, in a word."""
    if set(outcomes) == {"not measured"}:
        return "Not measured."
    shown = {kind: outcomes.count(kind) for kind in ("gain", "loss") if kind in outcomes}
    if not shown:
        return "No gain shown."
    if len(shown) == 1 and list(shown.values()) == [len(outcomes)]:
        return f"A {next(iter(shown))}."
    parts = wording.listed(f"a {kind} in {amount}" for kind, amount in shown.items())
    return f"{parts[0].upper()}{parts[1:]} of {len(outcomes)} comparisons."


def _quoted(named: Sequence[Entry]) -> Entry | None:
    """The comparison that is quoted: the first that shows what `word` says; about a diffusion model, where one is."""
    among = [entry for entry in named if about_diffusion(entry)] or list(named)
    for kind in ("gain", "loss", "neither", "not measured"):
        for entry in among:
            if outcome(entry) == kind:
                return entry
    return None


def _lead(summary: Mapping[str, Any], entry: Entry) -> str:
    where = f"{people(summary)}, {images(entry['k'], summary)}"
    first = f"**{word(summary['headline']['primary'])}** {where}: "
    if outcome(entry) == "not measured":
        return f"{first}{entry['arm']} over {entry['control']} was not measured, since {why_missing(entry)}."
    number = len(summary["headline"]["primary"])
    corrected = f" after correction for {number} comparisons" if number > 1 else ""
    interval = wording.span(entry["low"], entry["high"])
    sure = f"95{wording.SPACE}% interval {interval}; p = {wording.p_value(entry['p_holm'])}{corrected}"
    if wording.missing(entry.get("accuracy")):
        return f"{first}{entry['arm']} over {entry['control']}: {wording.points(entry['gain'])} ({sure})."
    third = ""
    if entry["control"] != PAPERS and not wording.missing(entry.get("accuracy_real")):
        third = f", {wording.percent(entry['accuracy_real'])} {after(PAPERS)}"
    return (
        f"{first}**{wording.percent(entry['accuracy'])}** {after(entry['arm'])}, "
        f"**{wording.percent(entry['accuracy_control'])}** {after(entry['control'])} "
        f"({wording.points(entry['gain'])}, {sure}){third}."
    )


def why_missing(entry: Entry) -> str:
    """Why a primary comparison was not measured."""
    return "a run failed" if entry["n_runs"] else "no classifier that trains both has converged"


def images(k: str, summary: Mapping[str, Any]) -> str:
    """A number of real images per plane in words."""
    if k != EVERY:
        return f"k = {k} real images per plane".replace(" ", wording.SPACE, 2)
    return f"all {wording.counted(summary['n_train'], 'train image')}"


def after(arm: str) -> str:
    """What classifiers of an arm have been through."""
    return _AFTER.get(arm, f"with *{arm}*")


def _how_sure(entry: Entry, named: Sequence[Entry]) -> str:
    """What the other comparisons show, and how large a gain could have been missed."""
    said = []
    if len(named) > 1:
        own = sum(map(about_diffusion, named))
        which = f", {own} of them about a diffusion model" if 0 < own < len(named) else ""
        said.append(f"{wording.counted(len(named), 'comparison')} were named beforehand{which}: {tally(named)}.")
    if outcome(entry) == "neither" and (found := detectable(entry)):
        who = "mean over classifiers" if entry["classifier"] == MEAN else entry["classifier"]
        said.append(f"The one quoted ({who}, {wording.counted(entry['n_runs'], 'pair')} of runs) {found}")
    if entry.get("n_seeds") == 1:
        said.append("There is one seed, so that the interval knows of patients alone.")
    if entry["n_runs"] and not entry["converged"]:
        said.append("Its classifier had not converged: read it with care.")
    return " ".join(said)


def detectable(entry: Entry) -> str:
    """How large a true gain would be found; the end of a sentence, and empty where that is not known."""
    least = entry["smallest_detectable_gain"]
    if least is None or wording.missing(least):
        return ""
    if least > MOST_POINTS:
        return "has too few runs to find any gain 8 times in 10."
    return f"would find a true gain of {wording.number(least)}{wording.SPACE}points 8 times in 10."


def tally(named: Sequence[Entry]) -> str:
    """How many comparisons show what, with the names of those that show something."""
    kinds = [outcome(entry) for entry in named]
    parts = []
    for kind in ("gain", "loss"):
        of = [entry for entry, shown in zip(named, kinds, strict=True) if shown == kind]
        names = wording.listed(f"{one['arm']} over {one['control']} at k = {one['k']}" for one in of)
        if of:
            parts.append(f"{len(of)} {'shows' if len(of) == 1 else 'show'} a {kind} ({names})")
    if not parts:
        parts.append("none shows a gain or a loss")
    elif neither := kinds.count("neither"):
        parts.append(f"{neither} {'shows' if neither == 1 else 'show'} neither a gain nor a loss")
    if missing := kinds.count("not measured"):
        parts.append(f"{missing} {'was' if missing == 1 else 'were'} not measured")
    return wording.listed(parts)


def _exploratory(summary: Mapping[str, Any]) -> list[str]:
    """What there is to say where nothing was named beforehand: the arm that the claim is about, over its better controls."""
    first = EXPLORATORY if tested(summary) else NONE_NAMED
    of = summary["headline"]["arms"].get(SUBJECT)
    if not of or not any(of.get(column) for column in COLUMNS):
        return [
            first,
            f"Nor is there an answer to explore: no arm of this study was pre-trained on images of a diffusion model and "
            f"compared, on {people(summary)}.",
        ]
    said = [_pooled(of[column], f"{people(summary)}, {name}") for column, name in COLUMNS.items() if of.get(column)]
    return [first, *said]


def _pooled(entry: Entry, where: str) -> str:
    names = wording.listed(f"*{name}*" for name in dict.fromkeys(entry.get("controls", {}).values()))
    controls = f"the better control ({names})" if names else "the better control"
    if wording.missing(entry["gain"]):
        return f"{where}: not measured, since a run failed."
    if wording.missing(entry.get("accuracy")):
        return f"{where}: {wording.gain(entry)} {after(SUBJECT)}, over {controls}; not corrected."
    return (
        f"{where}: {wording.percent(entry['accuracy'])} {after(SUBJECT)}, {wording.percent(entry['accuracy_control'])} "
        f"with {controls}: {wording.gain(entry)}; not corrected."
    )


def generator(headline: Mapping[str, Any], quoted: Entry | None) -> list[str]:
    """How good the images were that the quoted arm has learnt from, one sentence per set: a word by a fixed rule, and why."""
    quality, said = headline["generator"], []
    names = [name for name in (SUBJECT,) if name in quality] if quoted is None else drawn([quoted])
    for name in names:
        by_k = quality.get(name, {}).get("by_k", {})
        k = quoted["k"] if quoted is not None else next(reversed(by_k), "")
        said.append(_graded(name, k, by_k.get(k, {})))
    return said


def drawn(named: Sequence[Entry]) -> list[str]:
    """Synthetic sets of diffusion models that the arms of some comparisons train on."""
    every = [name for entry in named for name in entry.get("sets", [entry["arm"]])]
    return [name for name in dict.fromkeys(every) if name.startswith(SUBJECT)]


def _graded(name: str, k: str, entry: Entry) -> str:
    graded = grade(entry)
    if graded is None:
        return f"How good the generator was, nobody has measured: no classifier has named the images of *{name}*."
    percent = [wording.percent(entry[key], 0) for key in ("recognised", "recognised_real")]
    text = (
        f"The generator was **{graded}**: a classifier recognises {percent[0]} of the images of *{name}* "
        f"(k{wording.SPACE}={wording.SPACE}{k}) as the plane they were asked for, and {percent[1]} of real ones"
    )
    if entry.get("weakest"):
        worst = [wording.percent(entry[key], 0) for key in ("weakest_recognised", "weakest_recognised_real")]
        text += f"; worst plane: '{entry['weakest']}', {worst[0]} (real: {worst[1]})"
    if entry.get("fd") is not None and entry.get("fd_real") is not None:
        text += f"; Fréchet distance {wording.number(entry['fd'], 0)} (real: {wording.number(entry['fd_real'], 0)})"
        text += f", {why}" if (why := held_back(entry)) else ""
    return f"{text}."
