"""What is in a cohort: facts per image, duplicates, and what crosses the split.

Duplicates are found among all images, whatever their patient or plane. *Exact*: the files are byte-identical. *Near*: the
256-bit perceptual hashes differ in few bits, and the thumbnails correlate highly (the hash alone takes different frames of
one sweep for the same image).
"""

import hashlib
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage

from fetalkit.config.sections import Frame
from fetalkit.data import decoding, images
from fetalkit.utils.errors import FetalkitError

HASH_SIDE = 16
THUMBNAIL = 64
# An image shows burned-in marks (text, calipers) when this share of its pixels are thin strokes, near white on dark ground.
OVERLAY_SHARE = 5e-4
# A blank frame: fewer than this share of its pixels depart from the median by more than so many of 255 grey levels.
BLANK_SHARE, BLANK_LEVELS = 0.01, 8
COVER_PATIENTS = 5  # a picture that so many patients share is a cover page or a test image
_BLOCK = 2048


def scan(root: Path, table: pd.DataFrame, frame: Frame | None = None) -> tuple[pd.DataFrame, np.ndarray]:
    """Facts about every image of `table`.

    Parameters
    ----------
    root, table
        Where the images lie, and what `fetalkit.cohorts.base.Cohort.table` says of them.
    frame
        As for `fetalkit.data.decoding.read`.

    Returns
    -------
    index : pandas.DataFrame
        `table` plus ``width``, ``height`` (px), ``format``, ``mode``, ``frames``, ``masked_share`` (as in
        `fetalkit.data.decoding.Picture`), ``blank``, ``colour`` (channels differ), ``overlay_share`` (0-1), ``bytes``,
        ``sha256`` and ``phash`` (64 hexadecimal digits).
    thumbnails : ndarray, uint8 (n, 64, 64)

    Raises
    ------
    FetalkitError
        One message with all missing and corrupt images.
    """
    facts = images.each(lambda source: _facts(root / source, frame), list(table.source), "read")
    thumbnails = np.stack([fact.pop("thumbnail") for fact in facts])
    return pd.concat([table, pd.DataFrame(facts)], axis=1), thumbnails


def _facts(path: Path, frame: Frame | None) -> dict:
    picture = decoding.read(path, frame)
    image = picture.image
    grey = images.canonical(image)
    content = path.read_bytes()
    return {
        "width": image.width,
        "height": image.height,
        "format": picture.format,
        "mode": picture.mode,
        "frames": picture.frames,
        "masked_share": picture.masked_share,
        "blank": _is_blank(np.asarray(grey)),
        "colour": _coloured(image),
        "overlay_share": round(_overlay_share(np.asarray(grey)), 6),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "phash": str(imagehash.phash(grey, hash_size=HASH_SIDE)),
        "thumbnail": np.asarray(grey.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)),
    }


def _is_blank(grey: np.ndarray) -> bool:
    return bool((np.abs(grey - np.median(grey)) > BLANK_LEVELS).mean() < BLANK_SHARE)


def _coloured(image: Image.Image) -> bool:
    if image.mode in ("L", "1"):
        return False
    channels = np.asarray(image.convert("RGB")).astype(np.int16)
    # A few levels of difference come from lossy compression, not from colour.
    return bool((np.ptp(channels, axis=2) > 24).mean() > 1e-4)


def _overlay_share(grey: np.ndarray) -> float:
    # A stroke narrower than 5 px disappears in the opening; anatomy and the fan's edge stay.
    ground = ndimage.grey_opening(grey, size=(5, 5))
    return float(((grey > 200) & (ground < 60)).mean())


