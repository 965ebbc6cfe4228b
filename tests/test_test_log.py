"""Every set of results that is reported leaves one line in the log of test readings."""

import hashlib

import pandas as pd
import pytest

from fetalkit.reporting import test_log
from fetalkit.utils import paths
from fetalkit.utils.errors import FetalkitError


@pytest.fixture
def reading(tmp_path):
    def read(text, day, commit, study="africa", stage="07_classify"):
        (tmp_path / "results.csv").write_text(text)
        started = f"2026-01-{day:02d}T00:00:00+00:00"
        return test_log.reading("africa", study, stage, tmp_path / "results.csv", started, commit)

    return read


def test_equal_results_of_one_study_count_once(tmp_path, reading):
    published, built = tmp_path / "published.csv", tmp_path / "built.csv"
    first = reading("accuracy\n0.5\n", 1, "abc")
    assert first["results_sha256"] == hashlib.sha256(b"accuracy\n0.5\n").hexdigest()[:16]
    assert (first["cohort"], first["what_for"]) == ("africa", "accuracy of the arms")
    test_log.united([], [first]).to_csv(published, index=False)
    again = reading("accuracy\n0.5\n", 2, "abd")
    other = reading("accuracy\n0.6\n", 4, None)
    between = reading("accuracy\n0.5\n", 3, "abe", "hospitals", "08_transfer")
    test_log.united([], [again, other, between]).to_csv(built, index=False)

    lines = test_log.united([published, built, tmp_path / "none.csv"], [other])
    assert list(lines.columns) == test_log.COLUMNS
    assert lines.commit.tolist() == ["abc", "abe", ""] and lines.study.tolist() == ["africa", "hospitals", "africa"]
    lines.to_csv(published, index=False)
    pd.testing.assert_frame_equal(test_log.united([published], [again]), lines)
    test_log.add(tmp_path / "log.csv", published)
    test_log.add(tmp_path / "log.csv", built)
    assert (tmp_path / "log.csv").read_text() == published.read_text()


def test_readings_of_an_earlier_run_of_this_checkout_are_kept(tmp_path, reading):
    pages = tmp_path / "data" / "africa" / "pages"
    pages.mkdir(parents=True)
    known = reading("accuracy\n0.5\n", 1, "abc")
    line = {key: known[key] for key in ("started", "commit", "results_sha256")}
    pd.DataFrame([line, line | {"results_sha256": "0"}]).to_csv(pages / "test_readings.csv", index=False)
    united = test_log.united([pages / "test_readings.csv"], [known])
    assert united.what_for.tolist() == ["accuracy of the arms", "not recorded"] and set(united.study) == {"africa"}


def test_another_table_is_refused(tmp_path):
    (tmp_path / "log.csv").write_text("a,b\n1,2\n")
    with pytest.raises(FetalkitError, match=r"log.csv: must have the columns started, cohort, .* restore it from git"):
        test_log.united([tmp_path / "log.csv"], [])


def test_the_published_log_says_of_every_reading_whose_patients_by_whom_and_what_for():
    lines = test_log.united([paths.ROOT / "reports" / "test_readings.csv"])
    assert len(lines) >= 30 and (lines[["started", "cohort", "study", "commit", "results_sha256"]] != "").all(axis=None)
    assert set(lines.what_for) <= set(test_log.WHAT_FOR.values())
    assert {("spain", "hospitals"), ("africa", "hospitals")} <= set(zip(lines.cohort, lines.study, strict=True))
    assert not list((paths.ROOT / "reports").glob("*/test_readings.csv")), "there is one log"
