"""Training and sampling speed of the diffusion generator, beside what the machine's matrix product could do.

Networks and batches are those of the cohort spain in ``params.yaml``, the precision is what `auto` chooses here.
Single-threaded, like a worker of the study. The yardstick is the product in single precision, as torch's library computes
it; where the processor computes in bfloat16, that product is given as well, and training in single precision beside it.

The GAN is timed beside the diffusion model: in every run they are to train equally long.
"""

import statistics
import tempfile
from functools import partial
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


def _untrained(settings: params.Params, name: str, precision: str = "auto") -> generators.Generator:
    """Generator of the study that is to train for a few steps."""
    spec = settings.generators[name]
    changes: dict = {"steps": TRAINING_STEPS}
    if name == "diffusion":
        changes |= {"guide_steps": 0, "snapshots": spec.training.early}
    training = spec.training.model_copy(update=changes)
    planes, image_size = settings.cohort.planes, settings.images.image_size
    return generators.create(spec.class_path, planes, image_size, training, device="cpu", precision=precision)


def _gan(settings: params.Params, images: np.ndarray, labels: np.ndarray) -> dict:
    """Seconds per step of the GAN, and how its whole training compares with that of the diffusion model in time."""

    def train(name: str) -> None:
        _untrained(settings, name).fit(images, labels, seed=0)

    seconds = interleaved({name: partial(train, name) for name in ("gan", "diffusion")}, ROUNDS)
    steps = {name: settings.generators[name].training.steps for name in seconds}
    ratio = median_ratio(seconds["gan"], seconds["diffusion"]) * steps["gan"] / steps["diffusion"]
    return {
        "seconds_per_step": round(statistics.median(seconds["gan"]) / TRAINING_STEPS, 4),
        "steps": steps["gan"],
        "time_ratio_to_diffusion": round(ratio, 3),
    }


def _speed(settings: params.Params, images: np.ndarray, labels: np.ndarray) -> dict:
    """Training and sampling of the diffusion model, beside the matrix product."""

    def train(precision: str = "auto") -> generators.Generator:
        generator = _untrained(settings, "diffusion", precision)
        with tempfile.TemporaryDirectory() as folder:
            generator.fit(images, labels, seed=0, checkpoint=Checkpoint(Path(folder, "state"), "x", every=10**9))
        return generator

    trained, spec = train(), settings.generators["diffusion"]

    def draw() -> np.ndarray:
        return trained.sample(labels[:DRAWN], seed=0, sampling=spec.sampling)

    multiply, multiply_operations = matrix_multiply()
    works = {"training": train, "training_float32": partial(train, "float32"), "sampling": draw}
    operations = {}
    for name, work in works.items():
        with FlopCounterMode(display=False) as counter:
            work()
        operations[name] = counter.get_total_flops()
    coarse, _ = matrix_multiply(torch.bfloat16)
    seconds = interleaved({"multiply": multiply, "multiply_bfloat16": coarse, **works}, ROUNDS)
    results = {
        "precision": str(trained.precision).removeprefix("torch."),
        "matrix_product_gflops": _rate(multiply_operations, seconds["multiply"]),
        "matrix_product_bfloat16_gflops": _rate(multiply_operations, seconds["multiply_bfloat16"]),
    }
    for name in works:
        count = DRAWN if name == "sampling" else TRAINING_STEPS * spec.training.batch_size
        share = median_ratio(seconds["multiply"], seconds[name]) * operations[name] / multiply_operations
        results[name] = {
            "images_per_second": round(count / statistics.median(seconds[name]), 2),
            "gflop_per_image": round(operations[name] / count / 1e9, 3),
            "gflops": _rate(operations[name], seconds[name]),
            "fraction_of_matrix_product": round(share, 3),
        }
    return results


def main() -> None:
    """Measure, print and record."""
    torch.set_num_threads(1)
    settings = params.load("spain")
    image_size, random = settings.images.image_size, np.random.default_rng(0)
    images = random.integers(0, 256, (96, image_size, image_size), dtype=np.uint8)
    labels = np.arange(len(images)) % len(settings.cohort.planes)
    results = _speed(settings, images, labels) | {"gan": _gan(settings, images, labels)}
    sampler = settings.generators["diffusion"].sampling.model_dump(mode="json")
    record("generator", results | {"sampler": sampler, "image_size": image_size})


if __name__ == "__main__":
    main()
