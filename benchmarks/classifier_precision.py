"""Training of the study's classifiers in bfloat16 against float32: seconds per step, and the accuracy that comes out.

Networks and settings of the cohort spain, on simulated patients; single-threaded, like a worker of the study. The two take
turns while they are timed. Accuracies are of the same runs in both precisions, on images of other patients: they should differ
by no more than those of two seeds do.
"""

import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch
from common import interleaved, median_ratio, record
from PIL import Image

from fetalkit import simulator
from fetalkit.classifiers import trainer
from fetalkit.classifiers.loader import Feed
from fetalkit.config import params
from fetalkit.data import images
from fetalkit.experiments import building
from fetalkit.utils.checkpoints import Checkpoint

ROUNDS, TIMED, STEPS, SEEDS, EACH = 5, 10, 200, 3, 30
CPU = torch.device("cpu")


def simulated(planes: list[str], first: int, size: int) -> images.Labelled:
    """`EACH` images of every plane, each of another patient; numbers of patients begin with `first`."""
    scanners = list(simulator.SCANNERS)
    specs = [
        simulator.Spec(0, first + number, first + number, plane, scanners[number % len(scanners)])
        for number, plane in enumerate(plane for plane in planes for _ in range(EACH))
    ]
    drawn = simulator.simulate(specs, 128)
    store = np.stack([images.working(Image.fromarray(image), size) for image in drawn])
    return images.Labelled(store, np.repeat(np.arange(len(planes)), EACH))


def main() -> None:
    """Measure, print and record."""
    torch.set_num_threads(1)
    settings = params.load("spain")
    planes, size, budget = list(settings.cohort.planes), settings.images.image_size, settings.classify
    train, test = simulated(planes, 0, size), simulated(planes, 10_000, size)
    results = {"image_size": size, "steps": STEPS, "test_images": len(test.labels)}
    with tempfile.TemporaryDirectory() as folder:

        def trained(name: str, precision: torch.dtype, steps: int, seed: int):
            model = building.placed(building.classifier(budget, name, len(planes), size, seed), CPU)
            checkpoint = Checkpoint(Path(folder, "state"), "x", every=10**9)
            trainer.fit(
                model, Feed(train, len(planes), seed), steps, building.recipe(budget, name),
                device=CPU, checkpoint=checkpoint, label=name, precision=precision,
            )  # fmt: skip
            return model

        for name in budget.classifiers:
            kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16}
            works = {
                kind: lambda name=name, precision=precision: trained(name, precision, TIMED, 0)
                for kind, precision in kinds.items()
            }
            seconds = interleaved(works, ROUNDS)
            accuracy = {
                kind: [
                    float(
                        (
                            trainer.predict(trained(name, of, STEPS, seed), test.images, CPU).argmax(1) == test.labels
                        ).mean()
                    )
                    for seed in range(SEEDS)
                ]
                for kind, of in kinds.items()
            }
            results[name] = {
                f"ms_per_step_{kind}": round(1000 * statistics.median(of) / TIMED, 1) for kind, of in seconds.items()
            } | {
                "times_as_fast_in_bfloat16": round(median_ratio(seconds["float32"], seconds["bfloat16"]), 2),
                **{f"accuracy_{kind}": [round(value, 4) for value in of] for kind, of in accuracy.items()},
            }
    record("classifier_precision", results)


if __name__ == "__main__":
    main()
