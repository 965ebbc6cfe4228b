"""What made this? The fingerprint of a result."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def fingerprint(settings: Any, files: Iterable[Path] = ()) -> str:
    """SHA-256 (first 16 hex digits) over JSON-able `settings` and the contents of `files`, in the order given."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for file in files:
        digest.update(hashlib.sha256(Path(file).read_bytes()).digest())
    return digest.hexdigest()[:16]
