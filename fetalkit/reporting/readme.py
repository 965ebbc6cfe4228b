"""What README.md and the documentation show of the published reports: tables and a figure; and of `make bench`: speeds.

Only ``reports/`` and ``benchmarks/results.json`` are read. Where a run has failed, it is said in place of the number.
"""

import json
import re
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from fetalkit.analysis.gains import MEAN
from fetalkit.metrics.compare import ALL
from fetalkit.metrics.features import IMAGENET
from fetalkit.plots import readme as plots
from fetalkit.reporting import display
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing

ARM = "diffusion"  # what the study is about; the figure shows the other arms
FIGURE = "docs/images/results.png"


def _summaries(key: str) -> dict[str, dict[str, Any]]:
    """Folder in ``reports/`` → summary, of the published reports whose summary has `key`."""
    files = sorted(paths.ROOT.glob("reports/*/summary.json"))
    summaries = {path.parent.name: _json(path) for path in files}
    return {folder: summary for folder, summary in summaries.items() if key in summary}


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FetalkitError(
            f"{path}: damaged ({error}); get it back from git, or make it again: publish the study, or `make bench`"
        ) from None
    return content if isinstance(content, dict) else {}


def _of_cohorts() -> list[dict[str, Any]]:
    """Summaries of the studies whose test patients have been read; numbers of validation patients are no results."""
    return [summary for summary in _summaries("shots").values() if summary.get("tested_on", "test") == "test"]


def _table(columns: list[str], lines: list[list[str]]) -> str:
    """Markdown table."""
    rows = [columns, ["---"] * len(columns), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows).replace("| --- ", "|---").replace("--- |", "---|")


def results() -> str:
    """Markdown table: mean accuracy over classifiers and seeds, and the gain over the better control, per cohort and k."""
    summaries = _of_cohorts()
    controls = list(dict.fromkeys(row["control"] for summary in summaries for row in summary["gains"]))
    columns = ["cohort", "images per plane", "test images (patients)", *controls, ARM]
    lines = [_line(summary, k, [*controls, ARM]) for summary in summaries for k in summary["shots"]]
    return _table([*columns, "gain, points (95 % interval)", "over", "recognised, % (real)", "FD (real)"], lines)


def _line(summary: Mapping[str, Any], k: str, arms: list[str]) -> list[str]:
    """One line of the table of results."""
    of_arm = [row for row in summary["gains"] if (row["arm"], row["k"], row["classifier"]) == (ARM, k, MEAN)]
    gain = next((row for row in of_arm if row["better_control"]), None)
    return [
        f"[{summary['cohort']}](reports/{summary['cohort']}/index.html)",
        k,
        f"{summary['n_test']} ({summary['patients_test']})",
        *(_accuracy(summary, arm, k) for arm in arms),
        _points(gain["gain"], gain["low"], gain["high"]) if gain else "not run",
        gain["control"] if gain else "–",
        *_fidelity(summary["cohort"], k),
    ]


def _fidelity(cohort: str, k: str) -> list[str]:
    """How good the synthetic images of the arm are, beside real ones: share that a classifier recognises, Fréchet distance.

    A study published by an earlier edition may not have measured the first.
    """
    folder = paths.reports(cohort)
    if not (folder / "fidelity.csv").exists():
        return ["–", "–"]
    measured = _json(folder / "fidelity.json") if (folder / "fidelity.json").exists() else {}
    by_set = measured.get("recognised_by_k", {}).get(k, {})
    shares = [by_set.get(name, {}).get(ALL) for name in (ARM, "real_test")]
    recognised = "–" if None in shares else "{:.0f} ({:.0f})".format(*(100 * share for share in shares))
    table = pd.read_csv(folder / "fidelity.csv", dtype={"k": str})
    table = table[(table.feature_space == IMAGENET) & (table.plane == ALL)]
    drawn, train = table.fd[(table.set == ARM) & (table.k == k)], table.fd[table.set == "real_train"]
    return [recognised, "–" if drawn.empty else f"{drawn.mean():.0f} ({train.mean():.0f})"]


