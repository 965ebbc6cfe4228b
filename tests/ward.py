"""A ward's images with a table, as hospitals have them: for tests of cohorts that a section of params.yaml describes."""

import numpy as np
from PIL import Image

LABELS = ("ABD", "BR")
COLUMNS = ("file", "mrn", "label", "site", "scanner", "set")


def rows(patients=12, each=2):
    """One tuple per image, in the order of `COLUMNS`: three sites, a quarter of the patients for testing."""
    return [
        (
            f"img{patient:02d}_{number}.png", f"P{patient:02d}", LABELS[number % 2], f"site {patient % 3}", "V8",
            "test" if patient % 4 == 3 else "train",
        )
        for patient in range(patients)
        for number in range(each)
    ]  # fmt: skip


def write(folder, lines=None, separator=",", encoding="utf-8", columns=COLUMNS, end="\n", images=True):
    """Write ``labels.csv`` and small random images into `folder`; return the section of the cohort.

    It is public, so that tables have the real names.
    """
    lines = rows() if lines is None else lines
    folder.mkdir(exist_ok=True)
    text = end.join(separator.join(map(str, line)) for line in (columns, *lines)) + end
    (folder / "labels.csv").write_bytes(text.encode(encoding))
    random = np.random.default_rng(0)
    for line in lines if images else ():
        path = folder / str(line[0])
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 255, (24, 32), np.uint8)).save(path)
    meant = dict(zip(("image", "patient", "plane", "centre", "machine", "split"), columns, strict=False))
    planes = {"ABD": "Fetal abdomen", "BR": "Fetal brain"}
    return {
        "kind": "table",
        "public": True,
        "folder": str(folder),
        "table": "labels.csv",
        "columns": meant,
        "planes": planes,
    }
