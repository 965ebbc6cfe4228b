"""Classification accuracy score: how well a classifier that has learnt from generated images alone names real ones.

References
----------
Ravuri S, Vinyals O. Classification Accuracy Score for Conditional Generative Models. NeurIPS 2019, arXiv 1905.10887.
"""

import tempfile
from pathlib import Path

import torch

from fetalkit.classifiers import trainer
from fetalkit.classifiers.loader import Feed
from fetalkit.config.params import Params
from fetalkit.data.images import Labelled
from fetalkit.experiments import building
from fetalkit.utils.checkpoints import Checkpoint


def score(
    data: Labelled,
    real: Labelled,
    settings: Params,
    *,
    steps: int,
    seed: int,
    classifier: str | None = None,
    label: str = "CAS",
) -> float:
    """Accuracy on `real` of a classifier trained on `data`, in [0, 1].

    Parameters
    ----------
    data
        Generated images; or real ones, for what the score is compared with.
    real
        Real images that neither the classifier nor the generator has seen.
    settings
        Of the study: planes, image size, recipe and classifiers.
    steps
        Training steps.
    seed
        Of weights, batches and augmentation.
    classifier
        One of ``classify.classifiers``; the first one if not given.
    label
        Name of the training in logs.

    Raises
    ------
    FetalkitError
        When the loss is no longer a number.
    """
    name = classifier or next(iter(settings.classify.classifiers))
    n_classes = len(settings.cohort.planes)
    device, feed = torch.device("cpu"), Feed(data, n_classes, seed)
    recipe = building.recipe(settings.classify, name)
    model = building.classifier(settings.classify, name, n_classes, settings.images.image_size, seed)
    model = building.placed(model, device)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Checkpoint(Path(folder, "state"), "", every=steps)  # minutes of work: too few to resume
        trainer.fit(model, feed, steps, recipe, device=device, checkpoint=checkpoint, label=label)
    return float((trainer.predict(model, real.images, device).argmax(axis=1) == real.labels).mean())