def _accuracy(summary: Mapping[str, Any], arm: str, k: str) -> str:
    """Mean over classifiers and seeds, which there is only if no run has failed."""
    measured = [by_k[k]["accuracy"] for by_k in summary["arms"].get(arm, {}).values() if k in by_k]
    if not measured:
        return "not run"
    runs = [value for accuracy in measured for value in accuracy["per_seed"].values()]
    if failed := runs.count(None):
        return f"failed ({failed} of {len(runs)} runs)"
    return f"{100 * np.mean([accuracy['mean'] for accuracy in measured]):.1f} %"


def _points(gain: float | None, low: float | None, high: float | None) -> str:
    """A gain with its interval."""
    if gain is None:
        return "– (a run failed)"
    return f"{gain:+.1f} (no interval)" if low is None or high is None else f"{gain:+.1f} ({low:+.1f} to {high:+.1f})"


def _benchmark(name: str) -> list[dict]:
    """Measurements of one benchmark, one per kind of machine, the latest last; empty where nothing was measured."""
    results = paths.ROOT / "benchmarks" / "results.json"
    return _json(results).get(name, []) if results.exists() else []


def speeds() -> str:
    """Markdown table of speeds, one column per kind of machine."""
    lines: dict[str, dict[str, str]] = {}
    for name, speeds_of in (("simulator", _drawn), ("generator", _generated), ("classifier", _classified)):
        for measured in _benchmark(name):
            for what, speed in speeds_of(measured).items():
                lines.setdefault(what, {})[measured["machine"]] = speed
    machines = list(dict.fromkeys(machine for line in lines.values() for machine in line))
    rows = [[what, *(line.get(machine, "") for machine in machines)] for what, line in lines.items()]
    return _table(["images per second on one core", *machines], rows)


def _drawn(measured: dict) -> dict[str, str]:
    return {"simulator, 128 px": f"{measured['images_per_second']:.0f}"}


def _generated(measured: dict) -> dict[str, str]:
    # Samplers differ between measurements, as params.yaml did: their steps are part of what is named.
    lines = {
        "training": "generator, training",
        "sampling": f"generator, sampling in {measured['sampler']['steps']} steps",
    }
    return {
        what: f"{measured[work]['images_per_second']:.1f} in {measured['precision']} "
        f"({measured[work]['fraction_of_matrix_product']:.0%})"
        for work, what in lines.items()
    }


def _classified(measured: dict) -> dict[str, str]:
    lines = {}
    for name, pair in measured.items():
        if isinstance(pair, dict):
            what = "loading and augmentation alone" if name == "images_alone" else f"an epoch of {name}"
            lines[what] = f"{measured['images'] / pair['epoch_seconds_batched']:.0f} ({pair['speed_up']:.1f} ×)"
    return lines


def quality() -> str:
    """Markdown table of what a classifier learns from generated images alone, after equal minutes."""
    benchmarks = _benchmark("quality")
    if not benchmarks:
        return "Not measured yet: `make bench`.\n"
    latest = benchmarks[-1]
    names = {
        "real": "the real train images",
        "ours": f"{latest['sampling']['images']} images of our generator",
        "ours_250_steps": "the same, drawn in 250 steps",
        "reference": "as many of the reference recipe",
    }
    lines = [[what, f"{latest['cas'][name]:.1%}"] for name, what in names.items() if name in latest["cas"]]
    copies, sampling = latest["near_copies"], latest["sampling"]
    sentences = (
        f"Each generator trained for {latest['minutes']:g} minutes of {latest['of_cores']} cores: ours "
        f"{latest['steps']:,} steps, the reference {latest['reference_steps']:,}.",
        f"Near-copies of train images among ours: {copies['share']:.1%} (95 % interval {copies['low']:.1%} to "
        f"{copies['high']:.1%}).",
        f"Drawing {sampling['images']} images in {sampling['steps']} steps with guidance took {sampling['seconds']:.0f} s on "
        f"{latest['cores']} cores.",
    )
    return f"{_table(['a classifier trained on', 'knows'], lines)}\n{' '.join(sentences)}\n"


