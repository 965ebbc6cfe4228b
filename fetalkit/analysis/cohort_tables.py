"""What the pages of a cohort and of its splits say in numbers: facts, counts and sentences."""

import pandas as pd

from fetalkit.cohorts import audit


def place(index: pd.DataFrame) -> str:
    """Column that says where images come from: ``"centre"`` where it is known, else ``"machine"``."""
    return "centre" if (index.centre != "").any() else "machine"


def facts(index: pd.DataFrame, left_out: pd.DataFrame, frame: str | int | None) -> dict[str, int | str]:
    """What is in a cohort, by name.

    Parameters
    ----------
    index, left_out
        As `fetalkit.cohorts.audit.only_scans` returns them.
    frame
        Which frame of a file with several was taken.
    """
    dicom, official = index.format == "DICOM", index.official_split
    several = f"{(index.frames > 1).sum()}{f' (taken: {frame})' if frame else ''}"
    return {
        "Images": len(index),
        "Patients": index.patient.nunique(),
        "Planes": index.plane.nunique(),
        "Official split": f"{(official == 'train').sum()} train, {(official == 'test').sum()} test",
        "Not 8-bit grey in the file": int((index["mode"] != "L").sum()),
        "Blank frames and cover pages, left out": len(left_out),
        "Files with several frames": several,
        "DICOM files": int(dicom.sum()),
        "... that name no ultrasound region: nothing is masked": int((dicom & index.masked_share.isna()).sum()),
        "With colour": int(index.colour.sum()),
        "With burned-in marks (thin near-white strokes)": int((index.overlay_share > audit.OVERLAY_SHARE).sum()),
    }


def duplicate_facts(index: pd.DataFrame, pairs: pd.DataFrame) -> dict[str, int]:
    """How many pairs of images show the same picture, by name, and what crosses the official split."""
    counts = audit.duplicate_counts(pairs)
    return {
        "Exact duplicate pairs": counts["pairs"],
        "... that cross the official split": counts["cross_split"],
        "Near-duplicate pairs": counts["near_pairs"],
        "... that cross the official split ": counts["near_cross_split"],
        "Duplicate pairs under different patients": int((~pairs.same_patient).sum()),
        "Duplicate pairs under different planes": int((~pairs.same_plane).sum()),
        "Patients on both sides of the official split": len(audit.patients_crossing(index)),
        "Patients with images from more than one centre": len(audit.patients_of_several_centres(index)),
    }


def parts(table: pd.DataFrame) -> pd.DataFrame:
    """Images and patients per ``part`` and ``plane`` of a table of splits, without the dropped ones."""
    used = table[table.dropped == ""].groupby(["part", "plane"])
    return used.agg(images=("image_id", "size"), patients=("patient", "nunique")).reset_index()


def dropped(table: pd.DataFrame) -> pd.DataFrame:
    """Test images of a table of splits that are left out: ``image_id``, ``plane``, ``dropped`` (why)."""
    return table.loc[table.dropped != "", ["image_id", "plane", "dropped"]]


def what_was_dropped(table: pd.DataFrame) -> str:
    """How many test images are left out, why, and how many stay that may be of a train patient."""
    why = dropped(table).dropped.str
    return (
        f"{len(dropped(table))} of {(table.part == 'test').sum()} test images are dropped: "
        f"{why.startswith('also').sum()} also occur in train, {why.startswith('repeats').sum()} repeat another test image. "
        f"{table.linked.sum()} further test images are of patients who share some image with a train patient and so may be "
        "the same person; they stay, and the report gives the accuracy without them beside the main one."
    )


def subsets(shots: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Size of every k-shot subset: ``k``, ``seed``, ``images``, ``patients``."""
    joined = shots.merge(table[["image_id", "patient"]], on="image_id").groupby(["k", "seed"], sort=False)
    return joined.agg(images=("image_id", "size"), patients=("patient", "nunique")).reset_index()
