"""The publisher: messages to users' sockets, from any thread, through one event loop."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TypeAlias

import structlog
from channels.layers import get_channel_layer

log = structlog.get_logger(__name__)

STAFF_GROUP = "staff"
SEND_TIMEOUT_S = 5.0
# Chosen: seconds of a busy server. Past it messages are dropped: events are rows, and each socket
# looks for rows that it has not seen.
BACKLOG_MAX = 2000
# Chosen: what a request or a claim still has to do when it has told of itself. On a small server
# the processors are wanted for that, and a fortieth of a second is nothing to whoever looks on.
LINGER_S = 0.025


def user_group(user_id: int) -> str:
    """The channel group of all sockets of a user."""
    return f"user.{user_id}"


def publish(user_id: int, message: dict[str, Any], *, is_urgent: bool = False) -> None:
    """Send to the user's sockets, soon; never waits and never fails.

    What is not urgent goes `LINGER_S` later at most, unless something urgent comes: then all that
    came before it goes first.
    """
    _publisher.send(user_group(user_id), message, is_urgent=is_urgent)


def publish_to(group: str, message: dict[str, Any]) -> None:
    """Send to a group's sockets, as `publish` does what is not urgent."""
    _publisher.send(group, message, is_urgent=False)


def publisher_drain(timeout_s: float = 5.0) -> None:
    """Wait until what was published is sent; for the end of a process.

    Raises:
        TimeoutError: it takes longer.
    """
    _publisher.drain(timeout_s)


def publisher_flush(timeout_s: float = 2.0) -> None:
    """`publisher_drain` for a command: what Redis does not take in time is left to the rows."""
    with suppress(TimeoutError):
        _publisher.drain(timeout_s)


_Item: TypeAlias = tuple[str, dict[str, Any]] | threading.Event


class _Publisher:
    """A thread that keeps one event loop, and so one connection to Redis, open.

    An event in its queue is somebody who waits until all before it is sent.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._queue: queue.Queue[_Item] = queue.Queue(BACKLOG_MAX)
        self._hurry = threading.Event()

    def send(self, group: str, message: dict[str, Any], *, is_urgent: bool) -> None:
        self._begin()
        try:
            self._queue.put_nowait((group, message))
        except queue.Full:
            log.warning("message dropped", group=group, type=message.get("type"))
        if is_urgent:
            self._hurry.set()

    def drain(self, timeout_s: float) -> None:
        if self._thread is None:
            return
        ends_at, is_sent = time.monotonic() + timeout_s, threading.Event()
        try:
            self._queue.put(is_sent, timeout=timeout_s)
        except queue.Full:
            raise TimeoutError from None
        self._hurry.set()
        if not is_sent.wait(max(0.0, ends_at - time.monotonic())):
            raise TimeoutError

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            while True:
                items = [self._queue.get()]
                self._hurry.wait(LINGER_S)
                # First this: what is urgent from now on hurries the next round, if not this one.
                self._hurry.clear()
                with suppress(queue.Empty):
                    while True:
                        items.append(self._queue.get_nowait())
                runner.run(_send_all(items))


async def _send_all(items: Iterable[_Item]) -> None:
    for item in items:
        if isinstance(item, threading.Event):
            item.set()
            continue
        group, message = item
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                layer: Any = get_channel_layer()
                await layer.group_send(group, message)
        except Exception as error:  # noqa: BLE001 - this thread's outermost loop
            log.warning("message not sent", group=group, problem=type(error).__name__)


_publisher = _Publisher()
