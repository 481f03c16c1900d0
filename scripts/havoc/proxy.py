"""A TCP proxy whose line can be cut half open: nothing passes, and neither side is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from scripts.launcher.ports import free_port

CHUNK_BYTES = 65536
CALL_WITHIN_S = 5.0


class Line:
    """One address of the proxy and the port behind it. Touch it only from the proxy's loop."""

    def __init__(self, to_port: int) -> None:
        self.port = free_port()
        self._to_port = to_port
        self._passes = asyncio.Event()
        self._passes.set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self) -> asyncio.Server:
        """Listen."""
        return await asyncio.start_server(self._join, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """Stop passing bytes on; new connections are taken, and get no answer."""
        self._passes.clear()

    async def mend(self, *, forgets: bool) -> None:
        """Pass bytes on again: those that came meanwhile too, or none and the connections end."""
        if forgets:
            for writer in list(self._writers):
                writer.transport.abort()
        self._passes.set()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        onward: asyncio.StreamWriter | None = None
        try:
            await self._passes.wait()
            back, onward = await asyncio.open_connection("127.0.0.1", self._to_port)
            self._writers.add(onward)
            pumps = [
                asyncio.ensure_future(self._pump(reader, onward)),
                asyncio.ensure_future(self._pump(back, writer)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_EXCEPTION)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            pass  # nobody listens there now: the caller's connection ends below
        finally:
            for end in (writer, onward):
                if end is not None:
                    self._writers.discard(end)
                    end.transport.abort() if end.transport.is_closing() else end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK_BYTES):
            await self._passes.wait()
            writer.write(data)
            await writer.drain()
        await self._passes.wait()
        with suppress(OSError):
            writer.write_eof()


class Proxy:
    """Lines in one event loop, in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._lines: dict[str, Line] = {}
        self._servers: list[asyncio.Server] = []

    def add(self, name: str, to_port: int) -> int:
        """Open a line to a port; return the port in front of it."""
        line = Line(to_port)
        self._servers.append(self._call(line.serve()))
        self._lines[name] = line
        return line.port

    def cut(self, name: str) -> None:
        """Cut a line half open."""
        self._call(self._lines[name].cut())

    def mend(self, name: str, *, forgets: bool = False) -> None:
        """Mend a line; `forgets` ends the connections that were there while it was cut."""
        self._call(self._lines[name].mend(forgets=forgets))

    def close(self) -> None:
        """End everything."""
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_WITHIN_S)
        self._loop.close()

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_WITHIN_S)
