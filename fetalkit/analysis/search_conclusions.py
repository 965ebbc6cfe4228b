"""What the search for a generator says in words."""

import numpy as np
import pandas as pd


def candidates(measured: pd.DataFrame, real: float, train_images: int, validation_images: int) -> str:
    """The best candidate beside real images, and what tells two candidates apart.

    Parameters
    ----------
    measured
        As `fetalkit.experiments.generator_search.compare` returns it; its first row is the candidate that others depart from.
    real
        Accuracy of the same classifier after as many steps on the real train images, in [0, 1].
    train_images, validation_images
        Number of images that it learnt from, and that judge.
    """
    best = measured.loc[measured.cas.idxmax()]
    error = np.sqrt(best.cas * (1 - best.cas) / validation_images)
    alike = measured[measured.parameters == measured.parameters[0]].steps
    return (
        f"The same classifier, trained on the {train_images} real images for as many steps, reaches {real:.1%} of "
        f"{validation_images} validation images. Best candidate: *{best.candidate}* with {best.cas:.1%}. One validation "
        f"accuracy has a standard error of about {100 * error:.1f} points, so candidates that lie closer together than that "
        "are not told apart here. Candidates with one and the same network made between "
        f"{alike.min()} and {alike.max()} steps: batches differ, and other work on the machine lets a second of processor "
        "time do less, so that a candidate with few steps for its network lost some of its accuracy to that."
    )
