"""Images per second of the phantom simulator at 128 px, on one thread."""

import statistics

import torch
from common import interleaved, record

from fetalkit import simulator

ROUNDS = 5
IMAGES = 120


def main() -> None:
    """Measure, print and record."""
    torch.set_num_threads(1)
    scanners = list(simulator.SCANNERS)
    planes = len(simulator.PLANES)
    specs = [
        simulator.Spec(0, number, number // planes, simulator.PLANES[number % planes], scanners[number % len(scanners)])
        for number in range(IMAGES)
    ]
    seconds = interleaved({"simulate": lambda: simulator.simulate(specs, 128)}, ROUNDS)["simulate"]
    record("simulator", {"image_size": 128, "images_per_second": round(IMAGES / statistics.median(seconds), 1)})


if __name__ == "__main__":
    main()
