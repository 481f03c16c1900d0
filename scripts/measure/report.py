"""The report: measured numbers beside each other and beside their budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

HEADINGS = ("what", "", "here", "bare client", "naive client", "budget", "")
NOT_HERE = "not measured here: "


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit: `most` or `least` of what is measured here, to so many `decimals`, if given."""

    most: float | None = None
    least: float | None = None
    decimals: int | None = None

    def is_kept(self, value: float) -> bool:
        """Whether a value is within it."""
        value = value if self.decimals is None else round(value, self.decimals)
        return (self.most is None or value <= self.most) and (
            self.least is None or value >= self.least
        )

    def __str__(self) -> str:
        parts = (("≤", self.most), ("≥", self.least))
        return " ".join(
            f"{sign} {shown(limit, self.decimals)}" for sign, limit in parts if limit is not None
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a number of the platform's beside those of the clients without it.

    `why_not` says why there is no number here; `decimals` how exact the numbers are shown.
    """

    what: str
    unit: str
    here: float | None = None
    bare: float | None = None
    naive: float | None = None
    budget: Budget | None = None
    why_not: str = ""
    decimals: int | None = None

    @property
    def is_kept(self) -> bool | None:
        """Whether the budget is kept; None without one, or without a number."""
        if self.budget is None or self.here is None:
            return None
        return self.budget.is_kept(self.here)


@dataclass(frozen=True, slots=True)
class Part:
    """What one measurement gave: its rows, its samples for the JSON, the load around it."""

    name: str
    rows: tuple[Row, ...]
    samples: dict[str, Any] = field(default_factory=dict)
    load: tuple[float, float] = (0.0, 0.0)


def table(parts: Sequence[Part]) -> str:
    """All rows as text, in columns."""
    rows = _cells(parts)
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = []
    for row in rows:
        if row[2].startswith(NOT_HERE):
            lines.append(f"{row[0]:<{widths[0]}}  {row[2]}")
            continue
        cells = [f"{row[0]:<{widths[0]}}", f"{row[1]:<{widths[1]}}"]
        cells += [f"{cell:>{width}}" for cell, width in zip(row[2:], widths[2:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown(parts: Sequence[Part]) -> str:
    """All rows as a Markdown table."""
    rows = _cells(parts)
    ruler = ("---", "---", "---:", "---:", "---:", "---:", "---")
    return "\n".join("| " + " | ".join(row) + " |" for row in (rows[0], ruler, *rows[1:]))


def as_json(machine: dict[str, Any], parts: Sequence[Part]) -> dict[str, Any]:
    """Everything as JSON values."""
    return {
        "machine": machine,
        "parts": [
            {
                "name": part.name,
                "load": list(part.load),
                "rows": [{**asdict(row), "is_kept": row.is_kept} for row in part.rows],
                "samples": part.samples,
            }
            for part in parts
        ],
    }


def missed(parts: Sequence[Part]) -> list[Row]:
    """The rows whose budgets are not kept."""
    return [row for part in parts for row in part.rows if row.is_kept is False]


def shown(value: float | None, decimals: int | None = None) -> str:
    """A number as it is read: whole from 100 on, three digits below, or with so many decimals."""
    if value is None:
        return ""
    if decimals is not None:
        return f"{value:.{decimals}f}"
    if value == round(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _cells(parts: Sequence[Part]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [HEADINGS]
    for part in parts:
        for row in part.rows:
            here, bare, naive = (
                shown(value, row.decimals) for value in (row.here, row.bare, row.naive)
            )
            if row.here is None and row.why_not:
                here = NOT_HERE + row.why_not
            mark = {True: "✓", False: "✗", None: ""}[row.is_kept]
            budget = str(row.budget) if row.budget else ""
            cells = (row.what, row.unit, here, bare, naive, budget, mark)
            rows.append(cells)
    return rows
