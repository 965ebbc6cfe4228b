"""Tables of what `make bench` has measured, from ``benchmarks/results.json``, and what all such tables share."""

import json
from pathlib import Path
from typing import Any

from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError


def read_json(path: Path) -> dict[str, Any]:
    """Contents of a JSON file; raises `FetalkitError` where it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FetalkitError(
            f"{path}: damaged ({error}); get it back from git, or make it again: publish the study, or `make bench`"
        ) from None
    return content if isinstance(content, dict) else {}


def markdown_table(columns: list[str], lines: list[list[str]]) -> str:
    """Markdown table."""
    rows = [columns, ["---"] * len(columns), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows).replace("| --- ", "|---").replace("--- |", "---|")


def _benchmark(name: str) -> list[dict]:
    """Measurements of one benchmark, one per kind of machine, the latest last; empty where nothing was measured."""
    results = paths.ROOT / "benchmarks" / "results.json"
    return read_json(results).get(name, []) if results.exists() else []


def speeds() -> str:
    """Markdown table of speeds, one column per kind of machine."""
    lines: dict[str, dict[str, str]] = {}
    for name, speeds_of in (("simulator", _drawn), ("generator", _generated), ("classifier", _classified)):
        for measured in _benchmark(name):
            for what, speed in speeds_of(measured).items():
                lines.setdefault(what, {})[measured["machine"]] = speed
    machines = list(dict.fromkeys(machine for line in lines.values() for machine in line))
    rows = [[what, *(line.get(machine, "") for machine in machines)] for what, line in lines.items()]
    return markdown_table(["images per second on one core", *machines], rows)


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
    return f"{markdown_table(['a classifier trained on', 'knows'], lines)}\n{' '.join(sentences)}\n"
