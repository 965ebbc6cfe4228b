"""Compare the accuracies of two runs of one study: ``python compare_summaries.py PUBLISHED NEW``, two files summary.json.

Another processor rounds differently, and trainings then part as those of two seeds do. So two means of n seeds may differ by
up to four standard errors of a difference, 4 · s · √(2 / n), with the standard deviation s between seeds pooled over all
arms, classifiers and k. That is a wide tolerance: it finds a broken study, not a slightly worse one.
"""

import json
import math
import sys
from pathlib import Path
from statistics import fmean, variance

ERRORS = 4  # standard errors of a difference: one false alarm in a hundred runs of 150 accuracies


def accuracies(summary: dict) -> dict[tuple[str, str, str], dict[str, float]]:
    """(arm, classifier, k) → seed → accuracy in [0, 1]."""
    return {
        (arm, classifier, k): values["accuracy"]["per_seed"]
        for arm, by_classifier in summary["arms"].items()
        for classifier, by_k in by_classifier.items()
        for k, values in by_k.items()
    }


def tolerance(*runs: dict[tuple[str, str, str], dict[str, float]]) -> float:
    """Largest difference of two means that seeds explain; raises ValueError when no arm has two seeds."""
    several = [list(seeds.values()) for run in runs for seeds in run.values() if len(seeds) > 1]
    if not several:
        raise ValueError("no arm has two seeds: the spread between seeds is not known")
    return ERRORS * math.sqrt(fmean(map(variance, several)) * 2 / min(map(len, several)))


def differences(published: dict, new: dict) -> list[str]:
    """One line for every accuracy that is missing, or further from the published one than `tolerance`."""
    old, present = accuracies(published), accuracies(new)
    lines = [
        f"{', '.join(key)}: only in the {'published' if key in old else 'new'} run"
        for key in sorted(old.keys() ^ present.keys())
    ]
    allowed = tolerance(old, present)
    for key in sorted(old.keys() & present.keys()):
        before, after = fmean(old[key].values()), fmean(present[key].values())
        # Not a number is a difference too.
        if not abs(after - before) <= allowed:
            lines.append(
                f"{', '.join(key)}: {after:.1%}, published {before:.1%}; {100 * allowed:.1f} points are allowed"
            )
    return lines


if __name__ == "__main__":
    pair = [json.loads(Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:3]]
    lines = differences(*pair)
    sys.exit("\n".join(lines) if lines else None)
