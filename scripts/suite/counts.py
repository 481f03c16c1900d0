"""How many tests passed, read from what the runners write for machines."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Counts:
    """Tests by outcome."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.passed + other.passed,
            self.failed + other.failed,
            self.skipped + other.skipped,
        )

    def judged(self, status: int) -> Counts:
        """Count one failure more where the runner failed, or ran nothing, without saying so."""
        is_silent = not self.failed and (status != 0 or not self.passed)
        return Counts(self.passed, self.failed + 1, self.skipped) if is_silent else self


def read_junit(path: Path) -> Counts:
    """Read a JUnit file, as pytest and node's runner write it: test cases, by what is in them."""
    try:
        root = ET.parse(path).getroot()
    except (OSError, ET.ParseError):
        return Counts()
    total = Counts()
    for case in root.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            total += Counts(failed=1)
        elif case.find("skipped") is not None:
            total += Counts(skipped=1)
        else:
            total += Counts(passed=1)
    return total


def read_vitest(path: Path) -> Counts:
    """Read Vitest's JSON; a file that could not even be loaded is a failure."""
    try:
        report = json.loads(path.read_text())
    except (OSError, ValueError):
        return Counts()
    broken = sum(
        1
        for suite in report.get("testResults", [])
        if suite.get("status") == "failed" and not suite.get("assertionResults")
    )
    return Counts(
        passed=int(report.get("numPassedTests", 0)),
        failed=int(report.get("numFailedTests", 0)) + broken,
        skipped=int(report.get("numPendingTests", 0)) + int(report.get("numTodoTests", 0)),
    )
