"""What the person at the terminal reads while things are made ready."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

STILL_EVERY_S = 20.0


class Progress:
    """One line for each step: its name while it runs, a tick and its seconds when it is done."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._began_at = 0.0
        self._said_at = 0.0
        self._doing = ""

    @contextmanager
    def step(self, done: str, doing: str = "") -> Iterator[None]:
        """Show `doing` (when it may take long), then `done` with the time it took."""
        self._began_at = self._said_at = time.monotonic()
        self._doing = doing
        if doing:
            sys.stdout.write(f"  {doing} …" + ("" if self._is_terminal else "\n"))
            sys.stdout.flush()
        try:
            yield
        except BaseException:
            self._erase()
            raise
        self._erase()
        self.tick(done, time.monotonic() - self._began_at)

    def tick(self, done: str, seconds: float | None = None) -> None:
        """Say that something is ready."""
        time_taken = f" ({seconds:.1f} s)" if seconds is not None and seconds >= 0.05 else ""
        self.say(f"✓ {done}{time_taken}")

    def still(self, detail: str) -> None:
        """Show, now and then, that a long step is alive."""
        now = time.monotonic()
        if now - self._said_at < (0.5 if self._is_terminal else STILL_EVERY_S):
            return
        self._said_at = now
        line = f"  {self._doing} … {now - self._began_at:.0f} s  {detail}"
        if self._is_terminal:
            sys.stdout.write(f"\r\x1b[K{line[:100]}")
            sys.stdout.flush()
        else:
            self.say(line)

    def say(self, line: str) -> None:
        """Write a line."""
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def _erase(self) -> None:
        if self._is_terminal and self._doing:
            sys.stdout.write("\r\x1b[K")
