"""Epoch time of a classifier, fed by the study's batched pipeline and by the usual per-image torchvision pipeline.

Networks and settings of the cohort spain. Same simulated images, network, optimiser, batch size, and kinds of augmentation;
single-threaded, like a worker of the study. The per-image pipeline reads PNG files of 384 px,
the canonical size of the real images; the study has decoded them once.
"""

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from common import interleaved, median_ratio, record
from PIL import Image
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from fetalkit import simulator
from fetalkit.classifiers import trainer
from fetalkit.classifiers import transforms as ours
from fetalkit.classifiers.loader import Feed, as_input
from fetalkit.config import params
from fetalkit.data import images, sampling
from fetalkit.experiments import building
from fetalkit.utils.checkpoints import Checkpoint
from fetalkit.utils.streams import rng

ROUNDS = 5
IMAGES = 192
CPU = torch.device("cpu")


def per_image_pipeline(size: int) -> transforms.Compose:
    """From a file's image to a network's input of `size` px, with the study's kinds of augmentation."""
    return transforms.Compose(
        [
            transforms.Grayscale(),
            transforms.Resize(size),
            transforms.RandomHorizontalFlip(),
            transforms.RandomAffine(ours.ROTATION, translate=(ours.SHIFT,) * 2, scale=ours.SCALE),
            transforms.ColorJitter(brightness=ours.GAIN, contrast=ours.GAIN),
            transforms.ToTensor(),
        ]
    )


def write_images(folder: Path, planes: list[str]) -> None:
    """Simulated images as PNG files, one folder per plane, as `torchvision.datasets.ImageFolder` wants them."""
    specs = [
        simulator.Spec(seed=0, index=index, patient=index, plane=plane, scanner=list(simulator.SCANNERS)[index % 2])
        for index in range(IMAGES // len(planes))
        for plane in planes
    ]
    for number, (spec, image) in enumerate(zip(specs, simulator.simulate(specs, images.LONGEST_SIDE), strict=True)):
        path = folder / spec.plane / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)


def compared(batched: Callable[[], object], per_image: Callable[[], object]) -> dict[str, float]:
    """Seconds per epoch of both pipelines, and how many times faster the batched one is."""
    seconds = interleaved({"batched": batched, "per_image": per_image}, ROUNDS)
    return {
        "epoch_seconds_batched": round(statistics.median(seconds["batched"]), 6),
        "epoch_seconds_per_image": round(statistics.median(seconds["per_image"]), 6),
        "speed_up": round(median_ratio(seconds["per_image"], seconds["batched"]), 2),
    }


def main() -> None:
    """Measure, print and record."""
    torch.set_num_threads(1)
    settings = params.load("spain")
    size, budget = settings.images.image_size, settings.classify
    results = {"image_size": size, "images": IMAGES}
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder), settings.cohort.planes)
        dataset = datasets.ImageFolder(folder, per_image_pipeline(size))
        store = np.stack([images.working(Image.open(path), size) for path, _ in dataset.samples])
        data = images.Labelled(store, np.array([label for _, label in dataset.samples]))
        loader = DataLoader(dataset, budget.batch_size, shuffle=True)
        steps = IMAGES // budget.batch_size

        def batched_images():
            for step in range(steps):
                rows = sampling.indices(IMAGES, budget.batch_size, step, 0).numpy()
                ours.augment(as_input(data.images[rows], CPU), rng(0, "augment", step))

        results["images_alone"] = compared(batched_images, lambda: sum(1 for _ in loader))
        feed = Feed(data, len(settings.cohort.planes), seed=0)
        for name in budget.classifiers:
            model = building.placed(building.classifier(budget, name, len(settings.cohort.planes), size, seed=0), CPU)
            recipe = building.recipe(budget, name)

            def batched(model=model, recipe=recipe):
                checkpoint = Checkpoint(Path(folder, "state"), "x", every=10**9)
                trainer.fit(model, feed, steps, recipe, device=CPU, checkpoint=checkpoint, label="epoch")

            def per_image(model=model, recipe=recipe):
                optimiser = torch.optim.AdamW(
                    model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
                )
                model.train()
                for inputs, labels in loader:
                    loss = functional.cross_entropy(model(inputs), labels)
                    optimiser.zero_grad(set_to_none=True)
                    loss.backward()
                    optimiser.step()

            results[name] = compared(batched, per_image)
    record("classifier", results)


if __name__ == "__main__":
    main()
