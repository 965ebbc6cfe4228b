"""``python -m fetalkit.runner``: run one notebook of the study."""

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from typing import Any

from fetalkit.runner import run
from fetalkit.utils.errors import FetalkitError


def _parameter(text: str) -> tuple[str, Any]:
    """Parse ``name=value``; the value is JSON if it can be read as such (numbers, true, lists), else text."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form name=value")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _stop(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the notebook that the command line names; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m fetalkit.runner", description="Run one notebook of the study.")
    parser.add_argument("notebook", help="stem of the notebook, e.g. 01_cohort")
    parser.add_argument("--cohort", required=True)
    parser.add_argument("-p", dest="parameters", metavar="NAME=VALUE", type=_parameter, action="append", default=[])
    given = parser.parse_args(arguments)
    # An exception instead of sudden death: the kernel must not be left behind.
    earlier = {number: signal.signal(number, _stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        run(given.notebook, given.cohort, **dict(given.parameters))
    except FetalkitError as error:
        print(f"fetalkit: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"fetalkit: {given.notebook}: interrupted; run again to go on from the last checkpoint", file=sys.stderr)
        return 130
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
    return 0


if __name__ == "__main__":
    sys.exit(main())
