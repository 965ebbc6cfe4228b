"""What one trained generator is worth, measured on validation patients alone: test images are not read."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fetalkit.classifiers import trainer
from fetalkit.config.runs import Run
from fetalkit.config.sections import Section
from fetalkit.data.images import Labelled
from fetalkit.data.study import Study
from fetalkit.experiments import classification, drawing, own_features
from fetalkit.experiments.phase_cache import PhaseCache
from fetalkit.generators.base import Generator
from fetalkit.metrics import compare, features, memorisation
from fetalkit.utils import devices

IMAGES = 1000  # drawn in all, as many of every plane
JUDGE = "real-long"  # the arm that trains longest on real images
_SEED = 0  # of what is drawn and compared


def measure(made: Generator, study: Study, k: str, seed: int, sampling: Section, count: int = IMAGES) -> dict[str, Any]:
    """Measures of a generator, as `fetalkit.reporting.cards.model_card` takes them.

    Near-copies are sought among all drawn images, by pixels, with the threshold of validation images; the judge that says
    which plane an image shows is a classifier trained on the real train images; distances are those of as many drawn as
    validation images of every plane, in ImageNet features, beside those of real train images.

    Parameters
    ----------
    made
        That has seen the images of the subset (`k`, `seed`) of the study.
    study
        With images and splits.
    sampling
        How is drawn.
    count
        Number of images, at least one of every plane.

    Returns
    -------
    dict
        ``of``, ``memorisation``, ``recognised`` (``judge``, ``real``, ``n``, ``by_plane``) and ``fidelity``.
    """
    each = -(-count // len(study.planes))
    drawn = Labelled(*drawing.draw(made, "validation", study.planes, each, _SEED, sampling))
    seen, rows = study.train(k, seed), study.part("validation")
    validation = study.labelled(rows[rows.dropped == ""])
    quantile = study.params.fidelity.near_copy_quantile
    limit = memorisation.threshold(memorisation.nearest_images(validation.images, seen.images).distance, quantile)
    copies = memorisation.share(memorisation.nearest_images(drawn.images, seen.images).distance, limit)
    return {
        "of": f"{len(drawn.labels)} images drawn from it, and on validation patients; test images were not read",
        "memorisation": copies,
        "recognised": _recognised(study, drawn, validation),
        "fidelity": _fidelity(study, drawn, validation, seen),
    }


def _recognised(study: Study, drawn: Labelled, validation: Labelled) -> dict[str, Any]:
    """Share of images that the judge names as asked for, of each plane, and of validation images as they are labelled."""
    settings = study.params
    best = own_features.judge(settings)
    run = Run(JUDGE, best.classifier, best.k, best.seed)
    with tempfile.TemporaryDirectory() as folder:  # minutes of work, and no part of the study
        network, _ = classification.train(study.cohort, settings, PhaseCache(study.cohort, Path(folder)), run)
    device = devices.device(settings.run.device)
    right, real = (
        trainer.predict(network, data.images, device).argmax(axis=1) == data.labels for data in (drawn, validation)
    )
    by_plane = {plane: float(right[drawn.labels == number].mean()) for number, plane in enumerate(study.planes)}
    return {
        "judge": run.classifier,
        "real": float(real.mean()),
        "n": len(right),
        "by_plane": {"all": float(right.mean()), **by_plane},
    }


def _fidelity(study: Study, drawn: Labelled, validation: Labelled, seen: Labelled) -> dict[str, dict[str, float]]:
    """Row of the card → measures; the second row is what a perfect generator would reach."""
    space = features.imagenet(study.params.run.device)
    sets = {compare.REFERENCE: validation, "drawn": drawn, "train": seen}
    # Only what is compared goes through the network.
    chosen = compare.draw({name: data.labels for name, data in sets.items()}, study.planes, _SEED)
    rows = {name: np.concatenate(of) for name, of in chosen.items()}
    vectors = features.of_sets(space, {name: data.images[rows[name]] for name, data in sets.items()})
    labels = {name: data.labels[rows[name]] for name, data in sets.items()}
    table = compare.table({space.name: vectors}, labels, study.planes, neighbours=study.params.fidelity.neighbours)
    titles = {"drawn": space.name, "train": f"{space.name}, of real train images instead"}
    return {
        titles[row["set"]]: {key: row[key] for key in ("n", *compare.METRICS) if pd.notna(row[key])}
        for row in table[table.plane == compare.ALL].to_dict("records")
    }
