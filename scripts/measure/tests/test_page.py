"""The page that the command writes."""

from __future__ import annotations

from scripts.measure.page import page
from scripts.measure.report import Budget, Part, Row

MACHINE = {
    "day": "2026-01-02",
    "commit": "abc1234",
    "processor": "Some Processor",
    "cores": 2,
    "memory_gb": 8.0,
    "system": "Linux 6",
    "python": "3.11",
    "gpu": "none",
    "load": 0.2,
}


def test_the_page_says_where_and_when_it_was_measured() -> None:
    text = page(MACHINE, [Part("overhead", (), load=(0.5, 1.5))])

    for word in ("2026-01-02", "abc1234", "Some Processor", "2 cores", "GPU: none"):
        assert word in text
    assert "Load: overhead 0.5 → 1.5." in text


def test_the_page_has_the_rows_and_says_how_to_write_it_again() -> None:
    row = Row("overhead, p50", "ms", 35.2, 8.4, 390.0, Budget(most=40))

    text = page(MACHINE, [Part("overhead", (row,))])

    assert "| overhead, p50 | ms | 35.2 | 8.4 | 390 | ≤ 40 | ✓ |" in text
    assert "./scripts/bench --write-docs" in text
    assert text.endswith("\n")


def test_a_busy_machine_is_called_so() -> None:
    quiet = page({**MACHINE, "load": 1.0}, [])
    busy = page({**MACHINE, "load": 1.1}, [])

    assert "was busy" not in quiet
    assert "was busy" in busy
