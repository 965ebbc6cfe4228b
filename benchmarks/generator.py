"""Training and sampling speed of the diffusion generator, beside what the machine's matrix product could do.

The network and the batch are those of the phantom cohort in ``params.yaml``. Single-threaded, like a worker of the study.
"""

import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch
from common import interleaved, matrix_multiply, median_ratio, record
from torch.utils.flop_counter import FlopCounterMode

from fetalkit import generators, params
from fetalkit.checkpoints import Checkpoint

ROUNDS = 7
TRAINING_STEPS = 20
DRAWN = 16


def main() -> None:
    """Measure, print and record."""
    torch.set_num_threads(1)
    settings = params.load("phantom")
    size, planes = settings.images.size, settings.cohort.planes
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (96, size, size), dtype=np.uint8)
    labels = np.arange(len(images)) % len(planes)
    chosen = settings.diffusion.model_dump() | {"steps": TRAINING_STEPS}

    def train():
        generator = generators.create("diffusion", n_classes=len(planes), size=size, device="cpu", **chosen)
        with tempfile.TemporaryDirectory() as folder:
            generator.fit(images, labels, seed=0, checkpoint=Checkpoint(Path(folder, "state"), "x", every=10**9))
        return generator

    trained = train()
    sampler = settings.synthesis.diffusion.model_dump()

    def draw():
        return trained.sample(labels[:DRAWN], seed=0, **sampler)

    multiply, multiply_operations = matrix_multiply()
    operations = {}
    for name, work in {"training": train, "sampling": draw}.items():
        with FlopCounterMode(display=False) as counter:
            work()
        operations[name] = counter.get_total_flops()
    seconds = interleaved({"multiply": multiply, "training": train, "sampling": draw}, ROUNDS)
    counts = {"training": TRAINING_STEPS * settings.diffusion.batch_size, "sampling": DRAWN}
    results = {"matrix_product_gflops": multiply_operations / statistics.median(seconds["multiply"]) / 1e9}
    for name, count in counts.items():
        share = median_ratio(seconds["multiply"], seconds[name]) * operations[name] / multiply_operations
        results[name] = {
            "images_per_second": round(count / statistics.median(seconds[name]), 2),
            "gflop_per_image": round(operations[name] / count / 1e9, 3),
            "fraction_of_matrix_product": round(share, 3),
        }
    results["matrix_product_gflops"] = round(results["matrix_product_gflops"], 1)
    record("generator", results | {"sampler": sampler, "image_size": size})


if __name__ == "__main__":
    main()
