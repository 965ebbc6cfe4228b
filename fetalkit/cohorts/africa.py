"""Maternal fetal ultrasound planes from five African countries (Sendra-Balcells et al. 2023)."""

from pathlib import Path

import pandas as pd

from fetalkit.cohorts.base import Cohort
from fetalkit.cohorts.download import Archive, locate
from fetalkit.config.sections import CohortSettings
from fetalkit.utils.tables import read_table

ARCHIVE = Archive(
    "africa",
    "10.5281/zenodo.7540448",
    "Zenodo_dataset.tar.xz",
    "Zenodo_dataset",
    images_sha256="1184b12fc087427ea3f0a0bc4bd7bf0a359293910f54b440f9fe2ea900ef7ec5",
)
TABLE = "African_planes_database.csv"


class Africa(Cohort[CohortSettings]):
    """Five centres with one machine setting each; a patient is (centre, number), since numbers repeat across centres."""

    public = True
    title = "Five African centres (Algeria, Egypt, Ghana, Malawi, Uganda)"
    licence = "CC BY 4.0"
    citation = (
        "Sendra-Balcells C, Campello VM, Torrents-Barrena J, et al. Generalisability of fetal ultrasound deep learning "
        "models to low-resource imaging settings in five African countries. Scientific Reports 13, 2728 (2023); "
        "Zenodo 7540448"
    )
    planes = ("Fetal abdomen", "Fetal brain", "Fetal femur", "Fetal thorax")
    settings = CohortSettings

    def fetch(self, settings: CohortSettings, folder: Path) -> Path:
        return locate(ARCHIVE, folder)

    def rows(self, settings: CohortSettings, root: Path) -> pd.DataFrame:
        raw = read_table(root / TABLE, ("Patient_num", "Plane", "Train", "Center", "Filename"))
        return pd.DataFrame(
            {
                "image_id": raw.Center + "/" + raw.Filename,
                "patient": raw.Center + "/" + raw.Patient_num,
                "plane": raw.Plane,
                "centre": raw.Center,
                "machine": "",
                "operator": "",
                "official_split": raw.Train.map({"1": "train", "0": "test"}),
                "source": raw.Center + "/" + raw.Filename + ".png",
            }
        )
