"""What workers of a cluster run for tests: a module that is imported in a moment, as each new worker does."""

import os
import signal
from pathlib import Path

from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError


class Elsewhere:
    """Makes each worker, also one that takes the place of another, look where the test's files lie."""

    def __init__(self, root: Path):
        self.root = root

    def setup(self, worker):
        paths.ROOT = self.root


def named(name: str, fails: str = "") -> str:
    if fails == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fails:
        raise FetalkitError(fails)
    return f"{name} {os.environ['OMP_NUM_THREADS']} {os.getpid()}"