def transfer() -> str:
    """Markdown table of the studies between cohorts: at each level what validation patients of the source choose."""
    studies = _summaries("chosen")
    if not studies:
        return "Not run yet.\n"
    lines = []
    for folder, summary in studies.items():
        for (view, _), rows in groupby(summary["chosen"], key=lambda row: (row["view"], row["level"])):
            # The mean over all classifiers of the level comes first, where there are several.
            lines.append([f"[{view}](reports/{folder}/index.html)", *_chosen(next(rows))])
    columns = ["from, to", "known of the target", "method (of how many)", "its accuracy", "baseline"]
    return _table([*columns, "gain, points (95 % interval)"], lines)


def _chosen(row: Mapping[str, Any]) -> list[str]:
    """Entries of a line from its level on. Methods with a run that failed cannot be chosen; they are named."""
    note = f"; failed: {row['failed']}" if row["failed"] else ""
    number = len(row["among"].split(", "))
    method = f"{row['method'] or '–'} (of {number}{note})"
    if not row["method"]:
        return [row["level"], method, *["–"] * 3]
    accuracy, beside = (
        "–" if row[name] is None else f"{100 * row[name]:.1f} %" for name in ("accuracy", "baseline_accuracy")
    )
    gain = "–" if row["gain"] is None else _points(row["gain"], row["gain_low"], row["gain_high"])
    return [row["level"], method, accuracy, f"{row['baseline']} {beside}", gain]


TABLES = {"results": results, "transfer": transfer, "speeds": speeds, "quality": quality}
PAGES = {"README.md": ("results", "transfer"), "docs/generator.md": ("quality", "speeds")}  # which tables a file shows


def updated(page: str, text: str) -> str:
    """`text` of a file with the present tables between their marks.

    Parameters
    ----------
    page
        A key of `PAGES`.
    text
        Its content.

    Raises
    ------
    FetalkitError
        When a mark is not there.
    """
    for name in PAGES[page]:
        start, end = f"<!-- {name}: `make readme` writes this table -->", f"<!-- end of {name} -->"
        pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
        if not pattern.search(text):
            raise FetalkitError(f"{page}: the lines {start} and {end} are missing; put them where the table belongs")
        content = f"{start}\n\n{TABLES[name]()}\n{end}"
        text = pattern.sub(lambda _, content=content: content, text)
    return text


def update() -> None:
    """Bring the tables of all `PAGES`, and the figure, up to date.

    Raises
    ------
    FetalkitError
        When nothing is published or measured by this edition, a mark is not there, or a file cannot be written.
    """
    if not _of_cohorts():
        raise FetalkitError(f"{paths.ROOT / 'reports'}: no study is published there; `fetalkit publish` does that")
    try:
        texts = {page: updated(page, (paths.ROOT / page).read_text(encoding="utf-8")) for page in PAGES}
        content = _figure()
    except (KeyError, TypeError, AttributeError) as error:
        raise FetalkitError(
            f"{paths.ROOT / 'reports'}: a summary.json (or benchmarks/results.json) is damaged or of another edition "
            f"({error!r}); get it back from git, or publish the study again"
        ) from error
    for page, text in texts.items():
        with replacing(paths.ROOT / page) as temporary:
            temporary.write_text(text, encoding="utf-8")
    with replacing(paths.ROOT / FIGURE) as temporary:
        temporary.write_bytes(content)


def _figure() -> bytes:
    """PNG of the gains of all arms of the headline."""
    with plt.rc_context():
        display.style()
        fig = plots.gains({summary["cohort"]: summary["headline"] for summary in _of_cohorts()})
        content, _, _ = display.png(fig)
        plt.close(fig)
    return content
