"""Trying again at once what surely had no effect."""

from collections.abc import Callable
from typing import TypeVar

import stamina

from workers.comfy.errors import NodeUnreachable

T = TypeVar("T")


def retrying(request: Callable[[], T]) -> T:
    """Make a request up to three times within a second, for as long as it surely had no effect.

    A server that was silent is not asked again: that would only wait as long again.
    """
    # Not stamina's decorator: its log lines hold the arguments, sketches and prompts among them.
    for attempt in stamina.retry_context(
        on=_passes_soon,
        attempts=3,
        timeout=1.0,
        wait_initial=0.05,
        wait_max=0.2,
        wait_jitter=0.05,
    ):
        with attempt:
            return request()
    raise AssertionError("stamina ends by returning or by raising")


def _passes_soon(error: Exception) -> bool:
    return isinstance(error, NodeUnreachable) and not error.timed_out
