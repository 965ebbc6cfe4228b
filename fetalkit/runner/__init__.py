"""Run notebooks strictly: every parameter known, nothing half-written, one clear line when one fails.

papermill does the work; this package adds what it only warns of. The command ``fetalkit run 01_cohort --cohort africa`` is
what the stages of ``dvc.yaml`` call.

papermill is not imported here: it takes longer to load than DVC needs to see that a study is up to date.
"""

import fetalkit.utils.light  # noqa: F401
