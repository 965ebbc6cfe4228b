"""What a report is made of: names of its files, and where the stages put them in ``data/<study>/``."""

FOLDER = "pages"
TEST_LOG, SUMMARY, CARDS = "test_readings.csv", "summary.json", "cards"
TABLES = {
    "results.csv": ("classify", "results.csv"),
    "budgets.csv": ("classify", "budgets.csv"),
    "gains.csv": ("report", "gains.csv"),
    "accuracy.csv": ("report", "accuracy.csv"),
    "metrics.json": ("report", "metrics.json"),
    "splits.csv": ("splits", "splits.csv"),
    "shots.csv": ("splits", "shots.csv"),
    "denoiser.csv": ("curves", "denoiser.csv"),
    "fidelity.csv": ("fidelity", "fidelity.csv"),
    "fidelity.json": ("fidelity", "fidelity.json"),
}
OF_GENERATORS = ("denoiser.csv", "fidelity.csv", "fidelity.json")  # a cohort without generators lacks them
# The same of a transfer study: those beside a cohort's own tables, and those of a study between cohorts.
TRANSFER_TABLES = {"transfer.csv": ("transfer", "results.csv"), "transfer.json": ("transfer", "summary.json")}
_BETWEEN = ("results.csv", "gains.csv", "chosen.csv", "groups.csv", "planes.csv", "gap.csv", SUMMARY)
BETWEEN_TABLES = {name: ("transfer", name) for name in _BETWEEN}
EVERY_TABLE = frozenset({*TABLES, *TRANSFER_TABLES, *BETWEEN_TABLES, SUMMARY})
