"""The WebSocket clients, and what is sent to them."""

import asyncio
import json
import logging
import struct
import uuid
from dataclasses import dataclass
from typing import Any, TypeAlias

from aiohttp import WSMsgType, web

logger = logging.getLogger(__name__)

PREVIEW_EVENT = 1
PREVIEW_WITH_METADATA_EVENT = 4
_JPEG_FORMAT = 1


@dataclass(frozen=True, slots=True)
class JsonMessage:
    """A text frame."""

    type: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PreviewMessage:
    """A binary frame with a JPEG; of event 4 when it has metadata, else of event 1."""

    jpeg: bytes
    metadata: dict[str, Any] | None = None

    def encode(self) -> bytes:
        """Build the frame: a big-endian event number, the header of that event, the image."""
        if self.metadata is None:
            return struct.pack(">II", PREVIEW_EVENT, _JPEG_FORMAT) + self.jpeg
        header = json.dumps(self.metadata).encode()
        return struct.pack(">II", PREVIEW_WITH_METADATA_EVENT, len(header)) + header + self.jpeg


Message: TypeAlias = JsonMessage | PreviewMessage


class Sockets:
    """The connected clients by session id. One coroutine writes to all of them, in order.

    A slow client therefore holds up the others, as it does in ComfyUI.
    """

    def __init__(self, server_features: dict[str, Any]) -> None:
        self._server_features = server_features
        self._loop: asyncio.AbstractEventLoop | None = None
        self._outbox: asyncio.Queue[tuple[Message, str | None]] = asyncio.Queue()
        self._sockets: dict[str, web.WebSocketResponse] = {}
        self._features: dict[str, dict[str, Any]] = {}
        self._requests: dict[str, web.Request] = {}

    def post(self, message: Message, sid: str | None) -> None:
        """Send to one client, or to all when `sid` is None. Call from any thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._outbox.put_nowait, (message, sid))

    def supports_preview_metadata(self, sid: str | None) -> bool:
        """Say whether a client's feature flags asked for previews with metadata."""
        features = self._features.get(sid or "", {})
        return bool(features.get("supports_preview_metadata"))

    def count(self) -> int:
        """Count the clients that events can reach."""
        return len(self._sockets)

    async def publish(self) -> None:
        """Write messages until cancelled."""
        self._loop = asyncio.get_running_loop()
        while True:
            message, sid = await self._outbox.get()
            targets = list(self._sockets.values()) if sid is None else [self._sockets.get(sid)]
            for socket in targets:
                if socket is not None:
                    await _send(socket, message)

    async def serve(
        self, request: web.Request, *, queue_remaining: int, running_node: tuple[str, str] | None
    ) -> web.WebSocketResponse:
        """Serve one client until it goes.

        `running_node` is (client id, node id) of what runs now. A client that rejoins under an
        id that is still connected loses its events when the old connection ends, because the
        old one takes the id off the list: ComfyUI's behaviour, kept.
        """
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        sid = request.query.get("clientId", "") or uuid.uuid4().hex
        self._sockets[sid] = socket
        self._features[sid] = {}
        self._requests[sid] = request
        try:
            status = {"status": queue_status(queue_remaining), "sid": sid}
            await _send(socket, JsonMessage("status", status))
            if running_node is not None and running_node[0] == sid:
                await _send(socket, JsonMessage("executing", {"node": running_node[1]}))
            await self._read(socket, sid)
        finally:
            self._sockets.pop(sid, None)
            self._features.pop(sid, None)
            self._requests.pop(sid, None)
        return socket

    async def _read(self, socket: web.WebSocketResponse, sid: str) -> None:
        is_first = True
        async for frame in socket:
            if frame.type is not WSMsgType.TEXT:
                continue
            try:
                message = json.loads(frame.data)
            except ValueError:
                logger.warning("invalid JSON from a client", extra={"sid": sid})
                continue
            if is_first and isinstance(message, dict) and message.get("type") == "feature_flags":
                flags = message.get("data", {})
                self._features[sid] = flags if isinstance(flags, dict) else {}
                await _send(socket, JsonMessage("feature_flags", self._server_features))
            is_first = False

    def drop_all(self) -> None:
        """Cut every connection without a close frame. Call from the event loop."""
        for request in list(self._requests.values()):
            if request.transport is not None:
                request.transport.abort()

    async def close(self) -> None:
        """Say goodbye to every client."""
        for socket in list(self._sockets.values()):
            await socket.close(code=1001)


def queue_status(remaining: int) -> dict[str, Any]:
    """Build the body of GET /prompt and of status messages."""
    return {"exec_info": {"queue_remaining": remaining}}


async def _send(socket: web.WebSocketResponse, message: Message) -> None:
    try:
        if isinstance(message, PreviewMessage):
            await socket.send_bytes(message.encode())
        else:
            await socket.send_str(json.dumps({"type": message.type, "data": message.data}))
    except (OSError, RuntimeError) as error:
        # A client that went away; its reader will take it off the list.
        logger.info("send failed: %s", error)
