"""Every set of results that is reported leaves one line in the log of test readings."""

import hashlib

import pandas as pd
import pytest

from fetalkit.reporting import test_log
from fetalkit.utils.errors import FetalkitError


@pytest.fixture
def results(tmp_path):
    def write(text):
        (tmp_path / "results.csv").write_text(text)
        return tmp_path / "results.csv"

    return write


def test_equal_results_count_once(tmp_path, results):
    published, built = tmp_path / "published.csv", tmp_path / "built.csv"
    first = test_log.reading(results("accuracy\n0.5\n"), "2026-01-01T00:00:00+00:00", "abc")
    assert first["results_sha256"] == hashlib.sha256(b"accuracy\n0.5\n").hexdigest()[:16]
    test_log.united([], [first]).to_csv(published, index=False)
    again = test_log.reading(results("accuracy\n0.5\n"), "2026-01-02T00:00:00+00:00", "abd")
    other = test_log.reading(results("accuracy\n0.6\n"), "2026-01-03T00:00:00+00:00", None)
    test_log.united([], [again, other]).to_csv(built, index=False)

    lines = test_log.united([published, built, tmp_path / "none.csv"], [other])
    assert list(lines.columns) == test_log.COLUMNS
    assert lines.commit.tolist() == ["abc", ""]
    assert lines.started.tolist() == [first["started"], other["started"]]
    lines.to_csv(published, index=False)
    pd.testing.assert_frame_equal(test_log.united([published], [again]), lines)


def test_another_table_is_refused(tmp_path):
    (tmp_path / "log.csv").write_text("a,b\n1,2\n")
    with pytest.raises(FetalkitError, match=r"log.csv: must have the columns started, commit, .* restore it from git"):
        test_log.united([tmp_path / "log.csv"], [])
