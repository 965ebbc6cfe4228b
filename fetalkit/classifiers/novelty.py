"""Is an image unlike those that a classifier was trained on? The Mahalanobis distance of its features tells.

The features of each plane's train images are taken for a normal distribution, with one covariance for all planes [1]_, which is
shrunk so that it can be inverted however few the images are [2]_. An image is as far away as from the nearest plane's mean.
What is stored are means, a covariance and one number: nothing of a single image.

References
----------
.. [1] Lee K, Lee K, Lee H, Shin J. A simple unified framework for detecting out-of-distribution samples and adversarial
   attacks. NeurIPS 2018, arXiv 1807.03888 (its section 2.1, on the features before the last layer).
.. [2] Ledoit O, Wolf M. A well-conditioned estimator for large-dimensional covariance matrices. Journal of Multivariate
   Analysis 88, 365-411 (2004).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from sklearn.covariance import LedoitWolf

from fetalkit.utils.errors import FetalkitError

QUANTILE = 0.95  # of the distances of held-out images of the same hospital, which are to pass
METHOD = (
    "squared Mahalanobis distance of the features before the last layer to the nearest plane's mean, one covariance for all "
    "planes (Lee et al., NeurIPS 2018), shrunk (Ledoit and Wolf 2004)"
)


@dataclass(frozen=True)
class TrainingSet:
    """What is kept of the features of the train images.

    Attributes
    ----------
    means
        float32 (planes, features), of the planes that had train images.
    precision
        float32 (features, features): the inverse of the shrunk covariance within planes.
    threshold
        Squared distance beyond which an image is unlike the train images.
    """

    means: np.ndarray
    precision: np.ndarray
    threshold: float

    @classmethod
    def of(cls, features: np.ndarray, labels: np.ndarray, held_out: np.ndarray) -> "TrainingSet":
        """From the features of train images (n, d) with their labels (n,), and of held-out images (m, d).

        The threshold is exceeded by at most 5 % of the held-out images; where there are fewer than 20, by none.

        Raises
        ------
        FetalkitError
            When there are no train images, or no held-out ones.
        """
        if not len(features) or not len(held_out):
            raise FetalkitError("the warning needs train images and validation images; run 03_splits again")
        planes = np.unique(labels)
        means = np.stack([features[labels == plane].mean(axis=0) for plane in planes])
        within = features - means[np.searchsorted(planes, labels)]
        fit: Any = LedoitWolf(assume_centered=True).fit(within.astype(np.float64))
        precision = fit.get_precision()
        fitted = cls(means.astype(np.float32), precision.astype(np.float32), np.inf)
        threshold = float(np.quantile(fitted.distances(held_out), QUANTILE, method="higher"))
        return cls(fitted.means, fitted.precision, threshold)

    def distances(self, features: np.ndarray) -> np.ndarray:
        """Squared Mahalanobis distance to the nearest mean, float64 (n,), of features (n, d)."""
        precision = self.precision.astype(np.float64)
        apart = (features.astype(np.float64) - mean for mean in self.means)
        return np.min([((some @ precision) * some).sum(axis=1) for some in apart], axis=0)

    def save(self, path: Path) -> None:
        """Write means and precision; the threshold belongs into the card."""
        save_file({"means": self.means, "precision": self.precision}, path)

    @classmethod
    def load(cls, path: Path, threshold: float) -> "TrainingSet":
        """Read what `save` wrote.

        Raises
        ------
        FetalkitError
            When the file is missing or damaged.
        """
        try:
            content = load_file(path)
            means, precision = content["means"], content["precision"]
        except (OSError, SafetensorError, KeyError) as error:
            raise FetalkitError(f"{path}: missing or damaged ({error}); export the classifier again") from None
        if means.ndim != 2 or precision.shape != (means.shape[1],) * 2:
            raise FetalkitError(
                f"{path}: holds {means.shape} and {precision.shape} numbers; export the classifier again"
            )
        return cls(means, precision, threshold)
