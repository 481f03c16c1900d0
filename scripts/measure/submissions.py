"""Submissions: how many a second are accepted, and how long each takes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from scripts.measure.caller import Caller
from scripts.measure.orders import Order


@dataclass(frozen=True, slots=True)
class Burst:
    """What was accepted: how many a second, and how long each took, in milliseconds."""

    per_second: float
    took_ms: tuple[float, ...]


def burst(callers: Sequence[Caller], orders: Sequence[Order], *, seconds: float) -> Burst:
    """Let every caller submit one job after the other for a while."""
    began_at = time.monotonic()

    def work(caller: Caller) -> list[float]:
        took = []
        for order in itertools.cycle(orders):
            asked_at = time.monotonic()
            if asked_at - began_at >= seconds:
                break
            caller.send(order)
            took.append((time.monotonic() - asked_at) * 1000)
        return took

    with ThreadPoolExecutor(len(callers)) as pool:
        took_ms = tuple(ms for own in pool.map(work, callers) for ms in own)
    return Burst(len(took_ms) / (time.monotonic() - began_at), took_ms)
