"""The event socket: a snapshot, every event after it, progress, and places in the queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

import structlog
from asgiref.sync import sync_to_async
from channels.consumer import get_handler_name
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.db import close_old_connections
from rest_framework.exceptions import AuthenticationFailed

from generation.places import queue_places
from generation.previews import watch_note
from generation.publisher import STAFF_GROUP, user_group
from generation.selectors import events_after, jobs_queued, snapshot
from usage.api.authentication import BearerAuthentication
from usage.models import User
from usage.payloads import usage_payload
from usage.quota import usage_of

log = structlog.get_logger(__name__)

BROKEN = 1011
NOT_SIGNED_IN = 4401
STOPPED_ACKNOWLEDGING = 4408
PLACES_EVERY_S = 2.0
PING_EVERY_S = 20.0
USAGE_AFTER_S = 0.2
ACK_WITHIN_S = 60.0
CHANGES_USAGE = frozenset({"job.queued", "job.failed", "job.cancelled"})


class EventConsumer(AsyncJsonWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """One browser's socket. What it sends is only ever its own user's."""

    user: User
    sent_seq: int
    acknowledged_at: float

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Hand a message to its method.

        Channels' own goes through a thread each time, to look after connections to the database.
        Who asks the database here is a thread that does so itself: see `_in_thread`.
        """
        await getattr(self, get_handler_name(message))(message)

    async def connect(self) -> None:
        """Join the group first, then send the snapshot: what happens in between is not lost."""
        await self.accept()
        user = await self._signed_in()
        if user is None:
            await self.close(NOT_SIGNED_IN)
            return
        self.user = user
        self.groups_joined = [user_group(user.pk), *([STAFF_GROUP] if user.is_staff else [])]
        self.ticker: asyncio.Task[None] | None = None
        self.usage_sender: asyncio.Task[None] | None = None
        self.catching_up = asyncio.Lock()
        self.has_waiting = True
        self.acknowledged_at = time.monotonic()
        self.sent_seq = 0
        await _in_thread(watch_note)(user.pk)
        async with self.catching_up:
            for group in self.groups_joined:
                await self.channel_layer.group_add(group, self.channel_name)
            await self._send_snapshot()
        self.ticker = asyncio.create_task(self._tick_until_broken())

    async def disconnect(self, code: int) -> None:  # noqa: ARG002 - channels' signature
        """Leave the group."""
        for task in (getattr(self, "ticker", None), getattr(self, "usage_sender", None)):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
        for group in getattr(self, "groups_joined", ()):
            await self.channel_layer.group_discard(group, self.channel_name)

    async def receive(
        self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any
    ) -> None:
        """Take text; binary frames are nothing to us."""
        if text_data and bytes_data is None:
            await super().receive(text_data=text_data, **kwargs)

    async def receive_json(self, content: Any, **_kwargs: Any) -> None:
        """Take acknowledgements; anything else is ignored."""
        if isinstance(content, dict) and content.get("type") == "ack":
            self.acknowledged_at = time.monotonic()

    @classmethod
    async def decode_json(cls, text_data: str) -> Any:
        """Parse a message; what is not JSON is nothing."""
        try:
            return await super().decode_json(text_data)
        except (ValueError, RecursionError):
            return None

    async def job_event(self, message: dict[str, Any]) -> None:
        """Pass an event on, in order and without gaps, whatever order the messages come in."""
        async with self.catching_up:
            if message["seq"] <= self.sent_seq:
                return
            if message["seq"] == self.sent_seq + 1:
                await self._send_event(message["seq"], message["event"])
            else:
                await self._catch_up()
        if message["event"]["type"] in CHANGES_USAGE and self.usage_sender is None:
            self.usage_sender = asyncio.create_task(self._send_usage_soon())
        self.has_waiting = True

    async def job_progress(self, message: dict[str, Any]) -> None:
        """Pass progress on."""
        await self.send_json({**message, "type": "progress"})

    async def node_changed(self, message: dict[str, Any]) -> None:
        """Tell staff what became of a node."""
        await self.send_json({**message, "type": "node"})

    async def _signed_in(self) -> User | None:
        user = self.scope.get("user")
        if isinstance(user, User) and user.is_active:
            return user
        headers = dict(self.scope["headers"])
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not token:
            return None
        found: User | None = await _in_thread(_token_user)(token)
        return found

    async def _send_snapshot(self) -> None:
        since = _whole(parse_qs(self.scope["query_string"].decode("ascii", "replace")).get("since"))
        state = await _in_thread(snapshot)(self.user, since=since)
        usage = await _in_thread(usage_of)(self.user)
        await self.send_json(
            {
                "type": "snapshot",
                "seq": state.seq,
                "jobs": state.jobs,
                "usage": usage_payload(usage),
            }
        )
        for seq, event in state.missed:
            await self.send_json({"type": "event", "seq": seq, "event": event})
        self.sent_seq = state.seq

    async def _send_event(self, seq: int, event: object) -> None:
        await self.send_json({"type": "event", "seq": seq, "event": event})
        self.sent_seq = seq

    async def _catch_up(self) -> None:
        """Send the rows after the last one sent. Call while holding `catching_up`."""
        while missed := await _in_thread(events_after)(self.user, self.sent_seq):
            for seq, event in missed:
                await self._send_event(seq, event)

    async def _send_usage_soon(self) -> None:
        """Send the usage once for a batch that changes it a hundred times."""
        await asyncio.sleep(USAGE_AFTER_S)
        self.usage_sender = None
        try:
            usage = await _in_thread(usage_of)(self.user)
            await self.send_json({"type": "usage", "usage": usage_payload(usage)})
        except Exception:
            # The next change or the next snapshot says it; a socket that is gone needs it no more.
            log.exception("usage not sent", user_id=self.user.pk)

    async def _tick_until_broken(self) -> None:
        """Tick; a socket that cannot be served any more is closed, and its client comes again."""
        try:
            await self._tick()
        except Exception:
            log.exception("socket broke", user_id=self.user.pk)
            await self.close(BROKEN)

    async def _tick(self) -> None:
        """Send places while jobs wait; ping, look for missed rows, close a deaf socket."""
        pinged_at = time.monotonic()
        while True:
            await asyncio.sleep(PLACES_EVERY_S)
            if self.has_waiting:
                await self._send_places()
            now = time.monotonic()
            if now - self.acknowledged_at > ACK_WITHIN_S:
                await self.close(STOPPED_ACKNOWLEDGING)
                return
            if now - pinged_at >= PING_EVERY_S:
                pinged_at = now
                await _in_thread(watch_note)(self.user.pk)
                async with self.catching_up:
                    await self._catch_up()
                await self.send_json({"type": "ping", "seq": self.sent_seq})

    async def _send_places(self) -> None:
        jobs = await _in_thread(jobs_queued)(self.user)
        self.has_waiting = bool(jobs)
        if jobs:
            places = await _in_thread(queue_places)(jobs)
            message = [
                {"id": str(job_id), "position": place.position, "eta_s": place.eta_s}
                for job_id, place in places.items()
            ]
            await self.send_json({"type": "queue", "jobs": message})


def _in_thread(function: Callable[..., Any]) -> Callable[..., Any]:
    """Ask the database in a thread of the pool: one slow answer holds up no other socket.

    The connection goes back each time: such a thread may not ask again for long.
    """

    def ask(*arguments: Any, **named: Any) -> Any:
        close_old_connections()
        try:
            return function(*arguments, **named)
        finally:
            close_old_connections()

    return sync_to_async(ask, thread_sensitive=False)


def _token_user(token: bytes) -> User | None:
    try:
        user, _ = BearerAuthentication().authenticate_credentials(token)
    except AuthenticationFailed:
        return None
    return user if isinstance(user, User) else None


def _whole(values: list[str] | None) -> int | None:
    text = values[0] if values else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
