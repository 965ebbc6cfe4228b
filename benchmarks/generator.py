"""Training and sampling speed of the diffusion generator, beside what the machine's matrix product could do.

Networks and batches are those of the cohort spain in ``params.yaml``, the precision is what `auto` chooses here.
Single-threaded, like a worker of the study. The yardstick is the product in single precision, as torch's library computes
it; where the processor computes in bfloat16, that product is given as well, and training in single precision beside it.

The GAN is timed beside the diffusion model: in every cell they are to train equally long.
"""

import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch
from common import interleaved, matrix_multiply, median_ratio, record
from torch.utils.flop_counter import FlopCounterMode

from fetalkit import generators
from fetalkit.config import params
from fetalkit.utils.checkpoints import Checkpoint

ROUNDS = 7
TRAINING_STEPS = 20
DRAWN = 16


def _rate(operations: float, seconds: list[float]) -> float:
    """GFLOP/s, from the median of the rounds."""
    return round(operations / statistics.median(seconds) / 1e9, 1)


def _gan(settings: params.Params, images: np.ndarray, labels: np.ndarray) -> dict:
    """Seconds per step of the GAN, and how its whole training compares with that of the diffusion model in time."""
    common = dict(n_classes=len(settings.cohort.planes), size=settings.images.size, device="cpu")

    def train(kind, chosen):
        made = generators.create(kind, **common, **chosen | {"steps": TRAINING_STEPS})
        made.fit(images, labels, seed=0)

    diffusion = settings.diffusion.model_dump() | {"guide_steps": 0, "snapshots": []}
    works = {"gan": lambda: train("gan", settings.gan.model_dump()), "diffusion": lambda: train("diffusion", diffusion)}
    seconds = interleaved(works, ROUNDS)
    ratio = median_ratio(seconds["gan"], seconds["diffusion"]) * settings.gan.steps / settings.diffusion.steps
    return {
        "seconds_per_step": round(statistics.median(seconds["gan"]) / TRAINING_STEPS, 4),
        "steps": settings.gan.steps,
        "time_ratio_to_diffusion": round(ratio, 3),
    }


def main() -> None:
    """Measure, print and record."""
    torch.set_num_threads(1)
    settings = params.load("spain")
    size, planes = settings.images.size, settings.cohort.planes
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (96, size, size), dtype=np.uint8)
    labels = np.arange(len(images)) % len(planes)
    chosen = settings.diffusion.model_dump() | {"steps": TRAINING_STEPS, "guide_steps": 0, "snapshots": []}

    def train(precision="auto"):
        generator = generators.create(
            "diffusion", n_classes=len(planes), size=size, device="cpu", precision=precision, **chosen
        )
        with tempfile.TemporaryDirectory() as folder:
            generator.fit(images, labels, seed=0, checkpoint=Checkpoint(Path(folder, "state"), "x", every=10**9))
        return generator

    trained = train()
    sampler = settings.synthesis.diffusion.model_dump()

    def draw():
        return trained.sample(labels[:DRAWN], seed=0, **sampler)

    multiply, multiply_operations = matrix_multiply()
    works = {"training": train, "training_float32": lambda: train("float32"), "sampling": draw}
    operations = {}
    for name, work in works.items():
        with FlopCounterMode(display=False) as counter:
            work()
        operations[name] = counter.get_total_flops()
    coarse, _ = matrix_multiply(torch.bfloat16)
    seconds = interleaved({"multiply": multiply, "multiply_bfloat16": coarse, **works}, ROUNDS)
    trained_images = TRAINING_STEPS * settings.diffusion.batch_size
    counts = {"training": trained_images, "training_float32": trained_images, "sampling": DRAWN}
    results = {
        "precision": str(trained.precision).removeprefix("torch."),
        "matrix_product_gflops": _rate(multiply_operations, seconds["multiply"]),
        "matrix_product_bfloat16_gflops": _rate(multiply_operations, seconds["multiply_bfloat16"]),
    }
    for name, count in counts.items():
        share = median_ratio(seconds["multiply"], seconds[name]) * operations[name] / multiply_operations
        results[name] = {
            "images_per_second": round(count / statistics.median(seconds[name]), 2),
            "gflop_per_image": round(operations[name] / count / 1e9, 3),
            "gflops": _rate(operations[name], seconds[name]),
            "fraction_of_matrix_product": round(share, 3),
        }
    results["gan"] = _gan(settings, images, labels)
    record("generator", results | {"sampler": sampler, "image_size": size})


if __name__ == "__main__":
    main()
