"""Results at a glance: the table in README.md, written from the summaries of all published reports."""

import json
import re
import sys

import numpy as np

from fetalkit import arms, paths
from fetalkit.errors import FetalkitError

START, END = "<!-- results: `make glance` writes this table -->", "<!-- end of results -->"
COLUMNS = ("cohort", "images per plane", "test images (patients)", *arms.CONTROLS, "diffusion")
HEADER = f"| {' | '.join(COLUMNS)} | gain, points (95 % interval) | over |\n{'|---' * (len(COLUMNS) + 2)}|\n"


def table() -> str:
    """Markdown table: mean accuracy over classifiers and seeds, and the gain over the better control, per cohort and k."""
    lines = []
    for path in sorted(paths.ROOT.glob("reports/*/summary.json")):
        summary = json.loads(path.read_text(encoding="utf-8"))
        for k in summary["shots"]:
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


def updated(text: str) -> str:
    """`text` of README.md with the present table between its marks.

    Raises
    ------
    FetalkitError
        When the marks are not there.
    """
    pattern = re.compile(re.escape(START) + ".*?" + re.escape(END), re.DOTALL)
    if not pattern.search(text):
        raise FetalkitError(f"README.md: the lines {START} and {END} are missing; put them where the table belongs")
    return pattern.sub(lambda _: f"{START}\n\n{table()}\n{END}", text)


def main() -> None:
    """``python -m fetalkit.glance``: bring README.md up to date."""
    readme = paths.ROOT / "README.md"
    try:
        readme.write_text(updated(readme.read_text(encoding="utf-8")), encoding="utf-8")
    except FetalkitError as error:
        sys.exit(f"fetalkit: glance: {error}")


if __name__ == "__main__":
    main()
