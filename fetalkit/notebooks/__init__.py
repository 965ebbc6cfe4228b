"""Run notebooks strictly: every parameter known, nothing half-written, one clear line when one fails.

papermill does the work; this package adds what it only warns of. The command ``python -m fetalkit.notebooks 01_cohort
--cohort africa`` is what the stages of ``dvc.yaml`` call.
"""

from fetalkit.notebooks.records import record
from fetalkit.notebooks.runner import run

__all__ = ["record", "run"]
