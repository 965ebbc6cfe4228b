"""Tables of a run that was made without DVC, against the published ones: within what another machine may change or not.

`fetalkit verify` does the same for a whole run with its report; this takes the tables that the stages up to the classifiers
have written. The exit status tells whether all agree.
"""

import sys

from fetalkit.analysis import reproduction
from fetalkit.utils import paths

TABLES = {"splits.csv": "splits", "shots.csv": "splits", "results.csv": "classify", "budgets.csv": "classify"}


def main(cohort: str) -> int:
    """Print a line per table; 1 where one disagrees."""
    both = {
        name: [reproduction.read(path) for path in (paths.reports(cohort, name), paths.data(cohort, folder, name))]
        for name, folder in TABLES.items()
    }
    spread = reproduction.spreads(table for pair in both.values() for table in pair)
    compared = {name: reproduction.compare(*pair, spread, False) for name, pair in both.items()}
    for name, found in compared.items():
        print(f"{name:<12} {found.line}")
    return int(not all(found.within for found in compared.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
