"""A small package outside of the project, with one thing of each kind that a study can be extended by."""

import sys

import pytest
import yaml

from fetalkit.metrics import classification
from fetalkit.utils import paths, provenance

GENERATOR = '''
from typing import Annotated

import numpy as np
from pydantic import Field

from fetalkit.generators.base import Generator
from fetalkit.generators.settings import SamplingSettings, TrainingSettings
from own.helper import LEVELS


class MeanTraining(TrainingSettings):
    levels: Annotated[int, Field(ge=2, le=LEVELS)] = LEVELS

    def check(self, planes, image_size):
        if len(planes) > self.levels:
            raise ValueError(f"levels = {self.levels}: give at least one for each of {len(planes)} planes")


class MeanSampling(SamplingSettings):
    shift: int = 0


class MeanImage(Generator[MeanTraining, MeanSampling]):
    """Draws the mean image of a plane."""

    Training, Sampling = MeanTraining, MeanSampling
    means = np.zeros((0, 0, 0))

    @property
    def loaded(self):
        return len(self.means) > 0

    def _fit(self, images, labels, **options):
        step = LEVELS / self.training.levels
        means = np.stack([images[labels == plane].mean(axis=0) for plane in range(self.n_classes)])
        self.means = np.floor(means / step) * step

    def _sample(self, labels, *, seed, sampling, batch_size):
        return (self.means[labels] + sampling.shift).clip(0, 255).astype(np.uint8)

    def _write(self, folder):
        np.save(folder / "means.npy", self.means)
        return {}

    def _read(self, folder, about):
        self.means = np.load(folder / "means.npy")
'''
METRIC = """
from fetalkit.metrics.classification import metric


@metric("errors", title="errors (images)")
def errors(probabilities, labels, planes):
    return float((probabilities.argmax(axis=1) != labels).sum())


@metric("called", title="images called a plane")
def called(probabilities, labels, planes):
    return {plane: (probabilities.argmax(axis=1) == number).sum() for number, plane in enumerate(planes)}
"""
COHORT = """
import pandas as pd

from fetalkit.cohorts.base import COLUMNS, Cohort
from fetalkit.config.sections import CohortSettings


class WardSettings(CohortSettings):
    folder: str


class Ward(Cohort[WardSettings]):
    title, licence, citation = "A ward", "none", "none"
    planes = ("Fetal abdomen", "Fetal brain", "Fetal femur")
    settings = WardSettings

    def fetch(self, settings, folder):
        from pathlib import Path

        return Path(settings.folder)

    def rows(self, settings, root):
        return pd.read_csv(root / "table.csv", dtype=str, keep_default_na=False)[list(COLUMNS)]
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write the package, make it importable, and let ``params.yaml`` be a copy; returns what changes that copy."""
    folder = tmp_path / "packages"
    package = folder / "own"
    package.mkdir(parents=True)
    modules = {"__init__": "", "helper": "LEVELS = 256\n", "mean": GENERATOR, "errors": METRIC, "ward": COHORT}
    for name, text in modules.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(classification, "_REGISTRY", dict(classification._REGISTRY))
    content = yaml.safe_load(paths.PARAMS.read_text())
    monkeypatch.setattr(paths, "PARAMS", tmp_path / "params.yaml")

    def change(edit):
        edit(content)
        paths.PARAMS.write_text(yaml.safe_dump(content, sort_keys=False))

    change(lambda content: None)
    _forget()
    yield change
    _forget()


def _forget():
    provenance.forget()
    for name in [name for name in sys.modules if name.partition(".")[0] == "own"]:
        del sys.modules[name]
