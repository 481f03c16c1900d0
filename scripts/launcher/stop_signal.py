"""The wish to stop, as somebody expressed it with a signal.

A flag that loops look at, not an exception: an exception could arrive between the birth of a child
and the line that remembers it.
"""

from __future__ import annotations

import signal
import time
from types import FrameType

from scripts.launcher.refusal import Interrupted

POLL_S = 0.05
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignal:
    """Counts the requests to stop: one asks, two insist."""

    def __init__(self) -> None:
        self.count = 0

    def listen(self) -> StopSignal:
        """Take Ctrl-C, SIGTERM and the terminal's end as requests from now on."""
        for number in SIGNALS:
            signal.signal(number, self._note)
        return self

    @property
    def is_set(self) -> bool:
        """Whether somebody asked."""
        return self.count > 0

    @property
    def is_urgent(self) -> bool:
        """Whether somebody asked twice."""
        return self.count > 1

    def pause(self, seconds: float = POLL_S) -> None:
        """Sleep a moment.

        Raises:
            Interrupted: somebody asked for the end, before or meanwhile.
        """
        ends_at = time.monotonic() + seconds
        while not self.is_set and time.monotonic() < ends_at:
            time.sleep(min(POLL_S, seconds))
        if self.is_set:
            raise Interrupted

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
