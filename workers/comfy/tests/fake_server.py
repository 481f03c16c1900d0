"""A server for tests: real HTTP, real WebSockets, answers written by the test."""

import asyncio
import json
import queue
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import WSMsgType, web

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
WAIT_S = 10.0  # far longer than anything takes: it ends a test that is stuck


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class FakeSocket:
    """A client's socket, as the server sees it."""

    client_id: str
    headers: dict[str, str]
    response: web.WebSocketResponse
    transport: asyncio.Transport
    first_message: str = ""
    messages: list[str] = field(default_factory=list)


class FakeServer:
    """Serves `handlers`, by (method, path); anything else is 404, as from ComfyUI's own framework.

    Attributes:
        received: all requests but those for sockets.
        joined: a queue of sockets, each after its first message.
        has_sockets: whether `/ws` exists.
        answers_pings: false for a connection that is half-open.
    """

    def __init__(self) -> None:
        self.handlers: dict[tuple[str, str], Handler] = {}
        self.fallback: Handler | None = None
        self.received: list[Received] = []
        self.joined: queue.Queue[FakeSocket] = queue.Queue()
        self.sockets: list[FakeSocket] = []
        self.has_sockets = True
        self.answers_pings = True
        self.on_join: Callable[[FakeSocket], Awaitable[None]] | None = None
        self.base_url = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="fake-server")
        self._ready = threading.Event()
        self._closing: asyncio.Event
        self._joined: asyncio.Event

    def answer(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        status: int = 200,
        content_type: str | None = None,
    ) -> None:
        """Answer a path with JSON, bytes, or (None) an empty body."""

        async def handler(_request: web.Request) -> web.StreamResponse:
            return respond(body, status=status, content_type=content_type)

        self.handlers[method, path] = handler

    def requests_for(self, path: str) -> list[Received]:
        return [request for request in self.received if request.path == path]

    def send(self, message: dict[str, Any] | str | bytes) -> None:
        """Send a message to every open socket, and return once it is sent."""

        async def send() -> None:
            for socket in list(self.sockets):
                if isinstance(message, bytes):
                    await socket.response.send_bytes(message)
                else:
                    text = message if isinstance(message, str) else json.dumps(message)
                    await socket.response.send_str(text)

        self.run(send())

    def drop_sockets(self) -> None:
        """Break every socket's connection without a closing frame."""

        async def drop() -> None:
            for socket in list(self.sockets):
                socket.transport.abort()
            self.sockets.clear()

        self.run(drop())

    async def let_the_client_come_back(self) -> None:
        """Break every connection and wait for the next one."""
        self._joined.clear()
        for socket in list(self.sockets):
            socket.transport.abort()
        self.sockets.clear()
        await self._joined.wait()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the server's loop."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(WAIT_S)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(WAIT_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main())
            left = asyncio.all_tasks(self._loop)  # handlers that never answer
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.run_until_complete(_settle())
        finally:
            self._loop.close()

    async def _main(self) -> None:
        self._closing = asyncio.Event()
        self._joined = asyncio.Event()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.05, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        self.base_url = f"http://127.0.0.1:{port}"
        self._ready.set()
        await self._closing.wait()
        await _settle()
        for socket in list(self.sockets):
            socket.transport.abort()
        await runner.cleanup()
        await _settle()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/ws" and self.has_sockets:
            return await self._handle_socket(request)
        body = await request.read()
        self.received.append(
            Received(request.method, request.path, dict(request.query), dict(request.headers), body)
        )
        handler = self.handlers.get((request.method, request.path), self.fallback)
        if handler is None:
            raise web.HTTPNotFound
        return await handler(request)

    async def _handle_socket(self, request: web.Request) -> web.StreamResponse:
        response = web.WebSocketResponse(autoping=self.answers_pings)
        await response.prepare(request)
        assert isinstance(request.transport, asyncio.Transport)
        socket = FakeSocket(
            request.query.get("clientId", ""), dict(request.headers), response, request.transport
        )
        if self.on_join is not None:
            await self.on_join(socket)
        self.sockets.append(socket)
        async for message in response:
            if message.type is WSMsgType.TEXT:
                socket.messages.append(message.data)
                if len(socket.messages) == 1:
                    socket.first_message = message.data
                    self.joined.put(socket)
                    self._joined.set()
        if socket in self.sockets:
            self.sockets.remove(socket)
        return response


async def _settle() -> None:
    """Let connections that were just made or broken pass through the loop, to be closed by it."""
    for _ in range(10):  # accepting and closing take some three iterations each
        await asyncio.sleep(0)


def respond(
    body: Any = None, *, status: int = 200, content_type: str | None = None
) -> web.Response:
    """Make a response of JSON, bytes, or nothing."""
    if body is None:
        return web.Response(status=status)
    if isinstance(body, bytes):
        return web.Response(body=body, status=status, content_type=content_type)
    return web.json_response(body, status=status)


async def never(_request: web.Request) -> web.StreamResponse:
    """Take the request and stay silent."""
    await asyncio.Event().wait()
    raise AssertionError


async def hang_up(request: web.Request) -> web.StreamResponse:
    """Take the request and break the connection."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def half(whole: bytes, *, content_type: str = "application/json") -> Handler:
    """Announce a body, send half of it, and break the connection."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": content_type})
        response.content_length = len(whole)
        await response.prepare(request)
        await response.write(whole[: len(whole) // 2])
        assert request.transport is not None
        request.transport.close()
        return response

    return handler


def trickle(whole: bytes, *, pause_s: float = 0.1) -> Handler:
    """Send a body byte by byte."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = len(whole)
        await response.prepare(request)
        for index in range(len(whole)):
            await response.write(whole[index : index + 1])
            await asyncio.sleep(pause_s)
        return response

    return handler


def chunked(whole: bytes) -> Handler:
    """Send a body without announcing its length."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(whole)
        return response

    return handler
