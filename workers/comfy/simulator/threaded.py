"""A simulator inside another program: for tests that want a real server on a real port."""

import asyncio
import threading
from types import TracebackType

from aiohttp import web

from workers.comfy.simulator.faults import FaultRule, Faults, parse_fault
from workers.comfy.simulator.options import Options
from workers.comfy.simulator.server import Server

_START_S = 20.0
_SHUTDOWN_S = 0.2


class ThreadedSimulator:
    """Serves on a free loopback port from `with` until its end.

    The `crash` fault ends the whole process: use a process of its own for it.
    """

    def __init__(self, options: Options, *, faults: tuple[str, ...] = ()) -> None:
        rules: list[FaultRule] = [parse_fault(fault) for fault in faults]
        self._server = Server(options, Faults(rules))
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stopped = asyncio.Event()
        self._port = 0
        self._thread = threading.Thread(target=self._serve, name="simulator", daemon=True)

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> "ThreadedSimulator":
        self._thread.start()
        if not self._ready.wait(_START_S):
            raise TimeoutError("The simulator did not start.")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(_START_S)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._run())
        finally:
            self._loop.close()

    async def _run(self) -> None:
        runner = web.AppRunner(
            self._server.application(), access_log=None, shutdown_timeout=_SHUTDOWN_S
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._port = runner.addresses[0][1]
        self._ready.set()
        await self._stopped.wait()
        await runner.cleanup()
