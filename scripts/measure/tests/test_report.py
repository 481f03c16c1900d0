"""Rows, as a table, as Markdown and as JSON."""

from __future__ import annotations

import json

import pytest

from scripts.measure.report import Budget, Part, Row, as_json, markdown, missed, shown, table

KEPT = Row("overhead, p50", "ms", 35.2, 8.4, 390.0, Budget(most=40))
MISSED = Row("submissions accepted", "/s", 60.0, budget=Budget(least=150))
ABSENT = Row("images/s", "/s", budget=Budget(least=10), why_not="no GPU")
PARTS = [Part("one", (KEPT, MISSED), {"ms": [1.0, 2.0]}, (0.5, 1.5)), Part("two", (ABSENT,))]


@pytest.mark.parametrize(
    ("budget", "value", "is_kept"),
    [
        (Budget(most=40), 40, True),
        (Budget(most=40), 40.1, False),
        (Budget(least=150), 150, True),
        (Budget(least=150), 149.9, False),
        (Budget(most=1.0, decimals=2), 1.0049, True),
        (Budget(most=1.0, decimals=2), 1.0051, False),
        (Budget(most=0), 0, True),
        (Budget(most=0), 1, False),
    ],
)
def test_a_budget_is_kept_up_to_its_limit(budget: Budget, value: float, is_kept: bool) -> None:
    assert budget.is_kept(value) is is_kept


def test_what_was_not_measured_keeps_no_budget_and_misses_none() -> None:
    assert ABSENT.is_kept is None
    assert missed(PARTS) == [MISSED]


def test_the_table_has_each_number_under_its_client() -> None:
    lines = table(PARTS).splitlines()

    assert lines[1].split() == ["overhead,", "p50", "ms", "35.2", "8.4", "390", "≤", "40", "✓"]
    assert lines[2].split() == ["submissions", "accepted", "/s", "60", "≥", "150", "✗"]
    right_ends = {
        line.index(end) + len(end) for line, end in zip(lines, ("here", "35.2"), strict=False)
    }
    assert len(right_ends) == 1


def test_the_table_says_why_a_number_is_missing() -> None:
    assert table(PARTS).splitlines()[3].endswith("not measured here: no GPU")


def test_markdown_has_as_many_cells_in_each_line() -> None:
    lines = markdown(PARTS).splitlines()

    assert len(lines) == 5
    assert {line.count("|") for line in lines} == {8}
    assert "| not measured here: no GPU |" in lines[4]


def test_the_json_has_the_samples_and_the_verdicts() -> None:
    found = json.loads(json.dumps(as_json({"cores": 2}, PARTS)))

    assert found["machine"] == {"cores": 2}
    assert found["parts"][0]["samples"] == {"ms": [1.0, 2.0]}
    assert found["parts"][0]["load"] == [0.5, 1.5]
    verdicts = [row["is_kept"] for part in found["parts"] for row in part["rows"]]
    assert verdicts == [True, False, None]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (0, "0"), (0.04567, "0.0457"), (8.44, "8.44"), (35.0, "35"), (1234.5, "1,234")],
)
def test_numbers_are_shown_as_they_are_read(value: float | None, text: str) -> None:
    assert shown(value) == text
