"""A folder of images in, a table of planes out: ``fetalkit predict MODEL FOLDER``."""

from pathlib import Path

from fetalkit.config.sections import Frame
from fetalkit.experiments import trained
from fetalkit.utils.errors import FetalkitError
from fetalkit.utils.files import refuse_unwritable, replacing


def predict(model: str, folder: Path, out: Path, frame: str = "") -> str:
    """Write the predictions of a trained classifier for all images of a folder to a CSV file; return a summary in words.

    Parameters
    ----------
    model
        Name of the classifier, as `fetalkit.experiments.trained.classifier` takes it.
    folder
        With images, or one image.
    out
        A new file. Its columns are those of `fetalkit.classifiers.saved.SavedClassifier.predict`.

    frame
        Of files that have several: ``first``, ``middle`` or a number from 1; as the classifier's card says by default.

    Raises
    ------
    FetalkitError
        When the classifier, the folder or an image in it is not there, or `out` is, or cannot be written.
    """
    if out.exists():
        raise FetalkitError(f"{out}: is there already; delete it, or name another file with --out")
    refuse_unwritable(out)
    table = trained.predict(model, folder, _frame(frame))
    with replacing(out) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", float_format="%.4f")
    unread, unlike = table.plane == "", table.warning.str.startswith("unlike")
    counts = table.plane[~unread].value_counts()
    parts = [", ".join(f"{plane} {count}" for plane, count in counts.items())]
    parts += [f"{unlike.sum()} unlike the training set"] * bool(unlike.any())
    parts += [f"{unread.sum()} not readable"] * bool(unread.any())
    return f"{out}: {len(table)} images: {'; '.join(parts)}"


def _frame(given: str) -> Frame | None:
    if given in ("first", "middle"):
        return given
    if given and not (given.isdecimal() and int(given)):
        raise FetalkitError(f"--frame {given}: say first, middle or a number from 1")
    return int(given) if given else None
