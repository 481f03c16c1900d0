"""Processor time: what processes have used of it, which a busy machine does not stretch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
# Of the fields after the name: user and system time, then those of children that have ended.
_TIMES = slice(11, 15)


def processor_ms(pids: Mapping[str, int]) -> dict[str, float]:
    """Milliseconds used so far by each process with its children; empty where none can be read."""
    found = {}
    for name, pid in pids.items():
        with suppress(OSError):
            found[name] = _used_ms(pid) + sum(_used_ms(child) for child in _children(pid))
    return found


def used_ms(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What was used between two looks by those that both saw."""
    return {name: after[name] - before[name] for name in before if name in after}


def _used_ms(pid: int) -> float:
    fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[_TIMES])) * 1000 / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    """Those that still run; one that ends meanwhile is counted with its parent."""
    found = []
    for text in (_PROC / str(pid) / "task" / str(pid) / "children").read_text().split():
        if (_PROC / text).exists():
            found.append(int(text))
    return found
