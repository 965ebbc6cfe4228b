"""Run notebooks strictly: every parameter known, nothing half-written, one clear line when one fails.

papermill does the work; this package adds what it only warns of. The command ``fetalkit run 01_cohort --cohort africa`` is
what the stages of ``dvc.yaml`` call.
"""

from fetalkit.runner.execute import run
from fetalkit.runner.records import record

__all__ = ["record", "run"]
