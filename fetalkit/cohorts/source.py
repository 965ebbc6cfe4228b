"""The source files of a cohort: made sure of, and known by their contents, so that a corrected label or image is noticed."""

import hashlib
import json
import stat
from pathlib import Path

from fetalkit import cohorts
from fetalkit.cohorts import pseudonyms
from fetalkit.config import params
from fetalkit.utils import paths
from fetalkit.utils.files import replacing, write_json


def fetch(cohort: str) -> Path:
    """Make sure that the source files exist, and write down what they hold: ``data/<cohort>/source.json``.

    The file says the number of images and the digests of the table and of all images that the cohort uses. It is an input of
    the audit: wherever the files lie, a change of one of them makes the study run anew, and moving them does not.

    Raises
    ------
    FetalkitError
        When the files can be neither found nor made nor downloaded, or the table is not as it should be.
    """
    settings = params.load_cohort(cohort)
    source = cohorts.load(cohort, settings)
    root = source.fetch(settings, paths.data(cohort, "source"))
    table = source.table(settings, root)
    known = _Digests(paths.work(cohort, "digests.json"))
    images = hashlib.sha256("".join(known.of(root / name) for name in table.source).encode()).hexdigest()
    known.save()
    rows = hashlib.sha256(table.to_csv(index=False).encode()).hexdigest()
    if (key := source.key(settings, root)) is not None:
        pseudonyms.write(key, paths.data(cohort, pseudonyms.FILE))
    path = paths.data(cohort, "source.json")
    write_json({"images": len(table), "table_sha256": rows, "images_sha256": images}, path)
    return path


class _Digests:
    """SHA-256 of files, remembered for as long as their length and time of change stay the same."""

    def __init__(self, path: Path):
        self.path, self.used = path, {}
        try:
            self.known = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self.known = {}

    def of(self, file: Path) -> str:
        """Digest of a file; that of nothing where it is missing or no file, which the audit reports."""
        try:
            about = file.stat()
            if not stat.S_ISREG(about.st_mode):
                return ""
            key = f"{file}|{about.st_size}|{about.st_mtime_ns}"
            digest = self.known.get(key) or hashlib.sha256(file.read_bytes()).hexdigest()
        except OSError:
            return ""
        self.used[key] = digest
        return digest

    def save(self) -> None:
        """Keep what was used, if anything is new."""
        if self.used != self.known:
            with replacing(self.path) as temporary:
                temporary.write_text(json.dumps(self.used), encoding="utf-8")
