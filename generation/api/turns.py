"""Turns: of the submissions that come at one moment, a few are worked on, the others wait.

One interpreter computes one after the other in any case. If all went on side by side, all would be
ready at the end, and until then no node would have anything to do. So a crowd begins with one, and
each that ends makes room for one more than before, up to a few.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# Measured with 8 clients on two cores: of a crowd's jobs the first is on its node after 59 ms. It
# was 115 with four from the start, who also were identified before they waited; as many requests
# are accepted in a second. With two at most, a tenth fewer are.
AT_ONCE = 4
# Chosen: longer than the largest sketch takes. A turn that takes longer waits for something, and
# those behind it need not.
WITHIN_S = 0.25
# Chosen: between two of somebody who draws there is more, and in a steady stream there is less.
NEW_CROWD_S = 0.1


class Turns:
    """Who may go on: one at first, later `most`; and in any case whoever has waited long."""

    def __init__(self, most: int, *, within_s: float, new_crowd_s: float) -> None:
        self._most = most
        self._within_s = within_s
        self._new_crowd_s = new_crowd_s
        self._free = threading.Condition()
        self._taken = 0
        self._allowed = 1
        self._ended_at = time.monotonic()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, for a moment at most, and give it back at the end."""
        is_mine = self._take_or_wait()
        try:
            yield
        finally:
            if is_mine:
                self._give_back()

    def _take_or_wait(self) -> bool:
        with self._free:
            if not self._taken and time.monotonic() - self._ended_at > self._new_crowd_s:
                self._allowed = 1
            is_mine = self._free.wait_for(self._take, self._within_s)
            if not is_mine:
                self._make_room()
            return is_mine

    def _take(self) -> bool:
        if self._taken >= self._allowed:
            return False
        self._taken += 1
        return True

    def _give_back(self) -> None:
        with self._free:
            self._taken -= 1
            self._ended_at = time.monotonic()
            self._make_room()

    def _make_room(self) -> None:
        self._allowed = min(self._most, self._allowed + 1)
        self._free.notify(self._allowed - self._taken)


turn = Turns(AT_ONCE, within_s=WITHIN_S, new_crowd_s=NEW_CROWD_S).turn
