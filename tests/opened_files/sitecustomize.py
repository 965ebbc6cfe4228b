"""Python reads this first where the folder is on its path: it writes down which files the process opens to read.

For tests alone. One line per file: the stage of the pipeline, a tab, the path.
"""

import os
import sys

_LOG, _STAGE, _writing = os.environ.get("OPENED_FILES"), os.environ.get("DVC_STAGE"), []


def _note(event, arguments):
    if event != "open" or _writing or not isinstance(arguments[0], str):
        return
    path, mode, flags = arguments
    reads = "w" not in mode and "a" not in mode and "x" not in mode if mode else not (flags or 0) & os.O_WRONLY
    if reads and f"{os.sep}data{os.sep}" in os.path.abspath(path):
        _writing.append(True)  # the log is opened too
        with open(_LOG, "a", encoding="utf-8") as stream:
            stream.write(f"{_STAGE}\t{os.path.abspath(path)}\n")
        _writing.pop()


if _LOG and _STAGE:
    sys.addaudithook(_note)
