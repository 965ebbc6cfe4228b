"""Plain words for the names that tables and code use; pages and figures show these."""

import math
import re

PLAIN = {
    # sets of images
    "real_train": "real train",
    "real_test": "real test",
    # what is measured
    "balanced_accuracy": "balanced accuracy",
    "calibration_error": "calibration error",
    "cas": "CAS",
    "fd": "FD",
    "kid": "KID",
    "macro_auroc": "mean AUROC",
    "macro_f1": "mean F1",
    "near_copies": "near-copies",
    "snr": "speckle SNR",
    "mean_grey": "mean grey level",
    "lateral_width": "speckle width, lateral",
    "axial_width": "speckle width, axial",
    "validation_accuracy": "validation accuracy",
    # what belongs to a run
    "better_control": "better control",
    "images_seen": "images seen in all",
    "n_runs": "runs",
    "p_holm": "p (Holm)",
    "p_permutation": "p (permutation)",
    # the table of images
    "dropped": "why it is left out",
    "image_id": "image",
}
_IDENTIFIER = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)+")  # not an image's or a model's: those keep theirs


def plain(name: str) -> str:
    """`name` in words: that of a column, a metric or a set of images; names that are words already stay as they are.

    Examples
    --------
    >>> plain("real_train"), plain("error@0.05"), plain("images_per_second"), plain("replay")
    ('real train', 'error at noise 0.05', 'images per second', 'replay')
    """
    if name in PLAIN:
        return PLAIN[name]
    if name.startswith("error@"):
        return f"error at noise {name.removeprefix('error@')}"
    return name.replace("_", " ") if _IDENTIFIER.fullmatch(name) else name


def per_plane(images: float) -> str:
    """A number of images per plane, which on average over planes need not be whole.

    Examples
    --------
    >>> per_plane(189.5), per_plane(10.0)
    ('190', '10')
    """
    return f"{math.floor(images + 0.5)}"
