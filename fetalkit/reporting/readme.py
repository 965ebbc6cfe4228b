"""The tables in README.md and the documentation: results of all published reports, and speeds that `make bench` measured."""

import json
import re

import numpy as np

from fetalkit.config import arms
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError

COLUMNS = ("cohort", "images per plane", "test images (patients)", *arms.CONTROLS, "diffusion")
HEADER = f"| {' | '.join(COLUMNS)} | gain, points (95 % interval) | over |\n{'|---' * (len(COLUMNS) + 2)}|\n"


def results() -> str:
    """Markdown table: mean accuracy over classifiers and seeds, and the gain over the better control, per cohort and k."""
    lines = []
    for path in sorted(paths.ROOT.glob("reports/*/summary.json")):
        summary = json.loads(path.read_text(encoding="utf-8"))
        for k in summary.get("shots", []):  # the transfer study has none
            lines.append(f"| {' | '.join(_cells(summary, k))} |\n")
    return HEADER + "".join(lines)


def _cells(summary: dict, k: str) -> list[str]:
    """One line of the table."""
    accuracy = {
        arm: 100 * np.mean([by_k[k]["accuracy"]["mean"] for by_k in summary["arms"][arm].values()])
        for arm in (*arms.CONTROLS, "diffusion")
    }
    (gain,) = [
        row
        for row in summary["gains"]
        if (row["arm"], row["k"], row["classifier"]) == ("diffusion", k, "mean of all") and row["better_control"]
    ]
    return [
        f"[{summary['cohort']}](reports/{summary['cohort']}/index.html)",
        k,
        f"{summary['n_test']} ({summary['patients_test']})",
        *(f"{value:.1f} %" for value in accuracy.values()),
        f"{gain['gain']:+.1f} ({gain['low']:+.1f} to {gain['high']:+.1f})",
        gain["control"],
    ]


def _benchmark(name: str) -> list[dict]:
    """Measurements of one benchmark in ``benchmarks/results.json``, one per kind of machine, the latest last."""
    return json.loads((paths.ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8")).get(name, [])


def speeds() -> str:
    """Markdown table of speeds, one column per kind of machine."""
    lines: dict[str, dict[str, str]] = {}
    for name, measured in (("simulator", _drawn), ("generator", _generated), ("classifier", _classified)):
        for found in _benchmark(name):
            for what, speed in measured(found).items():
                lines.setdefault(what, {})[found["machine"]] = speed
    machines = list(dict.fromkeys(machine for line in lines.values() for machine in line))
    header = f"| images per second on one core | {' | '.join(machines)} |\n|---{'|---' * len(machines)}|\n"
    cells = {what: " | ".join(line.get(machine, "") for machine in machines) for what, line in lines.items()}
    return header + "".join(f"| {what} | {line} |\n" for what, line in cells.items())


def _drawn(found: dict) -> dict[str, str]:
    return {"simulator, 128 px": f"{found['images_per_second']:.0f}"}


def _generated(found: dict) -> dict[str, str]:
    # Samplers differ between measurements, as params.yaml did: their steps are part of what is named.
    lines = {"training": "generator, training", "sampling": f"generator, sampling in {found['sampler']['steps']} steps"}
    return {
        what: f"{found[work]['images_per_second']:.1f} in {found['precision']} "
        f"({found[work]['fraction_of_matrix_product']:.0%})"
        for work, what in lines.items()
    }


def _classified(found: dict) -> dict[str, str]:
    lines = {}
    for name, pair in found.items():
        if isinstance(pair, dict):
            what = "loading and augmentation alone" if name == "images_alone" else f"an epoch of {name}"
            lines[what] = f"{found['images'] / pair['epoch_seconds_batched']:.0f} ({pair['speed_up']:.1f} ×)"
    return lines


def quality() -> str:
    """Markdown table of what a classifier learns from generated images alone, after equal minutes."""
    measured = _benchmark("quality")
    if not measured:
        return "Not measured yet: `make bench`.\n"
    found = measured[-1]
    names = {
        "real": "the real train images",
        "ours": f"{found['sampling']['images']} images of our generator",
        "ours_250_steps": "the same, drawn in 250 steps",
        "reference": "as many of the reference recipe",
    }
    lines = [f"| {what} | {found['cas'][name]:.1%} |\n" for name, what in names.items() if name in found["cas"]]
    copies, sampling = found["near_copies"], found["sampling"]
    sentences = (
        f"Each generator trained for {found['minutes']:g} minutes of {found['of_cores']} cores: ours {found['steps']:,} steps, "
        f"the reference {found['reference_steps']:,}.",
        f"Near-copies of train images among ours: {copies['share']:.1%} (95 % interval {copies['low']:.1%} to "
        f"{copies['high']:.1%}).",
        f"Drawing {sampling['images']} images in {sampling['steps']} steps with guidance took {sampling['seconds']:.0f} s on "
        f"{found['cores']} cores.",
    )
    return f"| a classifier trained on | knows |\n|---|---|\n{''.join(lines)}\n{' '.join(sentences)}\n"


def transfer() -> str:
    """Markdown table of the study between hospitals: the control, and at each level the method with the highest gain."""
    path = paths.ROOT / "reports" / "transfer" / "summary.json"
    if not path.exists():
        return "Not run yet: `make repro COHORT=transfer`.\n"
    lines = []
    for direction, by_level in json.loads(path.read_text(encoding="utf-8"))["directions"].items():
        for level, by_method in by_level.items():
            # Holm's correction is over the main directions alone: single centres are left to the page.
            gained = {method: entry for method, entry in by_method.items() if entry["p_holm"] is not None}
            if gained:
                method = max(gained, key=lambda name: gained[name]["gain_over_unaligned"])
                lines.append(f"| {direction} | {level} | {method} | {_gained(gained[method])} |\n")
    columns = ("from, to", "known of the target", "best method", "its accuracy", "unaligned")
    header = f"| {' | '.join(columns)} | gain, points (95 % interval) | p (Holm) |\n{'|---' * (len(columns) + 2)}|\n"
    return header + "".join(lines)


def _gained(entry: dict) -> str:
    accuracies = " | ".join(f"{100 * entry[name]:.1f} %" for name in ("accuracy", "accuracy_unaligned"))
    gain, low, high = (entry[name] for name in ("gain_over_unaligned", "gain_low", "gain_high"))
    return f"{accuracies} | {gain:+.1f} ({low:+.1f} to {high:+.1f}) | {entry['p_holm']:.3f}"


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
    """Bring the tables of all `PAGES` up to date."""
    for page in PAGES:
        path = paths.ROOT / page
        path.write_text(updated(page, path.read_text(encoding="utf-8")), encoding="utf-8")
