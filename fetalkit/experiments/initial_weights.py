"""What the first phase of a classifier begins with that is the way down of a denoiser."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from fetalkit.classifiers import own
from fetalkit.classifiers.models import Normalised
from fetalkit.config.runs import Run
from fetalkit.data.images import Labelled
from fetalkit.data.study import Study, set_name
from fetalkit.experiments import outputs
from fetalkit.utils import paths
from fetalkit.utils.files import made_by

Begins = tuple[Callable[[Normalised], None], list[str]]


def of_run(study: Study, run: Run, initial: str, real: Labelled) -> Begins | None:
    """What gives a classifier the weights that a run begins with, and settings that this follows from.

    Parameters
    ----------
    study, run
        Which run; None for a classifier of another kind, whose random weights follow from the run alone.
    initial
        Generator of the run whose denoiser gives its weights; ``""`` for random ones.
    real
        Images of the run. Random weights see their pixels at the scale at which a generator would have learnt them, so that
        weights are all that differs.

    Raises
    ------
    FetalkitError
        When the generator has not been trained.
    """
    if study.params.classify.classifiers[run.classifier].model != own.DENOISER_ENCODER:
        return None
    if not initial:
        return partial(_see, real), ["pixel scale", real.digest()]
    folder = made_by("04_generator", paths.data(study.cohort, "generators", set_name(initial, run.k, run.seed)))
    return partial(_begin, folder), ["initial", initial, outputs.fingerprint(folder)]


# Imported late: the libraries of the diffusion model take seconds, which other classifiers need not wait for.
def _see(real: Labelled, model: Normalised) -> None:
    from fetalkit.generators.diffusion.training import PixelScale

    model.network.see(PixelScale.of(real.images))


def _begin(folder: Path, model: Normalised) -> None:
    from fetalkit.classifiers import denoiser_encoder

    denoiser_encoder.begin_with(model, folder)
