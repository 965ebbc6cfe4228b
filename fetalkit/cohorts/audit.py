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

from fetalkit.data import images
from fetalkit.utils.errors import FetalkitError

HASH_SIDE = 16
THUMBNAIL = 64
# An image shows burned-in marks (text, calipers) when this share of its pixels are thin strokes, near white on dark ground.
OVERLAY_SHARE = 5e-4
_BLOCK = 2048


def scan(root: Path, table: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Facts about every image of `table`.

    Returns
    -------
    index : pandas.DataFrame
        `table` plus ``width``, ``height`` (px), ``mode``, ``colour`` (channels differ), ``overlay_share`` (0-1), ``bytes``,
        ``sha256`` and ``phash`` (64 hexadecimal digits).
    thumbnails : ndarray, uint8 (n, 64, 64)

    Raises
    ------
    FetalkitError
        One message with all missing and corrupt images.
    """
    facts = images.each(lambda source: _facts(root / source), list(table.source), "read")
    thumbnails = np.stack([fact.pop("thumbnail") for fact in facts])
    return pd.concat([table, pd.DataFrame(facts)], axis=1), thumbnails


def _facts(path: Path) -> dict:
    image = images.read(path)
    grey = images.canonical(image)
    content = path.read_bytes()
    return {
        "width": image.width,
        "height": image.height,
        "mode": image.mode,
        "colour": _coloured(image),
        "overlay_share": round(_overlay_share(np.asarray(grey)), 6),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "phash": str(imagehash.phash(grey, hash_size=HASH_SIDE)),
        "thumbnail": np.asarray(grey.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)),
    }


def _coloured(image: Image.Image) -> bool:
    if image.mode in ("L", "1", "LA") or image.mode.startswith("I"):
        return False
    channels = np.asarray(image.convert("RGB")).astype(np.int16)
    # A few levels of difference come from lossy compression, not from colour.
    return bool((np.ptp(channels, axis=2) > 24).mean() > 1e-4)


def _overlay_share(grey: np.ndarray) -> float:
    # A stroke narrower than 5 px disappears in the opening; anatomy and the fan's edge stay.
    ground = ndimage.grey_opening(grey, size=(5, 5))
    return float(((grey > 200) & (ground < 60)).mean())


def duplicates(index: pd.DataFrame, thumbnails: np.ndarray, bits: int, correlation: float) -> pd.DataFrame:
    """Pairs of images that show the same picture.

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
    same_file = index.sha256.to_numpy()
    pairs = []
    for start in range(0, len(index), _BLOCK):  # in blocks, so that memory stays linear in the number of images
        block = slice(start, start + _BLOCK)
        distance = (codes.shape[1] - codes[block] @ codes.T) / 2
        exact = same_file[block, None] == same_file[None]
        rows, others = np.nonzero(exact | (distance <= bits))
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
