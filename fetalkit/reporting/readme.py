"""What README.md and the documentation show of the published reports: tables and a figure; and of `make bench`: speeds.

Only ``reports/`` and ``benchmarks/results.json`` are read. Where a run has failed, it is said in place of the number.
"""

import re
from collections.abc import Mapping
from itertools import groupby
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from fetalkit.analysis.generator_quality import quality
from fetalkit.analysis.published import current
from fetalkit.analysis.terms import MEAN
from fetalkit.analysis.wording import number, p_value, span
from fetalkit.plots import readme as plots
from fetalkit.reporting import bench_tables, display, editions, overview, rendering
from fetalkit.reporting.bench_tables import markdown_table, read_json
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import replacing

ARM = "diffusion"  # what the study is about; the figure shows the other arms
SHOWN = ("10", "all")  # images per plane
FIGURE = "docs/images/results.png"


def _summaries(key: str) -> dict[str, dict[str, Any]]:
    """Folder in ``reports/`` → summary, of the published reports whose summary has `key`."""
    files = sorted(paths.ROOT.glob("reports/*/summary.json"))
    summaries = {path.parent.name: current(read_json(path)) for path in files}
    return {folder: summary for folder, summary in summaries.items() if key in summary}


def _of_cohorts() -> list[dict[str, Any]]:
    """Summaries of the studies whose test patients have been read; numbers of validation patients are no results."""
    return [summary for summary in _summaries("shots").values() if summary.get("tested_on", "test") == "test"]


def results() -> str:
    """Markdown table: mean accuracy over classifiers and seeds, gain over the better control, per cohort and k of `SHOWN`."""
    summaries = _of_cohorts()
    gained = [row for summary in summaries for row in summary["gains"]]
    controls = list(dict.fromkeys(row["control"] for row in gained if row.get("level", "L0") == "L0"))
    columns = ["cohort", "images per plane", "test images (patients)", *controls, ARM]
    lines = [_line(summary, k, [*controls, ARM]) for summary in summaries for k in _shown(summary["shots"])]
    return markdown_table(
        [*columns, "gain, points (95 % interval)", "over", "recognised, % (real)", "FD (real)"], lines
    )


def _shown(shots: list[str]) -> list[str]:
    """Numbers of images per plane that README.md has room for; the report of a study has all."""
    return [k for k in shots if k in SHOWN] or shots


def _line(summary: Mapping[str, Any], k: str, arms: list[str]) -> list[str]:
    """One line of the table of results."""
    of_arm = [row for row in summary["gains"] if (row["arm"], row["k"], row["classifier"]) == (ARM, k, MEAN)]
    gain = next((row for row in of_arm if row["better_control"]), None)
    return [
        f"[{summary['cohort']}](reports/{summary['cohort']}/index.html)",
        k,
        f"{summary['n_test']} ({summary['patients_test']})",
        *(_accuracy(summary, arm, k) for arm in arms),
        _points(gain["gain"], gain["low"], gain["high"]) if gain else _absent(summary, ARM, k),
        gain["control"] if gain else "–",
        *_fidelity(summary["cohort"], k),
    ]


def _fidelity(cohort: str, k: str) -> list[str]:
    """How good the synthetic images of the arm are, beside real ones: share that a classifier recognises, Fréchet distance.

    A study published by an earlier edition may not have measured the first.
    """
    entry = quality(paths.reports(cohort), [ARM], [k]).get(ARM, {}).get("by_k", {}).get(k, {})
    recognised = [entry.get(name) for name in ("recognised", "recognised_real")]
    distances = [entry.get(name) for name in ("fd", "fd_real")]
    return [
        "–" if None in recognised else "{:.0f} ({:.0f})".format(*(100 * share for share in recognised)),
        "–" if None in distances else "{:.0f} ({:.0f})".format(*distances),
    ]


def _accuracy(summary: Mapping[str, Any], arm: str, k: str) -> str:
    """Mean over the classifiers that have converged and over seeds, which there is only if no run has failed."""
    late = [entry["classifier"] for entry in summary.get("unconverged", []) if entry["k"] == k]
    by_classifier = summary["arms"].get(arm, {}).items()
    measured = [by_k[k]["accuracy"] for name, by_k in by_classifier if k in by_k and name not in late]
    if not measured:
        return _absent(summary, arm, k)
    runs = [value for accuracy in measured for value in accuracy["per_seed"].values()]
    if failed := runs.count(None):
        return f"failed ({failed} of {len(runs)} runs)"
    return f"{100 * np.mean([accuracy['mean'] for accuracy in measured]):.1f} %"


