import json
from pathlib import Path

import pytest

from scripts.suite.counts import Counts, read_junit, read_vitest


def test_junit_cases_are_counted_by_what_is_in_them(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        "<testsuites><testsuite tests='9'><testcase/><testcase/><testcase><failure/></testcase>"
        "<testsuite><testcase><error/></testcase><testcase><skipped/></testcase></testsuite>"
        "</testsuite></testsuites>"
    )

    assert read_junit(report) == Counts(passed=2, failed=2, skipped=1)


def test_vitest_files_that_do_not_load_are_failures(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    suites = [
        {"status": "failed", "assertionResults": []},
        {"status": "failed", "assertionResults": [{"status": "failed"}]},
    ]
    report.write_text(
        json.dumps(
            {"numPassedTests": 5, "numFailedTests": 1, "numPendingTests": 2, "testResults": suites}
        )
    )

    assert read_vitest(report) == Counts(passed=5, failed=2, skipped=2)


@pytest.mark.parametrize("read", [read_junit, read_vitest])
def test_a_report_that_was_never_written_counts_nothing(tmp_path: Path, read: object) -> None:
    assert callable(read)
    assert read(tmp_path / "nothing") == Counts()


@pytest.mark.parametrize(
    ("counts", "status", "failed"),
    [
        pytest.param(Counts(passed=3), 0, 0, id="passed"),
        pytest.param(Counts(passed=3, failed=2), 1, 2, id="failed"),
        pytest.param(Counts(passed=3), 1, 1, id="broke-without-a-failure"),
        pytest.param(Counts(), 0, 1, id="ran-nothing"),
        pytest.param(Counts(skipped=4), 0, 1, id="skipped-everything"),
    ],
)
def test_a_runner_that_fails_or_runs_nothing_is_a_failure(
    counts: Counts, status: int, failed: int
) -> None:
    assert counts.judged(status).failed == failed
