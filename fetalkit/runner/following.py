"""Progress of a running notebook: its reports go to the log, and to bars or lines for whoever started it."""

import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm


@contextmanager
def follow(source: Path, log: TextIO) -> Iterator[None]:
    """Show the reports that arrive in `source` for as long as the block runs."""
    follower = _Reader(source, log, _Bars() if sys.stderr.isatty() else _Lines())
    follower.start()
    try:
        yield
    finally:
        follower.stop()


class _Reader(threading.Thread):
    """Reads reports of :class:`fetalkit.utils.progress.Progress`, logs each and passes it on to a view."""

    def __init__(self, source: Path, log: TextIO, view: "_Bars | _Lines"):
        super().__init__(daemon=True)
        self._log, self._view = log, view
        self._source, self._rest = source.open("rb"), b""
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(0.5):
            self._read()

    def stop(self) -> None:
        """Pass on what is left and end the view."""
        self._stopped.set()
        self.join()
        self._read()
        self._source.close()
        self._view.close()

    def _read(self) -> None:
        *lines, self._rest = (self._rest + self._source.read()).split(b"\n")
        for line in lines:
            try:
                report = json.loads(line)
                text = compact(report)
            except (ValueError, KeyError, TypeError):
                continue  # Not a report; a worker that was killed may leave such a line.
            with suppress(OSError):
                self._log.write(f"{now()} {text}\n")
            self._view.show(report)
        self._view.refresh()


class _Lines:
    """View without a terminal: the latest report, at most every 30 seconds."""

    every = 30.0

    def __init__(self) -> None:
        self._latest, self._shown = None, time.monotonic()

    def show(self, report: dict) -> None:
        self._latest = report

    def refresh(self) -> None:
        if self._latest is not None and time.monotonic() - self._shown >= self.every:
            print(compact(self._latest), file=sys.stderr, flush=True)
            self._latest, self._shown = None, time.monotonic()

    def close(self) -> None:
        """Nothing to end."""


class _Bars:
    """View on a terminal: one bar per unfinished piece of work."""

    form = "{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} {unit}{postfix}"

    def __init__(self) -> None:
        self._bars: dict[str, tqdm] = {}
        self._reports: dict[str, tuple[dict, float]] = {}

    def show(self, report: dict) -> None:
        label, done, total = report["label"], report["done"], report["total"]
        if done >= total:
            if label in self._bars:
                self._bars.pop(label).close()
            return
        if label not in self._bars:
            self._bars[label] = tqdm(
                total=total,
                desc=label,
                unit=report["unit"],
                leave=False,
                dynamic_ncols=True,
                file=sys.stderr,
                bar_format=self.form,
            )
        self._bars[label].n = done
        self._reports[label] = report, time.monotonic()

    def refresh(self) -> None:
        for label, bar in self._bars.items():
            report, received = self._reports[label]
            left = report.get("left")
            # Reports are rare; the time left counts down between them.
            shown = report | {"left": None if left is None else max(0.0, left - (time.monotonic() - received))}
            bar.set_postfix_str(", ".join(_details(shown)))

    def close(self) -> None:
        for bar in self._bars.values():
            bar.close()


def compact(report: Mapping[str, Any]) -> str:
    """One line for a report, e.g. ``diffusion k=10 seed=0  1200/4000 step  loss=0.031  left 0:03:10``."""
    return "  ".join([report["label"], f"{report['done']}/{report['total']} {report['unit']}", *_details(report)])


def _details(report: Mapping[str, Any]) -> list[str]:
    values = {key: value for key, value in report.items() if key not in ("label", "done", "total", "unit", "left")}
    details = [f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in values.items()]
    if report.get("left") is not None and report["done"] < report["total"]:
        details.append(f"left {duration(report['left'])}")
    return details


def now() -> str:
    """Local time, as it stands in logs."""
    return datetime.now().strftime("%Y-%m-%d %H:%M:%S")


def duration(seconds: float) -> str:
    """Seconds as ``hours:minutes:seconds``."""
    return str(timedelta(seconds=round(seconds)))
