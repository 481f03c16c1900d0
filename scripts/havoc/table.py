"""The table: what the audit found, for a person and as JSON."""

from __future__ import annotations

from typing import Any

from scripts.havoc.audit import Findings

LINES_MAX = 12


def table(findings: Findings) -> str:
    """The findings as text, the broken ones with their first lines."""
    lines = [f"  {name:<30} {value:>8}" for name, value in findings.numbers.items()]
    lines.append("")
    for heading, found in findings.broken.items():
        lines.append(f"{'✗' if found else '✓'} {heading:<30} {len(found):>8}")
        lines += [f"      {line}" for line in found[:LINES_MAX]]
        if len(found) > LINES_MAX:
            lines.append(f"      … and {len(found) - LINES_MAX} more")
    if findings.weak:
        lines.append(f"! {'weak, and no broken promise':<30} {len(findings.weak):>8}")
        lines += [f"      {line}" for line in findings.weak]
    return "\n".join(lines)


def as_json(findings: Findings) -> dict[str, Any]:
    """The findings as JSON values."""
    return {
        "kept": findings.is_kept,
        "numbers": {name.strip(): value for name, value in findings.numbers.items()},
        "weak": findings.weak,
        "broken": {heading: list(found) for heading, found in findings.broken.items()},
    }
