"""The publisher: messages to users' sockets, from any thread, through one event loop."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Any

import structlog
from channels.layers import get_channel_layer

log = structlog.get_logger(__name__)

STAFF_GROUP = "staff"
SEND_TIMEOUT_S = 5.0
# Chosen: seconds of a busy server. Past it messages are dropped: events are rows, and each socket
# looks for rows that it has not seen.
BACKLOG_MAX = 2000


def user_group(user_id: int) -> str:
    """The channel group of all sockets of a user."""
    return f"user.{user_id}"


def publish(user_id: int, message: dict[str, Any]) -> None:
    """Send to the user's sockets, soon; never waits and never fails."""
    _publisher.send(user_group(user_id), message)


def publish_to(group: str, message: dict[str, Any]) -> None:
    """Send to a group's sockets, as `publish` does."""
    _publisher.send(group, message)


def publisher_drain(timeout_s: float = 5.0) -> None:
    """Wait until what was published is sent; for the end of a process."""
    _publisher.drain(timeout_s)


def publisher_flush(timeout_s: float = 2.0) -> None:
    """`publisher_drain` for a command: what Redis does not take in time is left to the rows."""
    with suppress(TimeoutError):
        _publisher.drain(timeout_s)


class _Publisher:
    """A thread that keeps one event loop, and so one connection to Redis, open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: asyncio.Queue[tuple[str, dict[str, Any]]] | None = None

    def send(self, group: str, message: dict[str, Any]) -> None:
        loop = self._started()
        loop.call_soon_threadsafe(self._enqueue, (group, message))

    def drain(self, timeout_s: float) -> None:
        if self._loop is not None and self._queue is not None:
            asyncio.run_coroutine_threadsafe(self._queue.join(), self._loop).result(timeout_s)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._queue = asyncio.Queue(BACKLOG_MAX)
                threading.Thread(
                    target=self._run, args=(self._loop,), name="publisher", daemon=True
                ).start()
            return self._loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(self._send_all())

    def _enqueue(self, item: tuple[str, dict[str, Any]]) -> None:
        assert self._queue is not None
        try:
            self._queue.put_nowait(item)
        except asyncio.QueueFull:
            log.warning("message dropped", group=item[0], type=item[1].get("type"))

    async def _send_all(self) -> None:
        assert self._queue is not None
        while True:
            group, message = await self._queue.get()
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    layer: Any = get_channel_layer()
                    await layer.group_send(group, message)
            except Exception as error:  # noqa: BLE001 - this thread's outermost loop
                log.warning("message not sent", group=group, problem=type(error).__name__)
            finally:
                self._queue.task_done()


_publisher = _Publisher()
