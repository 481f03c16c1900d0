"""Mailboxes: where the events of one prompt wait for whoever follows it.

The socket's reader puts events in and never waits; a follower that reads slowly loses previews
first, then progress, and never the events that decide what to do next.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from workers.comfy.protocol import (
    Disconnected,
    Message,
    Preview,
    Progress,
    PromptEvent,
    Reconnected,
)

_CAPACITY = (
    256  # chosen: far more than a prompt has steps; a mailbox is bounded whatever a server sends
)
_UNCLAIMED = 64  # chosen: prompts submitted and not yet followed


class Mailbox:
    """A bounded queue of one prompt's events."""

    def __init__(
        self, capacity: int = _CAPACITY, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._events: deque[PromptEvent] = deque()
        self._capacity = capacity
        self._clock = clock
        self._filled = threading.Condition()
        self._is_cut = False
        self._heard_at = clock()

    def touch(self) -> None:
        """Note a sign of life."""
        self._heard_at = self._clock()

    @property
    def silent_s(self) -> float:
        """Seconds since the last sign of life."""
        return self._clock() - self._heard_at

    def put(self, event: PromptEvent) -> None:
        """Add an event; of previews only the latest waits."""
        with self._filled:
            if isinstance(event, Preview):
                self._drop_first(Preview)
            if len(self._events) >= self._capacity:
                self._make_room()
            self._events.append(event)
            self._filled.notify()

    def cut(self) -> None:
        """Tell the reader, once, that no events will come."""
        with self._filled:
            is_news, self._is_cut = not self._is_cut, True
        if is_news:
            self.put(Disconnected())

    def restore(self) -> None:
        """Tell a reader who was told otherwise that events may come again."""
        with self._filled:
            is_news, self._is_cut = self._is_cut, False
        if is_news:
            self.put(Reconnected())

    def next(self, timeout_s: float) -> PromptEvent | None:
        """Take the oldest event, waiting for one up to `timeout_s`."""
        with self._filled:
            if not self._filled.wait_for(lambda: bool(self._events), timeout_s):
                return None
            return self._events.popleft()

    def _make_room(self) -> None:
        if not (self._drop_first(Preview) or self._drop_first(Progress)):
            self._events.popleft()

    def _drop_first(self, kind: type[Preview] | type[Progress]) -> bool:
        for event in self._events:
            if isinstance(event, kind):
                self._events.remove(event)
                return True
        return False


class Follower:
    """Reads the events of one prompt; a context manager, closed at its end."""

    def __init__(self, mailbox: Mailbox, close: Callable[[], None]) -> None:
        self._mailbox = mailbox
        self._close = close

    def next(self, timeout_s: float) -> PromptEvent | None:
        """Return the next event, or None after `timeout_s`: time to ask for the verdict."""
        return self._mailbox.next(timeout_s)

    @property
    def silent_s(self) -> float:
        """Seconds since the prompt's last sign of life, or since following began.

        A server whose execution thread has died still answers every request: silence is the only
        symptom.
        """
        return self._mailbox.silent_s

    def close(self) -> None:
        """Stop following."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class MailRoom:
    """The mailboxes of all prompts that somebody follows, or is about to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._followed: dict[str, list[Mailbox]] = {}
        self._expected: OrderedDict[str, Mailbox] = OrderedDict()

    def expect(self, prompt_id: str) -> None:
        """Keep the events of a prompt that is being submitted, until somebody follows it."""
        with self._lock:
            if prompt_id not in self._followed:
                self._expected.setdefault(prompt_id, Mailbox())
                while len(self._expected) > _UNCLAIMED:
                    self._expected.popitem(last=False)

    def forget(self, prompt_id: str) -> None:
        """Drop what was kept for a prompt that was not accepted."""
        with self._lock:
            self._expected.pop(prompt_id, None)

    def follow(self, prompt_id: str) -> tuple[Follower, Mailbox]:
        """Open a mailbox for a prompt, with what was kept for it."""
        with self._lock:
            mailbox = self._expected.pop(prompt_id, None) or Mailbox()
            self._followed.setdefault(prompt_id, []).append(mailbox)
        return Follower(mailbox, lambda: self._close(prompt_id, mailbox)), mailbox

    def deliver(self, message: Message) -> None:
        """Put a message into the mailboxes of its prompt."""
        for mailbox in self._of(message.prompt_id):
            mailbox.touch()
            if message.event is not None:
                mailbox.put(message.event)

    def cut_all(self) -> None:
        """Tell everybody that the socket is gone."""
        for mailbox in self._all():
            mailbox.cut()

    def restore_all(self) -> None:
        """Tell everybody that there is a socket again."""
        for mailbox in self._all():
            mailbox.restore()

    def _all(self) -> list[Mailbox]:
        with self._lock:
            followed = [mailbox for group in self._followed.values() for mailbox in group]
            return [*followed, *self._expected.values()]

    def _of(self, prompt_id: str) -> list[Mailbox]:
        with self._lock:
            if prompt_id in self._expected:
                return [self._expected[prompt_id]]
            return list(self._followed.get(prompt_id, ()))

    def _close(self, prompt_id: str, mailbox: Mailbox) -> None:
        with self._lock:
            group = self._followed.get(prompt_id, [])
            if mailbox in group:
                group.remove(mailbox)
            if not group:
                self._followed.pop(prompt_id, None)
