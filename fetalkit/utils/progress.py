"""Progress of long work: bars where a person watches, one line per report in the stage's log.

A notebook executed by the runner has no terminal. It appends one JSON line per report to the file that
``FETALKIT_PROGRESS`` names; the runner follows this file, writes the log and draws the bars. Anywhere else (JupyterLab,
a script, a test) the bar is drawn in place.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm.auto import tqdm

VARIABLE = "FETALKIT_PROGRESS"


@contextmanager
def unseen() -> Iterator[None]:
    """Within it, nothing is reported: for work that nobody waits for."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = os.devnull
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


class Progress:
    """Counts finished units of one piece of work.

    Parameters
    ----------
    label
        What is being done, e.g. ``"diffusion k=10 seed=0"``; unique among the works that run at one time.
    total
        Number of units, e.g. training steps.
    done
        Units that an earlier, interrupted run has finished; they do not count for the time left.
    unit
        Name of one unit.
    """

    def __init__(self, label: str, total: int, done: int = 0, unit: str = "step"):
        self.label, self.total, self.done, self.unit = label, total, done, unit
        self._first, self._started = done, time.monotonic()
        self._file = os.environ.get(VARIABLE, "")
        self._bar = None if self._file else tqdm(total=total, initial=done, desc=label, unit=unit, leave=False)

    def update(self, units: int = 1) -> None:
        """Count `units` more as finished."""
        self.done += units
        if self._bar is not None:
            self._bar.update(units)

    def report(self, **values: float) -> None:
        """Report the state with `values` (loss, accuracy, ...): one line in the log; call it about once per epoch."""
        if self._bar is not None:
            self._bar.set_postfix(values)
            return
        elapsed = time.monotonic() - self._started
        fresh = self.done - self._first
        left = elapsed / fresh * (self.total - self.done) if fresh else None
        line = dict(label=self.label, done=self.done, total=self.total, unit=self.unit, left=left, **values)
        # One small write in append mode: lines of parallel workers do not mix.
        with open(self._file, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
