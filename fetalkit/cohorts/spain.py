"""FETAL_PLANES_DB: common maternal-fetal ultrasound planes from two hospitals in Barcelona (Burgos-Artizzu et al. 2020)."""

from pathlib import Path

import pandas as pd

from fetalkit.cohorts.base import Cohort
from fetalkit.cohorts.download import Archive, locate
from fetalkit.config.sections import CohortSettings
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.tables import read_table

ARCHIVE = Archive(
    "spain",
    "10.5281/zenodo.3904280",
    "FETAL_PLANES_ZENODO.zip",
    "FETAL_PLANES_ZENODO",
    md5="2a5fcc2cefb789bcc0f6c1f73e0ea43f",
)
TABLE = "FETAL_PLANES_DB_data.csv"


class SpainSettings(CohortSettings):
    """Planes, and optionally the list of names to which the study is limited.

    Attributes
    ----------
    subset
        Text file below the project's top with one image name per line, or None for the whole cohort.
    """

    subset: str | None


class Spain(Cohort[SpainSettings]):
    """Two hospitals, several machines and operators; the official table gives the split."""

    public = True
    title = "FETAL_PLANES_DB (two hospitals in Barcelona)"
    licence = "CC BY 4.0"
    citation = (
        "Burgos-Artizzu XP, Coronado-Gutiérrez D, Valenzuela-Alcaraz B, et al. Evaluation of deep convolutional neural "
        "networks for automatic classification of common maternal fetal ultrasound planes. Scientific Reports 10, 10200 "
        "(2020); Zenodo 3904280"
    )
    planes = ("Fetal abdomen", "Fetal brain", "Fetal femur", "Fetal thorax", "Maternal cervix", "Other")
    column = "Plane"  # that says what an image shows
    settings = SpainSettings

    def fetch(self, settings: SpainSettings, folder: Path) -> Path:
        return locate(ARCHIVE, folder)

    def rows(self, settings: SpainSettings, root: Path) -> pd.DataFrame:
        columns = ("Image_name", "Patient_num", self.column, "Operator", "US_Machine", "Train")
        raw = read_table(root / TABLE, columns)
        rows = pd.DataFrame(
            {
                "image_id": raw.Image_name,
                "patient": raw.Patient_num,
                "plane": raw[self.column],
                "centre": "",
                "machine": raw.US_Machine,
                "operator": raw.Operator,
                "official_split": raw.Train.map({"1": "train", "0": "test"}),
                "source": "Images/" + raw.Image_name + ".png",
            }
        )
        return rows if settings.subset is None else _limited(rows, paths.ROOT / settings.subset)

    def notes(self, settings: SpainSettings, root: Path) -> list[str]:
        if settings.subset is None:
            return []
        used = self.table(settings, root)
        whole = self.table(settings.model_copy(update={"subset": None}), root)
        counts = (
            f"{(used.official_split == part).sum()} of {(whole.official_split == part).sum()} {part} images"
            for part in ("train", "test")
        )
        return [f"Limited to the images that `{settings.subset}` names: {', '.join(counts)} of these planes."]


class Brain(Spain):
    """Its three brain planes: which of them an image shows is the harder task."""

    title = "FETAL_PLANES_DB, brain planes (two hospitals in Barcelona)"
    planes = ("Trans-thalamic", "Trans-cerebellum", "Trans-ventricular")
    column = "Brain_plane"

    def rows(self, settings: SpainSettings, root: Path) -> pd.DataFrame:
        rows = super().rows(settings, root)
        return rows[rows.plane.isin(self.planes)]


def _limited(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    try:
        names = path.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        raise FetalkitError(f"{path}: not found; correct cohort.subset in params.yaml or set it to null") from None
    unknown = sorted(set(names) - set(rows.image_id))
    if unknown:
        raise FetalkitError(f"{path}: {unknown[0]} is not in {TABLE} ({len(unknown)} such names); correct the list")
    return rows[rows.image_id.isin(names)]
