"""How often the intervals of the report cover zero where there is no effect: all in all, where seeds agree, and in the tail.

The table of `fetalkit.analysis.intervals` is what this prints for 2,000 studies of each kind and 3 seeds: ``python
benchmarks/coverage.py 2000 3``, in about ten minutes of one core.
"""

import sys
from itertools import product

import numpy as np
from scipy import special

from fetalkit.analysis import intervals

SHAPES = ((60, 197), (422, 778))  # test patients and images of africa and spain
# Accuracy → mean of the logits, and accuracy per unit of logit there.
ACCURACIES = {60: (0.65, 0.17), 75: (1.8, 0.13), 90: (3.6, 0.065)}
POINTS = (0, 1, 2, 3)  # standard deviation of the accuracy of runs
AGREEING = 0.2  # the share of the studies whose seeds agree best


def differences(
    random: np.random.Generator, shape: tuple[int, int], accuracy: int, points: int, own: bool, n: int, n_seeds: int
) -> tuple[np.ndarray, np.ndarray]:
    """Differences (n, seeds, images) of two arms without an effect, and the patient of each image."""
    n_patients, n_images = shape
    patients = np.r_[np.arange(n_patients), random.integers(0, n_patients, n_images - n_patients)]
    mean, slope = ACCURACIES[accuracy]

    def difficulty(of_images: float) -> np.ndarray:
        return random.normal(size=(n, n_patients))[:, patients] + random.normal(0, of_images, (n, n_images))

    base, right = mean + difficulty(1.5), []
    for _ in range(2):
        logit = base + difficulty(1.0) * 0.5 * own
        logit = logit[:, None] + random.normal(0, points / 100, (n, n_seeds, 1)) / slope
        right.append(random.random(logit.shape) < special.expit(logit))
    return right[0].astype(float) - right[1], patients


def missed(values: np.ndarray, patients: np.ndarray) -> tuple[float, float, float]:
    """Per cent of studies whose interval misses zero, the same where seeds agree, and per cent of p below 0.01."""
    parts = [intervals.parts(study, patients) for study in values]
    patients_part, seeds, both = (
        np.array([getattr(of, name) for of in parts]) for name in ("patients", "seeds", "both")
    )
    off, agreeing = np.abs(values.mean(axis=(1, 2))), seeds <= np.quantile(seeds, AGREEING)
    misses, tail = (
        off > intervals.half_width(patients_part, seeds, both, parts[0].n_patients, parts[0].n_seeds, level)
        for level in (0.05, 0.01)
    )
    return 100 * misses.mean(), 100 * misses[agreeing].mean(), 100 * tail.mean()


def main(n: int, n_seeds: int) -> None:
    """Print a line per number of points that runs differ by."""
    random = np.random.default_rng(0)
    print("runs differ by | covers zero, % | where seeds agree, % | p < 0.01, %")
    for points in POINTS:
        found = np.array(
            [
                missed(*differences(random, shape, accuracy, points, own, n, n_seeds))
                for shape, accuracy, own in product(SHAPES, ACCURACIES, (False, True))
            ]
        )
        covered, agreeing, tail = 100 - found[:, 0], 100 - found[:, 1], found[:, 2]
        print(
            f"{points} | {covered.min():.1f} to {covered.max():.1f} | {agreeing.min():.1f} to {agreeing.max():.1f} | "
            f"{tail.min():.2f} to {tail.max():.2f}"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
