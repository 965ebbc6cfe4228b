"""``python -m fetalkit``: the command line, :mod:`fetalkit.cli`."""

import sys

from fetalkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