def duplicates(index: pd.DataFrame, thumbnails: np.ndarray, bits: int, correlation: float) -> pd.DataFrame:
    """Pairs of images that show the same picture; blank frames are all alike, and form none.

    Parameters
    ----------
    index, thumbnails
        As `scan` returns them.
    bits
        Near-duplicates differ in at most this many of the 256 bits of the perceptual hash.
    correlation
        And their thumbnails have at least this Pearson correlation.

    Returns
    -------
    pandas.DataFrame
        ``image_a``, ``image_b``, ``kind`` (exact or near), ``bits``, ``correlation``, ``same_patient``, ``same_plane``,
        ``crosses_split``; ordered as in `index`.
    """
    codes = np.array([imagehash.hex_to_hash(text).hash.ravel() for text in index.phash], dtype=np.float32) * 2 - 1
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    same_file, seen = index.sha256.to_numpy(), ~index.blank.to_numpy(bool)
    pairs = []
    for start in range(0, len(index), _BLOCK):  # in blocks, so that memory stays linear in the number of images
        block = slice(start, start + _BLOCK)
        distance = (codes.shape[1] - codes[block] @ codes.T) / 2
        exact = same_file[block, None] == same_file[None]
        rows, others = np.nonzero((exact | (distance <= bits)) & seen[block, None] & seen[None])
        for row, other in zip(rows, others, strict=True):
            if other > row + start:
                alike = float(flat[row + start] @ flat[other])
                if exact[row, other] or alike >= correlation:
                    kind = "exact" if exact[row, other] else "near"
                    pairs.append((row + start, other, kind, int(distance[row, other]), round(alike, 4)))
    a, b = ([pair[side] for pair in pairs] for side in (0, 1))

    def agree(column: str) -> np.ndarray:
        return index[column].to_numpy()[a] == index[column].to_numpy()[b]

    return pd.DataFrame(
        {
            "image_a": index.image_id.to_numpy()[a],
            "image_b": index.image_id.to_numpy()[b],
            "kind": [pair[2] for pair in pairs],
            "bits": [pair[3] for pair in pairs],
            "correlation": [pair[4] for pair in pairs],
            "same_patient": agree("patient"),
            "same_plane": agree("plane"),
            "crosses_split": ~agree("official_split"),
        }
    )


def only_scans(index: pd.DataFrame, pairs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Leave out what is no scan: blank frames, and pictures that many patients share, such as a cover page.

    They would make one person of all patients who have them.

    Parameters
    ----------
    index, pairs
        As `scan` and `duplicates` return them.

    Returns
    -------
    index, pairs : pandas.DataFrame
        Without them.
    left_out : pandas.DataFrame
        ``image_id``, ``patient``, ``plane``, ``why``; empty for most cohorts.

    Raises
    ------
    FetalkitError
        When nothing is left.
    """
    patient = dict(zip(index.image_id, index.patient, strict=True))
    image = pd.concat([pairs.image_a, pairs.image_b, index.image_id], ignore_index=True)
    alike = pd.concat([pairs.image_b, pairs.image_a, index.image_id], ignore_index=True)
    sharing = alike.map(patient).groupby(image).nunique().loc[index.image_id].to_numpy()
    why = np.where(sharing >= COVER_PATIENTS, [f"the same picture under {count} patients" for count in sharing], "")
    why = np.where(index.blank, "blank", why)
    left_out = index[["image_id", "patient", "plane"]].assign(why=why)[why != ""].reset_index(drop=True)
    if len(left_out) == len(index):
        raise FetalkitError(f"no scan among the {len(index)} images: {left_out.why[0]}")
    kept = pairs[~pairs.image_a.isin(left_out.image_id) & ~pairs.image_b.isin(left_out.image_id)]
    return index[why == ""].reset_index(drop=True), kept.reset_index(drop=True), left_out


def duplicate_counts(pairs: pd.DataFrame) -> dict[str, int]:
    """Number of exact and near pairs, and how many of each cross the official split."""
    exact, near = pairs[pairs.kind == "exact"], pairs[pairs.kind == "near"]
    return {
        "pairs": len(exact),
        "cross_split": int(exact.crosses_split.sum()),
        "near_pairs": len(near),
        "near_cross_split": int(near.crosses_split.sum()),
    }


def patients_crossing(index: pd.DataFrame) -> list[str]:
    """Patients with images on both sides of the official split, sorted."""
    sides = index.groupby("patient").official_split.nunique()
    return sorted(sides.index[sides > 1])


def patients_of_several_centres(index: pd.DataFrame) -> list[str]:
    """Patients with images from more than one centre, sorted: where centres number each for itself, several persons in one."""
    centres = index[index.centre != ""].groupby("patient").centre.nunique()
    return sorted(centres.index[centres > 1])


def verify(root: Path, index: pd.DataFrame) -> None:
    """Check that the files below `root` are still those that were audited.

    Raises
    ------
    FetalkitError
        Lists all files that are missing or whose SHA-256 has changed since the audit.
    """

    def check(row: tuple[str, str]) -> None:
        source, expected = row
        try:
            actual = hashlib.sha256((root / source).read_bytes()).hexdigest()
        except OSError:
            raise FetalkitError(f"{root / source}: missing") from None
        if actual != expected:
            raise FetalkitError(f"{root / source}: has changed since the audit (SHA-256 differs); run 01_cohort again")

    images.each(check, list(zip(index.source, index.sha256, strict=True)), "verified")
