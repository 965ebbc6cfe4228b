"""A blind test: can a person tell synthetic images from real ones?

Half of the images are real, half synthetic, as many of either kind of every plane, so that the plane tells nothing. Real ones
are of the test part, which no generator has seen: a reader who knows a training image gains nothing.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from fetalkit.data.study import Study
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import write_table

REAL, SYNTHETIC = "real", "synthetic"
SCORES = "blind_test.csv"  # table of saved scores in ``work/<cohort>``


@dataclass(frozen=True)
class Score:
    """How well a reader did; images without an answer are left out of everything but their count.

    Attributes
    ----------
    answered, unanswered, right
        Numbers of images.
    accuracy, low, high
        Share of right answers in [0, 1], NaN without any answer, and its 95 % interval [1]_.
    sensitivity
        Share of the synthetic images that were called synthetic; NaN without any.
    specificity
        Share of the real images that were called real; NaN without any.
    p
        Two-sided binomial test against guessing (accuracy 0.5); 1 without any answer.
    planes
        One row per plane: ``plane``, ``answered``, ``right``, ``accuracy``.

    References
    ----------
    .. [1] Wilson EB. Probable inference, the law of succession, and statistical inference. J Am Stat Assoc 22, 209-212 (1927).
    """

    answered: int
    unanswered: int
    right: int
    accuracy: float
    low: float
    high: float
    sensitivity: float
    specificity: float
    p: float
    planes: pd.DataFrame

    def __str__(self) -> str:
        left_out = f" {self.unanswered} without a mark are left out." if self.unanswered else ""
        if not self.answered:
            return f"No image is marked.{left_out}"
        return (
            f"{self.right} of {self.answered} right: accuracy {percent(self.accuracy)} (95 % interval "
            f"{percent(self.low)} to {percent(self.high)}; p against guessing {self.p:.2g}). "
            f"Synthetic images found: {percent(self.sensitivity)}. Real images found: {percent(self.specificity)}.{left_out}"
        )


def percent(share: float) -> str:
    """Share in words of the score; NaN is the share of nothing."""
    return "none marked" if np.isnan(share) else f"{100 * share:.0f} %"


@dataclass(frozen=True)
class Quiz:
    """Images in random order, and the truth about them.

    Attributes
    ----------
    name
        What was drawn, e.g. ``"africa, diffusion-kall-seed0, quiz 0"``.
    images
        uint8 (n, size, size).
    planes
        Plane of each image.
    truth
        ``"real"`` or ``"synthetic"``, for each image.
    origin
        For each image, its ``image_id`` or its number in the synthetic set.
    """

    name: str
    images: np.ndarray
    planes: tuple[str, ...]
    truth: tuple[str, ...]
    origin: tuple[str, ...]

    def score(self, answers: Sequence[str | None]) -> Score:
        """Compare answers (``"real"``, ``"synthetic"`` or None, one per image) with the truth.

        Raises
        ------
        ValueError
            When there are more or fewer answers than images, or other ones.
        """
        if len(answers) != len(self.truth) or not set(answers) <= {REAL, SYNTHETIC, None}:
            raise ValueError(f"{len(self.truth)} answers are needed, each {REAL!r}, {SYNTHETIC!r} or None")
        table = pd.DataFrame({"plane": self.planes, "truth": self.truth, "answer": list(answers)})
        table = table[table.answer.notna()]
        table["right"] = table.truth == table.answer
        right, answered = int(table.right.sum()), len(table)
        test = binomtest(right, answered) if answered else None
        low, high = test.proportion_ci(method="wilson") if test else (0.0, 1.0)
        planes = table.groupby("plane").right.agg(answered="size", right="sum", accuracy="mean").reset_index()
        return Score(
            answered=answered,
            unanswered=len(self.truth) - answered,
            right=right,
            accuracy=right / answered if answered else float("nan"),
            low=float(low),
            high=float(high),
            sensitivity=float(table[table.truth == SYNTHETIC].right.mean()),
            specificity=float(table[table.truth == REAL].right.mean()),
            p=float(test.pvalue) if test else 1.0,
            planes=planes,
        )


def draw(study: Study, count: int, seed: int, generator: str = "diffusion") -> Quiz:
    """Draw a quiz: kept test images, and synthetic ones of the largest k and the first seed of the study.

    Parameters
    ----------
    count
        Number of images, even.
    seed
        Of the choice and the order; the same seed gives the same quiz.

    Raises
    ------
    FetalkitError
        When `count` is odd or too small, or a plane has too few images; or when an earlier stage has not run.
    """
    if count < 2 or count % 2:
        raise FetalkitError(f"a blind test of {count} images cannot be half real, half synthetic; use an even number")
    splits = study.params.splits
    k, first = splits.shots.largest, splits.seeds[0]
    rows = study.tested
    rows = rows[rows.dropped == ""]
    real, synthetic = study.labelled(rows), study.synthetic(generator, k, first)
    random = np.random.default_rng(seed)
    # Where planes do not divide the number, chance says which of them get one more; the same ones on either side.
    turns = random.permutation(len(study.planes))
    each = np.bincount(turns[np.arange(count // 2) % len(turns)], minlength=len(turns))
    chosen: dict[str, list[int]] = {REAL: [], SYNTHETIC: []}
    for plane, number in enumerate(each):
        for kind, source in ((REAL, real), (SYNTHETIC, synthetic)):
            there = np.flatnonzero(source.labels == plane)
            if len(there) < number:
                raise FetalkitError(
                    f"{study.cohort}: {study.planes[plane]} has {len(there)} {kind} images, but {number} are needed; "
                    "ask for fewer images"
                )
            chosen[kind] += random.choice(there, number, replace=False).tolist()
    images = np.concatenate([real.images[chosen[REAL]], synthetic.images[chosen[SYNTHETIC]]])
    labels = np.concatenate([real.labels[chosen[REAL]], synthetic.labels[chosen[SYNTHETIC]]])
    truth = np.repeat([REAL, SYNTHETIC], count // 2)
    origin = [*rows.image_id.to_numpy()[chosen[REAL]], *(f"number {number}" for number in chosen[SYNTHETIC])]
    order = random.permutation(count)
    return Quiz(
        name=f"{study.cohort}, {generator}-k{k}-seed{first}, quiz {seed}",
        images=images[order],
        planes=tuple(study.planes[label] for label in labels[order]),
        truth=tuple(truth[order].tolist()),
        origin=tuple(origin[place] for place in order),
    )


def save(quiz: Quiz, score: Score, reader: str, experience: str, path: Path) -> None:
    """Add a row to the table of scores at `path`; it is replaced as a whole, so that no half row is ever seen.

    Raises
    ------
    FetalkitError
        When `path` holds something else or cannot be written.
    """
    about = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "quiz": quiz.name}
    figures = {name: value for name, value in asdict(score).items() if name != "planes"}
    row = pd.DataFrame([about | {"reader": reader, "experience": experience} | figures])
    if path.exists():
        row = pd.concat([scores(path), row], ignore_index=True)
    write_table(row, path)


def scores(path: Path) -> pd.DataFrame:
    """Table of saved scores, a row per reader and quiz; without rows when there is no file.

    Raises
    ------
    FetalkitError
        When `path` holds something else.
    """
    columns = [
        "time",
        "quiz",
        "reader",
        "experience",
        *(name for name in Score.__dataclass_fields__ if name != "planes"),
    ]
    if not path.exists():
        return pd.DataFrame(columns=columns)
    try:
        table = pd.read_csv(path, dtype={"reader": str, "experience": str}, na_values=[""], keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
        table = pd.DataFrame()
    if list(table.columns) != columns:
        raise FetalkitError(f"{path}: not a table of scores; move it away")
    return table.fillna({"reader": "", "experience": ""})