def _absent(summary: Mapping[str, Any], arm: str, k: str) -> str:
    """Why an arm has no mean at k."""
    return "not converged" if any(k in by_k for by_k in summary["arms"].get(arm, {}).values()) else "not run"


def _points(gain: float | None, low: float | None, high: float | None) -> str:
    """A gain with its interval."""
    if gain is None:
        return "– (a run failed)"
    interval = "no interval" if low is None or high is None else span(low, high)
    return f"{number(gain, sign=True)} ({interval})"


def primary() -> str:
    """Markdown table of the primary comparisons of all cohorts."""
    lines = [
        [
            f"[{summary['cohort']}](reports/{summary['cohort']}/index.html)",
            *(entry[key] for key in ("level", "k", "classifier", "arm", "control")),
            _points(entry["gain"], entry["low"], entry["high"]),
            "–" if entry["p_holm"] is None else p_value(entry["p_holm"]),
            "–" if entry["smallest_detectable_gain"] is None else f"{entry['smallest_detectable_gain']:.1f}",
        ]
        for summary in _of_cohorts()
        for entry in summary["headline"]["primary"]
    ]
    if not lines:
        return "No published study has named a primary comparison yet.\n"
    columns = ["cohort", "level", "k", "classifier", "arm", "over", "gain, points (95 % interval)"]
    return markdown_table([*columns, "p (Holm)", "smallest gain found 8 times in 10"], lines)


def transfer() -> str:
    """Markdown table of the studies between cohorts: at each level what validation patients of the source choose."""
    studies = _summaries("chosen")
    if not studies:
        earlier = ", ".join(f"[{folder}](reports/{folder}/index.html)" for folder in _summaries("directions"))
        chose = f" Published, but by an edition that chose methods on test images, which is no result: {earlier}."
        return f"Not run yet.{chose if earlier else ''}\n"
    lines = []
    for folder, summary in studies.items():
        for (view, _), rows in groupby(summary["chosen"], key=lambda row: (row["view"], row["level"])):
            # The mean over all classifiers of the level comes first, where there are several.
            lines.append([f"[{view}](reports/{folder}/index.html)", *_chosen(next(rows))])
    columns = ["from, to", "known of the target", "method (of how many)", "its accuracy", "baseline"]
    return markdown_table([*columns, "gain, points (95 % interval)"], lines)


def _chosen(row: Mapping[str, Any]) -> list[str]:
    """Entries of a line from its level on. Methods with a run that failed cannot be chosen; they are named."""
    note = f"; failed: {row['failed']}" if row["failed"] else ""
    method = f"{row['method'] or '–'} (of {len(row['among'].split(', '))}{note})"
    if not row["method"]:
        return [row["level"], method, *["–"] * 3]
    accuracy, beside = (
        "–" if row[name] is None else f"{100 * row[name]:.1f} %" for name in ("accuracy", "baseline_accuracy")
    )
    gain = "–" if row["gain"] is None else _points(row["gain"], row["gain_low"], row["gain_high"])
    return [row["level"], method, accuracy, f"{row['baseline']} {beside}", gain]


def code() -> str:
    """Markdown sentence: by which code the numbers of the tables were computed, as the locks beside them say."""
    return f"{editions.sentence([*_summaries('shots'), *_summaries('directions')])}\n"


TABLES = {
    "primary": primary,
    "code": code,
    "results": results,
    "transfer": transfer,
    "speeds": bench_tables.speeds,
    "quality": bench_tables.quality,
}
PAGES = {
    "README.md": ("primary", "results", "transfer", "code"),
    "docs/generator.md": ("quality", "speeds"),
}  # which tables a file shows


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
    """Bring the tables of all `PAGES`, the figure, and the overview of all studies up to date.

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
    overview.write()


def _figure() -> bytes:
    """PNG of the gains of all arms of the headline."""
    with plt.rc_context():
        display.style()
        fig = plots.gains({summary["cohort"]: summary["headline"]["arms"] for summary in _of_cohorts()})
        content, _, _ = rendering.png(fig)
        plt.close(fig)
    return content
