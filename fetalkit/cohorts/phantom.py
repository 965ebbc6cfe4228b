"""Simulated cohort: needs no download, so that the whole study runs on a fresh, offline machine."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from pydantic import Field

from fetalkit import simulator
from fetalkit.cohorts.base import Cohort
from fetalkit.config.sections import CohortSettings
from fetalkit.utils.files import replacing
from fetalkit.utils.provenance import fingerprint
from fetalkit.utils.tables import read_table

TABLE = "table.csv"
_BATCH = 64


class PhantomSettings(CohortSettings):
    """Size of the simulated cohort.

    Attributes
    ----------
    train_patients, test_patients
        Number of simulated patients on either side of the split.
    images_per_patient
        Images of each patient, of planes drawn at random.
    image_size
        Side of the simulated images in px.
    seed
        Of everything random.
    """

    train_patients: int = Field(ge=4, le=100_000)
    test_patients: int = Field(ge=2, le=100_000)
    images_per_patient: int = Field(ge=1, le=100)
    image_size: int = Field(ge=32, le=512)
    seed: int = Field(ge=0)


class Phantom(Cohort[PhantomSettings]):
    """Patients with a few images each; every patient was scanned with one of the simulated scanners."""

    public = True
    title = "Simulated phantoms"
    licence = "MIT (part of this project)"
    citation = "fetalkit.simulator"
    planes = simulator.PLANES
    settings = PhantomSettings

    def fetch(self, settings: PhantomSettings, folder: Path) -> Path:
        # The simulator's code belongs to the key: an image of an older simulator is never taken for one of this one.
        root = folder / fingerprint(
            [__name__], settings.model_dump(exclude=set(CohortSettings.model_fields) - {"planes"})
        )
        if not root.is_dir():
            with replacing(root) as temporary:
                _simulate(settings, temporary)
        return root

    def rows(self, settings: PhantomSettings, root: Path) -> pd.DataFrame:
        raw = read_table(root / TABLE, ("image_id", "patient", "plane", "scanner", "split"))
        return raw.rename(columns={"scanner": "machine", "split": "official_split"}).assign(
            centre="", operator="", source="images/" + raw.image_id + ".png"
        )


def _simulate(settings: PhantomSettings, root: Path) -> None:
    specs, splits = [], []
    random = np.random.default_rng([settings.seed, 1])
    scanners = list(simulator.SCANNERS)
    for patient in range(settings.train_patients + settings.test_patients):
        scanner = scanners[random.integers(len(scanners))]
        for number in range(settings.images_per_patient):
            plane = settings.planes[random.integers(len(settings.planes))]
            index = patient * settings.images_per_patient + number
            specs.append(simulator.Spec(settings.seed, index, patient, plane, scanner))
            splits.append("train" if patient < settings.train_patients else "test")
    table = pd.DataFrame(
        {
            "image_id": [f"patient{spec.patient:05d}_image{spec.index:06d}" for spec in specs],
            "patient": [f"patient{spec.patient:05d}" for spec in specs],
            "plane": [spec.plane for spec in specs],
            "scanner": [spec.scanner for spec in specs],
            "split": splits,
        }
    )
    (root / "images").mkdir(parents=True)
    for start in range(0, len(specs), _BATCH):
        drawn = simulator.simulate(specs[start : start + _BATCH], size=settings.image_size)
        for name, image in zip(table.image_id[start : start + _BATCH], drawn, strict=True):
            Image.fromarray(image).save(root / "images" / f"{name}.png")
    table.to_csv(root / TABLE, index=False)
