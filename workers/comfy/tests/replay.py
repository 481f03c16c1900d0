"""Plays a recording of a real server back to a client.

Requests are answered in the recorded order with the recorded bodies; after each, the messages are
sent that the server sent before the next request. Binary frames and files are made up to the
recorded size and shape.
"""

import json
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from workers.comfy.tests.fake_server import FakeServer, respond

RECORDINGS = Path(__file__).parent.parent / "recordings"


@dataclass(frozen=True, slots=True)
class Recording:
    """A recorded scenario; `events` in time order."""

    name: str
    events: list[dict[str, Any]]

    @classmethod
    def load(cls, name: str) -> "Recording":
        content = json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
        return cls(name, content["events"])

    def prompt_ids(self) -> list[str]:
        """Return the ids that were submitted, in order."""
        return [
            event["request"]["json"]["prompt_id"]
            for event in self.events
            if event["dir"] == "http" and event["path"] == "/prompt" and "json" in event["request"]
            if "prompt_id" in event["request"]["json"]
        ]

    def requests(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["dir"] == "http"]


class ReplayServer(FakeServer):
    """Answers a recording's requests in their order.

    A request that is not the next one in the recording gets the answer in `handlers`, as in
    FakeServer.
    """

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self._events = list(recording.events)
        self.fallback = self._missing
        for event in recording.requests():
            self.handlers[event["method"], event["path"]] = self._replay
        # What every server has and few recordings asked for.
        if ("GET", "/queue") not in self.handlers:
            self.answer("GET", "/queue", {"queue_running": [], "queue_pending": []})

    @property
    def left(self) -> list[dict[str, Any]]:
        """The requests that were recorded and not made."""
        return [event for event in self._events if event["dir"] == "http"]

    async def _missing(self, request: web.Request) -> web.StreamResponse:
        # As a server without the route: the interface's files are served for GET under every path.
        raise (
            web.HTTPNotFound
            if request.method == "GET"
            else web.HTTPMethodNotAllowed("POST", ["GET"])
        )

    async def _replay(self, request: web.Request) -> web.StreamResponse:
        event = self._next_request()
        if event is None or (event["method"], event["path"]) != (request.method, request.path):
            return await self._missing(request)
        self._events.remove(event)
        recorded = event["response"]
        if isinstance(recorded, dict) and set(recorded) == {"bytes", "head_hex"}:
            head = bytes.fromhex(recorded["head_hex"])
            response = respond(
                file_of_size(recorded["bytes"], head),
                status=event["status"],
                content_type=event["content_type"].partition(";")[0],
            )
        else:
            response = respond(None if recorded == "" else recorded, status=event["status"])
        await response.prepare(request)
        await response.write_eof()
        await self._send_messages()
        return response

    async def _send_messages(self) -> None:
        while self._events and self._events[0]["dir"] != "http":
            event = self._events.pop(0)
            if event["dir"] == "note":
                if "closed its socket" in event["text"]:
                    await self.let_the_client_come_back()
                continue
            for socket in list(self.sockets):
                if event["kind"] == "text":
                    await socket.response.send_str(json.dumps(event["message"]))
                else:
                    await socket.response.send_bytes(binary_frame(event))

    def _next_request(self) -> dict[str, Any] | None:
        return next(iter(self.left), None)


def binary_frame(event: dict[str, Any]) -> bytes:
    """Make the frame that a recorded binary event stands for."""
    head = bytes.fromhex(event["image_head_hex"])
    image = head + bytes(event["bytes"] - len(head))
    if event["event"] == 1:
        return struct.pack(">II", 1, event["image_format"]) + image
    metadata = json.dumps(event["metadata"]).encode()
    return struct.pack(">II", event["event"], len(metadata)) + metadata + image


def file_of_size(size: int, head: bytes = b"") -> bytes:
    """Make a file of a size: a PNG where the head is one's, else text."""
    if not head.startswith(b"\x89PNG"):
        return head.ljust(size, b".")
    return png(size_bytes=size)


def png(*, size_bytes: int = 0, text: bytes | None = None) -> bytes:
    """Make a whole one-pixel PNG, padded to a size, with text if asked for."""
    start = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(b"\x00\x80"))
    end = png_chunk(b"IEND", b"")
    texts = b"" if text is None else png_chunk(b"tEXt", b"prompt\x00" + text)
    rest = size_bytes - len(start) - len(texts) - len(pixels) - len(end) - 12
    padding = png_chunk(b"paDd", bytes(rest)) if rest >= 0 else b""
    return start + texts + padding + pixels + end


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Make a PNG chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
