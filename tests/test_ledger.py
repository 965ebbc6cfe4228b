"""Every set of published results leaves one line in the ledger of test readings."""

import pandas as pd
import pytest

from fetalkit.reporting import test_log
from fetalkit.utils.errors import FetalkitError


def test_equal_results_count_once(tmp_path):
    book, results = tmp_path / "test_readings.csv", tmp_path / "results.csv"
    results.write_text("accuracy\n0.5\n")
    assert test_log.enter(book, results, "2026-01-01T00:00:00+00:00", "abc") == 1
    assert test_log.enter(book, results, "2026-01-02T00:00:00+00:00", "abd") == 1
    results.write_text("accuracy\n0.6\n")
    assert test_log.enter(book, results, "2026-01-03T00:00:00+00:00", None) == 2
    lines = pd.read_csv(book, keep_default_na=False)
    assert list(lines.columns) == test_log.COLUMNS
    assert list(lines.commit) == ["abc", ""] and lines.results_sha256.nunique() == 2


def test_another_table_is_refused(tmp_path):
    (tmp_path / "book.csv").write_text("a,b\n1,2\n")
    (tmp_path / "results.csv").write_text("x")
    with pytest.raises(FetalkitError, match=r"book.csv: must have the columns started, commit, .* restore it from git"):
        test_log.enter(tmp_path / "book.csv", tmp_path / "results.csv", "", "")
