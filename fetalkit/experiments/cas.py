"""Classification accuracy score (CAS): how well a classifier that has learnt from generated images alone names real ones.

References
----------
Ravuri S, Vinyals O. Classification Accuracy Score for Conditional Generative Models. NeurIPS 2019, arXiv 1905.10887.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from fetalkit.classifiers import trainer
from fetalkit.classifiers.loader import Feed
from fetalkit.config.arms import REAL, Arm, PhaseOfArm
from fetalkit.config.params import Params
from fetalkit.config.runs import Run
from fetalkit.data.images import Labelled
from fetalkit.data.study import Study
from fetalkit.experiments import building, classification, own_features
from fetalkit.experiments.phase_cache import PhaseCache
from fetalkit.utils import devices, parallel
from fetalkit.utils.checkpoints import Checkpoint

SEEDS = 3  # of every set, at most: each costs a training of P + N steps


def of_sets(study: Study, seeds: Mapping[str, Sequence[int]]) -> pd.DataFrame:
    """Score of the sets that classifiers train on, at the largest k, beside that of the real train images.

    The first classifier of the study is trained for P + N steps on a set alone, and judged on the de-duplicated test part, or
    on validation patients where the study is not to read test.

    Parameters
    ----------
    study
        Whose fidelity is measured; trainings are kept with those of that stage.
    seeds
        Generator or derived set → seeds that have a set of it at the largest k; the first `SEEDS` of them are scored.

    Returns
    -------
    pandas.DataFrame
        ``set`` (``"real"`` for the train images), ``seed``, ``accuracy`` (0-1), and ``share`` (accuracy over that of the real
        images with the same seed).

    Raises
    ------
    FetalkitError
        When a training fails.
    """
    drawn = {name: sorted(of)[:SEEDS] for name, of in seeds.items()}
    beside = {REAL: sorted({seed for of in drawn.values() for seed in of})}
    arms = {
        f"cas-{name}": Arm(title=f"{name} alone", phases=[PhaseOfArm(source=name, steps="P + N")])
        for name in (REAL, *drawn)
    }
    settings = study.params.model_copy(update={"arms": study.params.arms | arms})
    classifier, k = next(iter(settings.classify.classifiers)), settings.splits.shots.largest
    runs = [Run(f"cas-{name}", classifier, k, seed) for name, of in (beside | drawn).items() for seed in of]
    cache = PhaseCache.of(study.cohort, own_features.STAGE)
    jobs = [
        dict(cohort=study.cohort, settings=settings, cache=cache, run=run)
        for run in (own_features.judge(settings), *runs)
    ]
    place = parallel.workers(settings.run)
    outcomes = parallel.run(classification.train_and_predict, jobs, place, "classifiers of the sets")
    cache.keep(outcomes)
    judged = study.tested[study.tested.dropped == ""]
    labels = study.labelled(judged).labels
    rows = [
        dict(
            set=outcome.run.arm.removeprefix("cas-"),
            seed=outcome.run.seed,
            accuracy=float((outcome.of(list(judged.image_id)).argmax(axis=1) == labels).mean()),
        )
        for outcome in outcomes[1:]
    ]
    table = pd.DataFrame(rows)
    real = table[table.set == REAL].set_index("seed").accuracy
    return table.assign(share=table.accuracy / table.seed.map(real))


def score(
    data: Labelled,
    real: Labelled,
    settings: Params,
    *,
    steps: int,
    seed: int,
    classifier: str | None = None,
    label: str = "CAS",
    device: str | None = None,
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
    device
        Where the classifier is trained; ``run.device`` by default.

    Raises
    ------
    FetalkitError
        When the loss is no longer a number.
    """
    name = classifier or next(iter(settings.classify.classifiers))
    n_classes = len(settings.cohort.planes)
    place, feed = devices.device(device or settings.run.device), Feed(data, n_classes, seed)
    recipe = building.recipe(settings.classify, name)
    model = building.classifier(settings.classify, name, n_classes, settings.images.image_size, seed)
    model = building.placed(model, place)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Checkpoint(Path(folder, "state"), "", every=steps)  # minutes of work: too few to resume
        trainer.fit(model, feed, steps, recipe, device=place, checkpoint=checkpoint, label=label)
    return float((trainer.predict(model, real.images, place).argmax(axis=1) == real.labels).mean())
